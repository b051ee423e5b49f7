"""What a service stamps tasks with is what training finds in its log, to the bit."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from features import batch
from features.events import AgentEvent, EventKind
from serving.engine import Engine
from serving.engine.models import NoModel
from serving.policy.rules import Policy
from serving.store.log import read_log
from serving.store.sqlite import SqliteStore
from training.dataset import snapshots
from training.history import stamped
from training.labels import labels_of

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
REQUESTS = (
    "I want a refund for the lamp that broke",
    "my lamp broke, refund please",
    "the modem keeps losing its signal",
    "no signal on the modem since yesterday",
    "hello",
)


class Shift:
    """A service that takes tasks and hears what became of them, minute by minute."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = NOON
        self.open()

    def open(self) -> None:
        """Start the service on its store."""
        self.store = SqliteStore(self.path)
        self.engine = Engine(
            self.store, Policy.default(), NoModel(), lambda: self.now, b"s" * 32
        )

    def event(self, task: str, kind: str, **body: Any) -> dict[str, Any]:
        """Return an event of this minute."""
        self.now += timedelta(minutes=1)
        head = {"task_id": task, "event_id": f"{kind} {self.now.isoformat()}"}
        return {**head, "at": self.now.isoformat(), "kind": kind, **body}

    def begin(self, task: str, draw: random.Random) -> None:
        """Let a task begin; some name their type, some say late what they want."""
        facts: dict[str, Any] = {
            "domain": draw.choice(["retail", "telecom"]),
            "agent_version": draw.choice(["v1", "v2"]),
        }
        if draw.random() < 0.3:
            facts["task_type"] = draw.choice(["refund", "modem"])
        events = [self.event(task, "task_started", **facts)]
        if draw.random() < 0.3:
            events.append(self.event(task, "agent_message", text="How can I help?"))
        if draw.random() < 0.9:
            said = draw.choice(REQUESTS)
            events.append(self.event(task, "user_message", text=said))
        events += [self.event(task, "usage", tokens_in=1) for _ in range(3)]
        at = draw.randrange(1, len(events))
        self.engine.observe(task, events[:at])
        self.engine.observe(task, events[at:])

    def hear(self, task: str, draw: random.Random) -> None:
        """Let a verdict come in, now and then one that changes an earlier one."""
        needed = draw.choice(["yes", "no", "uncertain"])
        body = {"needed": needed, "by": "rater", "propensity": 0.2}
        self.engine.outcomes([self.event(task, "audit_verdict", **body)])


@pytest.fixture(scope="module")
def shift(tmp_path_factory: pytest.TempPathFactory) -> Shift:
    """Return a service after a hundred tasks, restarted half way."""
    shift = Shift(tmp_path_factory.mktemp("shift") / "escalon.db")
    draw = random.Random(7)  # noqa: S311 - a plan, not a secret
    for i in range(100):
        shift.begin(f"task {i}", draw)
        for _ in range(draw.randrange(9)):
            shift.hear(f"task {draw.randrange(i + 1)}", draw)
        if i == 50:
            shift.store.close()
            shift.open()
    shift.store.close()
    return shift


def stamps(events: Iterable[AgentEvent]) -> dict[str, dict[str, Any]]:
    """Return the stamp of each task."""
    kept = ("at_synthetic",)
    return {
        e.task_id: {k: v for k, v in e.body.items() if k not in kept}
        for e in events
        if e.kind == EventKind.HISTORY
    }


def test_stamps_of_a_service_and_of_its_log_are_equal(shift: Shift) -> None:
    """A log whose stamps are taken out is stamped again just as the service did."""
    log = list(read_log(shift.path))
    bare = batch.events_table(e for e in log if e.kind != EventKind.HISTORY)
    again = batch.log_events(stamped(bare, labels_of(bare)))
    served = stamps(log)
    assert len(served) > 90  # a few never said what they wanted
    assert any(s.get("type_n") for s in served.values())
    assert stamps(again) == served


def test_a_stamp_stands_where_the_service_put_it(shift: Shift) -> None:
    """After the event by which enough was known of the task."""
    log = list(read_log(shift.path))
    bare = batch.events_table(e for e in log if e.kind != EventKind.HISTORY)
    again = list(batch.log_events(stamped(bare, labels_of(bare))))
    assert [(e.task_id, e.kind) for e in again] == [(e.task_id, e.kind) for e in log]


def test_a_stamped_log_is_left_alone(shift: Shift) -> None:
    """Training learns from the stamps that were served, not from new ones."""
    events = batch.events_table(read_log(shift.path))
    assert stamped(events, labels_of(events)) is events


def test_no_row_of_training_lies_between_an_event_and_its_stamp(shift: Shift) -> None:
    """The service never decides there, so nothing is learned there."""
    events = batch.events_table(read_log(shift.path))
    labels = labels_of(events)
    data = snapshots(events, labels)
    lengths = dict.fromkeys(labels, 0)
    for e in read_log(shift.path):
        counted = not e.is_outcome and e.kind != EventKind.HISTORY
        if e.task_id in lengths:
            lengths[e.task_id] += counted
    assert len(data) == sum(lengths.values())


def test_an_agent_cannot_write_its_own_history(shift: Shift) -> None:
    """An event of kind history is refused where an agent sends it."""
    shift.open()
    forged = shift.event("task 1", "history", expected_rate=0.0)
    with pytest.raises(Exception, match="a kind an agent may send"):
        shift.engine.observe("task 1", [forged])
    shift.store.close()
