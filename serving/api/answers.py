"""What the HTTP surface answers, for the OpenAPI document and for the tests.

The engine answers with plain dicts, so that the hot path pays for no model. The tests
hold every real answer against these, with unknown fields refused: neither can drift.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]


class Answer(BaseModel):
    """An answer; unknown fields are refused, so that a test sees them."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Owner(Answer):
    """Who owns a task."""

    kind: Literal["agent", "queue", "person", "nobody"]
    id: str


class Refused(Answer):
    """An event that breaks the contract; the others of its batch were kept."""

    index: int = Field(description="Its place in the request, from 0.")
    event_id: str | None
    field: str
    expected: str
    found: str


class Reason(Answer):
    """A trigger that fired, and what it says to the person who takes over."""

    trigger: str
    says: str


class Audit(Answer):
    """How probable a review is; what was drawn is not the agent's to know."""

    propensity: Share


class DecisionAnswer(Answer):
    """CONTINUE, ESCALATE or SAFE_STOP, with reasons and versions."""

    decision_id: str
    action: Literal["CONTINUE", "ESCALATE", "SAFE_STOP"]
    effective: bool = Field(description="False where the policy's mode only records.")
    reasons: list[Reason]
    risk: Share | None = Field(description="Calibrated probability of need; or none.")
    threshold: float | None
    source: Literal["model", "rules"]
    mode: Literal["shadow", "canary", "enforce"]
    policy_version: str
    model_version: str | None
    audit: Audit


class HandoffRef(Answer):
    """The handoff that a decision made."""

    handoff_id: str
    queue: str
    priority: str
    acknowledge_by: datetime
    resolve_by: datetime
    lacking: list[str] = Field(
        description="Parts of the package that are poorer than they should be."
    )


class StepAnswer(Answer):
    """The answer to one step: who owns the task now, and whether to go on."""

    task_id: str
    epoch: int
    owner: Owner
    accepted: list[str]
    refused: list[Refused]
    decision: DecisionAnswer | None = Field(
        description="None where the events are outcomes, or for whoever has the task."
    )
    handoff: HandoffRef | None
    message: str | None = Field(description="For the user; one for each handover.")
    message_id: str | None = Field(description="Show the user each id once.")


class TokenState(Answer):
    """Whether an action token is good, and if not, why."""

    good: bool
    fault: str | None = Field(examples=["expired", "old_epoch", "used"])
    expected: str | None
    found: str | None
    consumed: bool = Field(description="Whether this call used it up.")


class ViolationItem(Answer):
    """What the agent still sent after the handover."""

    event_id: str
    kind: str
    tool: str | None
    epoch: int | None = Field(description="The one it named.")
    acted: bool = Field(description="It was done after the handover, not only tried.")
    at: datetime = Field(description="As the agent says.")
    seen_at: datetime
    event: dict[str, Any]


class ContributionAnswer(Answer):
    """How one signal moved the score, in log-odds."""

    signal: str
    value: float | None
    contribution: float


class ScoreAnswer(Answer):
    """What would be decided on the events sent; nothing was stored."""

    risk: Share | None
    between: list[Share] | None = Field(
        description="Lowest and highest risk that the labels behind the model leave "
        "open at this score: far apart where few lie near. No confidence interval.",
    )
    threshold: float | None
    action: Literal["CONTINUE", "ESCALATE", "SAFE_STOP"]
    reasons: list[Reason]
    source: Literal["model", "rules"]
    base: float | None = Field(description="Where the contributions start, log-odds.")
    contributions: list[ContributionAnswer] = Field(
        description="Given where the task would be handed over."
    )
    policy_version: str
    model_version: str | None
    refused: list[Refused]


class NoticeItem(Answer):
    """The one message of a handover to the user, as it was made."""

    message_id: str
    handoff_id: str
    state: Literal["pending", "shown"] = Field(
        description="Whether the host application has said that the user saw it."
    )
    text: str
    wait_s: float | None = Field(description="What was promised.")
    said_at: datetime
    shown_at: datetime | None


class PresentItem(Answer):
    """Somebody who is there: seen within the last 30 s."""

    who: str
    role: Literal["user", "person", "agent"]
    doing: Literal["", "typing"]
    seen_at: datetime


class MessageItem(Answer):
    """A message of the log."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    message_id: str = Field(description="Followers show each id once.")
    speaker: Literal["user", "agent", "person"] = Field(alias="from")
    by: str | None
    handoff_id: str | None
    text: str
    attachments: list[dict[str, Any]]
    at: datetime
    place: int = Field(description="In the task's log, from 0.")


class TaskAnswer(Answer):
    """How a task stands."""

    task_id: str
    owner: Owner
    epoch: int
    events: int
    request: str
    domain: str
    agent_id: str
    agent_version: str
    account: dict[str, Any]
    decision: DecisionAnswer | None
    handoff_id: str | None
    message: str | None = Field(
        description="For the user, under `message_id`, in words that hold now."
    )
    message_id: str | None = Field(description="Show the user each id once.")
    notice: NoticeItem | None
    expected_wait_s: float | None = Field(
        description="Until a person takes it up, as it looks now; while it waits."
    )
    presence: list[PresentItem]
    guidance: str | None = Field(description="For the agent that got the task back.")


class QueueItem(Answer):
    """A queue, who answers for it, and what waits there."""

    queue: str
    owner: str
    members: list[str]
    is_open: bool
    unattended: bool = Field(description="Declared: nobody may be there at times.")
    absent_from: datetime | None = Field(
        description="When nobody is first there, on its whole chain, in 14 days."
    )
    waiting: int
    claimed: int
    overdue: int = Field(description="Of those, how many missed a deadline.")
    capacity: int | None
    expected_wait_s: float = Field(description="Of one that came now.")
    closed_per_hour: float = Field(description="Over the last 24 hours.")
    oldest_s: float
    acknowledge_within_s: float
    resolve_within_s: float
    chain: list[str]


class QueueList(Answer):
    """Every queue of the policy."""

    queues: list[QueueItem]


class HandoffItem(Answer):
    """One handoff, as a list shows it."""

    handoff_id: str
    task_id: str
    epoch: int
    queue: str
    chain: list[str]
    status: Literal["QUEUED", "CLAIMED", "RESOLVED", "RETURNED"]
    priority: Literal["urgent", "high", "normal"]
    skills: list[str]
    triggers: list[Reason]
    risk: Share | None
    threshold: float | None
    queued_at: datetime
    acknowledge_by: datetime
    resolve_by: datetime
    claimed_by: str | None
    claimed_at: datetime | None
    lease_until: datetime | None = Field(
        description="When the claim ends by itself, unless it is renewed."
    )
    climbs: int = Field(description="Deadlines missed so far.")
    is_overdue: bool = Field(description="A deadline was missed, and is not made good.")
    shed: str | None = Field(description="Which queue had no room for it, and why.")
    request: str
    domain: str
    account: dict[str, Any]


class HistoryItem(Answer):
    """One thing that happened to a handoff."""

    at: datetime
    by: str
    what: str


class Rating(Answer):
    """Whether the package was enough, in the latest opinion."""

    by: str
    sufficient: bool
    missing: list[str] = Field(description="Parts of the package it lacked.")
    note: str
    at: datetime


class HandoffAnswer(HandoffItem):
    """One handoff with its whole package."""

    package: dict[str, Any] | None = Field(
        description="The context package, schema `escalon.package/2`."
    )
    package_sha256: str | None
    rating: Rating | None
    resolution: dict[str, Any] | None = Field(
        description="What the closing event says, once closed."
    )
    messages: list[MessageItem] = Field(
        description="What was said while it lasted, after what the package holds."
    )
    history: list[HistoryItem]
    violations: list[ViolationItem] = Field(
        description="What the agent still sent after it had lost the task."
    )


class HandoffList(Answer):
    """A page of handoffs."""

    handoffs: list[HandoffItem]


class OutcomesAnswer(Answer):
    """Which outcomes were kept."""

    accepted: list[str]
    refused: list[Refused]


class AuditRecord(Answer):
    """One record: its leaf hash is SHA-256 over a zero byte and the stored bytes."""

    seq: int
    leaf: str
    body: dict[str, Any]


class AuditAnswer(Answer):
    """Records in order, and size and root of the whole log."""

    size: int
    root: str
    records: list[AuditRecord]


class PolicyAnswer(Answer):
    """The policy document that decides now."""

    version: str
    digest: str
    document: dict[str, Any]


class ProblemAnswer(BaseModel):
    """RFC 9457 problem details; `type` is stable, other fields go with it."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:escalon:problem:stale-epoch"])
    title: str
    status: int
    detail: str
