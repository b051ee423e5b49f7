"""Batches: what is said of a call's events, where a part of them could not be kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from features.events import ContractError
from serving.engine import replies
from serving.problems import Problem, ProblemType
from serving.store import intake, tasks
from serving.store.intake import Batch, Line
from serving.store.tasks import Task

Answer = dict[str, Any]


def nothing(task: Task | None, task_id: str) -> Answer:
    """Return the answer to a batch of which nothing could be kept."""
    if task is not None:
        return replies.undecided(task, ())
    return {
        "task_id": task_id,
        "epoch": None,
        "owner": None,
        "accepted": [],
        "decision": None,
        "handoff": None,
        "message": None,
        "message_id": None,
    }


def with_refused(answer: Answer, batch: Batch) -> Answer | Problem:
    """Return `answer`, or the problem that holds it if a part of `batch` was bad.

    What was refused belongs to the call, not to the stored answer: the good events
    sent again alone are answered without it.
    """
    return answer if not batch.refused else _malformed(answer, batch.refused)


def _malformed(answer: Answer, refused: Sequence[Mapping[str, Any]]) -> Problem:
    first = refused[0]
    return Problem(
        ProblemType.MALFORMED_EVENT,
        f"{len(refused)} refused, first the event at index {first['index']}: "
        f"`{first['field']}` must be {first['expected']}, found {first['found']}; "
        "the others were kept, send this again once it is right",
        **{**answer, "refused": list(refused)},
    )


def of_outcomes(batch: Batch, unknown: Sequence[Line]) -> Answer | Problem:
    """Return the answer to outcomes, of which some were of tasks not known here.

    Raises
    ------
    Problem
        unknown-task, if nothing else was sent.
    """
    missing = {line.index for line in unknown}
    kept = [ln.event.event_id for ln in batch.lines if ln.index not in missing]
    if unknown and not kept and not batch.refused:
        raise tasks.unknown(unknown[0].event.task_id)
    refused = [*batch.refused, *(_of_unknown_task(line) for line in unknown)]
    answer: Answer = {"accepted": kept, "refused": []}
    if not refused:
        return answer
    return _malformed(answer, sorted(refused, key=lambda one: int(one["index"])))


def _of_unknown_task(line: Line) -> Mapping[str, Any]:
    return intake.refusal(
        line.index,
        ContractError(
            event_id=line.event.event_id,
            field="task_id",
            expected="a task known here",
            found=repr(line.event.task_id),
        ),
    )
