"""Violations: what agents sent of tasks they had lost, each event once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from serving.policy.audit import AuditType, rfc3339
from serving.store import ledger, log
from serving.store.intake import Line
from serving.store.log import SALT_BYTES
from serving.store.tasks import Task
from serving.store.transaction import Reader, Row, Transaction

_KNOWN = """
SELECT event_id FROM violation WHERE task_id = :task_id AND event_id = :event_id
"""
_ADD = """
INSERT INTO violation
  (task_id, event_id, handoff_id, epoch, kind, tool, acted, heard, at, seen_at, body,
   salt, place, audit_seq)
VALUES
  (:task_id, :event_id, :handoff_id, :epoch, :kind, :tool, :acted, :heard, :at,
   :seen_at, :body, :salt, :place, :audit_seq)
"""
_OF_HANDOFF = """
SELECT * FROM violation WHERE handoff_id = :handoff_id ORDER BY audit_seq, place
"""
_FIRST_SEEN = """
SELECT min(seen_at) AS at FROM violation
WHERE handoff_id = :handoff_id AND heard = 1
"""
_ACTS = "SELECT count(*) AS n FROM violation WHERE acted = 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """An event of an agent that had lost its task.

    Attributes
    ----------
    acted : bool
        Whether it was done after the handover (`serving.policy.acts`), not only tried.
    """

    line: Line
    acted: bool

    @property
    def tool(self) -> str | None:
        """The tool that was called, where the event names one."""
        tool = self.line.event.body.get("tool")
        return tool if isinstance(tool, str) else None


def new(reader: Reader, task_id: str, lines: Iterable[Line]) -> list[Line]:
    """Return those of `lines` that are not kept as violations yet."""
    return [
        line
        for line in lines
        if reader.one(_KNOWN, task_id=task_id, event_id=line.event.event_id) is None
    ]


def add(
    tx: Transaction,
    task: Task,
    found: Sequence[Violation],
    at: datetime,
    *,
    handoff_id: str,
    epoch: int | None,
    heard: bool,
) -> None:
    """Keep what was found in one call, under one record.

    Parameters
    ----------
    task : Task
        As it stands.
    handoff_id : str
        The handover by which the agent lost it.
    epoch : int or None
        The one the agent named.
    heard : bool
        Whether the agent hears the answer to the call.
    """
    salts = [os.urandom(SALT_BYTES) for _ in found]
    bodies = [violation.line.body for violation in found]
    seq = ledger.append(
        tx,
        AuditType.ACT_AFTER_HANDOVER,
        at,
        task=task.task_id,
        epoch=task.epoch,
        violations={
            **log.summary(0, zip(salts, bodies, strict=True)),
            "handoff": handoff_id,
            "named_epoch": epoch,
            "acted": [int(violation.acted) for violation in found],
            "heard": heard,
        },
    )
    for place, (violation, salt) in enumerate(zip(found, salts, strict=True)):
        event = violation.line.event
        tx.run(
            _ADD,
            task_id=task.task_id,
            event_id=event.event_id,
            handoff_id=handoff_id,
            epoch=epoch,
            kind=str(event.kind),
            tool=violation.tool,
            acted=int(violation.acted),
            heard=int(heard),
            at=rfc3339(event.at),
            seen_at=rfc3339(at),
            body=violation.line.body,
            salt=salt,
            place=place,
            audit_seq=seq,
        )


def told_at(reader: Reader, handoff_id: str) -> datetime | None:
    """Return when an agent first heard, by a refusal, that it had lost the task."""
    row = reader.one(_FIRST_SEEN, handoff_id=handoff_id)
    at = None if row is None else row["at"]
    return None if at is None else datetime.fromisoformat(at)


def acts(reader: Reader) -> int:
    """Return how many acts after handovers there were."""
    row = reader.one(_ACTS)
    return 0 if row is None else int(row["n"])


def of_handoff(reader: Reader, handoff_id: str) -> Iterator[dict[str, Any]]:
    """Yield what the agent sent after this handover, as answers show it."""
    for row in reader.all(_OF_HANDOFF, handoff_id=handoff_id):
        yield _shown(row)


def _shown(row: Row) -> dict[str, Any]:
    columns = ("event_id", "kind", "tool", "epoch", "at", "seen_at")
    return {
        **{column: row[column] for column in columns},
        "acted": bool(row["acted"]),
        "event": orjson.loads(bytes(row["body"])),
    }
