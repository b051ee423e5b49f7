"""Live on the surface: words between a person and the user, and who is there."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from serving.api.answers import Answer, MessageItem, Owner, PresentItem
from serving.api.operation import Call, Operation
from serving.api.wire import Name, Request
from serving.engine import Engine
from serving.engine.live import Said
from serving.problems import ProblemType
from serving.store.presence import Doing, Role

MOST_ATTACHMENTS = 50

# --- what is taken ----------------------------------------------------------------

# Not stripped: what is said is passed on byte for byte.
Text = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]


class Speaker(StrEnum):
    """Whose words a message holds."""

    PERSON = "person"
    USER = "user"


class MessageRequest(Request):
    """Words of the person who has the task, or of its user."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    speaker: Annotated[Speaker, Field(alias="from")] = Speaker.PERSON
    by: Name | None = Field(
        default=None, description="The person who has claimed it; absent for the user."
    )
    text: Text
    attachments: list[dict[str, Any]] = Field(
        default_factory=list, max_length=MOST_ATTACHMENTS
    )
    message_id: Name | None = Field(
        default=None, description="Idempotency key; unique in the task."
    )
    handoff_id: Name | None = None

    @model_validator(mode="after")
    def _names_the_person(self) -> Self:
        if (self.speaker is Speaker.PERSON) != (self.by is not None):
            msg = 'expected `by` with a message from "person", and none from "user"'
            raise ValueError(msg)
        return self


class NoticeRequest(Request):
    """The message of a handover that the user has seen."""

    message_id: Name


class PresenceRequest(Request):
    """Somebody who follows the task, and what they are doing."""

    who: Name
    role: Role
    doing: Doing = Doing.NOTHING


class StreamQuery(Request):
    """From where on to follow, and who does."""

    after: Annotated[int, Field(ge=-1)] | None = Field(
        default=None,
        description="Place of the last event already known, -1 for none; without it, "
        "from the last handover on. `Last-Event-ID` goes before it.",
    )
    who: Name | None = None
    role: Role = Role.USER


# --- what is answered -------------------------------------------------------------


class MessageAnswer(MessageItem):
    """The message that was kept; every follower will be told it, in this order."""

    task_id: str
    owner: Owner
    epoch: int
    lease_until: datetime | None = Field(
        description="Until when the person holds the task; speaking renews it."
    )


class NoticeAnswer(Answer):
    """The message of a handover, as one that was seen."""

    task_id: str
    handoff_id: str
    message_id: str
    state: Literal["pending", "shown"]
    shown_at: datetime | None


class PresenceAnswer(Answer):
    """Who is present: seen within the last 30 s."""

    task_id: str
    present: list[PresentItem]


def _said(call: Call) -> Said:
    body: MessageRequest = call.body
    return Said(
        text=body.text,
        by=body.by,
        attachments=tuple(body.attachments),
        message_id=body.message_id,
        handoff_id=body.handoff_id,
    )


def _say(engine: Engine, call: Call) -> Any:
    return engine.live.say(call.path["task_id"], _said(call))


LIVE: tuple[Operation, ...] = (
    Operation(
        method="POST",
        path="/v1/tasks/{task_id}/messages",
        name="say",
        who="operator, host application",
        says="Pass on words of the person who has the task, or of the user.",
        body=MessageRequest,
        answer=MessageAnswer,
        problems=(
            ProblemType.UNKNOWN_TASK,
            ProblemType.NOT_LIVE,
            ProblemType.EVENT_CONFLICT,
            ProblemType.MALFORMED_EVENT,
        ),
        run=_say,
    ),
    Operation(
        method="POST",
        path="/v1/tasks/{task_id}/notice",
        name="shown",
        who="host application",
        says="Say that the user has seen the message of a handover.",
        body=NoticeRequest,
        answer=NoticeAnswer,
        problems=(ProblemType.UNKNOWN_TASK,),
        run=lambda engine, call: engine.live.shown(
            call.path["task_id"], call.body.message_id
        ),
    ),
    Operation(
        method="POST",
        path="/v1/tasks/{task_id}/presence",
        name="presence",
        who="host application, operator",
        says="Say who is there, and whether they are typing.",
        body=PresenceRequest,
        answer=PresenceAnswer,
        problems=(ProblemType.UNKNOWN_TASK,),
        run=lambda engine, call: engine.live.here(
            call.path["task_id"], **call.body.model_dump()
        ),
    ),
)
