"""Problems: what an engine call is refused with, as RFC 9457 problem details."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any


class ProblemType(Enum):
    """What can be wrong: slug, HTTP status, title. Slugs are stable."""

    MALFORMED_EVENT = ("malformed-event", 422, "An event breaks the contract")
    MALFORMED_REQUEST = ("malformed-request", 422, "The request cannot be used")
    UNKNOWN_TASK = ("unknown-task", 404, "No such task")
    UNKNOWN_HANDOFF = ("unknown-handoff", 404, "No such handoff")
    UNKNOWN_ALARM = ("unknown-alarm", 404, "No such alarm")
    NO_SUCH_QUEUE = ("no-such-queue", 404, "No such queue")
    STALE_EPOCH = ("stale-epoch", 409, "The agent does not own this task")
    ALREADY_CLAIMED = ("already-claimed", 409, "Somebody else has it")
    ALREADY_CLEARED = ("already-cleared", 409, "Somebody has cleared it")
    ILLEGAL_TRANSITION = ("illegal-transition", 409, "Not possible in this state")
    EVENT_CONFLICT = ("event-conflict", 409, "The event was sent before, and differed")
    KEY_REUSED = ("key-reused", 422, "The idempotency key was used for another call")
    UNKNOWN_DELIVERY = ("unknown-delivery", 404, "No such delivery")
    NOT_DEAD = ("not-dead", 409, "Only a dead letter can be redriven")
    UNKNOWN_ATTACHMENT = ("unknown-attachment", 404, "No such attachment")
    NO_ATTACHMENTS = ("no-attachments", 501, "This service keeps no attachments")
    DAMAGED_ATTACHMENT = ("damaged-attachment", 500, "The attachment is damaged")
    WRONG_HASH = ("wrong-hash", 422, "The bytes are not those of this hash")
    NOT_LIVE = ("not-live", 409, "No person has this task now")
    NOT_DUE = ("not-due", 409, "No review of this task is due")
    WRONG_REVIEWER = ("wrong-reviewer", 403, "Somebody else must judge this task")
    ENGINE_UNSOUND = ("engine-unsound", 503, "No good round of the auditor lately")
    NOT_A_MEMBER = ("not-a-member", 403, "Only members of the queue may do this")

    def __init__(self, slug: str, status: int, title: str) -> None:
        self.slug = slug
        self.status = status
        self.title = title


class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """A call that was refused.

    Attributes
    ----------
    kind : ProblemType
        What is wrong.
    detail : str
        What was expected, what was found, what to do.
    extra : Mapping
        Other members of the problem details, such as the owner of the task.
    """

    def __init__(self, kind: ProblemType, detail: str, **extra: Any) -> None:
        super().__init__(f"{kind.slug}: {detail}")
        self.kind = kind
        self.detail = detail
        self.extra: Mapping[str, Any] = extra

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.kind.status

    @property
    def type(self) -> str:
        """The stable URN of what is wrong."""
        return f"urn:escalon:problem:{self.kind.slug}"

    @property
    def title(self) -> str:
        """What is wrong, the same words each time."""
        return self.kind.title

    def to_json(self) -> dict[str, Any]:
        """Return the problem details as they go over the wire."""
        return {
            **self.extra,
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
