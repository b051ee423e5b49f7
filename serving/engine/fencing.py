"""Fencing: what an agent is told that acts under an epoch which is not its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from serving.engine.noticing import Telling, telling
from serving.policy.decision import Action
from serving.policy.rules import Policy
from serving.problems import Problem, ProblemType
from serving.store import tasks
from serving.store.tasks import Task
from serving.store.transaction import Reader


def owned(
    reader: Reader, task_id: str, epoch: int, policy: Policy, at: datetime
) -> Task:
    """Return the task `task_id` if its agent has it under `epoch`.

    Parameters
    ----------
    policy, at
        For the words of the message, where it has not.

    Raises
    ------
    Problem
        unknown-task, or stale-epoch with owner, epoch and the message for the user.
    """
    task = tasks.get(reader, task_id)
    if not task.may_act(epoch):
        raise stale(task, epoch, telling(reader, policy, task, at))
    return task


def stale(
    task: Task,
    epoch: int | None,
    told: Telling,
    *,
    accepted: Sequence[str] = (),
    refused: Sequence[Mapping[str, Any]] = (),
) -> Problem:
    """Return the problem of an agent that calls for `task` under another epoch.

    Parameters
    ----------
    epoch : int or None
        The one it named.
    told : Telling
        What the user is to be told now.
    accepted, refused : sequence
        What became of the events of its call.
    """
    owner = f"{task.owner_kind} {task.owner_id}".strip()
    named = "no epoch" if epoch is None else f"epoch {epoch}"
    return Problem(
        ProblemType.STALE_EPOCH,
        f"stop: task {task.task_id!r} belongs to {owner} under epoch {task.epoch}, the "
        f"call came under {named}; tell the user the message, do nothing else, and "
        "send on only what the user says",
        task_id=task.task_id,
        owner=task.owner,
        epoch=task.epoch,
        action=str(Action.SAFE_STOP),
        **told.to_json(),
        accepted=list(accepted),
        refused=list(refused),
    )
