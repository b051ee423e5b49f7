"""The part of the surface that is about alarms: what is taken, answered and run."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from serving.api.answers import Answer
from serving.api.operation import Operation
from serving.api.wire import Name, Request, Said
from serving.engine.alarming import MOST_LISTED
from serving.problems import ProblemType
from training.monitor.alarm import Code

_P = ProblemType


class AlarmsQuery(Request):
    """Which alarms to list."""

    open: bool | None = None
    since: AwareDatetime | None = None
    limit: Annotated[int, Field(ge=1, le=MOST_LISTED)] = 50
    offset: Annotated[int, Field(ge=0)] = 0


class ClearRequest(Request):
    """Who says that an alarm is over, and why."""

    by: Name
    why: Said


class AlarmItem(Answer):
    """What a monitor found, since when, and what no longer holds because of it."""

    alarm_id: str
    code: Code
    segment: str = Field(description="The tasks it speaks of; empty: all.")
    severity: Literal["critical", "serious", "notice"]
    says: str
    evidence: dict[str, Any]
    withdraws: str | None = Field(
        description="Segment of the certificate that is withdrawn, empty: all tasks."
    )
    model: str = Field(description="SHA-256 of the bundle it speaks of; or empty.")
    since: datetime = Field(description="When it probably began.")
    raised_at: datetime
    cleared_at: datetime | None
    cleared_by: str | None
    why: str | None = Field(description="Why it was cleared.")


class AlarmList(Answer):
    """Alarms, the open ones first."""

    alarms: list[AlarmItem]
    withdrawn: list[str] = Field(
        description="Segments whose certificate does not hold now; empty: all tasks."
    )


MONITORING: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/v1/alarms",
        name="alarms",
        who="risk owner",
        says="What monitors found: misses, drift, gaming, floods; open or cleared.",
        query=AlarmsQuery,
        answer=AlarmList,
        run=lambda engine, call: engine.monitors.listed(
            is_open=call.query.open,
            since=call.query.since,
            limit=call.query.limit,
            offset=call.query.offset,
        ),
    ),
    Operation(
        method="POST",
        path="/v1/alarms/{alarm_id}/clear",
        name="clear_alarm",
        who="risk owner",
        says="Say that an alarm is over; a certificate it withdrew holds again.",
        body=ClearRequest,
        answer=AlarmItem,
        problems=(_P.UNKNOWN_ALARM, _P.ALREADY_CLEARED),
        run=lambda engine, call: engine.monitors.clear(
            call.path["alarm_id"], by=call.body.by, why=call.body.why
        ),
    ),
)
