"""Verify announcements: the rows of broken words, held against what the log says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from serving.store.transaction import Reader

_ROWS = "SELECT * FROM announcement"


def check(
    reader: Reader,
    recorded: Mapping[tuple[str, int], Mapping[str, Any]],
    note: Callable[[str], None],
) -> None:
    """Hold every announcement against its record, by task and epoch."""
    seen = set()
    for row in reader.all(_ROWS):
        key = row["task_id"], row["epoch"]
        seen.add(key)
        said = recorded.get(key, {})
        stored = {
            "seq": row["audit_seq"],
            "at": row["seen_at"],
            "decision": {"id": row["decision_id"]},
            "announced": {"promises": row["promises"], "calls": row["calls"]},
            "hands_over": bool(row["hands_over"]),
        }
        if stored != {name: said.get(name) for name in stored}:
            note(f"the broken word in task {key[0]!r} is not as the log says")
    for key in recorded:
        if key not in seen:
            note(f"the broken word in task {key[0]!r} is in the log and not its table")
