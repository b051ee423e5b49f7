"""A whole engine over a store of its own, a clock to turn, a model to break."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from serving.engine import Engine
from serving.engine.models import Model
from serving.policy.rules import Policy
from serving.policy.trigger import Threshold
from serving.store.sqlite import SqliteStore

# A Tuesday, at an hour when every queue of the default policy is open.
START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECRET = b"a secret of at least thirty-two bytes"


class Clock:
    """A clock that stands still until it is turned."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now

    def turn(self, span: timedelta) -> None:
        """Let `span` pass."""
        self.now += span


@dataclass(slots=True)
class Part:
    """One signal's contribution."""

    signal: str
    value: float
    contribution: float


@dataclass(slots=True)
class FakeModel:
    """A model whose risk is what the test says; it can be made to fail."""

    version: str = "7"
    digest: str = "ab" * 32
    certificate: Threshold = field(default_factory=lambda: Threshold(threshold=0.5))
    base: float = -1.0
    is_broken: bool = False
    value: float = 0.1
    segments: tuple[Threshold, ...] = ()

    def certificate_for(self, facts: Mapping[str, str], /) -> Threshold:
        """Return the threshold of the task's domain, if it has one of its own."""
        own = (s for s in self.segments if s.segment == f"domain={facts['domain']}")
        return next(own, self.certificate)

    def risk(self, _: NDArray[np.float64], /) -> float:
        """Return the risk, or fail."""
        if self.is_broken:
            msg = "the trees have gone"
            raise RuntimeError(msg)
        return self.value

    def score(self, _: NDArray[np.float64], /) -> float:
        """Return what base and contributions add up to."""
        return 1.0

    def between(self, _: NDArray[np.float64], /) -> tuple[float, float]:
        """Return a risk on either side."""
        return max(0.0, self.value - 0.05), min(1.0, self.value + 0.05)

    def explain(self, x: NDArray[np.float64], /) -> Sequence[Part]:
        """Return one contribution."""
        return (Part("steps", float(x[0]), 2.0),)


@dataclass(slots=True)
class FakeSource:
    """Gives a model, none, or an error."""

    model: Model | None = None
    problem: str | None = None
    error: Exception | None = None

    def current(self) -> Model | None:
        """Return the model, or fail."""
        if self.error is not None:
            raise self.error
        return self.model


class Desk:
    """An engine, with what is around it, and short words for what tests do."""

    def __init__(self, path: Path, policy: Policy | None = None) -> None:
        self.path = path
        self.clock = Clock()
        self.model = FakeModel()
        self.source = FakeSource(self.model)
        self.policy = Policy.default() if policy is None else policy
        self.sent = 0
        self.open()

    def open(self) -> None:
        """Open the store, and an engine on it."""
        self.store = SqliteStore(self.path)
        self.engine = Engine(self.store, self.policy, self.source, self.clock, SECRET)

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def event(self, kind: str = "user_message", **body: Any) -> dict[str, Any]:
        """Return an event under an id of its own."""
        self.sent += 1
        at = self.clock.now.isoformat()
        return {"event_id": f"e{self.sent}", "at": at, "kind": kind, **body}

    def say(
        self, text: str, task_id: str = "t", *, epoch: int | None = None
    ) -> dict[str, Any]:
        """Send one message of the user."""
        return self.engine.observe(task_id, [self.event(text=text)], epoch=epoch)

    def begin(self, task_id: str = "t") -> dict[str, Any]:
        """Begin a task."""
        started = self.event(
            "task_started",
            domain="retail",
            agent_id="bot",
            account={"id": "a-1", "value": 10.0, "tier": "gold"},
        )
        asked = self.event(text="Where is my parcel?")
        return self.engine.observe(task_id, [started, asked])

    def hand_over(self, task_id: str = "t") -> str:
        """Begin a task, hand it over, and return the id of the handoff."""
        self.begin(task_id)
        answer = self.engine.escalate(task_id, by="user", reason="wants a person")
        return str(answer["handoff"]["handoff_id"])

    def records(self) -> list[dict[str, Any]]:
        """Return what the audit log says."""
        return [
            record["body"] for record in self.engine.audit_records(0, 1_000)["records"]
        ]

    def types(self) -> list[str]:
        """Return the types of all audit records."""
        return [record["type"] for record in self.records()]

    def sent_events(self) -> int:
        """Return how many events are kept, without the stamps of the service."""
        with self.store.reading() as reader:
            row = reader.one(
                "SELECT count(*) AS n FROM event WHERE kind <> 'history'",
            )
        return 0 if row is None else int(row["n"])

    def count(self, table: str) -> int:
        """Return how many rows `table` has."""
        with self.store.reading() as reader:
            row = reader.one(f"SELECT count(*) AS n FROM {table}")  # noqa: S608
        return 0 if row is None else int(row["n"])


MakeDesk = Callable[..., Desk]


@pytest.fixture
def make_desk(tmp_path: Path) -> Iterator[MakeDesk]:
    """Make desks, each over a store of its own, under a policy of one's own."""
    made: list[Desk] = []

    def make(policy: Policy | None = None) -> Desk:
        made.append(Desk(tmp_path / f"store-{len(made)}.db", policy))
        return made[-1]

    yield make
    for desk in made:
        desk.close()


@pytest.fixture
def desk(make_desk: MakeDesk) -> Desk:
    """Make a desk under the default policy."""
    return make_desk()
