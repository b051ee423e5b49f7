"""Noticing: the one message of a handover, as it is told at any moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from serving.policy import fallback, router
from serving.policy.audit import rfc3339
from serving.policy.handoff import Handoff, HandoffStatus
from serving.policy.rules import SAFE_STOP, Policy, Queue
from serving.policy.trigger import Action
from serving.safely import Failure, attempt
from serving.store import handoffs, notices
from serving.store.notices import Notice, Shown
from serving.store.tasks import OwnerKind, Task
from serving.store.transaction import Reader

_ACTION = "SELECT action FROM decision WHERE decision_id = :decision_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What is told of the last handover of a task, at one moment.

    Attributes
    ----------
    message : str or None
        For the user; None: there is nothing to tell them.
    wait : timedelta or None
        Until a person takes it up, as it looks now; None: one has, or nobody will.
    """

    notice: Notice | None = None
    message: str | None = None
    wait: timedelta | None = None

    @property
    def message_id(self) -> str | None:
        """Under which the user must see the message once."""
        told = self.notice is not None and self.message is not None
        return self.notice.message_id if told and self.notice else None

    def to_json(self) -> dict[str, Any]:
        """Return message and id, as every answer that tells them holds them."""
        return {"message": self.message, "message_id": self.message_id}

    def noted(self) -> dict[str, Any] | None:
        """Return what is known of the notice: what it said, and whether it was seen."""
        notice = self.notice
        if notice is None or notice.said_at is None:
            return None
        wait, shown_at = notice.wait, notice.shown_at
        return {
            "message_id": notice.message_id,
            "handoff_id": notice.handoff_id,
            "state": str(notice.state),
            "text": notice.text,
            "wait_s": None if wait is None else wait.total_seconds(),
            "said_at": rfc3339(notice.said_at),
            "shown_at": None if shown_at is None else rfc3339(shown_at),
        }


def telling(reader: Reader, policy: Policy, task: Task, at: datetime) -> Telling:
    """Return what is to be told of the last handover of `task` at `at`.

    One message for each handover, under one id, whoever asks and however often. Its
    words are those it was made with, as long as they hold: to a user who has not seen
    it, it does not promise what can no longer be kept. Once the agent has the task
    back, there is nothing to tell.
    """
    row = handoffs.last_of(reader, task.task_id)
    if row is None:
        return Telling()
    handoff = handoffs.get(reader, row["handoff_id"])
    notice = notices.find(reader, handoff.handoff_id)
    if notice is None:
        return Telling()
    if task.owner_kind is OwnerKind.AGENT:
        return Telling(notice=notice)
    if handoff.status is not HandoffStatus.QUEUED:
        return Telling(notice=notice, message=notice.text)
    wait = expected_wait(reader, policy, handoff, at)
    message: str | None = notice.text
    if notice.state is Shown.PENDING and not _holds(notice, handoff, policy, at):
        stops = _is_safe_stop(reader, row["decision_id"])
        message = _anew(policy, task, handoff, stops=stops, wait=wait, at=at)
    return Telling(notice=notice, message=message or notice.text, wait=wait)


def expected_wait(
    reader: Reader, policy: Policy, handoff: Handoff, at: datetime
) -> timedelta | None:
    """Return until when a person takes up a waiting handoff, as it looks at `at`.

    None where nobody can say: its queue does not open within a year, or the policy
    knows it no more.
    """
    queue = _queue(policy, handoff.queue)
    if queue is None:
        return None
    return router.wait_at(queue, at, ahead=notices.ahead_of(reader, handoff))


def _queue(policy: Policy, name: str) -> Queue | None:
    return next((queue for queue in policy.queues if queue.name == name), None)


def _holds(notice: Notice, handoff: Handoff, policy: Policy, at: datetime) -> bool:
    """Whether somebody can still come within the wait that was promised."""
    queue = _queue(policy, handoff.queue)
    if queue is None or notice.wait is None or notice.said_at is None:
        return True  # Nothing better is known than what was said.
    opening = queue.hours.next_opening(at)
    return opening is not None and opening <= notice.said_at + notice.wait


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A handoff as the responder sees it: where it waits, and for how long."""

    queue: str
    expected_wait: timedelta


def _is_safe_stop(reader: Reader, decision_id: str) -> bool:
    row = reader.one(_ACTION, decision_id=decision_id)
    return row is not None and row["action"] == Action.SAFE_STOP


def _anew(
    policy: Policy,
    task: Task,
    handoff: Handoff,
    *,
    stops: bool,
    wait: timedelta | None,
    at: datetime,
) -> str | None:
    """Return the message in the words of `at`; None where there are none."""
    if wait is None:
        return None
    reasons = (SAFE_STOP,) if stops else ()
    fired = tuple(firing.trigger for firing in handoff.firings)
    said = attempt(
        partial(
            fallback.reworded,
            (*reasons, *fired),
            _Line(queue=handoff.queue, expected_wait=wait),
            policy,
            str(task.facts.get("locale", "")),
            at,
        )
    )
    return None if isinstance(said, Failure) else said
