"""Actions: what agents were allowed to do, each token once, in the order of the log."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

from serving.policy.audit import AuditType
from serving.policy.tokens import Claims
from serving.store import ledger
from serving.store.handoffs import commitment_of
from serving.store.log import SALT_BYTES
from serving.store.transaction import Reader, Row, Transaction

_USED = "SELECT jti FROM action WHERE jti = :jti"
_ADD = """
INSERT INTO action (jti, task_id, epoch, tool, args_sha256, salt, audit_seq)
VALUES (:jti, :task_id, :epoch, :tool, :args_sha256, :salt, :audit_seq)
"""


def is_used(reader: Reader, jti: str) -> bool:
    """Whether the token `jti` was consumed before."""
    return reader.one(_USED, jti=jti) is not None


def add(tx: Transaction, claims: Claims, at: datetime) -> None:
    """Consume a token, under a record of its own.

    The record only commits to the arguments' hash: few possible arguments would be
    guessed from it.
    """
    salt = os.urandom(SALT_BYTES)
    action = audited(claims.jti, claims.tool, claims.args_sha256, salt)
    seq = ledger.append(
        tx,
        AuditType.ACTION_AUTHORIZED,
        at,
        task=claims.task,
        epoch=claims.epoch,
        action=action,
    )
    tx.run(
        _ADD,
        jti=claims.jti,
        task_id=claims.task,
        epoch=claims.epoch,
        tool=claims.tool,
        args_sha256=claims.args_sha256,
        salt=salt,
        audit_seq=seq,
    )


def audited(jti: str, tool: str, args_sha256: str, salt: bytes) -> dict[str, Any]:
    """Return what the record of a consumed token says of it."""
    commit = commitment_of(salt, args_sha256.encode())
    return {"jti": jti, "tool": tool, "args_commit": commit}


def audited_of(row: Row) -> dict[str, Any]:
    """Return what the record of the consumed token in `row` must say of it."""
    return audited(row["jti"], row["tool"], row["args_sha256"], bytes(row["salt"]))
