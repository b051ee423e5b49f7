from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import orjson
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from features.events import AgentEvent
from serving.policy.handoff import (
    TRANSITIONS,
    Handoff,
    HandoffStatus,
    IllegalTransitionError,
)
from serving.policy.package import pack
from serving.policy.router import Destination, choose
from serving.policy.rules import Policy, Priority
from serving.policy.trigger import Decision, Facts, Load

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
FINAL = {HandoffStatus.RESOLVED, HandoffStatus.RETURNED}


LEASE = timedelta(minutes=30)


def waiting(status: HandoffStatus = HandoffStatus.QUEUED) -> Handoff:
    return Handoff(
        handoff_id="h",
        task_id="t",
        epoch=2,
        queue="billing",
        priority=Priority.HIGH,
        queued_at=NOON,
        acknowledge_by=NOON + timedelta(minutes=15),
        resolve_by=NOON + timedelta(hours=8),
        chain=("general",),
        status=status,
    )


def there(queue: str, chain: tuple[str, ...] = ()) -> Destination:
    return Destination(
        queue=queue,
        is_open=True,
        priority=Priority.HIGH,
        skills=(),
        acknowledge_by=NOON + timedelta(hours=1),
        resolve_by=NOON + timedelta(hours=9),
        expected_wait=timedelta(minutes=4),
        chain=chain,
    )


@pytest.mark.parametrize(("a", "b"), list(product(HandoffStatus, HandoffStatus)))
def test_only_listed_edges_exist(a: HandoffStatus, b: HandoffStatus) -> None:
    """A handoff moves along exactly the edges of the table."""
    if (a, b) in TRANSITIONS:
        assert waiting(a).to(b).status is b
    else:
        with pytest.raises(
            IllegalTransitionError, match=f"'h' is {a} and cannot become {b}"
        ):
            waiting(a).to(b)


def test_every_status_but_the_final_ones_can_be_left() -> None:
    """Resolved and returned are final; nothing else is a dead end."""
    assert {a for a, _ in TRANSITIONS} == set(HandoffStatus) - FINAL
    with pytest.raises(IllegalTransitionError, match="allowed: none, it is final"):
        waiting(HandoffStatus.RESOLVED).to(HandoffStatus.QUEUED)


def test_a_claim_names_its_holder_and_a_release_forgets_them() -> None:
    """Back in the queue nobody holds it; closed, it keeps who closed it."""
    claimed = waiting().claim(by="ana", at=NOON, lease=LEASE)
    assert (claimed.status, claimed.claimed_by, claimed.claimed_at) == (
        HandoffStatus.CLAIMED,
        "ana",
        NOON,
    )
    assert claimed.lease_until == NOON + LEASE
    later = claimed.renew(at=NOON + LEASE / 2, lease=LEASE)
    assert later == replace(claimed, lease_until=NOON + LEASE * 3 / 2)
    assert claimed.to(HandoffStatus.QUEUED) == waiting()
    assert claimed.to(HandoffStatus.RESOLVED).lease_until is None
    with pytest.raises(IllegalTransitionError, match="only a claim can be renewed"):
        waiting().renew(at=NOON, lease=LEASE)
    assert claimed.to(HandoffStatus.RESOLVED).claimed_by == "ana"
    with pytest.raises(
        IllegalTransitionError, match="allowed: QUEUED, RESOLVED, RETURNED"
    ):
        claimed.claim(by="ben", at=NOON, lease=LEASE)


def test_a_climb_changes_queue_and_deadlines_and_nothing_else() -> None:
    """One rung up it keeps since when the user has been waiting."""
    up = waiting().climb(there("general"))
    assert (up.queue, up.chain, up.status) == ("general", (), HandoffStatus.QUEUED)
    assert up.acknowledge_by == NOON + timedelta(hours=1)
    assert (up.queued_at, up.climbs) == (NOON, 1)
    assert (
        replace(
            up,
            queue="billing",
            chain=("general",),
            climbs=0,
            acknowledge_by=waiting().acknowledge_by,
            resolve_by=waiting().resolve_by,
        )
        == waiting()
    )


def test_a_chain_that_was_climbed_puts_nothing_off_any_more() -> None:
    """Each rung sets its own deadlines; once all have missed theirs, the last stays."""
    first = replace(waiting(), rungs=("billing", "general", "safety"))
    assert first.resolve_by < there("general").resolve_by
    once = first.climb(there("general"))
    assert once.resolve_by == there("general").resolve_by
    twice = replace(once, resolve_by=NOON).climb(there("safety"))
    assert twice.resolve_by == there("safety").resolve_by
    assert replace(twice, resolve_by=NOON).climb(there("billing")).resolve_by == NOON
    assert replace(first, resolve_by=NOON).climb(there("billing")).resolve_by == NOON


def test_passing_on_is_no_missed_deadline() -> None:
    """Where nobody is there it moves on, and must be resolved when it had to."""
    on = waiting().passed_on(there("general"))
    assert (on.queue, on.climbs) == ("general", 0)
    assert on.resolve_by == waiting().resolve_by
    assert on.acknowledge_by == there("general").acknowledge_by


def test_what_is_late_is_overdue_until_somebody_has_it() -> None:
    """Unseen for too long, or unresolved; closed, it is nothing any more."""
    at = waiting().acknowledge_by
    assert not waiting().is_overdue(at - timedelta(seconds=1))
    assert waiting().is_overdue(at)
    assert waiting().climb(there("general")).is_overdue(NOON)
    claimed = waiting().climb(there("general")).claim(by="ana", at=NOON, lease=LEASE)
    assert not claimed.is_overdue(NOON)
    assert claimed.is_overdue(claimed.resolve_by)
    assert not claimed.to(HandoffStatus.RESOLVED).is_overdue(claimed.resolve_by)


def test_what_somebody_holds_does_not_climb() -> None:
    """A claimed handoff must be released before it goes up the chain."""
    with pytest.raises(
        IllegalTransitionError, match=r"cannot climb .* release it first"
    ):
        waiting(HandoffStatus.CLAIMED).climb(there("general"))


def test_a_handoff_is_opened_from_what_was_decided(
    policy_of: Callable[..., Policy], decided: Callable[..., Decision]
) -> None:
    """It carries the firings, the route, the package and the facts of its task."""
    policy = policy_of()
    facts = Facts(domain="billing")
    decision = decided(
        policy, signals={"call_repeats": 3.0}, facts=facts, risk=0.7, certified=0.6
    )
    started = AgentEvent(
        task_id="t",
        event_id="e",
        at=NOON,
        kind="task_started",
        body={"text": "Refund\nplease", "account": {"id": "a", "tier": "pro"}},
    )
    package = pack([started], decision, (), {})
    destination = choose(decision, facts, policy, Load(), NOON)
    handoff = Handoff.opened(
        handoff_id="h",
        epoch=2,
        decision=decision,
        destination=destination,
        package=package,
        at=NOON,
    )
    assert handoff.package is package
    assert (handoff.task_id, handoff.chain) == ("t", ("general",))
    wire = handoff.to_json(NOON)
    assert orjson.loads(orjson.dumps(wire)) == wire
    assert wire == {
        "handoff_id": "h",
        "task_id": "t",
        "epoch": 2,
        "queue": "billing",
        "chain": ["general"],
        "status": "QUEUED",
        "priority": "normal",
        "skills": [],
        "triggers": [{"trigger": f.trigger, "says": f.says} for f in decision.firings],
        "risk": 0.7,
        "threshold": 0.6,
        "queued_at": "2026-11-24T12:00:00Z",
        "acknowledge_by": "2026-11-24T12:15:00Z",
        "resolve_by": "2026-11-24T20:00:00Z",
        "claimed_by": None,
        "claimed_at": None,
        "lease_until": None,
        "climbs": 0,
        "is_overdue": False,
        "shed": None,
        "request": "Refund please",
        "domain": "billing",
        "account": {"id": "a", "tier": "pro"},
    }
    assert [t["trigger"] for t in wire["triggers"]] == ["loop", "learned"]


class Desk(RuleBasedStateMachine):
    """People at work on one handoff, doing whatever comes to mind."""

    @initialize()
    def open(self) -> None:
        """Begin in the queue."""
        self.handoff = waiting()
        self.closed = 0

    @rule(status=st.sampled_from(HandoffStatus))
    def move(self, status: HandoffStatus) -> None:
        """Try any status; what is refused changes nothing."""
        before = self.handoff
        try:
            self.handoff = before.to(status)
        except IllegalTransitionError:
            assert (before.status, status) not in TRANSITIONS
        else:
            self.closed += self.handoff.status in FINAL

    @rule(by=st.sampled_from(["ana", "ben"]))
    def claim(self, by: str) -> None:
        """Claim it, if it waits."""
        if self.handoff.status is HandoffStatus.QUEUED:
            self.handoff = self.handoff.claim(by=by, at=NOON, lease=LEASE)

    @rule()
    def climb(self) -> None:
        """Go up the chain, if it waits and there is a rung."""
        if self.handoff.status is HandoffStatus.QUEUED and self.handoff.chain:
            self.handoff = self.handoff.climb(there(*self.handoff.chain))

    @invariant()
    def it_is_closed_at_most_once(self) -> None:
        """Two people cannot both close it."""
        assert self.closed <= 1

    @invariant()
    def nobody_holds_what_waits(self) -> None:
        """In the queue it has no holder, and always a queue and its deadlines."""
        if self.handoff.status is HandoffStatus.QUEUED:
            assert self.handoff.claimed_by is None
        assert self.handoff.queue in ("billing", "general")
        assert self.handoff.acknowledge_by < self.handoff.resolve_by


TestDesk = Desk.TestCase
