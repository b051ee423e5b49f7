"""Logs to measure on: of any size, and of every format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from features import batch
from features.batch.records import task_key
from features.batch.table import SCHEMA, arrow, task_starts
from features.events import AgentEvent, EventKind
from training.simulate import World

_ROWS = 1 << 16


def grown(source: Path, target: Path, n_events: int) -> int:
    """Write a log of about `n_events`: tasks of `source` again and again, renamed.

    Tasks stand as `write_events` lays them out, so that copies of one task are far
    apart. Returns the row count.
    """
    table = batch.read_events(source)
    starts = task_starts(table)
    lengths = np.diff(np.append(starts, table.num_rows))
    ids = table["task_id"].take(arrow(starts)).to_pylist()
    copies = n_events / table.num_rows
    tasks = [
        (task_key(name), name, task)
        for copy in range(int(copies) + 1)
        for task, name in enumerate(f"{task_id}-{copy}" for task_id in ids)
        if copy < int(copies) or task < (copies % 1) * len(ids)
    ]
    tasks.sort()
    with pq.ParquetWriter(target, SCHEMA, compression="zstd") as file:
        rows = 0
        for group in _groups(tasks, lengths):
            places = np.concatenate(
                [np.arange(starts[t], starts[t] + lengths[t]) for _, t in group]
            )
            names = [name for name, t in group for _ in range(lengths[t])]
            copied = table.take(arrow(places)).set_column(
                0, SCHEMA.field(0), pa.array(names, pa.string())
            )
            file.write_table(copied, row_group_size=len(places))
            rows += len(places)
    return rows


def _groups(
    tasks: list[tuple[bytes, str, int]], lengths: Any
) -> Iterator[list[tuple[str, int]]]:
    """Yield whole tasks, about a row group of them at a time."""
    group: list[tuple[str, int]] = []
    rows = 0
    for _, name, task in tasks:
        if group and rows + lengths[task] > _ROWS:
            yield group
            group, rows = [], 0
        group.append((name, task))
        rows += int(lengths[task])
    yield group


# --- one conversation, told in each format -----------------------------------


def _jsonl(path: Path, n: int) -> None:
    with path.open("wb") as file:
        for event in World(seed=4).log(n):
            file.write(orjson.dumps(event.to_json()) + b"\n")


def _lines(
    record: Callable[[str, list[AgentEvent]], Any],
) -> Callable[[Path, int], None]:
    """Return a writer of one record per task."""

    def write(path: Path, n: int) -> None:
        with path.open("wb") as file:
            for task in World(seed=4).tasks(n):
                line = record(task.task_id, list(task.events))
                file.write(orjson.dumps(line) + b"\n")

    return write


def _messages(events: list[AgentEvent]) -> Iterator[dict[str, Any]]:
    """Yield a task's events as chat messages."""
    for event in events:
        body = event.body
        match event.kind:
            case EventKind.USER_MESSAGE:
                yield {"role": "user", "content": event.text}
            case EventKind.AGENT_MESSAGE:
                yield {"role": "assistant", "content": event.text}
            case EventKind.TOOL_CALL:
                arguments = orjson.dumps(body.get("arguments") or {}).decode()
                call = {"name": body["tool"], "arguments": arguments}
                calls = [{"id": event.event_id, "type": "function", "function": call}]
                yield {"role": "assistant", "content": None, "tool_calls": calls}
                asked = event.event_id
            case EventKind.TOOL_RESULT:
                yield {"role": "tool", "tool_call_id": asked, "content": event.text}
            case _:
                pass


def _chat(task_id: str, events: list[AgentEvent]) -> Any:
    return {"id": task_id, "model": "m", "messages": list(_messages(events))}


def _tau(task_id: str, events: list[AgentEvent]) -> Any:
    messages = []
    for message in _messages(events):
        calls = [
            {
                "name": c["function"]["name"],
                "arguments": orjson.loads(c["function"]["arguments"]),
            }
            for c in message.get("tool_calls") or []
        ]
        told = {"role": message["role"], "content": message["content"]}
        messages.append(told | {"tool_calls": calls or None, "timestamp": None})
    return {"run_id": task_id, "need_human": False, "reward": 1.0, "messages": messages}


# A format without an entry is left out of the figures.
SAMPLES: Mapping[str, Callable[[Path, int], None]] = {
    "jsonl": _jsonl,
    "chat": _lines(_chat),
    "tau": _lines(_tau),
}
