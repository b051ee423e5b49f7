from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.policy.decision import Threshold
from serving.policy.handoff import Handoff
from serving.policy.onward import onward
from serving.policy.router import Destination, choose, is_open, seen
from serving.policy.rules import Policy, Priority
from serving.policy.shed import Shed
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


def standing(queue: str, *rungs: str, skills: tuple[str, ...] = ()) -> Handoff:
    """Return a handoff that waits at `queue`, one of `rungs`."""
    return Handoff(
        handoff_id="h",
        task_id="t",
        epoch=2,
        queue=queue,
        priority=Priority.HIGH,
        queued_at=NOON,
        acknowledge_by=NOON,
        resolve_by=NOON + timedelta(hours=8),
        rungs=rungs,
        skills=skills,
    )


# Who waits where, at which hour, and where it goes when nobody has taken it up there:
# "general" is always open, "office" by day, "night" by night.
ONWARD = [
    ("office", ("office", "general"), 12, "general", ()),
    ("office", ("office", "night", "general"), 12, "general", ()),
    ("office", ("office", "night", "general"), 22, "night", ("general",)),
    ("general", ("office", "general"), 12, "general", ()),
    ("general", ("general", "night"), 12, "general", ("night",)),
    ("general", ("office", "general", "night"), 22, "night", ()),
    ("night", ("office", "general", "night"), 12, "office", ("general", "night")),
    ("office", ("office",), 22, "office", ()),
    ("office", ("office", "early"), 22, "early", ()),
    ("early", ("office", "early"), 22, "early", ()),
    ("early", ("office", "early"), 12, "office", ("early",)),
    ("gone", ("gone", "office", "general"), 12, "office", ("general",)),
    ("gone", ("gone",), 12, "general", ()),
]


@pytest.mark.parametrize("told", ONWARD)
def test_what_nobody_takes_up_goes_on(
    policy_of: PolicyOf,
    told: tuple[str, tuple[str, ...], int, str, tuple[str, ...]],
) -> None:
    """Up to people, else where people are, else to the last rung; never nowhere."""
    waits, rungs, hour, goes, chain = told
    policy = policy_of(
        queues=[
            queue("general"),
            queue("office", hours=OFFICE),
            queue("early", hours=OFFICE | {"opens": "06:00", "closes": "08:00"}),
            queue("night", hours={"opens": "20:00", "closes": "06:00"}),
            queue("billing"),
        ]
    )
    at = NOON.replace(hour=hour)
    there = onward(standing(waits, *rungs), policy, Load(), at)
    assert (there.queue, there.chain) == (goes, chain)
    assert there.priority is Priority.HIGH
    assert there.wake_at is not None
    assert at < there.wake_at <= there.acknowledge_by


def test_a_rung_with_the_skill_comes_before_one_without(
    policy_of: PolicyOf, decided: Decided
) -> None:
    """Of those who are there, the first who can do it; where none can, the first."""
    policy = policy_of(
        queues=[
            queue("billing", chain=["first", "second", "night"]),
            queue("first", skills={"ana": ["tact"]}),
            queue("second", skills={"ben": ["law", "tact"]}),
            queue("night", hours={"opens": "20:00", "closes": "06:00"}),
            queue("general"),
        ],
        routes=[{"queue": "billing", "skills": ["law"]}],
    )
    able = policy.model_copy(
        update={
            "queues": [
                {**one.model_dump(), "skills": {"ana": ("refunds",)}}
                if one.name == "billing"
                else one.model_dump()
                for one in policy.queues
            ]
        }
    )
    decision = decided(policy, signals=LOOPS)
    assert choose(decision, Facts(), policy, Load(), NOON).queue == "billing"
    there = choose(decision, Facts(), able, Load(), NOON)
    assert (there.queue, there.chain) == ("second", ("night",))
    assert there.rungs == ("billing", "first", "second", "night")
    # One of two can do it, so it waits twice as long as any other.
    assert there.expected_wait == timedelta(minutes=8)
    up = standing("first", "billing", "first", "second", skills=("law",))
    assert onward(up, policy, Load(), NOON).queue == "second"


# --- under load ---------------------------------------------------------------


def loaded(policy_of: PolicyOf, **changes: Any) -> Policy:
    """Return a policy whose billing queue sheds, to general, then to safety."""
    busy = {"capacity": 12, "on_overload": "shed", "chain": ["general", "safety"]}
    return policy_of(
        queues=[
            queue("billing", **(busy | {"minutes_per_handoff": 20} | changes)),
            queue("general", capacity=5),
            queue("safety", hours=OFFICE),
        ]
    )


# What waits at billing, general and safety, at which hour; where it goes.
SHEDDING = [
    ((0, 0, 0), 12, "billing"),
    ((12, 0, 0), 12, "general"),
    ((11, 0, 0), 12, "general"),  # room, but the wait passes the first deadline
    ((12, 5, 0), 12, "safety"),
    ((12, 4, 0), 12, "safety"),  # 20 minutes at general: too long as well
    ((12, 5, 9), 12, "billing"),  # none has room: it stays
    ((12, 5, 0), 22, "billing"),  # the one with room is closed
]


@pytest.mark.parametrize(("waiting", "hour", "goes"), SHEDDING)
def test_a_full_queue_sheds_to_the_first_with_room(
    policy_of: PolicyOf,
    decided: Decided,
    waiting: tuple[int, int, int],
    hour: int,
    goes: str,
) -> None:
    """It is never dropped: where none has room it waits, and is told how long."""
    policy = loaded(policy_of)
    names = ("billing", "general", "safety")
    load = Load({n: (k, 0.0) for n, k in zip(names, waiting, strict=True)})
    decision = decided(policy, signals=LOOPS)
    there = choose(decision, BILLING, policy, load, NOON.replace(hour=hour))
    assert there.queue == goes
    if goes == "billing":
        assert there.shed is None
        assert there.expected_wait == timedelta(minutes=10 * (waiting[0] + 1))
    else:
        assert there.shed is not None
        assert (there.shed.queue, there.shed.waiting) == ("billing", waiting[0])
        assert not there.is_late(NOON.replace(hour=hour))
        assert there.rungs == names


def test_what_was_shed_says_so(policy_of: PolicyOf, decided: Decided) -> None:
    """Queue, depth and wait, in words, and the same again from what is stored."""
    policy = loaded(policy_of)
    decision = decided(policy, signals=LOOPS)
    load = Load({"billing": (12, 0.0)})
    there = choose(decision, BILLING, policy, load, NOON)
    assert there.shed is not None
    assert there.shed.says == "shed from billing: 12 waiting, about 3 h"
    assert Shed.from_json(there.shed.to_json()) == there.shed
    short = Shed(queue="billing", waiting=3, wait=timedelta(minutes=119))
    assert short.says == "shed from billing: 3 waiting, about 119 min"


def test_a_queue_that_keeps_sheds_nothing(
    policy_of: PolicyOf, decided: Decided
) -> None:
    """Without being told to, a queue gives nothing away."""
    policy = loaded(policy_of, on_overload="keep")
    decision = decided(policy, signals=LOOPS)
    there = choose(decision, BILLING, policy, Load({"billing": (99, 0.0)}), NOON)
    assert (there.queue, there.shed) == ("billing", None)
    assert there.expected_wait == timedelta(minutes=1_000)
    assert there.is_late(NOON)


@pytest.mark.parametrize(("slow", "goes"), [(8, "general"), (600, "billing")])
def test_what_is_urgent_is_not_shed_to_where_it_waits_longer(
    policy_of: PolicyOf, decided: Decided, slow: int, goes: str
) -> None:
    """Normal work goes where there is room, urgent work only where it is faster."""
    policy = policy_of(
        queues=[
            queue("billing", capacity=3, on_overload="shed", chain=["general"]),
            queue("general", minutes_per_handoff=slow, acknowledge_within="1 d"),
        ],
        routes=[{"queue": "billing", "priority": "urgent"}],
    )
    load = Load({"billing": (3, 0.0)})
    decision = decided(policy, signals=LOOPS)
    assert choose(decision, BILLING, policy, load, NOON).queue == goes
    normal = policy.model_copy(update={"routes": [{"queue": "billing"}]})
    decision = decided(normal, signals=LOOPS)
    assert choose(decision, BILLING, normal, load, NOON).queue == "general"


def test_work_goes_only_to_people_who_can_do_it(
    policy_of: PolicyOf, decided: Decided
) -> None:
    """Shedding passes over a queue where nobody has the skill."""
    policy = policy_of(
        queues=[
            queue("billing", capacity=1, on_overload="shed", chain=["one", "two"]),
            queue("one", skills={"ana": ["tact"]}),
            queue("two", skills={"ben": ["law"]}),
        ],
        routes=[{"queue": "billing", "skills": ["law"]}],
    )
    decision = decided(policy, signals=LOOPS)
    there = choose(decision, BILLING, policy, Load({"billing": (1, 0.0)}), NOON)
    assert there.queue == "two"


def test_the_wait_counts_what_is_worked_on(
    policy_of: PolicyOf, decided: Decided
) -> None:
    """Two in hand and one that waits: the next is the fourth, eight minutes each."""
    policy = policy_of()
    load = Load({"general": (1, 0.0)}, claimed={"general": 2})
    decision = decided(policy, signals=LOOPS)
    there = choose(decision, Facts(), policy, load, NOON)
    assert there.expected_wait == timedelta(minutes=16)


def test_the_fallback_queue_is_the_last_rung_of_every_chain(
    policy_of: PolicyOf, decided: Decided
) -> None:
    """It takes over for all, and for itself there is nobody after it."""
    policy = policy_of(
        queues=[queue("general"), queue("billing"), queue("duty")],
        fallback_queue="duty",
    )
    decision = decided(policy, signals=LOOPS)
    there = choose(decision, BILLING, policy, Load(), NOON)
    assert (there.queue, there.chain) == ("billing", ("duty",))
    assert policy.rungs("duty") == ("duty",)


def test_it_is_looked_at_when_the_queue_closes_or_another_opens(
    policy_of: PolicyOf, decided: Decided
) -> None:
    """Not only at its deadline: nobody is there to keep it, or somebody is again."""
    policy = policy_of(
        queues=[
            queue("billing", hours=OFFICE, acknowledge_within="1 h", chain=["night"]),
            queue("night", hours={"opens": "20:00", "closes": "06:00"}),
            queue("general"),
        ]
    )
    decision = decided(policy, signals=LOOPS)

    def looked_at(hour: int, minute: int = 0) -> datetime | None:
        at = NOON.replace(hour=hour, minute=minute)
        there = choose(decision, BILLING, policy, Load(), at)
        assert there.queue == "billing"
        return there.wake_at

    assert looked_at(12) == NOON + timedelta(hours=1)
    assert looked_at(16, 30) == NOON.replace(hour=17)
    assert looked_at(18) == NOON.replace(hour=20)


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
