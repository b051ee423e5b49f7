"""A look over an events table: what it holds, what is missing, what is odd.

Row groups hold whole tasks, so one is read at a time and memory does not grow with the
table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from features.aggregates import leaves
from features.batch.table import (
    SOURCE_PREFIX,
    as_declared,
    open_events,
    task_starts,
)
from features.events import EventKind, known_fields
from features.signals import SIGNALS, Group
from features.sources import SOURCES

GAP = timedelta(days=1)  # of silence within a task that is worth a look
_NAMES = 1_000  # unknown fields and kinds told apart
_SHOWN = 50
_OURS = frozenset(
    {"at_synthetic", "author", "content", "extra", "reasoning", "requestor", "system"}
)
_CALL, _RESULT = str(EventKind.TOOL_CALL), str(EventKind.TOOL_RESULT)
_HEAD = ("task_id", "event_id", "at", "kind", "body")


def survey(path: Path, *, now: datetime | None = None) -> dict[str, Any]:
    """Return what the events table at `path` holds, as JSON.

    Parameters
    ----------
    path : Path
        An events table.
    now : datetime, optional
        Times after it are in the future; the present if not given.

    Raises
    ------
    EventsTableError
        If the file is no events table.
    """
    counts = _Counts(now=now or datetime.now(UTC))
    known = np.zeros(len(SOURCES), dtype=np.int64)
    groups = dict.fromkeys(Group, 0)
    names = [*_HEAD, *(SOURCE_PREFIX + name for name in SOURCES)]
    with open_events(path) as file:
        for index in range(file.num_row_groups):
            table = as_declared(path, file.read_row_group(index, names))
            if table.num_rows == 0:
                continue
            starts = task_starts(table)
            per_task = _known(table, starts)
            known += per_task.sum(axis=0)
            for group in Group:
                groups[group] += int(_has_signal(per_task, group).sum())
            _look(table, starts, counts)
    return counts.told() | {"missing": _missing(counts.tasks, known, groups)}


# --- what is never known ----------------------------------------------------


def _known(table: pa.Table, starts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether each task has a value of each source, (n_tasks, n_sources)."""
    columns = []
    for name in SOURCES:
        valid = table[SOURCE_PREFIX + name].is_valid().to_numpy()
        columns.append(np.logical_or.reduceat(valid, starts))
    return np.stack(columns, axis=1)


def _has_signal(known: NDArray[np.bool_], group: Group) -> NDArray[np.bool_]:
    """Return whether any signal of `group` is ever known in each task, (n_tasks,)."""
    place = {name: index for index, name in enumerate(SOURCES)}
    told = np.zeros(len(known), dtype=bool)
    for signal in SIGNALS:
        if signal.group is group:
            needs = [place[leaf.source] for leaf in leaves(signal.aggregate)]
            told |= known[:, needs].all(axis=1)
    return told


def _missing(
    tasks: int, known: NDArray[np.int64], groups: dict[Group, int]
) -> dict[str, Any]:
    def share(n: int) -> float:
        return 1 - n / tasks if tasks else 1.0

    return {
        "by_group": {str(group): share(n) for group, n in groups.items()},
        "by_source": {
            name: share(int(n)) for name, n in zip(SOURCES, known, strict=True)
        },
        "sources": dict(SOURCES),
    }


# --- what is odd ------------------------------------------------------------


@dataclass(slots=True)
class _Counts:
    """What was counted so far."""

    now: datetime
    events: int = 0
    tasks: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    tasks_with: Counter[str] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)
    odd: Counter[str] = field(default_factory=Counter)
    first: datetime | None = None
    last: datetime | None = None

    def told(self) -> dict[str, Any]:
        """Return it as JSON."""
        known = {str(kind) for kind in EventKind}
        kinds = [
            {
                "kind": kind,
                "events": n,
                "tasks": self.tasks_with[kind],
                "known": kind in known,
            }
            for kind, n in self.kinds.most_common()
        ]
        clock = ("synthetic", "backwards", "future", "gaps", "tasks_backwards")
        return {
            "events": self.events,
            "tasks": self.tasks,
            "kinds": kinds[:_NAMES],
            "unknown_fields": [
                {"field": name, "events": n}
                for name, n in self.fields.most_common(_SHOWN)
            ],
            "clock": {name: self.odd[name] for name in clock}
            | {
                "first": self.first and self.first.isoformat(),
                "last": self.last and self.last.isoformat(),
                "gap_days": GAP.days,
            },
            "calls": {
                name: self.odd[name]
                for name in ("calls", "results", "without_result", "without_call")
            },
            "tasks_without_user_message": self.tasks
            - self.tasks_with[EventKind.USER_MESSAGE],
            "tasks_without_start": self.tasks - self.tasks_with[EventKind.TASK_STARTED],
        }


def _look(table: pa.Table, starts: NDArray[np.int64], counts: _Counts) -> None:
    """Count what one row group has, task by task."""
    rows = zip(
        table["kind"].to_pylist(),
        table["at"].to_pylist(),
        _bodies(table["body"]),
        strict=True,
    )
    ends = np.append(starts[1:], table.num_rows)
    for begin, end in zip(starts.tolist(), ends.tolist(), strict=True):
        counts.tasks += 1
        counts.events += end - begin
        _look_at_task([next(rows) for _ in range(end - begin)], counts)


def _bodies(column: pa.ChunkedArray) -> Iterator[dict[str, Any]]:
    for chunk in column.chunks:
        for body in chunk:
            yield orjson.loads(body.as_py())


_Row = tuple[str, datetime, dict[str, Any]]


def _look_at_task(task: list[_Row], counts: _Counts) -> None:
    kinds = Counter(kind for kind, _, _ in task)
    for kind, n in kinds.items():
        if kind in counts.kinds or len(counts.kinds) < _NAMES:
            counts.kinds[kind] += n
            counts.tasks_with[kind] += 1
    for kind, _, body in task:
        _note_fields(kind, body, counts.fields)
    _note_times(task, counts)
    _note_calls(task, counts)


def _note_fields(kind: str, body: dict[str, Any], fields: Counter[str]) -> None:
    known = known_fields(kind)
    extra = body.get("extra")
    names = [name for name in body if name not in known and name not in _OURS]
    names += [f"extra.{name}" for name in extra] if isinstance(extra, dict) else []
    for name in names:
        told = f"{kind}: {name[:80]}"
        if told in fields or len(fields) < _NAMES:
            fields[told] += 1


def _note_times(task: list[_Row], counts: _Counts) -> None:
    before: datetime | None = None
    backwards = counts.odd["backwards"]
    for _, at, body in task:
        if body.get("at_synthetic"):
            counts.odd["synthetic"] += 1
            continue
        counts.odd["future"] += at > counts.now
        if before is not None:
            counts.odd["backwards"] += at < before
            counts.odd["gaps"] += at - before > GAP
        before = at
        counts.first = min(counts.first or at, at)
        counts.last = max(counts.last or at, at)
    counts.odd["tasks_backwards"] += counts.odd["backwards"] > backwards


def _note_calls(task: list[_Row], counts: _Counts) -> None:
    """Count calls and results that have no partner of the same `call_id`."""
    open_calls: Counter[Any] = Counter()
    for kind, _, body in task:
        call_id = body.get("call_id")
        if kind == _CALL:
            counts.odd["calls"] += 1
            open_calls[call_id] += 1
        elif kind == _RESULT:
            counts.odd["results"] += 1
            if open_calls[call_id] > 0:
                open_calls[call_id] -= 1
            else:
                counts.odd["without_call"] += 1
    counts.odd["without_result"] += open_calls.total()
