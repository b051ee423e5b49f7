"""Verify ratings: what people say of packages, held against the log and its events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from serving.store.transaction import Reader

_ROWS = """
SELECT rating.*, event.body AS body FROM rating
LEFT JOIN event ON event.audit_seq = rating.audit_seq AND event.kind = :kind
"""
_KIND = "package_rating"


def check(
    reader: Reader,
    recorded: Mapping[tuple[str, str], Mapping[str, Any]],
    note: Callable[[str], None],
) -> None:
    """Hold every rating against its last record, by handoff and person."""
    seen = set()
    for row in reader.all(_ROWS, kind=_KIND):
        key = row["handoff_id"], row["by"]
        seen.add(key)
        said = recorded.get(key, {})
        event = {} if row["body"] is None else orjson.loads(row["body"])
        rating = {
            "by": row["by"],
            "handoff": row["handoff_id"],
            "missing": orjson.loads(row["missing"]),
            "sufficient": bool(row["sufficient"]),
        }
        stored = (rating, row["at"], row["audit_seq"], row["note"])
        # Records of version 2 did not say what was missing, and there was no event.
        known = {"missing": rating["missing"]} | said.get("rating", {})
        told = known, said.get("at"), said.get("seq"), event.get("note", "")
        if stored != told:
            note(f"the rating of handoff {key[0]!r} by {key[1]!r} is not in the log")
    for key in recorded:
        if key not in seen:
            note(f"the rating {key!r} is in the log and not in its table")
