"""What every part of the policy document has in common."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

Unit = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Words = Annotated[str, Field(min_length=1)]

_SPAN = re.compile(r"(\d+) ?(s|min|h|d)")
_UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days"}


def _span(value: Any) -> Any:
    """Return ``"15 min"`` as a timedelta; anything else is left to Pydantic."""
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else value


def _ahead(span: timedelta) -> timedelta:
    if span <= timedelta(0):
        msg = "a deadline must lie ahead; write a span like `15 min`"
        raise ValueError(msg)
    return span


Span = Annotated[
    timedelta,
    BeforeValidator(_span),
    AfterValidator(_ahead),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^(\d+ ?(s|min|h|d)|P.+)$",
            "description": "A span of time, like `15 min`, `8 h`, `2 d`.",
        }
    ),
]


class Part(BaseModel):
    """A frozen part of the document; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
