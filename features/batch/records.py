"""From events to columns: what one task's log gives, in log order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa

from features.batch.table import HEAD, SCHEMA, SOURCE_PREFIX
from features.events import AgentEvent
from features.sources import Reader

_HEAD_END = b"\t"  # JSON escapes a tab, so none stands inside


class Record(NamedTuple):
    """An event as text: what is spilled, and what becomes a row."""

    task_id: str
    event_id: str
    at: str
    kind: str
    body: bytes

    def event(self) -> AgentEvent:
        """Return the event, as it will be read from the table."""
        return AgentEvent(
            task_id=self.task_id,
            event_id=self.event_id,
            at=datetime.fromisoformat(self.at),
            kind=self.kind,
            body=orjson.loads(self.body),
        )


def encoded(event: AgentEvent) -> bytes:
    """Return `event` as one line, without the line's end."""
    at = event.at.astimezone(UTC).isoformat()
    head = orjson.dumps([event.task_id, event.event_id, at, event.kind])
    return head + _HEAD_END + orjson.dumps(dict(event.body), default=str)


def decoded(line: bytes) -> Record:
    """Return the record of a line that `encoded` made."""
    head, _, body = line.partition(_HEAD_END)
    task_id, event_id, at, kind = orjson.loads(head)
    return Record(task_id, event_id, at, kind, body)


def task_key(task_id: str) -> bytes:
    """Return the place of a task in an events table: tasks stand in its order."""
    data = task_id.encode(errors="surrogatepass")
    return hashlib.blake2b(data, digest_size=8).digest() + data


def tasks_of(lines: Iterable[bytes]) -> list[list[Record]]:
    """Return the records by task, each task's in log order, first come first.

    An event whose id its task already has is left out: sending twice changes nothing.
    """
    tasks: dict[str, dict[str, Record]] = {}
    for line in lines:
        record = decoded(line)
        tasks.setdefault(record.task_id, {}).setdefault(record.event_id, record)
    return [list(task.values()) for task in tasks.values()]


def table_of(tasks: Sequence[Sequence[Record]]) -> pa.Table:
    """Return the events table of `tasks`, in their order."""
    records = [record for task in tasks for record in task]
    heads = list(zip(*records, strict=True)) or [()] * len(HEAD)
    text = [pa.array(column, pa.string()) for column in heads[:2]]
    times = pa.array(map(_instant, heads[2]), pa.int64()).cast(HEAD[2].type)
    kinds = pa.array(heads[3], pa.string())
    bodies = pa.array(heads[4], pa.binary()).cast(pa.string())
    sources = _sources(tasks, len(records))
    return pa.table([*text, times, kinds, bodies, *sources], schema=SCHEMA)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _instant(at: str) -> int:
    """Return microseconds since 1970, exactly."""
    since = datetime.fromisoformat(at) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _sources(tasks: Iterable[Sequence[Record]], n_rows: int) -> Iterator[pa.Array]:
    """Yield a column per source, null where an event gives none."""
    given: dict[str, tuple[list[int], list[float]]] = {
        name.removeprefix(SOURCE_PREFIX): ([], []) for name in SCHEMA.names[len(HEAD) :]
    }
    row = 0
    for task in tasks:
        reader = Reader()
        for record in task:
            _note(given, row, reader.read(record.event()))
            row += 1
    for rows, values in given.values():
        column, absent = np.zeros(n_rows), np.ones(n_rows, dtype=bool)
        column[rows], absent[rows] = values, False
        yield pa.array(column, mask=absent)


def _note(given: dict[str, Any], row: int, values: dict[str, float]) -> None:
    for name, value in values.items():
        if (column := given.get(name)) is not None and value is not None:
            column[0].append(row)
            column[1].append(value)


def events_table(events: Iterable[AgentEvent]) -> pa.Table:
    """Return `events` as an events table: grouped by task, in log order.

    An event whose id its task already has is left out: sending twice changes nothing.
    """
    return table_of(tasks_of(map(encoded, events)))
