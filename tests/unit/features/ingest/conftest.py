"""What the ingest tests share: write a log, read it, see what landed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from features.events import AgentEvent
from features.ingest import Refusal, read


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """The outcome of one reading."""

    events: list[AgentEvent]
    refusals: list[Refusal]

    def kinds(self) -> list[str]:
        """Return the kinds in order."""
        return [str(event.kind) for event in self.events]

    def __getitem__(self, event_id: str) -> AgentEvent:
        """Return the one event of this id."""
        (event,) = (event for event in self.events if event.event_id == event_id)
        return event

    def body(self, event_id: str) -> dict[str, Any]:
        """Return its body without what every untimed log adds."""
        body = dict(self[event_id].body)
        body.pop("at_synthetic", None)
        return body


Take = Callable[..., Landed]


def land(log_format: str, *paths: Path) -> Landed:
    """Read `paths` to the end."""
    refusals: list[Refusal] = []
    events = list(read(log_format, paths, on_refused=refusals.append))
    return Landed(events=events, refusals=refusals)


@pytest.fixture
def take(tmp_path: Path) -> Take:
    """Write records (text, bytes or JSON values), one a line, and read them."""

    def as_bytes(record: Any) -> bytes:
        if isinstance(record, bytes):
            return record
        return (record if isinstance(record, str) else json.dumps(record)).encode()

    def taken(log_format: str, *records: Any) -> Landed:
        path = tmp_path / "log.jsonl"
        path.write_bytes(b"\n".join(map(as_bytes, records)))
        return land(log_format, path)

    return taken
