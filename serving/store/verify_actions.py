"""Verify actions: what agents were allowed to do, held against who owned the task then.

The order of the log decides: an act is sound if the last record before it that names an
owner of the task names its agent, under the epoch of the act.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from serving.store import actions
from serving.store.transaction import Reader, Row

_ROWS = "SELECT * FROM action"

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Authorized:
    """What was authorised, by the records.

    Attributes
    ----------
    known : dict
        Record by id of the token.
    unsound : list of str
        Tokens that were consumed while somebody else owned the task, or twice.
    """

    known: dict[str, Record] = field(default_factory=dict)
    unsound: list[str] = field(default_factory=list)

    def take(self, record: Record, owned: Record | None) -> None:
        """Take in the next record of an action.

        Parameters
        ----------
        owned : Mapping or None
            The last record that names an owner of its task.
        """
        jti = record["action"]["jti"]
        owner = owned["owner"]["kind"] if owned is not None else None
        epoch = owned["epoch"] if owned is not None else None
        if (owner, epoch) != ("agent", record["epoch"]) or jti in self.known:
            self.unsound.append(jti)
        self.known[jti] = record


def check(reader: Reader, authorized: Authorized, note: Callable[[str], None]) -> None:
    """Hold every row of an action against its record; `note` what differs."""
    for jti in authorized.unsound:
        note(f"action {jti!r} was authorised under an epoch that was not its agent's")
    seen = set()
    for row in reader.all(_ROWS):
        seen.add(row["jti"])
        said = authorized.known.get(row["jti"], {})
        if _stored(row) != _said(said):
            note(f"action {row['jti']!r} is not as the log says")
    for jti in authorized.known:
        if jti not in seen:
            note(f"action {jti!r} is in the log and not in its table")


def _stored(row: Row) -> tuple[object, ...]:
    terms = actions.audited_of(row)
    return (row["task_id"], row["epoch"], terms, row["audit_seq"])


def _said(record: Record) -> tuple[object, ...]:
    return tuple(record.get(name) for name in ("task", "epoch", "action", "seq"))
