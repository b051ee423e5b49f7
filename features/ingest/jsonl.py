"""Our own event log: one `AgentEvent` in its wire form per line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from features.events import AgentEvent
from features.ingest._files.intake import Intake

LOOKS_FOR = "an object with `event_id` and `kind` (one event per line)"


def fits(value: Any) -> bool:
    """Return whether `value` looks like an event of ours."""
    return isinstance(value, dict) and {"event_id", "kind"} <= value.keys()


def events(intake: Intake) -> Iterator[AgentEvent]:
    """Yield the events of the file in file order.

    Tasks may interleave. The order within each task is the file's; who needs a
    task's events together (`features.batch.write_events`) groups them.
    """
    for line, value in intake.decoded(intake.source.lines()):
        event = intake.event(line, value)
        if event is not None:
            yield event
