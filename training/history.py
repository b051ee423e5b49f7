"""Outcome history put into logs that have none: stamps as the service would have made.

A service stamps each task when it begins. Logs from elsewhere are stamped here, task
by task in the order in which the tasks came, and no label is used before it was known.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from features.batch import events_table, starts_of
from features.events import OUTCOME_KINDS, AgentEvent, EventKind
from features.history import Kin, OutcomeHistory, is_told
from training.labels import Label

DELAY = 50  # tasks after which a label is known, where a log tells no time


@dataclass(frozen=True, slots=True)
class _Beginning:
    """Where and when a task is stamped, and with what."""

    task_id: str
    row: int  # of the events table: the stamp stands after it
    at: datetime
    is_made_up: bool
    kin: Kin
    request: str


def stamped(
    events: pa.Table,
    labels: Mapping[str, Label],
    *,
    order: Sequence[str] | None = None,
    delay: int = DELAY,
) -> pa.Table:
    """Return the events table with a stamp in each task that had none.

    Labels count from the moment they were known. Where the log of a single task
    tells no time, or an order is given, tasks follow that order, or the table's, and
    a label is known once `delay` further tasks have begun.

    Parameters
    ----------
    events : Table
        An events table, grouped by task.
    labels : mapping of str to Label
        By task; those of tasks elsewhere say nothing.
    order : sequence of str, optional
        Tasks in the order in which they came; all of the table's.
    delay : int
        In tasks; not used where times are known.
    """
    beginnings = list(_beginnings(events))
    if not beginnings:
        return events
    by_time = order is None and not any(b.is_made_up for b in beginnings)
    if by_time:
        stamps = _by_time(sorted(beginnings, key=lambda b: b.at), labels)
    else:
        place = {task: i for i, task in enumerate(order or ())}
        ordered = sorted(beginnings, key=lambda b: place.get(b.task_id, len(place)))
        stamps = _by_count(ordered, labels, delay)
    rows, made = zip(*stamps, strict=True)
    after = np.concatenate([np.arange(events.num_rows) * 2, np.array(rows) * 2 + 1])
    whole = pa.concat_tables([events, events_table(made).select(events.column_names)])
    return whole.take(pa.array(np.argsort(after, kind="stable")))


def _stamp(history: OutcomeHistory, task: _Beginning) -> tuple[int, AgentEvent]:
    body = history.begin(task.task_id, task.kin, task.request)
    event = AgentEvent(
        task_id=task.task_id,
        event_id=EventKind.HISTORY,
        at=task.at,
        kind=EventKind.HISTORY,
        body=body | ({"at_synthetic": True} if task.is_made_up else {}),
    )
    return task.row, event


def _by_time(
    tasks: Sequence[_Beginning], labels: Mapping[str, Label]
) -> Iterator[tuple[int, AgentEvent]]:
    history = OutcomeHistory()
    known: list[tuple[datetime, str]] = []
    for task in tasks:
        while known and known[0][0] <= task.at:
            _tell(history, labels[heapq.heappop(known)[1]])
        yield _stamp(history, task)
        label = labels.get(task.task_id)
        if label is not None:
            heapq.heappush(known, (label.matured_at, task.task_id))


def _by_count(
    tasks: Sequence[_Beginning], labels: Mapping[str, Label], delay: int
) -> Iterator[tuple[int, AgentEvent]]:
    history = OutcomeHistory()
    for i, task in enumerate(tasks):
        if i > delay:
            known = labels.get(tasks[i - delay - 1].task_id)
            if known is not None:
                _tell(history, known)
        yield _stamp(history, task)


def _tell(history: OutcomeHistory, label: Label) -> None:
    history.tell(label.task_id, needed=label.needed, propensity=label.propensity)


def _beginnings(events: pa.Table) -> Iterator[_Beginning]:
    """Yield where each task without a stamp is to be stamped."""
    task_ids = events["task_id"].to_numpy(zero_copy_only=False)
    kinds = events["kind"].to_numpy(zero_copy_only=False)
    starts = starts_of(task_ids)
    ends = np.append(starts[1:], len(task_ids))
    has_one = set(
        events.filter(pc.equal(events["kind"], str(EventKind.HISTORY)))[
            "task_id"
        ].to_pylist()
    )
    bodies = events["body"].combine_chunks()
    at = events["at"].combine_chunks()
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if task_ids[start] not in has_one:
            lines = (
                (kinds[row], orjson.loads(bodies[row].as_py()))
                for row in range(start, end)
            )
            found = _beginning(lines)
            if found is not None:
                n, started, request, is_made_up = found
                yield _Beginning(
                    task_id=str(task_ids[start]),
                    row=start + n - 1,
                    at=at[start + n - 1].as_py(),
                    is_made_up=is_made_up,
                    kin=Kin.of(started),
                    request=request,
                )


def _beginning(
    lines: Iterator[tuple[str, dict[str, Any]]],
) -> tuple[int, dict[str, Any], str, bool] | None:
    """Return after how many events a task is stamped, and what is known by then."""
    started: dict[str, Any] = {}
    request = ""
    for n, (kind, body) in enumerate(lines, start=1):
        if kind in OUTCOME_KINDS:
            return None
        if kind == EventKind.TASK_STARTED:
            started = body | started
        if kind in {EventKind.TASK_STARTED, EventKind.USER_MESSAGE}:
            request = request or str(body.get("text") or "")
        if is_told(started, request, n):
            return n, started, request, bool(body.get("at_synthetic"))
    return None
