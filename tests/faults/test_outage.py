"""A day without the channel, with a real receiver: nothing lost, nothing doubled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from serving.channels.config import Channels
from serving.channels.courier import Courier
from serving.channels.webhook import Webhook
from serving.engine import Engine
from serving.engine.models import NoModel
from serving.policy.rules import Policy
from serving.store.sqlite import SqliteStore
from serving.store.verify import verify_store
from tests.faults.faulty_channel import Act, FaultyChannel, Request

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - of the standard
START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HANDOFFS = 60


class House:
    """An engine on a virtual clock, whose queues tell a real receiver."""

    def __init__(self, home: Path, receiver: FaultyChannel) -> None:
        self.path = home / "store.db"
        self.tray = home / "tray.jsonl"
        self.now = START
        self.store = SqliteStore(self.path)
        default = Policy.default()
        queues = [{**q.model_dump(), "notify": ["pager"]} for q in default.queues]
        policy = default.model_copy(update={"queues": queues})
        self.engine = Engine(self.store, policy, NoModel(), lambda: self.now, b"s" * 32)
        self.channels = Channels.parse(
            f"pager: {{kind: webhook, url: '{receiver.url}', secret: {SECRET}, "
            f"allow_private: true, fallback: tray}}\n"
            f"tray: {{kind: file, path: '{self.tray}'}}"
        )

    def courier(self, worker: str, *, patience: float = 5.0) -> Courier:
        """Return a worker's courier, which waits that long for who is silent."""
        return Courier(
            self.engine.deliveries,
            self.channels,
            worker=worker,
            clock=lambda: self.now,
            made={"pager": self.webhook(patience)},
        )

    def webhook(self, patience: float) -> Webhook:
        """Return the channel, with a patience of its own."""
        config = self.channels.configs["pager"]
        assert config.kind == "webhook"
        keys, now = config.keys(), lambda: datetime.now(UTC)
        return Webhook(config.url, keys, now, allow_private=True, patience=patience)

    def hand_over(self, n: int) -> str:
        """Hand over one more task."""
        event = {
            "event_id": f"e{n}",
            "at": self.now.isoformat(),
            "kind": "user_message",
            "text": f"Where is parcel {n}?",
        }
        self.engine.observe(f"t{n}", [event])
        answer = self.engine.escalate(f"t{n}", by="user", reason="wants a person")
        return str(answer["handoff"]["handoff_id"])

    def states(self) -> dict[str, str]:
        """Return the status of every delivery by its id."""
        with self.store.reading() as reader:
            rows = reader.all("SELECT outbox_id, status FROM outbox")
            return {row["outbox_id"]: row["status"] for row in rows}


@pytest.fixture
def receiver() -> Iterator[FaultyChannel]:
    """Start a receiver."""
    with FaultyChannel() as channel:
        yield channel


@pytest.fixture
def house(tmp_path: Path, receiver: FaultyChannel) -> Iterator[House]:
    """Make an engine that tells the receiver."""
    made = House(tmp_path, receiver)
    with closing(made.store):
        yield made


def keys(requests: dict[str, Request]) -> set[str]:
    """Return the handoffs that messages speak of."""
    bodies = (orjson.loads(request.body) for request in requests.values())
    return {body["partitionkey"] for body in bodies}


def in_tray(house: House) -> dict[str, datetime]:
    """Return when the fallback was told of each handoff."""
    if not house.tray.exists():
        return {}
    events = [orjson.loads(line) for line in house.tray.read_bytes().splitlines()]
    assert len({event["id"] for event in events}) == len(events)
    return {e["partitionkey"]: datetime.fromisoformat(e["time"]) for e in events}


@pytest.mark.slow
def test_a_day_of_outage_loses_and_doubles_nothing(
    house: House, receiver: FaultyChannel
) -> None:
    """All the while the fallback hears within two minutes; then all drains at once."""
    acts = (Act.fail(503), Act.reset_before(), Act.hang(0.2), Act.fail(500))
    faults = iter(acts * 10_000)
    receiver.rule = lambda _: next(faults)
    work = house.courier("w", patience=0.1)
    opened: dict[str, datetime] = {}
    for n in range(HANDOFFS):
        opened[house.hand_over(n)] = house.now
        for _ in range(12):
            house.now += timedelta(seconds=10)
            work.deliver_all()
        house.now += timedelta(hours=24) / HANDOFFS - timedelta(minutes=2)
        work.deliver_all()
    told = in_tray(house)
    assert told.keys() == opened.keys()
    assert max(told[name] - opened[name] for name in opened) <= timedelta(minutes=2)
    assert receiver.accepted == {}
    receiver.rule = None
    receiver.default = Act.accept()
    back, work = house.now, house.courier("w")
    while "pending" in house.states().values():
        work.deliver_all()
        house.now += timedelta(seconds=1)
    assert house.now - back <= timedelta(minutes=10)
    assert keys(receiver.accepted) == opened.keys()
    assert (receiver.doubled, receiver.changed) == (0, [])
    assert set(house.states().values()) == {"done"}
    assert verify_store(house.path).problems == ()


@pytest.mark.slow
def test_two_workers_and_every_fault_still_tell_each_once(
    house: House, receiver: FaultyChannel
) -> None:
    """Lost answers, duplicates, slowness, errors: the receiver keeps one of each."""
    opened = {house.hand_over(n) for n in range(60)}
    receiver.play(
        *(Act.reset_after(), Act.duplicate(), Act.slow(0.05), Act.busy("1")) * 5,
        *(Act.fail(500), Act.reset_before(), Act.late(0.1), Act.accept()) * 5,
    )
    works = [house.courier("a"), house.courier("b")]
    for _ in range(200):
        threads = [threading.Thread(target=work.deliver_all) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        house.now += timedelta(seconds=20)
        if "pending" not in house.states().values():
            break
    assert set(house.states().values()) == {"done"}
    pager = {i for i in house.states() if i in receiver.accepted}
    assert keys(receiver.accepted) == opened
    assert len(pager) == 60
    assert receiver.doubled >= 10
    assert receiver.changed == []
    assert verify_store(house.path).problems == ()


@pytest.mark.slow
def test_a_worker_that_dies_after_sending_sends_the_same_again(
    house: House, receiver: FaultyChannel
) -> None:
    """The lease ends, another worker sends: the receiver sees one id, equal bytes."""
    house.hand_over(0)
    dead = house.courier("dead")
    (sending,) = house.engine.deliveries.take("dead", "pager", limit=1)
    with closing(house.webhook(5.0)) as channel:
        channel.send(dead.message(sending))
    assert house.courier("b").deliver("pager") == 0
    house.now += timedelta(seconds=61)
    assert house.courier("b").deliver("pager") == 1
    assert len(receiver.accepted) == 1
    assert (receiver.doubled, receiver.changed) == (1, [])
