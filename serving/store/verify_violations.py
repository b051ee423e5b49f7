"""Verify violations: what agents sent of tasks they had lost, held against the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from serving.policy.audit import rfc3339
from serving.store import log
from serving.store.transaction import Reader, Row

_ROWS = "SELECT * FROM violation ORDER BY audit_seq, place"

Record = Mapping[str, Any]


def check(
    reader: Reader, records: Mapping[int, Record], note: Callable[[str], None]
) -> None:
    """Hold every row of a violation against its record; `note` what differs.

    Parameters
    ----------
    records : Mapping
        Records of acts after handovers, by their places.
    """
    kept: dict[int, list[Row]] = {seq: [] for seq in records}
    for row in reader.all(_ROWS):
        kept.setdefault(row["audit_seq"], []).append(row)
        if not _is_its_event(row):
            note(
                f"violation {row['event_id']!r} of task {row['task_id']!r} stands "
                "beside columns that say otherwise"
            )
    for seq, rows in kept.items():
        record = records.get(seq)
        if record is None or _stored(rows) != _said(record, len(rows)):
            note(f"the violations of record {seq} are not those it holds")


def _stored(rows: list[Row]) -> tuple[object, ...]:
    salted = [(bytes(row["salt"]), bytes(row["body"])) for row in rows]
    acted = [row["acted"] for row in rows]
    terms = [
        (row["task_id"], row["handoff_id"], row["epoch"], row["heard"], row["seen_at"])
        for row in rows
    ]
    return log.summary(0, salted), acted, terms


def _said(record: Record, count: int) -> tuple[object, ...]:
    said = record["violations"]
    summary = {name: said[name] for name in ("first", "count", "commit")}
    terms = (
        record["task"],
        said["handoff"],
        said["named_epoch"],
        int(said["heard"]),
        record["at"],
    )
    return summary, said["acted"], [terms] * count


def _is_its_event(row: Row) -> bool:
    """Whether what is stored beside the event is what the event says."""
    event = log.stored_event(row)
    tool = event.body.get("tool")
    beside = (
        event.task_id,
        event.event_id,
        str(event.kind),
        tool if isinstance(tool, str) else None,
        rfc3339(event.at),
    )
    columns = ("task_id", "event_id", "kind", "tool", "at")
    return beside == tuple(row[column] for column in columns)
