"""Deliveries on the surface: what channels were told, and what was given up."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from serving.api.answers import Answer
from serving.api.operation import Operation
from serving.api.wire import Name, Request
from serving.engine.delivery import MOST_LISTED
from serving.policy.delivery import DeliveryStatus
from serving.problems import ProblemType

_P = ProblemType


class DeliveriesQuery(Request):
    """Which deliveries to list."""

    status: DeliveryStatus | None = None
    channel: Name | None = None
    handoff_id: Name | None = None
    limit: Annotated[int, Field(ge=1, le=MOST_LISTED)] = 50
    offset: Annotated[int, Field(ge=0)] = 0


class RedriveRequest(Request):
    """Who has a dead letter sent again."""

    by: Name


class DeliveryItem(Answer):
    """Something a channel is to be told of a handoff, and what came of it."""

    outbox_id: str = Field(description="The id under which receivers see it.")
    handoff_id: str
    channel: str
    place: int = Field(description="Among what this channel is told of this handoff.")
    kind: str = Field(description="What happened: opened, claimed, resolved, …")
    status: Literal["pending", "done", "dead"]
    attempts: int
    refusals: int = Field(description="Attempts that the channel refused.")
    queued_at: datetime
    next_at: datetime
    expires_at: datetime = Field(description="When it is given up.")
    tried_at: datetime | None
    fell_back: bool = Field(description="Another channel was told in its place.")
    remote_id: str | None = Field(description="What the channel calls it.")
    last_error: str | None


class ChannelItem(Answer):
    """How a channel does."""

    channel: str
    pending: int
    oldest_s: float = Field(description="The longest that anything waits, in s.")
    dead: int
    failures: int = Field(description="Failed attempts in a row.")
    is_down: bool = Field(description="Only asked now and then, to see if it is back.")
    open_until: datetime | None = Field(description="No attempt is made before.")


class DeliveryList(Answer):
    """Deliveries, the newest first, and channels that owe or failed something."""

    deliveries: list[DeliveryItem]
    channels: list[ChannelItem]


DELIVERY: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/v1/deliveries",
        name="deliveries",
        who="operator",
        says="What outside channels were told of handoffs, and what was given up.",
        query=DeliveriesQuery,
        answer=DeliveryList,
        run=lambda engine, call: engine.deliveries.listed(**call.query.model_dump()),
    ),
    Operation(
        method="POST",
        path="/v1/deliveries/{outbox_id}/redrive",
        name="redrive",
        who="operator",
        says="Have a dead letter sent again, under the id it has had.",
        body=RedriveRequest,
        answer=DeliveryItem,
        problems=(_P.UNKNOWN_DELIVERY, _P.NOT_DEAD),
        run=lambda engine, call: engine.deliveries.redrive(
            call.path["outbox_id"], by=call.body.by
        ),
    ),
)
