"""Tasks: who owns each, under which epoch, and what is known of it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self

import orjson

from serving.problems import Problem, ProblemType
from serving.store.transaction import Reader, Row, Transaction

_FIND = "SELECT * FROM task WHERE task_id = :task_id"
_ADD = """
INSERT INTO task (task_id, owner_kind, owner_id, epoch, facts, audit_seq)
VALUES (:task_id, :owner_kind, :owner_id, :epoch, :facts, :audit_seq)
"""
_UPDATE = """
UPDATE task SET owner_kind = :owner_kind, owner_id = :owner_id, epoch = :epoch,
  facts = :facts, audit_seq = :audit_seq
WHERE task_id = :task_id
"""


def new_id(kind: str) -> str:
    """Return an id nobody can guess, such as ``"hnd_5f0c…"``."""
    return f"{kind}_{secrets.token_hex(12)}"


class OwnerKind(StrEnum):
    """Who owns a task: exactly one of these at any time."""

    AGENT = "agent"
    QUEUE = "queue"
    PERSON = "person"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task as it stands.

    Attributes
    ----------
    owner_kind, owner_id
        Who owns it. Nobody has an empty id.
    epoch : int
        Fencing token: rises by one at every change of owner.
    facts : Mapping
        See `serving.store.log.facts_after`.
    """

    task_id: str
    owner_kind: OwnerKind
    owner_id: str
    epoch: int
    facts: Mapping[str, Any]

    @classmethod
    def begun(cls, task_id: str, facts: Mapping[str, Any]) -> Self:
        """Return a new task, owned by its agent."""
        return cls(
            task_id=task_id,
            owner_kind=OwnerKind.AGENT,
            owner_id=facts.get("agent_id", ""),
            epoch=1,
            facts=facts,
        )

    @property
    def owner(self) -> dict[str, str]:
        """The owner as answers and records show it."""
        return {"kind": str(self.owner_kind), "id": self.owner_id}

    def may_act(self, epoch: int | None) -> bool:
        """Whether an agent that knows of `epoch` (None: of none) still owns it."""
        return self.owner_kind is OwnerKind.AGENT and epoch in (None, self.epoch)

    def owned_by(self, kind: OwnerKind, owner_id: str) -> Task:
        """Return the task in other hands, under the next epoch."""
        return replace(self, owner_kind=kind, owner_id=owner_id, epoch=self.epoch + 1)

    def audited(self) -> dict[str, Any]:
        """Return what the record that a changed row points at must say of it."""
        return {"task": self.task_id, "owner": self.owner, "epoch": self.epoch}

    def add(self, tx: Transaction, *, audit_seq: int) -> None:
        """Insert the task, under its audit record."""
        tx.run(_ADD, **self._row(), audit_seq=audit_seq)

    def update(self, tx: Transaction, *, audit_seq: int) -> None:
        """Update the task's row, under its audit record."""
        tx.run(_UPDATE, **self._row(), audit_seq=audit_seq)

    def _row(self) -> dict[str, Any]:
        return {
            "task_id": self.task_id,
            "owner_kind": str(self.owner_kind),
            "owner_id": self.owner_id,
            "epoch": self.epoch,
            "facts": orjson.dumps(self.facts, option=orjson.OPT_SORT_KEYS),
        }


def find(reader: Reader, task_id: str) -> Task | None:
    """Return the task called `task_id`, or None."""
    row = reader.one(_FIND, task_id=task_id)
    return None if row is None else _task(row)


def get(reader: Reader, task_id: str) -> Task:
    """Return the task called `task_id`.

    Raises
    ------
    Problem
        unknown-task, if there is none.
    """
    task = find(reader, task_id)
    if task is None:
        raise unknown(task_id)
    return task


def unknown(task_id: str) -> Problem:
    """Return the problem of a task that is not known here."""
    return Problem(
        ProblemType.UNKNOWN_TASK,
        f"expected a task known here, found {task_id!r}; a task begins with its first "
        "event",
        task_id=task_id,
    )


def _task(row: Row) -> Task:
    return Task(
        task_id=row["task_id"],
        owner_kind=OwnerKind(row["owner_kind"]),
        owner_id=row["owner_id"],
        epoch=row["epoch"],
        facts=orjson.loads(row["facts"]),
    )
