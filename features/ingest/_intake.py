"""What an adapter reads from and what it lets through: limits and refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from features.events import AgentEvent, ContractError, parse
from features.ingest._sources import MalformedLineError, Source, decode

MAX_EVENT_SIZE = 8 * 2**20  # characters and JSON values of one event
MAX_DEPTH = 100  # far below what orjson can write back (254)


class OversizeEventError(ValueError):
    """An event too deep or too large to be stored and read again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What did not land, and why.

    Attributes
    ----------
    source : str
        Path of the file.
    line : int
        Line of the file, from 1, where the refused text begins.
    error : str
        What was expected and what was found.
    event_id : str or None
        The refused event, where it could be told.
    """

    source: str
    line: int
    error: str
    event_id: str | None = None


def check_size(wire: Any) -> None:
    """Raise if `wire` is nested too deeply or too large for one event.

    Raises
    ------
    OversizeEventError
        Above `MAX_DEPTH` levels, or `MAX_EVENT_SIZE` characters and values.
    """
    size, left = 0, [(wire, 0)]
    while left:
        value, depth = left.pop()
        size += 1
        if isinstance(value, str):
            size += len(value)
        elif isinstance(value, dict):
            size += sum(map(len, value))
            left.extend((item, depth + 1) for item in value.values())
        elif isinstance(value, list):
            left.extend((item, depth + 1) for item in value)
        if depth > MAX_DEPTH or size > MAX_EVENT_SIZE:
            msg = (
                f"expected at most {MAX_DEPTH} levels of nesting and "
                f"{MAX_EVENT_SIZE} characters in one event, found more; "
                "refer to large content instead of inlining it"
            )
            raise OversizeEventError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What an adapter reads from, and where it reports what it refuses.

    Attributes
    ----------
    source : Source
        The file.
    on_refused : Callable[[Refusal], None]
        Told of every refusal, in file order.
    seen : dict
        Task ids of the sources read so far, to the place each came from.
    """

    source: Source
    on_refused: Callable[[Refusal], None]
    seen: dict[str, str] = field(default_factory=dict)

    def refuse(self, line: int, error: str, event_id: str | None = None) -> None:
        """Report a refusal of this source."""
        self.on_refused(
            Refusal(
                source=str(self.source.path), line=line, error=error, event_id=event_id
            )
        )

    def decoded(self, lines: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, Any]]:
        """Yield (line, value) of each JSON text in `lines`; refuse the others."""
        for line, text in lines:
            try:
                value = decode(text)
            except MalformedLineError as error:
                self.refuse(line, str(error))
            else:
                yield line, value

    def event(self, line: int, wire: Any) -> AgentEvent | None:
        """Return the event `wire` describes, or refuse it and return None."""
        try:
            check_size(wire)
            return parse(wire)
        except (ContractError, OversizeEventError) as error:
            says = str(error)
        named = wire.get("event_id") if isinstance(wire, dict) else None
        self.refuse(line, says, named if isinstance(named, str) else None)
        return None

    def is_new(self, line: int, task_id: str) -> bool:
        """Return whether `task_id` is read for the first time; refuse it if not."""
        first = self.seen.get(task_id)
        if first is None:
            self.seen[task_id] = f"{self.source.path}:{line}"
            return True
        self.refuse(
            line,
            f"expected all of task {task_id!r} in one record, found a second after "
            f"{first}; merge them or give each its own id",
        )
        return False
