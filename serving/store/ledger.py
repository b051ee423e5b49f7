"""Ledger: the audit log in the store, in the transaction of what it speaks of."""

from __future__ import annotations

from datetime import datetime
from typing import Any

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
