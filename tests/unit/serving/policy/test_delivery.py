"""Tests of the schedule of deliveries and of the circuit breaker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.policy.breaker import FAILURES_TO_OPEN, PROBE_EVERY, Breaker
from serving.policy.delivery import (
    LIFE,
    MOST_PAUSE,
    MOST_REFUSALS,
    Attempt,
    Delivery,
    DeliveryStatus,
    Ending,
    outbox_id,
    retry_after,
    wait_after,
)

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
FAILED = Attempt(ending=Ending.FAILED, fault="status-503")
REFUSED = Attempt(ending=Ending.REFUSED, fault="status-400")
TOLD = Attempt(ending=Ending.TOLD, remote_id="r-1")
SECOND = timedelta(seconds=1)


def delivery(kind: str = "opened") -> Delivery:
    """Return a delivery that was queued at the start."""
    return Delivery.queued("hnd_1", "pager", 0, kind=kind, at=START)


@pytest.mark.parametrize(
    ("kind", "waits"),
    [
        ("opened", (2, 5, 15, 30, 60, 120, 300, 600, 900, 900, 900)),
        ("claimed", (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400, 86400)),
    ],
)
def test_waits_grow_as_the_schedule_says(kind: str, waits: tuple[int, ...]) -> None:
    """Each wait is that of the schedule, within a fifth either way."""
    for attempt, base in enumerate(waits, 1):
        wait = wait_after(kind, "out_1", attempt).total_seconds()
        assert 0.8 * base <= wait <= 1.2 * base


def test_waits_are_spread_and_the_same_for_whoever_asks() -> None:
    """Many deliveries fill the spread; one has its own wait each time."""
    waits = [wait_after("opened", f"out_{n}", 5).total_seconds() for n in range(500)]
    assert min(waits) < 50
    assert max(waits) > 70
    assert waits == [
        wait_after("opened", f"out_{n}", 5).total_seconds() for n in range(500)
    ]


def test_an_id_is_that_of_its_place() -> None:
    """No two rows of one outbox have the same id, and each can be made again."""
    names = {outbox_id(h, c, p) for h in "ab" for c in "xy" for p in range(3)}
    assert len(names) == 12
    assert outbox_id("a", "x", 0) in names


@given(st.lists(st.sampled_from((FAILED, REFUSED)), max_size=12))
def test_failures_wait_and_refusals_end(attempts: list[Attempt]) -> None:
    """It is dead at the third refusal, before that always due later than now."""
    now, one, refusals = START, delivery(), 0
    for attempt in attempts:
        one = one.ended(attempt, now)
        refusals += attempt is REFUSED
        if refusals == MOST_REFUSALS:
            assert one.status is DeliveryStatus.DEAD
            return
        assert one.status is DeliveryStatus.PENDING
        assert now < one.next_at
        now = one.next_at
    assert one.attempts == len(attempts)


def test_what_was_told_is_done_and_knows_by_what_name() -> None:
    """A proof ends it; what had gone wrong before is no longer said."""
    done = delivery().ended(FAILED, START).ended(TOLD, START + SECOND)
    assert done.status is DeliveryStatus.DONE
    assert (done.remote_id, done.last_error, done.attempts) == ("r-1", None, 2)
    assert done.tried_at == START + SECOND


def test_a_redriven_letter_begins_anew_under_its_id() -> None:
    """It is due at once, may be refused again, and lives as long as a new one."""
    dead = delivery()
    for _ in range(MOST_REFUSALS):
        dead = dead.ended(REFUSED, START)
    later = START + timedelta(days=9)
    again = dead.redriven(later)
    assert again.outbox_id == dead.outbox_id
    assert (again.status, again.attempts, again.refusals) == ("pending", 0, 0)
    assert (again.next_at, again.expires_at) == (later, later + LIFE)


def test_retry_after_puts_off_the_next_attempt() -> None:
    """The longer of schedule and wish counts, up to the longest that is honoured."""
    for seconds, expected in ((100, 100), (10**9, MOST_PAUSE.total_seconds())):
        wish = timedelta(seconds=seconds)
        asked = Attempt(ending=Ending.FAILED, fault="status-429", retry_after=wish)
        put_off = delivery().ended(asked, START).next_at - START
        assert put_off.total_seconds() == expected
    soon = Attempt(ending=Ending.FAILED, fault="x", retry_after=timedelta(0))
    assert delivery().ended(soon, START).next_at > START


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("0", 0),
        (" 120 ", 120),
        ("99999999999999999999", 3600),
        (format_datetime(START + timedelta(seconds=30), usegmt=True), 30),
        (format_datetime(START - timedelta(seconds=30), usegmt=True), 0),
        (format_datetime(START + timedelta(days=3), usegmt=True), 3600),
        ("Tue, 24 Nov 2026 12:00:10 -0000", 10),
        ("Tue, 24 Nov 2026 13:00:10 +0100", 10),
    ],
)
def test_retry_after_is_read_in_both_forms(said: str, expected: float) -> None:
    """Seconds and dates, in any zone, never negative and never for ever."""
    found = retry_after(said, START.astimezone(timezone(timedelta(hours=5))))
    assert found is not None
    assert found.total_seconds() == expected


@pytest.mark.parametrize("said", [None, "", "soon", "-5", "1.5", "٣", "Tue, 99 Nov"])
def test_what_is_no_retry_after_asks_for_nothing(said: str | None) -> None:
    """What cannot be read is ignored."""
    assert retry_after(said, START) is None


def test_a_breaker_opens_after_failures_in_a_row() -> None:
    """Up to the fourth nothing changes; from the fifth on it is asked now and then."""
    breaker = Breaker()
    for n in range(1, FAILURES_TO_OPEN + 3):
        breaker = breaker.failed(START, None)
        assert breaker.is_down == (n >= FAILURES_TO_OPEN)
        assert breaker.is_shut(START) == breaker.is_down
    assert not breaker.is_shut(START + PROBE_EVERY)
    assert breaker.probing(START + PROBE_EVERY).is_shut(START + PROBE_EVERY)


def test_one_answer_closes_it_and_makes_the_rest_due() -> None:
    """It is well at once; only after having been down it says since when."""
    down = Breaker(failures=FAILURES_TO_OPEN, open_until=START)
    assert down.answered(START) == Breaker(recovered_at=START)
    assert Breaker(failures=2).answered(START) == Breaker()
    kept = Breaker(recovered_at=START).answered(START + SECOND)
    assert kept == Breaker(recovered_at=START)


def test_a_channel_that_asks_for_rest_gets_it() -> None:
    """Retry-After shuts it for that long, and never opens it earlier than before."""
    shut = Breaker().failed(START, timedelta(seconds=90))
    assert shut.is_shut(START + timedelta(seconds=89))
    assert not shut.is_shut(START + timedelta(seconds=90))
    again = shut.failed(START, SECOND)
    assert again.open_until == shut.open_until


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_a_breaker_depends_on_what_came_last(outcomes: list[bool]) -> None:
    """It is down exactly if the last five attempts failed."""
    breaker, now, was = Breaker(), START, [True] * FAILURES_TO_OPEN
    for good in outcomes:
        breaker = breaker.answered(now) if good else breaker.failed(now, None)
        was.append(good)
        now += SECOND
        assert breaker.is_down == (not any(was[-FAILURES_TO_OPEN:]))
    recoveries = [n for n, (a, b) in enumerate(pairwise(outcomes)) if b and not a]
    assert breaker.recovered_at is None or recoveries
