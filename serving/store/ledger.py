"""Ledger: the audit log in the store, in the transaction of what it speaks of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from serving.policy import audit
from serving.policy.audit import AuditType
from serving.store.transaction import Reader, Transaction

SIZE = "SELECT coalesce(max(seq), -1) + 1 AS size FROM audit_event"
LEAF = "SELECT leaf AS hash FROM audit_event WHERE seq = :idx"
NODE = "SELECT hash FROM audit_node WHERE level = :level AND idx = :idx"
RECORDS = """
SELECT seq, body, leaf FROM audit_event
WHERE seq >= :start AND seq < :start + :limit ORDER BY seq
"""
_RECORD = "SELECT body FROM audit_event WHERE seq = :seq"
_ADD_EVENT = "INSERT INTO audit_event (seq, body, leaf) VALUES (:seq, :body, :leaf)"
_ADD_NODE = "INSERT INTO audit_node (level, idx, hash) VALUES (:level, :idx, :hash)"


class BrokenLogError(RuntimeError):
    """A node of the audit log is missing; `escalon audit verify` says more."""


def size(reader: Reader) -> int:
    """Return how many records there are."""
    row = reader.one(SIZE)
    return 0 if row is None else int(row["size"])


def root(reader: Reader) -> tuple[int, bytes]:
    """Return size and root: a checkpoint to note elsewhere and compare with later."""
    now = size(reader)
    return now, audit.root(now, lambda level, index: _node(reader, level, index))


def last_at(reader: Reader) -> datetime | None:
    """Return when the last record was written; None if there is none."""
    row = reader.one(RECORDS, start=max(0, size(reader) - 1), limit=1)
    if row is None:
        return None
    return datetime.fromisoformat(orjson.loads(bytes(row["body"]))["at"])


def root_at(reader: Reader, size: int) -> bytes:
    """Return the root of the first `size` records, as it was when there were so many.

    Raises
    ------
    BrokenLogError
        If the log does not have so many.
    """
    return audit.root(size, lambda level, index: _node(reader, level, index))


def record_at(reader: Reader, seq: int) -> Mapping[str, Any]:
    """Return the record at place `seq`.

    Raises
    ------
    BrokenLogError
        If there is none.
    """
    row = reader.one(_RECORD, seq=seq)
    if row is None:
        msg = f"expected record {seq} of the audit log, found none"
        raise BrokenLogError(msg)
    found: Mapping[str, Any] = orjson.loads(bytes(row["body"]))
    return found


def append(tx: Transaction, kind: AuditType, at: datetime, **fields: Any) -> int:
    """Append one record and return its `seq`, which the rows it speaks of must carry.

    Parameters
    ----------
    tx : Transaction
        The one in which those rows are written.
    kind : AuditType
        What happened.
    at : datetime
        When, timezone-aware.
    **fields
        As in `serving.policy.audit.record`: ids, hashes, whole numbers.
    """
    seq = size(tx)
    body = audit.record(kind, seq, at, **fields)
    leaf = audit.leaf_hash(body)
    tx.run(_ADD_EVENT, seq=seq, body=body, leaf=leaf)
    nodes = audit.append(seq, leaf, lambda level, index: _node(tx, level, index))
    for level, index, value in nodes[1:]:
        tx.run(_ADD_NODE, level=level, idx=index, hash=value)
    return seq


def _node(reader: Reader, level: int, index: int) -> bytes:
    row = (
        reader.one(NODE, level=level, idx=index)
        if level
        else reader.one(LEAF, idx=index)
    )
    if row is None:
        msg = f"expected node ({level}, {index}) of the audit log, found none"
        raise BrokenLogError(msg)
    return bytes(row["hash"])
