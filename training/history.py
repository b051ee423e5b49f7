"""Outcome history put into logs that have none: stamps as the service would have made.

A service stamps each task when it begins. Logs from elsewhere are stamped here, task
by task in the order in which the tasks came, and no label is used before it was known.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from features.batch import events_table, starts_of
from features.events import OUTCOME_KINDS, AgentEvent, EventKind
from features.history import Kin, OutcomeHistory, head_of, is_told
from training.labels import Label, Statement, label_from, statements_of

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
        in_order = sorted(beginnings, key=lambda b: b.at)
        stamps = _by_time(in_order, statements_of(events))
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
    tasks: Sequence[_Beginning], statements: Iterable[Statement]
) -> Iterator[tuple[int, AgentEvent]]:
    history = OutcomeHistory()
    known: defaultdict[str, list[Statement]] = defaultdict(list)
    news = deque(sorted(statements, key=lambda said: said.at))
    for task in tasks:
        while news and news[0].at <= task.at:
            said = news.popleft()
            known[said.task_id].append(said)
            _tell(history, said.task_id, label_from(known[said.task_id]))
        yield _stamp(history, task)


def _by_count(
    tasks: Sequence[_Beginning], labels: Mapping[str, Label], delay: int
) -> Iterator[tuple[int, AgentEvent]]:
    history = OutcomeHistory()
    for i, task in enumerate(tasks):
        if i > delay:
            earlier = tasks[i - delay - 1].task_id
            _tell(history, earlier, labels.get(earlier))
        yield _stamp(history, task)


def _tell(history: OutcomeHistory, task_id: str, label: Label | None) -> None:
    if label is None:
        history.tell(task_id, needed=None)
    else:
        history.tell(task_id, needed=label.needed, propensity=label.propensity)


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
            continue
        if kind == EventKind.TASK_STARTED:
            started = body | started
        if kind in {EventKind.TASK_STARTED, EventKind.USER_MESSAGE}:
            request = request or head_of(str(body.get("text") or ""))
        if is_told(started, request, n):
            return n, started, request, bool(body.get("at_synthetic"))
    return None
