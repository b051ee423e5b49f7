"""What the HTTP surface takes: requests, checked by Pydantic before the engine runs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from features.events import EventKind
from serving.policy.sufficiency import PackagePart

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)
]
Words = Annotated[str, StringConstraints(strip_whitespace=True, max_length=20_000)]
Said = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)
]
Epoch = Annotated[int, Field(ge=0, description="The epoch under which the agent acts.")]
# Any JSON value passes: the event contract is the engine's to check, one event at a
# time, so that the good events of a batch are kept.
Event = Annotated[
    Any,
    WithJsonSchema(
        {
            "type": "object",
            "title": "Event",
            "description": (
                "One line of a task's log. Beside the required fields it carries what "
                "its kind carries; unknown kinds and fields are kept."
            ),
            "required": ["event_id", "at", "kind"],
            "properties": {
                "event_id": {
                    "type": "string",
                    "description": "Idempotency key, unique in the task.",
                },
                "at": {"type": "string", "format": "date-time"},
                "kind": {"type": "string", "examples": [str(k) for k in EventKind]},
                "task_id": {"type": "string"},
                "text": {"type": "string"},
            },
            "additionalProperties": True,
        }
    ),
]


class Request(BaseModel):
    """A request body or query; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Events(Request):
    """Events in log order; a bare list, or one event alone, is taken as well."""

    events: list[Event]

    @model_validator(mode="before")
    @classmethod
    def _as_object(cls, value: Any) -> Any:
        if isinstance(value, list):
            return {"events": value}
        if isinstance(value, dict) and "events" not in value:
            return {"events": [value]}
        return value


class EventsRequest(Events):
    """Events to append, in log order, under the epoch in which the agent acts."""

    epoch: Epoch | None = None


class ScoreRequest(Events):
    """The events of one task so far; nothing is stored."""


class OutcomesRequest(Events):
    """Outcome events; each names its `task_id`."""


class EscalateRequest(Request):
    """An explicit wish for a human; always honoured."""

    by: Name = Field(description="Who asks: `agent`, `user`, or a name.")
    reason: Said = Field(description="Why, in words for the human.")
    epoch: Epoch | None = None


class MemberRequest(Request):
    """Who acts: a member of the handoff's queue."""

    by: Name


class Needed(StrEnum):
    """Whether the task needed a human, in a reviewer's judgement."""

    YES = "yes"
    NO = "no"
    UNCERTAIN = "uncertain"


class ResolveRequest(MemberRequest):
    """The human's verdict on a claimed handoff; becomes a label."""

    needed: Needed
    note: Words = ""
    minutes: Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False)] | None = (
        Field(default=None, description="Time spent, in minutes.")
    )


class ReturnRequest(MemberRequest):
    """Back to the agent, under a new epoch, with guidance."""

    guidance: Said


class RateRequest(MemberRequest):
    """Whether the package was enough to take over without asking again."""

    sufficient: bool
    missing: list[PackagePart] = Field(
        default_factory=list, max_length=50, description="The parts it lacked."
    )
    note: Words = Field(default="", description="What else was missing, in words.")


class HandoffStatusName(StrEnum):
    """Where a handoff stands, as asked for in a query."""

    QUEUED = "QUEUED"
    CLAIMED = "CLAIMED"
    RESOLVED = "RESOLVED"
    RETURNED = "RETURNED"


class HandoffsQuery(Request):
    """Which handoffs to list."""

    queue: Name | None = None
    status: HandoffStatusName | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    offset: Annotated[int, Field(ge=0)] = 0


class AuditQuery(Request):
    """Which audit records to list, by sequence number."""

    start: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100
