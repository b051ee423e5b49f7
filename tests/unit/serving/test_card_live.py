"""What a card says of a version once it is live, read off the store."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from escalon.cards import live
from serving.store import alarms
from serving.store.sqlite import read_only
from serving.store.transaction import Transaction
from training.bundle import Certificate
from training.card.facts import CardFacts
from training.monitor.alarm import Alarm, Code, Severity

FACTS = CardFacts(
    model="escalon",
    version="7",
    digest="ab" * 32,
    certificate=Certificate(
        alpha=0.1,
        delta=0.1,
        n_needed=0,
        n_tasks=0,
        misses_allowed=0,
        method="exact",
        threshold=None,
        escalation_rate=None,
        reason="none was made",
    ),
    made=date(2026, 11, 24),
    n_tasks=90,
    fingerprint="0b" * 32,
    evaluated_on="held-out customers",
)


def alarm(code: Code, withdraws: str | None) -> Alarm:
    """Return an alarm about retail tasks."""
    return Alarm(
        code=code,
        segment="domain=retail",
        evidence={"n": 12},
        since=0.0,
        severity=Severity.SERIOUS,
        withdraws=withdraws,
        says=f"{code} in 12 tasks",
    )


def by_now(desk: Any, facts: CardFacts = FACTS) -> CardFacts:
    """Return facts with what the desk's store says."""
    with read_only(desk.path) as reader:
        return live(reader, facts, now=desk.clock.now)


def test_a_version_that_never_decided_has_nothing_to_say(desk: Any) -> None:
    """A store that knows other versions only leaves the card as it was."""
    desk.begin()
    other = replace(FACTS, digest="cd" * 32)
    assert by_now(desk, other) == other


def test_kpis_and_counts_are_those_since_it_decided_first(desk: Any) -> None:
    """One of two tasks was escalated; nobody has judged the other."""
    day = desk.clock.now.date()
    desk.hand_over("t1")
    desk.begin("t2")
    desk.clock.turn(timedelta(days=3))
    found = by_now(desk)
    assert found.live is not None
    assert found.live["escalation_rate"]["value"] == pytest.approx(0.5)
    assert found.drift is not None
    assert (found.drift.since, found.drift.until) == (day, day + timedelta(days=3))
    assert found.drift.n_tasks == 2
    assert found.drift.alarms == ()


def test_alarms_of_the_version_say_what_they_withdraw_and_whether_they_stand(
    desk: Any,
) -> None:
    """The latest first; one that a person has cleared withdraws nothing any more."""
    desk.begin()
    at = desk.clock.now

    def raise_three(tx: Transaction) -> None:
        alarms.add(tx, FACTS.digest, alarm(Code.MISS_RATE, ""), at)
        later = at + timedelta(hours=1)
        worse = alarm(Code.RISK_TOO_LOW, "domain=retail")
        raised = alarms.add(tx, FACTS.digest, worse, later)
        alarms.add(tx, "ee" * 32, alarm(Code.FLOOD, None), at)
        alarms.clear(tx, raised, later + timedelta(hours=1), by="ana", why="a test")

    desk.store.submit(raise_three).result()
    found = by_now(desk).drift
    assert found is not None
    assert [(a.kind, a.withdraws) for a in found.alarms] == [
        ("risk too low", ""),
        ("miss rate", "certificate"),
    ]
    assert [a.cleared for a in found.alarms] == [at.date(), None]
    assert found.alarms[1].evidence == "miss_rate in 12 tasks"
