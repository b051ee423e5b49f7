"""What an adapter reads from and what it lets through: limits and refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from features.events import AgentEvent, ContractError, EventKind, parse
from features.ingest._files.arrays import elements
from features.ingest._files.sources import (
    Line,
    MalformedLineError,
    RecordError,
    Source,
    decode,
)
from features.ingest._spans.observation import LATER, Observation

MAX_EVENT_SIZE = 8 * 2**20  # characters and JSON values of one event
MAX_DEPTH = 100  # far below what orjson can write back (254)


_END = object()


class OversizeEventError(RecordError):
    """An event too deep or too large to be stored and read again."""


class RepeatedTaskError(RecordError):
    """A second record of a task that was read whole before."""


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
        What was expected and what was found, in a sentence.
    event_id : str or None
        The refused event, where it could be told.
    offset : int or None
        Byte of the file, from 0, where the refused record begins; of a compressed file
        once decompressed. None where it could not be told.
    field : str or None
        Path of the field that is wrong, ``"line"`` where none could be read.
    expected, found : str or None
        What it must be, and what stood there.
    """

    source: str
    line: int
    error: str
    event_id: str | None = None
    offset: int | None = None
    field: str | None = None
    expected: str | None = None
    found: str | None = None


def check_size(wire: Any) -> None:
    """Raise if `wire` is nested too deeply or too large for one event.

    Raises
    ------
    OversizeEventError
        Above `MAX_DEPTH` levels, or `MAX_EVENT_SIZE` characters and values.
    """
    size = 0
    inside: list[Iterator[Any]] = [iter((wire,))]
    while inside:
        value = next(inside[-1], _END)
        depth = len(inside) - 1
        if value is _END:
            inside.pop()
            continue
        size += 1
        if isinstance(value, str):
            size += len(value)
        elif isinstance(value, dict):
            size += sum(map(len, value))
            inside.append(iter(value.values()))
        elif isinstance(value, list):
            inside.append(iter(value))
        if depth > MAX_DEPTH or size > MAX_EVENT_SIZE:
            raise OversizeEventError(
                field="event",
                expected=f"at most {MAX_DEPTH} levels of nesting and "
                f"{MAX_EVENT_SIZE} characters in one event",
                found="more",
                advice="; refer to large content instead of inlining it",
            )


@dataclass(slots=True, kw_only=True)
class Account:
    """What came of one source.

    Attributes
    ----------
    source : str
        Path of the file.
    format : str
        In which it was read.
    events, tasks, refused : int
        How many events and tasks of it landed, and how much was refused.
    """

    source: str
    format: str
    events: int = 0
    tasks: int = 0
    refused: int = 0


class Gatherer(Protocol):
    """Sets spans aside; see `features.ingest._spans.traces.Traces`."""

    def gather(
        self, intake: Intake, told: Iterable[tuple[int, Observation]]
    ) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What an adapter reads from, and where it reports what it refuses.

    Attributes
    ----------
    source : Source
        The file.
    on_refused : Callable[[Refusal], None]
        Told of every refusal, in file order.
    traces : Gatherer or None
        Where an adapter of spans sets them aside until all sources are read; None:
        this source is all there is.
    seen : dict
        Task ids of the sources read so far, to the place each came from.
    account : Account
        Where what lands and what does not is counted.
    """

    source: Source
    on_refused: Callable[[Refusal], None]
    traces: Gatherer | None = None
    seen: dict[str, str] = field(default_factory=dict)
    account: Account = field(
        default_factory=lambda: Account(source="", format="unknown")
    )

    def refuse(
        self,
        line: int,
        error: str | ContractError | RecordError,
        event_id: str | None = None,
    ) -> None:
        """Report a refusal of this source.

        Parameters
        ----------
        line : int
            Where the record begins; a `Line` tells its byte too.
        error : ContractError, RecordError or str
            What is wrong. A text names no field.
        event_id : str, optional
            Taken from the error if not given.
        """
        self.account.refused += 1
        told = None if isinstance(error, str) else error
        if isinstance(error, ContractError):
            event_id = event_id or error.event_id
        self.on_refused(
            Refusal(
                source=str(self.source.path),
                line=int(line),
                error=str(error),
                event_id=event_id,
                offset=line.offset if isinstance(line, Line) else None,
                field=None if told is None else told.field,
                expected=None if told is None else told.expected,
                found=None if told is None else told.found,
            )
        )

    def decoded(self, lines: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, Any]]:
        """Yield (line, value) of each JSON text in `lines`; refuse the others."""
        for line, text in lines:
            try:
                value = decode(text)
            except MalformedLineError as error:
                self.refuse(line, error)
                continue
            del text  # not held beside what it said
            yield line, value

    def records(self) -> Iterator[tuple[int, Any]]:
        """Yield (line, value) of each record, whatever the layout of the file.

        A record is a line, an element of the array that the file is, or an object over
        several lines that the file begins with. A line that holds a list is one record.
        """
        if not self.source.is_array:
            yield from self.decoded(self.source.lines())
            return
        try:
            yield from self.decoded(elements(self.source))
        except MalformedLineError as error:
            self.refuse(self.source.number, error)

    def event(self, line: int, wire: Any) -> AgentEvent | None:
        """Return the event `wire` describes, or refuse it and return None."""
        try:
            check_size(wire)
            event = parse(wire)
        except ContractError as error:
            self.refuse(line, error)
        except OversizeEventError as error:
            named = wire.get("event_id") if isinstance(wire, dict) else None
            self.refuse(line, error, named if isinstance(named, str) else None)
        else:
            self.account.events += 1
            is_start = event.kind == EventKind.TASK_STARTED
            self.account.tasks += is_start and not event.event_id.endswith(LATER)
            return event
        return None

    def is_new(self, line: int, task_id: str) -> bool:
        """Return whether `task_id` is read for the first time; refuse it if not."""
        first = self.seen.get(task_id)
        if first is None:
            self.seen[task_id] = f"{self.source.path}:{line}"
            return True
        error = RepeatedTaskError(
            field="task_id",
            expected=f"all of task {task_id!r} in one record",
            found=f"a second after {first}",
            advice="; merge them or give each its own id",
        )
        self.refuse(line, error)
        return False
