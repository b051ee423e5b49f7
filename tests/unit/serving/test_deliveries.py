"""Tests of delivery: at least once, in order, under leases, never silently given up."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.channels.channel import Channel, Message
from serving.channels.config import Channels
from serving.channels.courier import Courier
from serving.engine.delivery import LEASE
from serving.policy import view
from serving.policy.breaker import FAILURES_TO_OPEN, PROBE_EVERY
from serving.policy.delivery import LIFE, Attempt, Ending
from serving.policy.rules import Policy
from serving.problems import Problem
from serving.store.verify import verify_store
from tests.unit.serving.conftest import Desk

ANA = "general-1"
FAILED = Attempt(ending=Ending.FAILED, fault="status-503")
REFUSED = Attempt(ending=Ending.REFUSED, fault="status-400")
SECOND = timedelta(seconds=1)
Make = Callable[..., Any]


class Ear:
    """A channel that hears what it is scripted to; keeps each message once."""

    def __init__(self, *script: Attempt) -> None:
        self.script = list(script)
        self.is_deaf = False
        self.tried: list[Message] = []
        self.heard: dict[str, bytes] = {}
        self._gate = threading.Lock()

    def send(self, message: Message) -> Attempt:
        """Hear `message`, or do what comes next in the script."""
        with self._gate:
            self.tried.append(message)
            attempt = self.script.pop(0) if self.script else None
            if attempt is not None or self.is_deaf:
                return attempt or FAILED
            known = self.heard.setdefault(message.message_id, message.body)
            assert known == message.body
            return Attempt(ending=Ending.TOLD, remote_id=f"r-{message.message_id}")

    def close(self) -> None:
        """Do nothing."""

    def events(self) -> list[dict[str, Any]]:
        """Return what it heard, in the order of first arrival."""
        return [orjson.loads(body) for body in self.heard.values()]


def notifying(*channels: str) -> Policy:
    """Return the default policy with every queue telling `channels`."""
    default = Policy.default()
    queues = [{**q.model_dump(), "notify": channels} for q in default.queues]
    return default.model_copy(update={"queues": queues})


FILES = """
pager: {kind: file, path: /dev/null, fallback: tray}
tray: {kind: file, path: /dev/null}
"""


def courier(desk: Any, worker: str = "w", **made: Channel) -> Courier:
    """Return a courier to channels of the test's own."""
    return Courier(
        desk.engine.deliveries,
        Channels.parse(FILES, public_url="https://esc.example.com/"),
        worker=worker,
        clock=desk.clock,
        made=made,
    )


@pytest.fixture
def office(make_desk: Make) -> Any:
    """Make a desk whose queues tell the pager."""
    return make_desk(notifying("pager"))


def listed(desk: Any, **which: Any) -> list[dict[str, Any]]:
    """Return the deliveries of a desk, the oldest first."""
    found: list[dict[str, Any]] = desk.engine.deliveries.listed(**which)["deliveries"]
    return sorted(found, key=lambda d: (d["queued_at"], d["channel"], d["place"]))


def one(desk: Any) -> dict[str, Any]:
    """Return the only delivery of a desk."""
    (found,) = listed(desk)
    return found


def sound(desk: Any) -> bool:
    """Whether every row of a desk is as its log says."""
    report = verify_store(desk.path)
    assert report.problems == ()
    return report.is_sound


# --- told -------------------------------------------------------------------------


def test_a_handover_is_told_with_its_whole_package(office: Any) -> None:
    """Item, package byte by byte, its hash, checkpoint and links: all there."""
    handoff_id, ear = office.hand_over(), Ear()
    shown = office.engine.handoff(handoff_id)
    courier(office, pager=ear).deliver_all()
    (event,) = ear.events()
    data = event["data"]
    assert event["type"] == "escalon.handoff.opened.v1"
    assert event["id"] == one(office)["outbox_id"]
    assert data["handoff"]["handoff_id"] == handoff_id
    package = view.whole(data["package"])
    assert hashlib.sha256(package).hexdigest() == data["package_sha256"]
    assert orjson.loads(package) == shown["package"]
    assert data["links"]["console"].endswith(f"/console/handoffs/{handoff_id}")
    root = office.engine.audit_records(0, 1)
    assert data["audit"]["size"] == root["size"] - 1  # before it was told
    assert one(office)["status"] == "done"
    assert office.types()[-1] == "handoff.notified"
    assert sound(office)


def test_a_large_package_is_cut_and_says_so(make_desk: Make) -> None:
    """What does not fit is named with its hash; the whole is linked."""
    desk, ear = make_desk(notifying("tray")), Ear()
    desk.begin()
    desk.say("My parcel. " * 8_000)
    desk.engine.escalate("t", by="user", reason="wants a person")
    courier(desk, tray=ear).deliver_all()
    (event,) = ear.events()
    shown = event["data"]["package"]
    assert shown["cuts"]
    assert shown["whole"] == event["dataref"]
    assert shown["sha256"] == event["data"]["package_sha256"]
    assert len(next(iter(ear.heard.values()))) < 65_536


def test_what_becomes_of_it_is_told_in_order(office: Any) -> None:
    """Claimed, released, claimed, returned: each with who and when, none too early."""
    handoff_id = office.hand_over()
    for call in (office.engine.claim, office.engine.release, office.engine.claim):
        office.clock.turn(SECOND)
        call(handoff_id, by=ANA)
    office.engine.return_(handoff_id, by=ANA, guidance="go on")
    ear = Ear()
    courier(office, pager=ear).deliver_all()
    events = ear.events()
    whats = [event["data"]["what"] for event in events]
    assert whats == ["opened", "claimed", "released", "claimed", "returned"]
    assert [event["sequence"] for event in events] == [f"{n:010d}" for n in range(5)]
    statuses = [event["data"]["handoff"]["status"] for event in events]
    assert statuses == ["QUEUED", "CLAIMED", "QUEUED", "CLAIMED", "RETURNED"]
    assert [event["data"]["by"] for event in events[1:]] == [ANA] * 4
    assert sound(office)


def test_nothing_overtakes_what_is_still_to_be_told(office: Any) -> None:
    """While the opening fails the claim waits; once it is dead the claim is sent."""
    handoff_id = office.hand_over()
    office.engine.claim(handoff_id, by=ANA)
    ear = Ear(FAILED, REFUSED, REFUSED, REFUSED)
    work = courier(office, pager=ear)
    for _ in range(4):
        work.deliver("pager")
        assert ear.heard == {}
        office.clock.turn(timedelta(minutes=1))
    work.deliver("pager")
    assert [event["data"]["what"] for event in ear.events()] == ["claimed"]
    assert len({message.message_id for message in ear.tried}) == 2


def test_it_is_the_same_bytes_whatever_has_happened_since(office: Any) -> None:
    """Claimed, and the service restarted in between: the opening is what it was."""
    handoff_id, ear = office.hand_over(), Ear(FAILED, FAILED)
    courier(office, pager=ear).deliver_all()
    office.engine.claim(handoff_id, by=ANA)
    office.clock.turn(timedelta(minutes=1))
    office.close()
    office.open()
    courier(office, "another", pager=ear).deliver_all()
    bodies = [m.body for m in ear.tried if b"opened" in m.body]
    assert len(bodies) >= 2
    assert len(set(bodies)) == 1


def test_a_desk_without_channels_writes_nothing(desk: Any) -> None:
    """Rounds over an empty outbox leave no record and no row."""
    desk.hand_over()
    size = len(desk.records())
    assert courier(desk).deliver_all() == 0
    assert len(desk.records()) == size
    assert listed(desk) == []


# --- leases ------------------------------------------------------------------------


def test_two_workers_share_without_doubling(office: Any) -> None:
    """Many handoffs, two workers at the same time: each is sent once."""
    for n in range(24):
        office.hand_over(f"t{n}")
    ear = Ear()
    works = [courier(office, name, pager=ear) for name in ("a", "b")]
    threads = [threading.Thread(target=work.deliver_all) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ear.tried) == len(ear.heard) == 24
    assert {d["status"] for d in listed(office)} == {"done"}


def test_what_a_dead_worker_took_is_sent_again_under_its_id(office: Any) -> None:
    """Nobody else gets it while the lease holds; then it is the same delivery."""
    office.hand_over()
    deliveries = office.engine.deliveries
    (first,) = deliveries.take("dead", "pager", limit=8)
    assert deliveries.take("b", "pager", limit=8) == ()
    office.clock.turn(LEASE)
    (again,) = deliveries.take("b", "pager", limit=8)
    assert again.delivery.outbox_id == first.delivery.outbox_id
    # The dead one comes back: its failure is nobody's business, its proof is.
    deliveries.ended(first, FAILED)
    assert one(office)["attempts"] == 0
    deliveries.ended(first, Attempt(ending=Ending.TOLD, remote_id="r-1"))
    deliveries.ended(again, FAILED)
    assert (one(office)["status"], one(office)["remote_id"]) == ("done", "r-1")
    assert sound(office)


def test_a_channel_that_breaks_its_promise_has_failed(office: Any) -> None:
    """An exception of the channel, or of the rendering, is an attempt like any other."""

    class Broken(Ear):
        def send(self, message: Message) -> Attempt:
            """Raise."""
            raise RuntimeError(message.message_id)

    office.hand_over()
    courier(office, pager=Broken()).deliver_all()
    assert one(office)["last_error"] == "RuntimeError"


# --- the breaker -------------------------------------------------------------------


def test_a_channel_that_is_down_is_asked_by_one_at_a_time(office: Any) -> None:
    """Five failures open it for all workers; then one probe each half minute."""
    for n in range(20):
        office.hand_over(f"t{n}")
    ear = Ear()
    ear.is_deaf = True
    works = [courier(office, name, pager=ear) for name in ("a", "b")]
    works[0].deliver("pager")
    tried = len(ear.tried)
    assert tried >= FAILURES_TO_OPEN
    attempts = sum(d["attempts"] for d in listed(office))
    for round_ in range(1, 61):
        office.clock.turn(SECOND)
        for work in works:
            work.deliver("pager")
        assert len(ear.tried) == tried + round_ // 30
    # Probes say something of the channel, nothing of what they carry.
    assert sum(d["attempts"] for d in listed(office)) == attempts
    assert office.engine.deliveries.load()[0]["is_down"] is True


def test_a_backlog_is_due_at_once_when_the_channel_is_back(office: Any) -> None:
    """The first success frees the rest, before the end of their own back-off."""
    office.hand_over("a")
    ear = Ear()
    ear.is_deaf = True
    work = courier(office, pager=ear)
    for _ in range(FAILURES_TO_OPEN):
        assert work.deliver("pager") == 1
        due, now = one(office)["next_at"], office.clock.now
        office.clock.turn(datetime.fromisoformat(due) - now)
    # The fifth failure waits about a minute; a probe may come after half of one.
    office.clock.now = now + PROBE_EVERY
    office.hand_over("b")
    ear.is_deaf = False
    while work.deliver("pager"):
        assert office.clock.now < datetime.fromisoformat(due)
    assert len(ear.heard) == 2
    assert office.engine.deliveries.load()[0]["is_down"] is False
    assert sound(office)


def test_a_channel_that_asks_for_rest_is_left_alone(office: Any) -> None:
    """Retry-After holds for all that is to be told there."""
    wish = Attempt(
        ending=Ending.FAILED, fault="status-429", retry_after=timedelta(seconds=50)
    )
    ear = Ear(wish)
    work = courier(office, pager=ear)
    office.hand_over("a")
    work.deliver("pager")
    office.hand_over("b")
    for _ in range(49):
        office.clock.turn(SECOND)
        assert work.deliver("pager") == 0
    office.clock.turn(SECOND)
    work.deliver("pager")
    assert len(ear.heard) == 2


# --- fallback ----------------------------------------------------------------------


def test_the_fallback_is_told_after_three_failures(office: Any) -> None:
    """Once, audited, and with the handoff as it stands."""
    handoff_id = office.hand_over()
    pager, tray = Ear(FAILED, FAILED, FAILED), Ear()
    work = courier(office, pager=pager, tray=tray)
    for _ in range(3):
        assert tray.heard == {}
        work.deliver_all()
        office.clock.turn(timedelta(seconds=20))
    work.deliver_all()
    work.deliver_all()
    (event,) = tray.events()
    assert event["data"]["what"] == "opened"
    assert event["data"]["instead_of"] == "pager"
    assert event["data"]["handoff"]["handoff_id"] == handoff_id
    assert office.types().count("handoff.fallback_notified") == 1
    office.engine.claim(handoff_id, by=ANA)
    work.deliver_all()
    assert [e["data"]["what"] for e in tray.events()] == ["opened", "claimed"]
    assert sound(office)


def test_the_fallback_is_told_within_two_minutes_without_any_attempt(
    office: Any,
) -> None:
    """While the breaker is open nothing is tried; the clock alone is enough."""
    pager, tray = Ear(), Ear()
    pager.is_deaf = True
    work = courier(office, pager=pager, tray=tray)
    for n in range(FAILURES_TO_OPEN):
        office.hand_over(f"t{n}")
    work.deliver_all()
    last = office.hand_over("last")
    began = office.clock.now
    while last not in {e["data"]["handoff"]["handoff_id"] for e in tray.events()}:
        office.clock.turn(SECOND)
        work.deliver_all()
        assert office.clock.now - began <= timedelta(seconds=120)
    assert office.clock.now - began > timedelta(seconds=60)


def test_who_has_claimed_it_needs_no_fallback(office: Any) -> None:
    """A handoff in somebody's hands is told nowhere else, until it waits again."""
    handoff_id = office.hand_over()
    office.engine.claim(handoff_id, by=ANA)
    pager, tray = Ear(), Ear()
    pager.is_deaf = True
    work = courier(office, pager=pager, tray=tray)
    for _ in range(8):
        office.clock.turn(timedelta(minutes=1))
        work.deliver_all()
    assert tray.tried == []
    office.engine.release(handoff_id, by=ANA)
    work.deliver_all()
    assert len(tray.heard) == 1


# --- dead letters ------------------------------------------------------------------


def test_three_refusals_make_a_dead_letter_that_is_seen(office: Any) -> None:
    """Listed, counted, audited; sent again on demand, under the id it has had."""
    office.hand_over()
    ear = Ear(REFUSED, REFUSED, REFUSED)
    work = courier(office, pager=ear)
    for _ in range(3):
        work.deliver("pager")
        office.clock.turn(timedelta(minutes=1))
    (dead,) = listed(office, status="dead")
    assert (dead["attempts"], dead["last_error"]) == (3, "status-400")
    assert office.engine.deliveries.load()[0]["dead"] == 1
    assert office.types()[-1] == "handoff.dead_lettered"
    assert work.deliver("pager") == 0
    again = office.engine.deliveries.redrive(dead["outbox_id"], by="ops")
    assert (again["status"], again["attempts"]) == ("pending", 0)
    assert office.records()[-1]["by"] == "ops"
    work.deliver("pager")
    assert list(ear.heard) == [dead["outbox_id"]]
    assert one(office)["status"] == "done"
    assert sound(office)


def test_what_is_tried_for_three_days_is_given_up(office: Any) -> None:
    """Not before, not after, and not without a record."""
    office.hand_over()
    ear = Ear()
    ear.is_deaf = True
    work = courier(office, pager=ear)
    work.deliver_all()
    office.clock.turn(LIFE - SECOND)
    work.sweep()
    assert one_of(office, "pager")["status"] == "pending"
    office.clock.turn(SECOND)
    work.sweep()
    dead = one_of(office, "pager")
    assert (dead["status"], dead["last_error"]) == ("dead", "expired")
    assert sound(office)


def one_of(desk: Any, channel: str) -> dict[str, Any]:
    """Return the only delivery to `channel`."""
    (found,) = listed(desk, channel=channel)
    return found


def test_a_channel_nobody_defined_is_a_dead_letter_not_a_silence(
    make_desk: Make,
) -> None:
    """What the policy notifies and the deployment lacks is seen at once."""
    desk = make_desk(notifying("fax"))
    desk.hand_over()
    courier(desk).deliver_all()
    dead = one(desk)
    assert (dead["status"], dead["last_error"]) == ("dead", "unknown-channel")
    assert sound(desk)


def test_only_dead_letters_are_sent_again(office: Any) -> None:
    """What is pending or done is refused, and what nobody knows."""
    office.hand_over()
    deliveries = office.engine.deliveries
    with pytest.raises(Problem, match="not-dead"):
        deliveries.redrive(one(office)["outbox_id"], by="ops")
    with pytest.raises(Problem, match="unknown-delivery"):
        deliveries.redrive("out_none", by="ops")
    with pytest.raises(Problem, match="malformed-request"):
        deliveries.redrive(one(office)["outbox_id"], by=" ")
    with pytest.raises(Problem, match="malformed-request"):
        deliveries.listed(status="lost")


# --- whatever happens --------------------------------------------------------------


WORLD = st.lists(
    st.sampled_from(["open", "claim", "release", "fail", "refuse", "wait", "send"]),
    min_size=5,
    max_size=40,
)


@settings(max_examples=25)
@given(story=WORLD)
def test_each_channel_hears_each_thing_once_and_in_order(story: list[str]) -> None:
    """Whatever fails in between, in the end all was told, or is a dead letter."""
    with TemporaryDirectory() as name:
        desk, ear = Desk(Path(name) / "s.db", notifying("pager")), Ear()
        work = courier(desk, pager=ear, tray=Ear())
        play(desk, ear, work, story)
        ear.script.clear()
        for _ in range(40):
            work.deliver_all()
            desk.clock.turn(timedelta(minutes=20))
        states = listed(desk, channel="pager", limit=200)
        assert {d["status"] for d in states} <= {"done", "dead"}
        assert set(ear.heard) == {
            d["outbox_id"] for d in states if d["status"] == "done"
        }
        order: dict[str, list[str]] = {}
        for event in ear.events():
            order.setdefault(event["partitionkey"], []).append(event["sequence"])
        assert all(places == sorted(places) for places in order.values())
        assert sound(desk)
        desk.close()


def play(desk: Any, ear: Ear, work: Courier, story: list[str]) -> None:
    """Let the things of `story` happen, as far as they can."""
    handoffs: list[str] = []
    for n, what in enumerate(story):
        match what:
            case "open":
                handoffs.append(desk.hand_over(f"t{n}"))
            case "claim" | "release":
                act = getattr(desk.engine, what)
                for handoff_id in handoffs[-2:]:
                    attempted(act, handoff_id)
            case "fail":
                ear.script.append(FAILED)
            case "refuse":
                ear.script.append(REFUSED)
            case "wait":
                desk.clock.turn(timedelta(seconds=45))
            case _:
                work.deliver_all()


def attempted(act: Callable[..., object], handoff_id: str) -> None:
    """Do it, if it can be done."""
    try:
        act(handoff_id, by=ANA)
    except Problem:
        return
