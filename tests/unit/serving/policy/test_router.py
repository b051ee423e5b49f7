from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.policy.decision import Threshold
from serving.policy.router import Destination, choose, is_open, rung_up, seen
from serving.policy.rules import Policy, Priority
from serving.policy.trigger import Decision, Draw, Facts, Load, decide

Decided = Callable[..., Decision]
PolicyOf = Callable[..., Policy]

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)  # a Tuesday
DEFAULT = Policy.default()
OFFICE = {"opens": "09:00", "closes": "17:00", "days": [0, 1, 2, 3, 4]}
LOOPS = {"call_repeats": 3.0}
ASKS = {"asks_for_human": 1.0}
BILLING = Facts(domain="billing")


def queue(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "owner": "lead", "members": ["ana", "ben"], **more}


def test_the_first_route_that_takes_it_decides(
    policy_of: PolicyOf, decided: Decided
) -> None:
    """Routes are asked in order; the last takes the rest."""
    decision = decided(policy_of(), signals=LOOPS)
    assert choose(decision, BILLING, policy_of(), Load(), NOON).queue == "billing"
    assert choose(decision, Facts(), policy_of(), Load(), NOON).queue == "general"


def test_a_route_can_ask_for_a_trigger(policy_of: PolicyOf, decided: Decided) -> None:
    """A route with triggers takes only handoffs of which one of them fired."""
    policy = policy_of(
        routes=[
            {"triggers": ["loop"], "when": "steps > 5.0", "queue": "general"},
            {"triggers": ["loop", "learned"], "queue": "billing"},
            {"queue": "general", "skills": ["tact"], "priority": "normal"},
        ]
    )

    def goes(signals: dict[str, float]) -> Destination:
        return choose(decided(policy, signals=signals), Facts(), policy, Load(), NOON)

    assert goes(LOOPS).queue == "billing"
    assert goes(LOOPS | {"steps": 6.0}).queue == "general"
    asked = goes(ASKS)
    assert (asked.queue, asked.skills, asked.priority) == (
        "general",
        ("tact",),
        Priority.NORMAL,
    )


def test_a_route_whose_condition_fails_does_not_take_it(
    policy_of: PolicyOf, decided: Decided
) -> None:
    """A condition that cannot be evaluated passes the handoff on to the next route."""
    policy = policy_of(
        routes=[
            {"when": "steps > 0.0 && 1 / int(steps) > 0", "queue": "billing"},
            {"queue": "general"},
        ]
    )
    decision = decided(policy, signals=ASKS | {"steps": 0.5})
    assert choose(decision, Facts(), policy, Load(), NOON).queue == "general"


def test_the_most_urgent_firing_gives_the_priority(
    policy_of: PolicyOf, decided: Decided
) -> None:
    """Several firings are as urgent as the most urgent of them."""
    policy = policy_of()
    both = decided(policy, signals=LOOPS | ASKS)
    assert choose(both, Facts(), policy, Load(), NOON).priority is Priority.HIGH
    one = decided(policy, signals=LOOPS)
    assert choose(one, Facts(), policy, Load(), NOON).priority is Priority.NORMAL
    none = decided(policy)
    assert choose(none, Facts(), policy, Load(), NOON).priority is Priority.HIGH


def test_deadlines_run_from_the_handover(policy_of: PolicyOf, decided: Decided) -> None:
    """While the queue is open, both deadlines are counted from now, in UTC."""
    policy = policy_of()
    at = NOON.astimezone(timezone(timedelta(hours=-5)))
    there = choose(decided(policy, signals=LOOPS), Facts(), policy, Load(), at)
    assert there.is_open
    assert there.acknowledge_by == NOON + timedelta(minutes=15)
    assert there.resolve_by == NOON + timedelta(hours=8)
    assert there.acknowledge_by.tzinfo is UTC
    assert there.chain == ()


def test_the_wait_follows_littles_law(policy_of: PolicyOf, decided: Decided) -> None:
    """Five before it and itself, eight minutes each, two people: 24 minutes."""
    policy = policy_of()
    load = Load({"general": (5, 60.0)})
    there = choose(decided(policy, signals=LOOPS), Facts(), policy, load, NOON)
    assert there.expected_wait == timedelta(minutes=24)
    assert there.is_late(NOON)
    alone = choose(decided(policy, signals=LOOPS), Facts(), policy, Load(), NOON)
    assert alone.expected_wait == timedelta(minutes=4)
    assert not alone.is_late(NOON)


def test_the_wait_counts_who_works_at_the_same_time(
    policy_of: PolicyOf, decided: Decided
) -> None:
    """Of two members one on shift: twice the wait."""
    policy = policy_of(queues=[queue("general", staff=1), queue("billing")])
    there = choose(decided(policy, signals=LOOPS), Facts(), policy, Load(), NOON)
    assert there.expected_wait == timedelta(minutes=8)


def test_a_closed_queue_passes_on_to_the_first_open_one(
    policy_of: PolicyOf, decided: Decided
) -> None:
    """Of the chain, the first queue with somebody there takes it, with what follows."""
    policy = policy_of(
        queues=[
            queue("general"),
            queue("night", hours={"opens": "20:00", "closes": "08:00"}),
            queue("billing", hours=OFFICE, chain=["night", "general"]),
        ]
    )
    decision = decided(policy, signals=LOOPS)

    def goes(hour: int) -> tuple[str, tuple[str, ...]]:
        at = NOON.replace(hour=hour)
        there = choose(decision, BILLING, policy, Load(), at)
        assert there.is_open
        return there.queue, there.chain

    assert goes(12) == ("billing", ("night", "general"))
    assert goes(18) == ("general", ())
    assert goes(22) == ("night", ("general",))


def test_where_nobody_is_there_it_stays_and_says_so(
    policy_of: PolicyOf, decided: Decided
) -> None:
    """A closed chain keeps it where it belongs; clocks run from the next opening."""
    policy = policy_of(
        queues=[
            queue("general", hours=OFFICE),
            queue("billing", hours=OFFICE, chain=["general"]),
        ]
    )
    friday = datetime(2026, 11, 27, 18, tzinfo=UTC)
    monday = datetime(2026, 11, 30, 9, tzinfo=UTC)
    there = choose(decided(policy, signals=LOOPS), BILLING, policy, Load(), friday)
    assert (there.queue, there.is_open, there.chain) == ("billing", False, ("general",))
    assert there.acknowledge_by == monday + timedelta(minutes=15)
    assert there.resolve_by == monday + timedelta(hours=8)
    assert there.expected_wait == monday - friday + timedelta(minutes=4)


def test_a_queue_that_never_opens_does_not_hide_behind_its_hours(
    policy_of: PolicyOf, decided: Decided
) -> None:
    """Without an opening within a year the deadlines run at once."""
    closed_on = [f"{NOON + timedelta(days=n):%Y-%m-%d}" for n in range(-1, 400)]
    policy = policy_of(
        queues=[
            queue("general", hours=OFFICE | {"closed_on": closed_on}),
            queue("billing"),
        ]
    )
    there = choose(decided(policy, signals=LOOPS), Facts(), policy, Load(), NOON)
    assert not there.is_open
    assert there.acknowledge_by == NOON + timedelta(minutes=15)


def test_who_is_there_is_part_of_the_load(policy_of: PolicyOf) -> None:
    """A load that has been looked at names the queues that are open."""
    policy = policy_of(queues=[queue("general"), queue("billing", hours=OFFICE)])
    load = Load({"general": (2, 9.0)})
    assert is_open(policy.queue("billing"), NOON)
    assert seen(load, policy, NOON).staffed == {"general", "billing"}
    night = seen(load, policy, NOON.replace(hour=23))
    assert night.staffed == {"general"}
    assert night.queues is load.queues


@pytest.mark.parametrize(
    ("chain", "hour", "goes"),
    [
        ((), 12, None),
        (("office", "general"), 12, ("office", ("general",))),
        (("office", "general"), 22, ("general", ())),
        (("general", "office"), 22, ("general", ("office",))),
        (("office",), 22, ("office", ())),
    ],
)
def test_a_missed_deadline_climbs_to_the_next_queue_with_people(
    policy_of: PolicyOf,
    chain: tuple[str, ...],
    hour: int,
    goes: tuple[str, tuple[str, ...]] | None,
) -> None:
    """Closed rungs are passed over, but for the last, which is terminal."""
    policy = policy_of(
        queues=[queue("general"), queue("office", hours=OFFICE), queue("billing")]
    )
    there = rung_up(
        chain,
        policy,
        Load(),
        NOON.replace(hour=hour),
        priority=Priority.HIGH,
        skills=("tact",),
    )
    if goes is None:
        assert there is None
    else:
        assert there is not None
        assert (there.queue, there.chain) == goes
        assert (there.priority, there.skills) == (Priority.HIGH, ("tact",))


@given(
    at=st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)),
    waiting=st.integers(0, 500),
    domain=st.sampled_from(["billing", "orders", ""]),
    tier=st.sampled_from(["free", "enterprise"]),
)
def test_every_handoff_has_a_queue_and_deadlines_ahead(
    at: datetime, waiting: int, domain: str, tier: str
) -> None:
    """At any moment, under any load, the default policy sends a task to people."""
    policy = DEFAULT
    facts = Facts(domain=domain, account_tier=tier)
    load = Load({q.name: (waiting, 0.0) for q in policy.queues})
    decision = decide(
        ASKS,
        facts,
        None,
        policy,
        load,
        Draw(uniform=0.5, targeted=0.5, canary=0.5),
        certificate=Threshold(threshold=None),
        model_version=None,
    )
    now = at.replace(tzinfo=UTC)
    there = choose(decision, facts, policy, load, now)
    assert there.is_open
    assert now < there.acknowledge_by <= there.resolve_by
    assert there.expected_wait > timedelta(0)
    assert policy.queue(there.queue).is_owned
