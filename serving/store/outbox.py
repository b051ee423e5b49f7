"""Outbox: what outside channels must be told of a handoff, in its transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson

from serving.policy.audit import rfc3339
from serving.store.tasks import new_id
from serving.store.transaction import Reader, Transaction

_TOLD = """
SELECT DISTINCT channel FROM outbox WHERE handoff_id = :handoff_id ORDER BY channel
"""
_PLACE = """
SELECT coalesce(max(place), -1) + 1 AS place FROM outbox
WHERE handoff_id = :handoff_id AND channel = :channel
"""
_ADD = """
INSERT INTO outbox
  (outbox_id, handoff_id, channel, place, kind, body, status, queued_at, next_at,
   audit_seq)
VALUES
  (:outbox_id, :handoff_id, :channel, :place, :kind, :body, 'pending', :at, :at,
   :audit_seq)
"""


def told(reader: Reader, handoff_id: str) -> tuple[str, ...]:
    """Return the channels that were, or will be, told of a handoff."""
    rows = reader.all(_TOLD, handoff_id=handoff_id)
    return tuple(row["channel"] for row in rows)


def add(
    tx: Transaction,
    handoff_id: str,
    channels: Iterable[str],
    *,
    kind: str,
    says: Mapping[str, Any],
    at: datetime,
    audit_seq: int,
) -> None:
    """Have each of `channels` told, after all it is still to be told of this handoff.

    Parameters
    ----------
    kind : str
        What happened, in one word: ``"opened"``, ``"claimed"``, …
    says : mapping
        JSON: what is told of it beside the handoff and its package, which the worker
        adds when it sends.
    """
    for channel in channels:
        row = tx.one(_PLACE, handoff_id=handoff_id, channel=channel)
        tx.run(
            _ADD,
            outbox_id=new_id("out"),
            handoff_id=handoff_id,
            channel=channel,
            place=0 if row is None else row["place"],
            kind=kind,
            body=orjson.dumps(says, option=orjson.OPT_SORT_KEYS),
            at=rfc3339(at),
            audit_seq=audit_seq,
        )
