"""Tests of duties: what happens when deadlines pass, and what people are told of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from serving.engine import Problem
from serving.engine.duties import Duties
from serving.policy.rules import Policy
from serving.store.transaction import Transaction
from serving.store.verify import verify_store
from serving.worker import rounds_of

ANA, BEN, CHI = "ana", "ben", "chi"
OFFICE = {"opens": "09:00", "closes": "17:00", "days": [0, 1, 2, 3, 4]}
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def queue(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "owner": "lead",
        "members": [ANA, BEN],
        "acknowledge_within": "20 min",
        "resolve_within": "5 h",
        "lease": "30 min",
        "notify": [f"{name}_chat"],
        **more,
    }


def policy_of(*queues: dict[str, Any], **more: Any) -> Policy:
    document = Policy.default().model_dump(mode="json") | {
        "queues": list(queues),
        "routes": [{"queue": queues[0]["name"]}],
        **more,
    }
    return Policy.parse(orjson.dumps(document).decode())


CHAIN = policy_of(
    queue("front", chain=["second", "last"]), queue("second"), queue("last")
)


@pytest.fixture
def chained(make_desk: Any) -> Any:
    """Make a desk whose queues are a chain of three, all of them always open."""
    return make_desk(CHAIN)


def turned(desk: Any, span: timedelta) -> int:
    """Let `span` pass, and act on every deadline; return on how many."""
    desk.clock.turn(span)
    done: int = desk.engine.duties.run()
    while (more := desk.engine.duties.run()) > 0:
        done += more
    return done


def told(desk: Any, handoff_id: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Return what channels are told of a handoff: which, of what, and in what words."""
    query = (
        "SELECT * FROM outbox WHERE handoff_id = :id ORDER BY audit_seq, channel, place"
    )
    with desk.store.reading() as reader:
        rows = list(reader.all(query, id=handoff_id))
    return [(r["channel"], r["kind"], orjson.loads(r["body"])) for r in rows]


def due(desk: Any, handoff_id: str) -> dict[str, datetime]:
    """Return the deadlines of a handoff that can still pass."""
    query = "SELECT * FROM timer WHERE handoff_id = :id AND settled_at IS NULL"
    with desk.store.reading() as reader:
        rows = list(reader.all(query, id=handoff_id))
    return {row["kind"]: datetime.fromisoformat(row["due_at"]) for row in rows}


def last(desk: Any, kind: str) -> dict[str, Any]:
    """Return the last record of this type."""
    found: list[dict[str, Any]] = [r for r in desk.records() if r["type"] == kind]
    return found[-1]


def sound(desk: Any) -> None:
    assert verify_store(desk.path).problems == ()


# --- nobody takes it up ---------------------------------------------------------------


def test_what_nobody_acknowledges_climbs_one_rung(chained: Any) -> None:
    """New queue, owner, epoch and deadlines, and its channels hear of it from the start."""
    handoff = chained.hand_over()
    start = chained.clock.now
    assert turned(chained, 20 * MINUTE - timedelta(seconds=1)) == 0
    assert turned(chained, timedelta(seconds=1)) == 1
    item = chained.engine.handoff(handoff)
    assert (item["queue"], item["chain"], item["climbs"]) == ("second", ["last"], 1)
    assert item["is_overdue"] is True
    task = chained.engine.task("t")
    assert (task["owner"], task["epoch"]) == ({"kind": "queue", "id": "second"}, 3)
    assert due(chained, handoff) == {
        "acknowledge": start + 40 * MINUTE,
        "resolve": start + 20 * MINUTE + 5 * HOUR,
    }
    assert [(who, what) for who, what, _ in told(chained, handoff)] == [
        ("front_chat", "opened"),
        ("front_chat", "climbed"),
        ("second_chat", "opened"),
    ]
    climbed = told(chained, handoff)[1][2]
    assert (climbed["from"], climbed["severity"], climbed["by"]) == (
        "front",
        "serious",
        "escalon",
    )
    assert last(chained, "handoff.climbed")["owner"]["id"] == "second"
    assert [h["what"] for h in item["history"]] == ["opened", "climbed"]
    sound(chained)


def test_the_chain_never_ends_before_somebody_acknowledges(chained: Any) -> None:
    """On the last rung help is called for again and again, louder, at most 15 min apart."""
    handoff = chained.hand_over()
    turned(chained, 20 * MINUTE)
    turned(chained, 20 * MINUTE)
    assert chained.engine.handoff(handoff)["queue"] == "last"
    epoch = chained.engine.task("t")["epoch"]
    turned(chained, 20 * MINUTE)
    for n in range(30):
        assert due(chained, handoff)["acknowledge"] == chained.clock.now + 15 * MINUTE
        assert chained.engine.handoff(handoff)["climbs"] == 3 + n
        turned(chained, 15 * MINUTE)
    severities = [b["severity"] for c, k, b in told(chained, handoff) if k == "overdue"]
    assert set(severities) == {"critical"}
    overdue = [r for r in chained.records() if r["type"] == "handoff.overdue"]
    unseen = [r for r in overdue if r["says"]["missed"] == "acknowledge"]
    assert len(unseen) == 31
    # It has not changed hands, so neither has the epoch.
    assert chained.engine.task("t")["epoch"] == epoch
    chained.engine.claim(handoff, by=ANA)
    assert due(chained, handoff).keys() == {"lease", "resolve"}
    sound(chained)


def test_every_missed_deadline_is_louder_than_the_last(chained: Any) -> None:
    """Severity grows with what was missed, not the time between two calls."""
    handoff = chained.hand_over()
    for _ in range(3):
        turned(chained, 20 * MINUTE)
    said = [b["severity"] for _, k, b in told(chained, handoff) if "severity" in b]
    assert said[0] == "serious"
    assert said[-1] == "critical"


def test_a_deadline_of_seconds_is_not_put_off(make_desk: Any) -> None:
    """A round on the last rung is as long as its deadline, if that is shorter."""
    desk = make_desk(policy_of(queue("only", acknowledge_within="90 s")))
    handoff = desk.hand_over()
    turned(desk, timedelta(seconds=90))
    assert due(desk, handoff)["acknowledge"] == desk.clock.now + timedelta(seconds=90)


# --- nobody is there ------------------------------------------------------------------


def test_where_nobody_is_it_moves_on_at_once(make_desk: Any) -> None:
    """When its queue closes it goes to who is there, long before its deadline."""
    office = queue("front", hours=OFFICE, acknowledge_within="4 h", chain=["night"])
    desk = make_desk(policy_of(office, queue("night")))
    desk.clock.now = datetime(2026, 11, 24, 16, 0, tzinfo=UTC)
    handoff = desk.hand_over()
    before = desk.engine.handoff(handoff)
    assert before["queue"] == "front"
    assert turned(desk, HOUR - timedelta(seconds=1)) == 0
    assert turned(desk, timedelta(seconds=1)) == 1
    item = desk.engine.handoff(handoff)
    assert (item["queue"], item["climbs"]) == ("night", 0)
    assert item["resolve_by"] == before["resolve_by"]
    assert last(desk, "handoff.unowned")["says"] == {
        "from": "front",
        "severity": "notice",
    }
    assert [(c, k) for c, k, _ in told(desk, handoff)] == [
        ("front_chat", "opened"),
        ("front_chat", "unowned"),
        ("night_chat", "opened"),
    ]
    sound(desk)


def test_it_goes_back_to_where_somebody_is_again(make_desk: Any) -> None:
    """Whoever of its chain opens first gets it, the first of them too."""
    early = OFFICE | {"opens": "06:00", "closes": "08:00"}
    front = queue("front", hours=OFFICE, chain=["early"])
    desk = make_desk(
        policy_of(front, queue("early", hours=early, acknowledge_within="3 h"))
    )
    desk.clock.now = datetime(2026, 11, 24, 16, 50, tzinfo=UTC)
    handoff = desk.hand_over()
    assert turned(desk, 10 * MINUTE) == 1
    # Nobody anywhere: it waits on the last rung, in sight, until somebody comes.
    assert desk.engine.handoff(handoff)["queue"] == "early"
    assert due(desk, handoff)["acknowledge"] == datetime(2026, 11, 25, 9, tzinfo=UTC)
    assert turned(desk, 14 * HOUR) == 1  # 07:00: five hours from the handover are over
    assert last(desk, "handoff.overdue")["says"]["missed"] == "resolve"
    assert turned(desk, HOUR) == 0  # it closes, and nobody is anywhere
    assert desk.engine.handoff(handoff)["queue"] == "early"
    assert turned(desk, HOUR) == 1
    assert desk.engine.handoff(handoff)["queue"] == "front"
    sound(desk)


def test_where_nobody_is_anywhere_it_waits_in_sight(make_desk: Any) -> None:
    """It neither moves nor nags through the night; in the morning its deadline runs."""
    desk = make_desk(policy_of(queue("front", hours=OFFICE)))
    desk.clock.now = datetime(2026, 11, 27, 18, 0, tzinfo=UTC)  # a Friday
    handoff = desk.hand_over()
    monday = datetime(2026, 11, 30, 9, tzinfo=UTC)
    assert due(desk, handoff)["acknowledge"] == monday + 20 * MINUTE
    assert turned(desk, 63 * HOUR + 19 * MINUTE) == 0
    assert turned(desk, MINUTE) == 1
    assert last(desk, "handoff.overdue")["says"]["missed"] == "acknowledge"


def test_an_unattended_queue_stops_the_agent_safely(make_desk: Any) -> None:
    """Its user is told so and how long; a queue with people hands over as ever."""
    front = queue("front", hours=OFFICE, unattended=True)
    desk = make_desk(policy_of(front))
    desk.model.value = 0.9
    desk.begin("day")
    day = desk.engine.task("day")
    assert day["decision"]["action"] == "ESCALATE"
    desk.clock.now = datetime(2026, 11, 24, 22, 0, tzinfo=UTC)
    desk.begin("night")
    night = desk.engine.task("night")
    assert night["decision"]["action"] == "SAFE_STOP"
    assert night["message"].startswith("I have to stop here to be safe")
    assert "in about 12 hours" in night["message"]
    assert night["owner"] == {"kind": "queue", "id": "front"}


# --- who has it and is gone -----------------------------------------------------------


def test_a_claim_without_a_sign_of_life_ends(chained: Any) -> None:
    """Back in its queue, with a first deadline anew, and it says whose it was."""
    handoff = chained.hand_over()
    chained.engine.claim(handoff, by=ANA)
    assert turned(chained, 30 * MINUTE - timedelta(seconds=1)) == 0
    assert turned(chained, timedelta(seconds=1)) == 1
    item = chained.engine.handoff(handoff)
    assert (item["status"], item["claimed_by"], item["lease_until"]) == (
        "QUEUED",
        None,
        None,
    )
    assert due(chained, handoff)["acknowledge"] == chained.clock.now + 20 * MINUTE
    task = chained.engine.task("t")
    assert (task["owner"], task["epoch"]) == ({"kind": "queue", "id": "front"}, 4)
    assert last(chained, "handoff.lease_expired")["says"] == {"former": ANA}
    assert told(chained, handoff)[-1][1:2] == ("lease_expired",)
    assert chained.engine.claim(handoff, by=BEN)["claimed_by"] == BEN
    sound(chained)


def test_whoever_lost_a_claim_can_no_longer_act_under_it(chained: Any) -> None:
    """Coming back late one learns who has it now, since when, until when."""
    handoff = chained.hand_over()
    chained.engine.claim(handoff, by=ANA)
    turned(chained, 30 * MINUTE)
    chained.engine.claim(handoff, by=BEN)
    with pytest.raises(Problem) as caught:
        chained.engine.resolve(handoff, by=ANA, needed="yes")
    assert caught.value.kind.slug == "already-claimed"
    told = caught.value.extra
    assert {k: told[k] for k in ("holder", "epoch", "since", "lease_until")} == {
        "holder": BEN,
        "epoch": 5,
        "since": "2026-11-24T12:30:00.000000Z",
        "lease_until": "2026-11-24T13:00:00.000000Z",
    }


@pytest.mark.parametrize(
    "act",
    [
        lambda engine, handoff: engine.renew(handoff, by=ANA),
        lambda engine, handoff: engine.claim(handoff, by=ANA),
        lambda engine, handoff: engine.rate(handoff, by=ANA, sufficient=True),
    ],
    ids=["renew", "claim", "rate"],
)
def test_a_sign_of_life_of_the_holder_renews_the_claim(
    chained: Any, act: Callable[[Any, str], dict[str, Any]]
) -> None:
    """The claim lasts a whole lease more; owner and epoch stay."""
    handoff = chained.hand_over()
    chained.engine.claim(handoff, by=ANA)
    chained.clock.turn(25 * MINUTE)
    item = act(chained.engine, handoff)
    assert item["lease_until"] == "2026-11-24T12:55:00Z"
    assert chained.engine.task("t")["epoch"] == 3
    assert turned(chained, 29 * MINUTE) == 0
    assert turned(chained, MINUTE) == 1
    assert chained.engine.handoff(handoff)["status"] == "QUEUED"
    sound(chained)


def test_others_do_not_renew_a_claim(chained: Any) -> None:
    """Neither somebody else's rating nor somebody else's wish keeps it alive."""
    handoff = chained.hand_over()
    chained.engine.claim(handoff, by=ANA)
    chained.clock.turn(25 * MINUTE)
    chained.engine.rate(handoff, by=BEN, sufficient=True)
    with pytest.raises(Problem, match="already-claimed"):
        chained.engine.renew(handoff, by=BEN)
    assert due(chained, handoff)["lease"] == chained.clock.now + 5 * MINUTE


def test_only_a_claim_can_be_renewed(chained: Any) -> None:
    """What waits is nobody's to keep."""
    handoff = chained.hand_over()
    with pytest.raises(Problem, match="illegal-transition"):
        chained.engine.renew(handoff, by=ANA)
    with pytest.raises(Problem, match="not-a-member"):
        chained.engine.renew(handoff, by="mallory")


def test_a_release_begins_a_new_first_deadline(chained: Any) -> None:
    """What was worked on for long does not go up because somebody gave it back."""
    handoff = chained.hand_over()
    chained.engine.claim(handoff, by=ANA)
    chained.clock.turn(25 * MINUTE)
    item = chained.engine.release(handoff, by=ANA)
    assert item["is_overdue"] is False
    assert due(chained, handoff)["acknowledge"] == chained.clock.now + 20 * MINUTE


# --- what takes too long --------------------------------------------------------------


def test_what_is_not_resolved_in_time_is_told_and_stays(make_desk: Any) -> None:
    """Never moved away from whoever has it, and never forgotten."""
    desk = make_desk(policy_of(queue("front", lease="9 h")))
    handoff = desk.hand_over()
    desk.engine.claim(handoff, by=ANA)
    epoch = desk.engine.task("t")["epoch"]
    assert turned(desk, 5 * HOUR - timedelta(seconds=1)) == 0
    assert desk.engine.handoff(handoff)["is_overdue"] is False
    assert turned(desk, timedelta(seconds=1)) == 1
    item = desk.engine.handoff(handoff)
    assert (item["status"], item["claimed_by"], item["is_overdue"]) == (
        "CLAIMED",
        ANA,
        True,
    )
    assert desk.engine.task("t")["epoch"] == epoch
    assert last(desk, "handoff.overdue")["says"]["missed"] == "resolve"
    assert told(desk, handoff)[-1][1] == "overdue"
    assert desk.engine.queues()["queues"][0]["overdue"] == 1
    assert turned(desk, MINUTE) == 0
    assert due(desk, handoff)["resolve"] == desk.clock.now + 4 * HOUR - MINUTE
    desk.engine.resolve(handoff, by=ANA, needed="yes")
    assert due(desk, handoff) == {}
    assert desk.engine.queues()["queues"][0]["overdue"] == 0
    assert desk.engine.queues()["queues"][0]["closed_per_hour"] == pytest.approx(
        1 / 24, abs=0.01
    )
    sound(desk)


# --- several workers, and what is broken ----------------------------------------------


def test_several_workers_act_once_on_each_deadline(chained: Any) -> None:
    """However many look at once, every handoff climbs one rung."""
    for n in range(20):
        chained.hand_over(f"t{n}")
    chained.clock.turn(20 * MINUTE)
    workers = [Duties(chained.engine.ways) for _ in range(4)]
    done: list[int] = []
    threads = [
        threading.Thread(target=lambda w=w: done.append(w.run())) for w in workers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done) == 20
    items = chained.engine.handoffs(limit=50)["handoffs"]
    assert {(item["queue"], item["climbs"]) for item in items} == {("second", 1)}


def test_a_deadline_that_cannot_be_acted_on_is_in_nobodys_way(chained: Any) -> None:
    """The others are acted on in the same round, and the failure is not hidden."""
    handoffs = [chained.hand_over(f"t{n}") for n in range(3)]
    chained.clock.turn(20 * MINUTE)
    broken = min(handoffs)
    find = chained.engine.duties._move  # noqa: SLF001 - to break one of three

    def breaks(tx: Transaction, held: Any, kind: str, at: datetime) -> Any:
        if held.handoff_id == broken:
            message = "the row has gone bad"
            raise RuntimeError(message)
        return find(tx, held, kind, at)

    chained.engine.duties._move = breaks  # noqa: SLF001
    with pytest.raises(RuntimeError, match="gone bad"):
        chained.engine.duties.run()
    items = {h: chained.engine.handoff(h)["queue"] for h in handoffs}
    assert items == {h: "front" if h == broken else "second" for h in handoffs}


def test_a_deadline_that_no_longer_fits_is_put_right(chained: Any) -> None:
    """One that a handoff as it stands cannot miss is settled, and that is recorded."""
    handoff = chained.hand_over()
    chained.engine.claim(handoff, by=ANA)

    def revive(tx: Transaction) -> int:
        return tx.run(
            "UPDATE timer SET settled_at = NULL, "
            "audit_seq = (SELECT max(seq) FROM audit_event) WHERE kind = 'acknowledge'"
        )

    chained.begin("other")
    chained.store.submit(revive).result()
    assert turned(chained, 20 * MINUTE) == 1
    assert due(chained, handoff).keys() == {"lease", "resolve"}
    assert last(chained, "handoff.repaired")["timers"] == {"acknowledge": None}
    assert chained.engine.handoff(handoff)["status"] == "CLAIMED"


def test_another_policy_looks_at_what_waits(make_desk: Any) -> None:
    """Queues that close earlier, or are gone, leave nobody waiting where nobody is."""
    desk = make_desk(policy_of(queue("front", acknowledge_within="9 h"), queue("duty")))
    handoff = desk.hand_over()
    desk.close()
    front = queue("front", hours=OFFICE, acknowledge_within="9 h")
    desk.policy = policy_of(front, queue("duty"), fallback_queue="duty")
    desk.open()
    assert turned(desk, 5 * HOUR) == 1  # it closes at 17:00, and nothing takes over
    assert desk.engine.handoff(handoff)["queue"] == "front"
    desk.close()
    desk.policy = policy_of(queue("other", notify=["other_chat"]))
    desk.open()
    assert turned(desk, timedelta(0)) == 1
    assert desk.engine.handoff(handoff)["queue"] == "other"
    sound(desk)


def test_a_policy_that_runs_out_is_noticed(
    make_desk: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Good when it was loaded, it is logged once a holiday lies within 14 days."""
    holidays = {"closed_on": ["2026-12-25"]}
    desk = make_desk(policy_of(queue("front", hours=holidays)))
    assert desk.engine.duties.look_ahead() == 0
    desk.clock.turn(timedelta(days=20))
    assert desk.engine.duties.look_ahead() == 1
    record = caplog.records[-1]
    assert record.__dict__["action"] == "queue_unattended"
    assert "Fri 2026-12-25 00:00" in record.getMessage()
    (shown,) = desk.engine.queues()["queues"]
    assert shown["absent_from"] == "2026-12-25T00:00:00.000000Z"


def test_the_worker_acts_on_deadlines_every_second(chained: Any) -> None:
    """Duties and the look ahead are rounds of the worker."""
    rounds = {
        one.name: one.every for one in rounds_of(chained.engine, monitor_seconds=0)
    }
    assert rounds["duties"] == 1.0
    assert 0 < rounds["attendance"] <= 24 * 60 * 60


# --- skills and load ------------------------------------------------------------------

SKILLED = policy_of(
    queue("front", members=[ANA, BEN, CHI], skills={ANA: ["law"], BEN: ["tact"]}),
    routes=[{"queue": "front", "skills": ["law"]}],
)


def test_who_lacks_the_skill_leaves_it_to_who_has_it(make_desk: Any) -> None:
    """Until the first deadline; then a person without the skill is better than none."""
    desk = make_desk(SKILLED)
    handoff = desk.hand_over()
    with pytest.raises(Problem) as caught:
        desk.engine.claim(handoff, by=BEN)
    assert caught.value.kind.slug == "not-a-member"
    assert caught.value.extra["able"] == [ANA]
    assert "needs law" in caught.value.detail
    turned(desk, 20 * MINUTE)
    assert desk.engine.claim(handoff, by=CHI)["claimed_by"] == CHI
    other = desk.hand_over("u")
    assert desk.engine.claim(other, by=ANA)["claimed_by"] == ANA


def test_a_skill_that_nobody_has_keeps_nobody_away(make_desk: Any) -> None:
    """Somebody must take it."""
    policy = policy_of(
        queue("front", skills={ANA: ["tact"]}),
        routes=[{"queue": "front", "skills": ["law"]}],
    )
    desk = make_desk(policy)
    assert desk.engine.claim(desk.hand_over(), by=BEN)["claimed_by"] == BEN


def test_a_full_queue_passes_work_on_and_says_so(make_desk: Any) -> None:
    """Handoff, message, record and view tell of it; nothing is dropped."""
    front = queue("front", capacity=2, on_overload="shed", chain=["second"])
    desk = make_desk(policy_of(front, queue("second")))
    for n in range(3):
        desk.hand_over(f"t{n}")
    items = {i["task_id"]: i for i in desk.engine.handoffs()["handoffs"]}
    assert [items[f"t{n}"]["queue"] for n in range(3)] == ["front", "front", "second"]
    assert items["t0"]["shed"] is None
    assert items["t2"]["shed"] == "shed from front: 2 waiting, about 12 min"
    opened = last(desk, "handoff.opened")
    assert opened["shed"] == {"queue": "front", "waiting": 2, "wait_s": 720}
    assert "about 4 minutes" in desk.engine.task("t2")["message"]
    shown = {q["queue"]: q for q in desk.engine.queues()["queues"]}
    assert (shown["front"]["capacity"], shown["front"]["waiting"]) == (2, 2)
    assert shown["front"]["expected_wait_s"] == 720.0
    assert shown["second"]["capacity"] is None
    # One that was shed can go back to where it came from, if that is all there is.
    desk.close()
    desk.open()
    assert desk.engine.handoff(items["t2"]["handoff_id"])["shed"] == items["t2"]["shed"]
    sound(desk)
