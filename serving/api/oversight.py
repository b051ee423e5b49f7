"""Oversight on the surface: what reviewers and risk owners ask, and are told."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, ConfigDict, Field

from serving.api.answers import Answer
from serving.api.operation import Operation
from serving.api.wire import MemberRequest, Name, Needed, Request, Words
from serving.engine.oversight import MOST_REVIEWS
from serving.problems import ProblemType
from training.monitor.kpis import By

# --- what is taken ----------------------------------------------------------------


class ReviewsQuery(Request):
    """Who wants to review, and how many tasks at once."""

    by: Name
    limit: Annotated[int, Field(ge=1, le=MOST_REVIEWS)] = 10


class ReviewRequest(MemberRequest):
    """A reviewer's verdict on a task; becomes a label."""

    needed: Needed
    rubric_version: Name = Field(description="The text it was judged by.")
    note: Words = ""
    seconds: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] | None = (
        Field(default=None, description="Time spent, in seconds.")
    )


class KpisQuery(Request):
    """Which tasks, by their last decision, and what to break the figures down by."""

    since: Annotated[
        AwareDatetime | None, Field(alias="from", description="From here on.")
    ] = None
    to: Annotated[AwareDatetime | None, Field(description="Up to, not with.")] = None
    by: By | None = None


# --- what is answered -------------------------------------------------------------


class RubricAnswer(Answer):
    """What reviewers are asked."""

    version: str
    text: str


class ReviewItem(Answer):
    """A task to judge: what was said and done, and nobody's opinion of it."""

    task_id: str
    due_at: datetime
    request: str
    task: dict[str, Any]
    conversation: list[dict[str, Any]]
    attempts: list[dict[str, Any]]
    record: list[dict[str, Any]] = Field(description="What was looked up or made.")


class ReviewList(Answer):
    """What a reviewer should judge next, what has been due longest first."""

    rubric: RubricAnswer
    due: int = Field(description="How many are due for this reviewer.")
    reviews: list[ReviewItem]


class VerdictAnswer(Answer):
    """The verdict that was kept."""

    task_id: str
    event_id: str
    at: datetime
    by: str
    needed: Literal["yes", "no", "uncertain"]
    rubric_version: str
    corrects: bool = Field(description="Whether it replaces an earlier one.")


class Figure(Answer):
    """A figure with its 95 % interval, or what it would take to know it."""

    value: float | None
    low: float | None
    high: float | None
    n: int = Field(description="What it rests on.")
    method: str
    missing: str = Field(description="What is lacking, or left out; empty: nothing.")


class KpiRow(Answer):
    """The four figures of one period or segment."""

    name: str
    escalation_rate: Figure
    appropriateness: Figure
    miss_rate: Figure
    context_sufficiency: Figure


class KpisAnswer(Answer):
    """The four figures of a window, their trend, and how the desks keep up."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    since: datetime | None = Field(alias="from")
    until: datetime | None
    at: datetime
    escalation_rate: Figure
    appropriateness: Figure
    miss_rate: Figure
    context_sufficiency: Figure
    miss_bound: Figure = Field(description="Above the miss rate with 95 % confidence.")
    agreement: Figure
    kappa: Figure
    service: dict[str, Figure]
    missing_parts: dict[str, Figure] = Field(
        description="Share of the ratings that miss a part, the commonest first."
    )
    trend: list[KpiRow]
    by: By | None
    segments: list[KpiRow]


_REVIEWING = (
    ProblemType.UNKNOWN_TASK,
    ProblemType.NOT_DUE,
    ProblemType.WRONG_REVIEWER,
)

OVERSIGHT: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/v1/reviews",
        name="reviews",
        who="reviewer",
        says="Tasks due for this reviewer, without any opinion of them; the rubric.",
        query=ReviewsQuery,
        answer=ReviewList,
        problems=(ProblemType.WRONG_REVIEWER,),
        run=lambda engine, call: engine.oversight.reviews(
            by=call.query.by, limit=call.query.limit
        ),
    ),
    Operation(
        method="POST",
        path="/v1/reviews/{task_id}",
        name="review",
        who="reviewer",
        says="Judge a task: yes, no or uncertain; it becomes a label.",
        body=ReviewRequest,
        answer=VerdictAnswer,
        problems=_REVIEWING,
        run=lambda engine, call: engine.oversight.review(
            call.path["task_id"], **call.body.model_dump()
        ),
    ),
    Operation(
        method="GET",
        path="/v1/kpis",
        name="kpis",
        who="risk owner",
        says="The four KPIs with intervals, their trend, and a breakdown.",
        query=KpisQuery,
        answer=KpisAnswer,
        run=lambda engine, call: engine.oversight.kpis(
            since=call.query.since, until=call.query.to, by=call.query.by
        ),
    ),
)
