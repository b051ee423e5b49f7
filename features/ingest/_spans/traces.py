"""Spans of many files gathered by task, and each task's log put together from them.

Spans of one task are anywhere in a log, and may not say which task they belong to. So
they are set aside on disk while the log is read, then gathered task by task; memory
holds the ids of traces that name a task, and one bucket of tasks at a time.
"""

from __future__ import annotations

import contextlib
import pickle
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from operator import itemgetter
from typing import IO, Any, NamedTuple

from features.events import AgentEvent
from features.ingest._files.intake import Intake
from features.ingest._spans.conversation import Conversation
from features.ingest._spans.observation import Evaluation, Observation

_IN_MEMORY = 32 * 2**20  # bytes of spans set aside before they go to disk
_BUCKETS = 64
_NEVER = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)


class _Told(NamedTuple):
    """A span, and where it stood."""

    intake: int
    line: int
    observation: Observation


class _Shelf:
    """Spans set aside, to be read once from front to back."""

    def __init__(self, memory: int) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(memory)  # noqa: SIM115 - lives as long as the shelf
        self.size = 0

    def put(self, told: _Told) -> None:
        """Set one span aside."""
        packed = pickle.dumps(told, protocol=pickle.HIGHEST_PROTOCOL)
        self._file.write(packed)
        self.size += len(packed)

    def close(self) -> None:
        """Let go of them unread."""
        self._file.close()

    def take(self) -> Iterator[_Told]:
        """Yield all, in order, and let go of them."""
        with self._file as file:
            file.seek(0)
            with contextlib.suppress(EOFError):
                while True:
                    yield pickle.load(file)  # noqa: S301 - our own, a moment ago


@dataclass(slots=True)
class Traces:
    """Gathers the spans of all sources; yields whole tasks once all are read."""

    _intakes: list[Intake] = field(default_factory=list)
    _tasks: dict[str, str] = field(default_factory=dict)  # trace -> the task it names
    _shelf: _Shelf = field(default_factory=partial(_Shelf, _IN_MEMORY))

    def gather(self, intake: Intake, told: Iterable[tuple[int, Observation]]) -> None:
        """Set the observations of one source aside, each with its line."""
        self._intakes.append(intake)
        index = len(self._intakes) - 1
        for line, observation in told:
            if observation.task_id is not None:
                self._tasks.setdefault(observation.trace_id, observation.task_id)
            self._shelf.put(_Told(index, line, observation))

    def events(self) -> Iterator[AgentEvent]:
        """Yield the events of all tasks, one task after the other."""
        for shelf in self._buckets():
            tasks: dict[str, list[_Told]] = {}
            for told in shelf.take():
                tasks.setdefault(self._task_of(told), []).append(told)
            for task_id, spans in tasks.items():
                yield from self._task(task_id, spans)

    def close(self) -> None:
        """Let go of what was set aside and not read."""
        self._shelf.close()

    def _task_of(self, told: _Told) -> str:
        trace_id = told.observation.trace_id
        return told.observation.task_id or self._tasks.get(trace_id) or trace_id

    def _buckets(self) -> Sequence[_Shelf]:
        """Return shelves that each hold whole tasks."""
        if self._shelf.size <= _IN_MEMORY:
            return [self._shelf]
        shelves = [_Shelf(0) for _ in range(_BUCKETS)]
        for told in self._shelf.take():
            bucket = zlib.crc32(self._task_of(told).encode()) % _BUCKETS
            shelves[bucket].put(told)
        return shelves

    def _task(self, task_id: str, spans: Sequence[_Told]) -> Iterator[AgentEvent]:
        first = spans[0]
        refuse = partial(self._intakes[first.intake].refuse, first.line)
        conversation = Conversation(task_id, refuse)
        places = {id(told.observation): told for told in spans}
        for observation, judged in in_order(told.observation for told in spans):
            told = places[id(observation)]
            if judged is None:
                wires = conversation.take(observation)
            else:
                wires = conversation.judge(judged, observation.trace_id)
            for wire in wires:
                event = self._intakes[told.intake].event(told.line, wire)
                if event is not None:
                    yield event


def in_order(
    told: Iterable[Observation],
) -> list[tuple[Observation, Evaluation | None]]:
    """Return spans and their judgements in the order in which they were known."""
    moments: list[tuple[tuple[Any, ...], Observation, Evaluation | None]] = []
    for place, span in enumerate(told):
        ended = span.ended or span.started or _NEVER
        began = (span.started or ended).timestamp()
        # Of spans that end together the inner one, which began later, was first.
        moments.append(((ended, 0, -began, place), span, None))
        moments += [
            ((judged.at or _LAST, 1, 0.0, place), span, judged)
            for judged in span.evaluations
        ]
    moments.sort(key=itemgetter(0))
    return [(span, judged) for _, span, judged in moments]


def traced(
    intake: Intake, told: Iterable[tuple[int, Observation]]
) -> Iterator[AgentEvent]:
    """Gather the spans of one source; its events come once every source is read.

    Parameters
    ----------
    told : Iterable of (int, Observation)
        Line of the source, and what stood there. In any order, with repetitions.
    """
    if intake.traces is not None:
        intake.traces.gather(intake, told)
        return
    alone = Traces()
    alone.gather(intake, told)
    yield from alone.events()
