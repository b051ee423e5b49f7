"""Errors: what an agent must act on; each says what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class EscalonError(Exception):
    """Whatever this package raises on purpose."""


class OwnershipLost(EscalonError):  # noqa: N818 - what happened, not a fault
    """The task belongs to somebody else: stop, tell the user, do nothing more.

    Attributes
    ----------
    task_id : str
    owner : Mapping
        Kind and id of who has the task now.
    epoch : int or None
        Under which they have it.
    message, message_id : str or None
        For the user; show each id once.
    """

    def __init__(
        self,
        task_id: str,
        *,
        owner: Mapping[str, Any],
        epoch: int | None,
        message: str | None,
        message_id: str | None,
    ) -> None:
        held = f"{owner.get('kind', 'somebody')} {owner.get('id', '')}".strip()
        super().__init__(
            f"task {task_id!r} belongs to {held} under epoch {epoch}; show the user "
            "the message, call no tool, and send on only what the user says"
        )
        self.task_id = task_id
        self.owner = owner
        self.epoch = epoch
        self.message = message
        self.message_id = message_id


class SafeStop(EscalonError):  # noqa: N818 - what to do, not a fault
    """The service is away and a local rule said stop: call no tool, tell the user.

    Attributes
    ----------
    message : str
        For the user.
    """

    def __init__(self, task_id: str, *, reason: str, message: str) -> None:
        super().__init__(
            f"task {task_id!r} was stopped here ({reason}) while the service is away; "
            "show the user the message, and send again once the service is back"
        )
        self.task_id = task_id
        self.reason = reason
        self.message = message


class ServiceAway(EscalonError):  # noqa: N818 - what happened, not a fault
    """The service does not answer, and without it this must not be done."""


class Refused(EscalonError):  # noqa: N818 - the answer, not a fault of this package
    """The service refused the call; sending the same again will not help.

    Attributes
    ----------
    status : int
        Of HTTP.
    problem : Mapping
        RFC 9457 problem details, with a stable `type`.
    """

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        what = problem.get("type", "no problem details")
        super().__init__(f"{status} {what}: {problem.get('detail', '')}")
        self.status = status
        self.problem = problem

    @property
    def slug(self) -> str:
        """The last word of the problem's type, such as ``"stale-epoch"``."""
        return str(self.problem.get("type", "")).rpartition(":")[2]
