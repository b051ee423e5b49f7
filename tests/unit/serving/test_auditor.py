"""Tests of the auditor: what is lost is repaired, then said; what is stuck is said."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest

from serving.engine.auditor import EVERY, NAME, OVERDUE, UnsoundError
from serving.engine.looking import LATE, SELDOM, SLOW, STALE, UNHEARD
from serving.policy.audit import AuditType, rfc3339
from serving.policy.rules import Policy
from serving.problems import Problem, ProblemType
from serving.store import ledger, timers
from serving.store.transaction import Transaction
from serving.store.verify import verify_store
from serving.worker import rounds_of

MEMBER = "general-1"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def policy() -> Policy:
    """Return the default policy, with a channel that is told of what comes."""
    default = Policy.default()
    told = [q.model_copy(update={"notify": ("tickets",)}) for q in default.queues]
    return default.model_copy(update={"queues": tuple(told)})


def write(desk: Any, work: Callable[[Transaction], object]) -> None:
    """Write to the store behind the engine's back."""
    desk.store.submit(work).result()


def lose_timers(desk: Any, handoff_id: str) -> None:
    """Have the deadlines of a handoff vanish, as a fault somewhere might."""
    write(
        desk, lambda tx: tx.run("DELETE FROM timer WHERE handoff_id = :h", h=handoff_id)
    )


def change_outbox(desk: Any, handoff_id: str, **columns: object) -> None:
    """Change the deliveries of a handoff under a record of their own."""
    settings = ", ".join(f"{name} = :{name}" for name in columns)

    def change(tx: Transaction) -> None:
        seq = ledger.append(tx, AuditType.HANDOFF_NOTIFIED, desk.clock())
        tx.run(
            f"UPDATE outbox SET {settings}, audit_seq = :seq WHERE handoff_id = :h",  # noqa: S608
            **columns,
            seq=seq,
            h=handoff_id,
        )

    write(desk, change)


def beat(desk: Any, at: datetime, **rounds: datetime | None) -> None:
    """Have a worker say that it is there, and how its rounds do."""
    told = {name: None if end is None else rfc3339(end) for name, end in rounds.items()}
    write(
        desk,
        lambda tx: tx.run(
            "INSERT INTO worker (worker_id, started_at, seen_at, rounds)"
            " VALUES ('w1', :at, :at, :rounds) ON CONFLICT (worker_id)"
            " DO UPDATE SET seen_at = :at, rounds = :rounds",
            at=rfc3339(at),
            rounds=orjson.dumps(told),
        ),
    )


def counts(desk: Any) -> dict[str, int]:
    """Run the auditor, and return what it found, without what it found well."""
    looks = desk.engine.auditor.run().looks
    return {str(look.code): look.seen.n for look in looks if look.seen.n}


def alarms(desk: Any) -> set[str]:
    """Return the codes of the alarms that are open."""
    listed = desk.engine.monitors.listed(is_open=True)["alarms"]
    return {alarm["code"] for alarm in listed}


def test_all_is_well_with_a_handoff_on_its_way(desk: Any) -> None:
    """A handover just made has its deadlines: nothing is found, nothing is written."""
    desk.hand_over()
    before = desk.types()
    assert counts(desk) == {}
    assert desk.engine.auditor.check().is_good
    assert desk.types() == before


@pytest.mark.parametrize("is_claimed", [False, True])
def test_a_lost_deadline_is_set_again_and_audited(
    desk: Any, *, is_claimed: bool
) -> None:
    """The handoff has the deadline its state needs again, under a record of its own."""
    handoff_id = desk.hand_over()
    if is_claimed:
        desk.engine.claim(handoff_id, by=MEMBER)
    lose_timers(desk, handoff_id)
    found = desk.engine.auditor.run()
    assert found.repaired == 1
    assert found.is_good
    assert alarms(desk) == {"handoffs_repaired"}
    record = next(r for r in desk.records() if r["type"] == "handoff.repaired")
    kind = "lease" if is_claimed else "acknowledge"
    due = record["handoff"]["lease_until" if is_claimed else "acknowledge_by"]
    assert (record["says"]["repaired"], record["timers"]) == (kind, {kind: due})
    with desk.store.reading() as reader:
        row = reader.one("SELECT kind, due_at, settled_at FROM timer")
        assert row is not None
        assert (row["kind"], row["due_at"], row["settled_at"]) == (kind, due, None)
    desk.clock.turn(EVERY)
    assert counts(desk) == {}
    assert alarms(desk) == set()


def test_a_deadline_that_was_settled_too_soon_is_set_again(desk: Any) -> None:
    """A row that can no longer pass is no deadline of a handoff that waits."""
    handoff_id = desk.hand_over()

    def settle(tx: Transaction) -> None:
        seq = ledger.append(tx, AuditType.HANDOFF_OVERDUE, desk.clock())
        timers.settle(tx, handoff_id, "acknowledge", desk.clock(), audit_seq=seq)

    write(desk, settle)
    assert desk.engine.auditor.run().repaired == 1
    assert desk.engine.auditor.run().repaired == 0


def test_a_deadline_lost_for_long_passes_at_once(desk: Any) -> None:
    """What should have passed meanwhile passes when it is found, and the chain moves."""
    handoff_id = desk.hand_over()
    lose_timers(desk, handoff_id)
    desk.clock.turn(timedelta(hours=3))
    desk.engine.auditor.run()
    with desk.store.reading() as reader:
        row = reader.one("SELECT due_at FROM timer WHERE kind = 'acknowledge'")
    assert row is not None
    assert row["due_at"] == rfc3339(desk.clock())


def test_a_repair_is_as_the_log_says(desk: Any) -> None:
    """The audit of the whole store finds nothing to say after a repair."""
    handoff_id = desk.hand_over()
    before = verify_store(desk.path).problems
    write(
        desk,
        lambda tx: tx.run(
            "DELETE FROM timer WHERE handoff_id = :h AND kind = 'acknowledge'",
            h=handoff_id,
        ),
    )
    desk.engine.auditor.run()
    assert verify_store(desk.path).problems == before == ()


def test_a_closed_handoff_needs_no_deadline(desk: Any) -> None:
    """What a person has resolved is nobody's duty any more."""
    handoff_id = desk.hand_over()
    desk.engine.claim(handoff_id, by=MEMBER)
    desk.engine.resolve(handoff_id, by=MEMBER, needed="yes")
    lose_timers(desk, handoff_id)
    assert counts(desk) == {}


@pytest.mark.parametrize(("over", "found"), [(LATE, 0), (LATE + MINUTE, 1)])
def test_a_deadline_nobody_acts_on_is_an_alarm(
    desk: Any, over: timedelta, found: int
) -> None:
    """Late by more than a minute, a worker is stuck: said, and not repaired."""
    handoff_id = desk.hand_over()
    due = datetime.fromisoformat(desk.engine.handoff(handoff_id)["acknowledge_by"])
    desk.clock.now = due + over
    assert counts(desk).get("timers_late", 0) == found
    assert ("timers_late" in alarms(desk)) is bool(found)
    assert "handoff.repaired" not in desk.types()
    if found:
        with pytest.raises(UnsoundError, match="timers_late"):
            desk.engine.auditor.check()


def test_an_alarm_goes_with_what_it_was_about(desk: Any) -> None:
    """Once the worker acts again, the alarm is cleared, and the round is good."""
    handoff_id = desk.hand_over()
    desk.clock.turn(timedelta(hours=1))
    assert "timers_late" in counts(desk)
    desk.engine.claim(handoff_id, by=MEMBER)
    beat(desk, desk.clock())
    assert "timers_late" not in counts(desk)
    assert "timers_late" not in alarms(desk)


def test_monitors_leave_the_alarms_of_the_service(desk: Any) -> None:
    """What watches the model neither clears nor takes over what the auditor raised."""
    desk.source.model = None
    desk.hand_over()
    desk.clock.turn(timedelta(hours=1))
    desk.engine.auditor.run()
    raised = alarms(desk)
    assert "timers_late" in raised
    desk.engine.monitors.watcher.look()
    assert alarms(desk) == raised


def test_a_delivery_under_a_lease_that_ended_is_an_alarm(
    make_desk: Any, policy: Policy
) -> None:
    """A worker took it and died, and no other took it up."""
    desk = make_desk(policy)
    handoff_id = desk.hand_over()
    until = rfc3339(desk.clock() + MINUTE)
    change_outbox(desk, handoff_id, leased_by="w1", leased_until=until)
    assert "deliveries_stuck" not in counts(desk)
    desk.clock.turn(MINUTE + LATE + MINUTE)
    assert counts(desk)["deliveries_stuck"] == 1


def test_deliveries_that_wait_long_are_an_alarm(make_desk: Any, policy: Policy) -> None:
    """The 99th percentile of their age counts, so one straggler of many does not."""
    desk = make_desk(policy)
    desk.hand_over("old")
    desk.clock.turn(SLOW + MINUTE)
    assert counts(desk)["deliveries_slow"] == 1
    for n in range(99):
        desk.hand_over(f"new-{n}")
    assert "deliveries_slow" not in counts(desk)


def test_a_dead_letter_counts_while_its_handoff_is_open(
    make_desk: Any, policy: Policy
) -> None:
    """Once a person has closed the handoff, nobody waits for the letter."""
    desk = make_desk(policy)
    handoff_id = desk.hand_over()
    change_outbox(desk, handoff_id, status="dead")
    assert counts(desk)["dead_letters"] == 1
    desk.engine.claim(handoff_id, by=MEMBER)
    desk.engine.resolve(handoff_id, by=MEMBER, needed="yes")
    assert "dead_letters" not in counts(desk)


def test_a_handoff_no_channel_took_is_an_alarm(make_desk: Any, policy: Policy) -> None:
    """Recorded, told to nobody that took it, seen by no person: that is said."""
    desk = make_desk(policy)
    handoff_id = desk.hand_over()
    desk.clock.turn(UNHEARD)
    assert "handoffs_unacknowledged" not in counts(desk)
    desk.clock.turn(MINUTE)
    assert counts(desk)["handoffs_unacknowledged"] == 1
    change_outbox(desk, handoff_id, status="done")
    assert "handoffs_unacknowledged" not in counts(desk)


def test_a_handoff_that_all_rungs_let_wait_is_an_alarm(desk: Any) -> None:
    """Where no channel is told, a person has to see it before the chain has ended."""
    handoff_id = desk.hand_over()
    chain = [rung["queue"] for rung in desk.engine.queues()["queues"]]
    for _ in chain:
        desk.clock.turn(timedelta(hours=1))
        desk.engine.duties.run()
    assert counts(desk)["handoffs_unacknowledged"] == 1
    held = desk.engine.handoff(handoff_id)
    members = {q.name: q.members for q in desk.policy.queues}
    desk.engine.claim(handoff_id, by=members[held["queue"]][0])
    assert "handoffs_unacknowledged" not in counts(desk)


def test_a_worker_that_beats_and_works_is_well(desk: Any) -> None:
    """Beats that are fresh, of rounds that ended well lately, are no alarm."""
    desk.clock.turn(timedelta(hours=1))
    beat(desk, desk.clock(), duties=desk.clock(), delivery=desk.clock())
    assert counts(desk) == {}


def test_no_worker_at_all_is_an_alarm(desk: Any) -> None:
    """Once it had time to begin, some worker must have said that it is there."""
    assert counts(desk) == {}
    desk.clock.turn(STALE + MINUTE)
    assert counts(desk) == {"workers_silent": 1}


def test_a_round_that_died_is_an_alarm(desk: Any) -> None:
    """The worker lives, one of its rounds has not ended well for minutes: it is named."""
    desk.clock.turn(timedelta(hours=1))
    beat(
        desk, desk.clock(), duties=desk.clock() - STALE - MINUTE, delivery=desk.clock()
    )
    assert counts(desk) == {"workers_silent": 1}
    listed = desk.engine.monitors.listed(is_open=True)["alarms"]
    assert "duties" in listed[0]["says"]
    assert "delivery" not in listed[0]["says"]


def test_a_worker_that_is_gone_is_made_up_for_by_another(desk: Any) -> None:
    """Of several, the one whose round ended last counts: the work is done."""
    desk.clock.turn(timedelta(hours=1))
    write(
        desk,
        lambda tx: tx.run(
            "INSERT INTO worker (worker_id, started_at, seen_at, rounds)"
            " VALUES ('gone', :at, :at, :rounds)",
            at=rfc3339(desk.clock() - timedelta(minutes=30)),
            rounds=orjson.dumps(
                {"duties": rfc3339(desk.clock() - timedelta(minutes=30))}
            ),
        ),
    )
    beat(desk, desk.clock(), duties=desk.clock())
    assert counts(desk) == {}


def test_a_round_that_is_no_more_is_not_missed(desk: Any) -> None:
    """A worker that is gone had a round that no living one has: nobody waits for it."""
    desk.clock.turn(timedelta(hours=1))
    at = rfc3339(desk.clock() - timedelta(minutes=30))
    write(
        desk,
        lambda tx: tx.run(
            "INSERT INTO worker (worker_id, started_at, seen_at, rounds)"
            " VALUES ('gone', :at, :at, :rounds)",
            at=at,
            rounds=orjson.dumps({"to-old": at}),
        ),
    )
    beat(desk, desk.clock(), duties=desk.clock())
    assert counts(desk) == {}


def test_every_frequent_round_is_looked_after(desk: Any) -> None:
    """A round of the worker is either seldom, and known as such, or looked after."""
    rounds = rounds_of(desk.engine, monitor_seconds=300)
    seldom = {one.name for one in rounds if timedelta(seconds=one.every) >= STALE}
    assert seldom | {NAME} == SELDOM


def test_the_engine_is_unsound_without_a_good_round(desk: Any) -> None:
    """Three minutes without a good round: the probe answers 503, with the looks."""
    desk.hand_over()
    desk.engine.auditor.run()
    assert desk.engine.auditor.found()["age_s"] == 0
    desk.clock.turn(timedelta(hours=1))
    desk.engine.auditor.run()
    with pytest.raises(Problem) as refused:
        desk.engine.auditor.found()
    assert refused.value.kind is ProblemType.ENGINE_UNSOUND
    looks = {one["look"]: one["count"] for one in refused.value.extra["looks"]}
    assert looks["timers_late"] == 1


def test_a_good_round_in_a_worker_counts_for_the_service(desk: Any) -> None:
    """A service that runs no rounds knows of them by what the worker says."""
    desk.clock.turn(OVERDUE + MINUTE)
    with pytest.raises(Problem):
        desk.engine.auditor.found()
    beat(desk, desk.clock(), auditor=desk.clock() - MINUTE)
    assert desk.engine.auditor.found()["age_s"] == 60
