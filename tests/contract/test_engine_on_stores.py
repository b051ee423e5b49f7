"""What the engine promises, on each store; and when several processes share one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from serving.engine.actions import Asked
from serving.problems import Problem
from serving.store import alarms
from serving.store.handled import handled
from serving.store.log import read_log
from serving.store.opening import reading
from serving.store.outcomes import outcomes
from serving.store.verify import verify_store
from serving.where import where_of
from tests.contract.desks import StoreDesk
from tests.unit.serving.conftest import START
from training.monitor.alarm import Alarm, Code, Severity

ANA, BO = "general-1", "general-2"


Make = Callable[[], StoreDesk]


@pytest.fixture
def two(postgres_url: str) -> Iterator[tuple[StoreDesk, StoreDesk]]:
    """Make two desks over one store, as two processes would, with ids of their own."""
    one, other = StoreDesk(where_of(postgres_url)), StoreDesk(where_of(postgres_url))
    other.sent = 1_000
    yield one, other
    one.close()
    other.close()


def sound(desk: StoreDesk) -> bool:
    """Whether everything in the store is as its log says."""
    report = verify_store(desk.path)
    assert report.problems == ()
    return bool(report.is_sound)


def code(problem: pytest.ExceptionInfo[Problem]) -> str:
    """Return the code of a problem."""
    return str(problem.value.to_json()["type"]).rpartition("/")[2].rpartition(":")[2]


# --- one process -------------------------------------------------------------


def test_a_handover_goes_its_whole_way(desk: StoreDesk) -> None:
    """Queued, claimed, rated, resolved: each moves owner and epoch, all is accounted."""
    handoff = desk.hand_over()
    assert desk.engine.task("t")["owner"] == {"kind": "queue", "id": "general"}
    desk.engine.claim(handoff, by=ANA)
    assert desk.engine.task("t")["owner"] == {"kind": "person", "id": ANA}
    desk.engine.rate(handoff, by=ANA, sufficient=True)
    desk.clock.turn(timedelta(minutes=3))
    desk.engine.resolve(handoff, by=ANA, needed="yes", note="sent again")
    task = desk.engine.task("t")
    assert (task["owner"]["kind"], task["epoch"]) == ("nobody", 4)
    assert desk.engine.handoff(handoff)["status"] == "RESOLVED"
    assert sound(desk)


def test_the_loser_of_a_claim_is_told_who_has_it(desk: StoreDesk) -> None:
    """Of two people one gets the handoff, the other a problem with the name."""
    handoff = desk.hand_over()
    desk.engine.claim(handoff, by=ANA)
    with pytest.raises(Problem, match=ANA):
        desk.engine.claim(handoff, by=BO)
    assert sound(desk)


def test_a_returned_task_is_its_agents_again(desk: StoreDesk) -> None:
    """Guidance reaches the agent under a new epoch; the old one no longer acts."""
    handoff = desk.hand_over()
    desk.engine.claim(handoff, by=ANA)
    desk.engine.return_(handoff, by=ANA, guidance="Ask for the order number.")
    task = desk.engine.task("t")
    assert task["owner"] == {"kind": "agent", "id": "bot"}
    assert task["guidance"] == "Ask for the order number."
    assert not desk.engine.actions.verify(Asked(task_id="t", epoch=1))["may_act"]
    assert desk.engine.actions.verify(Asked(task_id="t", epoch=task["epoch"]))[
        "may_act"
    ]
    with pytest.raises(Problem):
        desk.engine.observe("t", [desk.event("plan", text="go on")], epoch=1)
    assert sound(desk)


def test_a_released_handoff_waits_again(desk: StoreDesk) -> None:
    """Whoever lets go of one leaves it to the others, under the next epoch."""
    handoff = desk.hand_over()
    desk.engine.claim(handoff, by=ANA)
    desk.engine.release(handoff, by=ANA)
    assert desk.engine.handoff(handoff)["status"] == "QUEUED"
    desk.engine.claim(handoff, by=BO)
    assert sound(desk)


def test_the_same_again_is_answered_the_same(desk: StoreDesk) -> None:
    """A call that is sent twice changes nothing the second time."""
    event = desk.event(text="Where is my parcel?")
    first = desk.engine.observe("t", [event])
    n = desk.count("audit_event")
    assert desk.engine.observe("t", [event]) == first
    assert desk.count("audit_event") == n


def test_lists_and_counts_are_the_same_everywhere(desk: StoreDesk) -> None:
    """Filters, pages and order of handoffs, queues and alarms work on each database."""
    first, second = desk.hand_over("a"), desk.hand_over("b")
    desk.engine.claim(first, by=ANA)
    desk.engine.resolve(first, by=ANA, needed="no")
    listed = desk.engine.handoffs()["handoffs"]
    assert [one["handoff_id"] for one in listed] == [second, first]
    only = desk.engine.handoffs(queue="general", status="QUEUED", limit=1)["handoffs"]
    assert [one["handoff_id"] for one in only] == [second]
    assert desk.engine.monitors.listed(is_open=True)["alarms"] == []
    queues = {q["queue"]: q for q in desk.engine.queues()["queues"]}
    assert queues["general"]["waiting"] == 1


def test_what_monitors_and_kpis_read_is_the_same_everywhere(desk: StoreDesk) -> None:
    """Outcomes, handled handoffs and the log can be read offline from each store."""
    handoff = desk.hand_over("a")
    desk.begin("b")
    desk.engine.claim(handoff, by=ANA)
    desk.clock.turn(timedelta(minutes=2))
    desk.engine.rate(handoff, by=ANA, sufficient=False, missing=["request"])
    desk.engine.resolve(handoff, by=ANA, needed="yes")
    with reading(desk.path) as reader:
        found = {one.task_id: one for one in outcomes(reader)}
        (one,) = handled(reader)
        none = handled(reader, until=START)
    assert {t: (o.escalated, o.needed) for t, o in found.items()} == {
        "a": (True, True),
        "b": (False, None),
    }
    assert found["a"].risk == pytest.approx(0.1)
    assert (one.handoff_id, one.model_version, none) == (handoff, "7", ())
    assert {event.task_id for event in read_log(desk.path)} == {"a", "b"}


def test_everything_outlives_the_process(desk: StoreDesk) -> None:
    """What was answered is there after the store was closed and opened again."""
    handoff = desk.hand_over()
    desk.close()
    desk.open()
    assert desk.engine.handoff(handoff)["status"] == "QUEUED"
    assert sound(desk)


@pytest.mark.parametrize("text", ["naïve ☕ \U0001f6a8", "%s {} :name 'quoted'"])
def test_any_text_comes_back_as_it_went_in(desk: StoreDesk, text: str) -> None:
    """Names and words need no escaping, on either database."""
    desk.begin(text)
    desk.say(text, text)
    (said,) = [e for e in desk.engine.log(text) if e.body.get("text") == text]
    assert said.task_id == text
    assert sound(desk)


# --- several processes -------------------------------------------------------


def test_each_sees_what_the_other_did(two: tuple[StoreDesk, StoreDesk]) -> None:
    """A task goes on in another process, signals and all, as if it were the first."""
    one, other = two
    one.begin()
    for n in range(6):
        (one, other)[n % 2].say(f"Message {n}")
    assert one.engine.task("t") == other.engine.task("t")
    alone = StoreDesk(one.path)  # has to read everything
    alone.sent = 5_000
    steps = alone.say("and now")["decision"]
    assert steps["risk"] == pytest.approx(0.1)
    alone.close()
    assert sound(one)


def test_what_waits_is_counted_over_all_processes(
    two: tuple[StoreDesk, StoreDesk],
) -> None:
    """A decision knows of the handoffs that another process has queued."""
    one, other = two
    one.begin("mine")
    other.hand_over("theirs")
    one.hand_over("ours")

    def load(desk: StoreDesk) -> int:
        with desk.store.reading() as reader:
            return desk.engine.ways.waiting.at(reader, desk.clock()).waiting("general")

    assert load(one) == load(other) == 2
    (handoff, *_) = (h["handoff_id"] for h in one.engine.handoffs()["handoffs"])
    other.engine.claim(handoff, by=ANA)
    assert load(one) == load(other) == 1


def test_a_certificate_is_withdrawn_in_all_processes(
    two: tuple[StoreDesk, StoreDesk],
) -> None:
    """An alarm that one process raises has the other decide without the certificate."""
    one, other = two
    found = desks_alarm()
    assert one.engine.monitors.withdrawn() == frozenset()
    other.store.submit(
        lambda tx: raised(tx, other.model.digest, found, other.clock())
    ).result()
    one.begin()
    assert one.engine.monitors.withdrawn() == {""}
    assert other.engine.monitors.withdrawn() == {""}
    (alarm,) = one.engine.monitors.standing()
    one.engine.monitors.clear(alarm.alarm_id, by=ANA, why="a false alarm")
    assert other.engine.monitors.withdrawn() == frozenset()


def test_claims_race_over_processes_and_one_wins(
    two: tuple[StoreDesk, StoreDesk],
) -> None:
    """However many try at once, a handoff has one holder and one epoch more."""
    one, other = two
    handoff = one.hand_over()
    won: list[str] = []
    lost: list[Problem] = []

    def claim(desk: StoreDesk, by: str) -> None:
        try:
            desk.engine.claim(handoff, by=by)
            won.append(by)
        except Problem as problem:
            lost.append(problem)

    people = [f"general-{n}" for n in (1, 2, 3, 4)]
    threads = [
        threading.Thread(target=claim, args=(desk, by))
        for desk, by in zip((one, other) * 2, people, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 3)
    assert all(won[0] in str(problem) for problem in lost)
    assert one.engine.task("t")["epoch"] == 3
    assert sound(one)


def test_the_log_has_no_gaps_under_writers_at_once(
    two: tuple[StoreDesk, StoreDesk],
) -> None:
    """Two processes that write all the time make one sequence, and one sound tree."""
    one, other = two

    def talk(desk: StoreDesk, name: str) -> None:
        for n in range(15):
            desk.hand_over(f"{name}-{n}")

    threads = [
        threading.Thread(target=talk, args=(desk, name))
        for desk, name in ((one, "a"), (other, "b"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert one.count("handoff") == 30
    assert sound(one)


def desks_alarm() -> Alarm:
    """Return an alarm that withdraws the certificate of all tasks."""
    return Alarm(
        code=Code.MISS_RATE,
        segment="",
        severity=Severity.CRITICAL,
        evidence={},
        since=START.timestamp(),
        says="too many were missed",
        withdraws="",
    )


def raised(tx: Any, model: str, alarm: Alarm, at: Any) -> None:
    """Raise `alarm` as monitors do."""
    alarms.add(tx, model, alarm, at)
