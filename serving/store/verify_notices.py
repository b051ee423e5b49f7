"""Verify notices: the message of each handover, held against the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from serving.policy.audit import AuditType
from serving.store.transaction import Reader, Row

_ROWS = """
SELECT notice.*, handoff.body AS terms FROM notice
LEFT JOIN handoff ON handoff.handoff_id = notice.handoff_id
"""

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Notices:
    """What notices must be, by the records.

    Attributes
    ----------
    made, shown : dict
        Record by handoff: the one that opened it, where it speaks of its message; the
        one that says that the user has seen it.
    """

    made: dict[str, Record] = field(default_factory=dict)
    shown: dict[str, Record] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        """Take in the next record of the log."""
        if record["type"] == AuditType.HANDOFF_OPENED and "notice" in record:
            self.made[record["handoff"]["id"]] = record
        if record["type"] == AuditType.NOTICE_SHOWN:
            self.shown[record["shown"]["handoff"]] = record


def check(reader: Reader, expected: Notices, note: Callable[[str], None]) -> None:
    """Hold each notice against the log: one for each handover, as it was made.

    Its words are among the terms of its handoff, to which the log commits.
    """
    seen = set()
    for row in reader.all(_ROWS):
        handoff_id = row["handoff_id"]
        seen.add(handoff_id)
        made = expected.made.get(handoff_id)
        if made is None or row["terms"] is None:
            note(f"the message of handoff {handoff_id!r} is not in the log")
            continue
        if _made(row) != (made["notice"], made["at"]):
            note(f"the message of handoff {handoff_id!r} is not as it was made")
        if row["text"] != orjson.loads(row["terms"])["message"]:
            note(f"the message of handoff {handoff_id!r} has other words")
        if _shown(row) != _shown_by(expected.shown.get(handoff_id), made):
            note(f"the message of handoff {handoff_id!r} was not shown as the log says")
    for handoff_id in sorted(expected.made.keys() - seen):
        note(f"the message of handoff {handoff_id!r} is in the log, not in its table")


def _made(row: Row) -> tuple[object, ...]:
    wait = None if row["wait_s"] is None else round(row["wait_s"] * 1_000)
    return {"message": row["message_id"], "wait_ms": wait}, row["said_at"]


def _shown(row: Row) -> tuple[object, ...]:
    return row["shown_at"], row["audit_seq"], row["message_id"]


def _shown_by(shown: Record | None, made: Record) -> tuple[object, ...]:
    """Return when it was shown, under which record, by which id."""
    if shown is None:
        return None, made["seq"], made["notice"]["message"]
    return shown["at"], shown["seq"], shown["shown"]["message"]
