"""Repeats: what a person did to a handoff, sent again, is answered as it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from features.events import EventKind
from serving.policy.handoff import Handoff
from serving.store import log
from serving.store.transaction import Reader

_LAST = """
SELECT by, what FROM handoff_history WHERE handoff_id = :handoff_id
ORDER BY audit_seq DESC LIMIT 1
"""


def closed(
    reader: Reader, held: Handoff, kind: EventKind, by: str, said: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the answer to the call that closed `held`, if it is this call.

    Parameters
    ----------
    kind : EventKind
        Of the closing event.
    by : str
        Who calls.
    said : Mapping
        What the closing event would say.
    """
    closing = next(log.latest(reader, held.task_id, kind), None)
    wanted = {**said, "by": by, "handoff_id": held.handoff_id}
    if closing is None or any(closing.body.get(k) != v for k, v in wanted.items()):
        return None
    return held.to_json(closing.at)


def is_released(reader: Reader, handoff_id: str, by: str) -> bool:
    """Whether the last that happened to a handoff is that `by` released it."""
    row = reader.one(_LAST, handoff_id=handoff_id)
    return row is not None and (row["by"], row["what"]) == (by, "released")
