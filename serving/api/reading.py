"""Reading: from the bytes of a request to a checked value, or a refusal that says why.

Nothing here knows a web framework: the surface and the door to BentoML both use it.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterable, Mapping
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from serving.api.edge import EdgeProblem, faults, is_foreign, problem_json
from serving.problems import ProblemType

M = TypeVar("M", bound=BaseModel)

_MOST_DIGITS = 20  # of a whole number of 64 bits, with its sign
# What may be a longer one. In a text it is none: the slow reading tells.
_LONG_NUMBER = re.compile(rb"\d{19}")


class Refusal(Exception):  # noqa: N818 - it becomes a problem, not an error of ours
    """A request that is turned away before the engine is asked.

    Attributes
    ----------
    problem : dict
        Problem details.
    """

    def __init__(
        self, kind: EdgeProblem | ProblemType, detail: str, **extra: Any
    ) -> None:
        super().__init__(detail)
        self.problem = problem_json(kind, detail, **extra)


async def collected(chunks: AsyncIterable[bytes], *, most: int) -> bytes:
    """Return the body that arrives as `chunks`, if it has at most `most` bytes.

    Raises
    ------
    Refusal
        body-too-large; the rest is not read.
    """
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > most:
            raise Refusal(
                EdgeProblem.BODY_TOO_LARGE,
                f"a body may have {most} bytes, this one has more; send the events in "
                "several calls",
                limit_bytes=most,
            )
    return bytes(body)


def parsed(body: bytes) -> Any:
    """Return the JSON value in `body`.

    Raises
    ------
    Refusal
        malformed-json, with line and column; or with the whole number that has more
        than 64 bits, which would be kept as another.
    """
    try:
        value = orjson.loads(body)
        if _LONG_NUMBER.search(body) is not None:
            json.loads(body, parse_int=_whole_number)
    except RecursionError:
        msg = "expected JSON of at most 200 levels, found more"
        raise Refusal(EdgeProblem.MALFORMED_JSON, msg) from None
    except orjson.JSONDecodeError as error:
        raise Refusal(
            EdgeProblem.MALFORMED_JSON,
            f"expected JSON, found {error.msg} at line {error.lineno}, column "
            f"{error.colno}",
            line=error.lineno,
            column=error.colno,
        ) from None
    return value


def _whole_number(digits: str) -> int:
    """Return the number that `digits` are.

    Raises
    ------
    Refusal
        malformed-json, if it has more than 64 bits.
    """
    short = digits[:_MOST_DIGITS]
    if short != digits or not -(2**63) <= int(digits) < 2**64:
        raise Refusal(
            EdgeProblem.MALFORMED_JSON,
            f"expected whole numbers of at most 64 bits, found {short}…; send it as "
            "text, so that every digit of it is kept",
        )
    return int(digits)


def checked(model: type[M], value: Any, *, most_events: int) -> M:
    """Return `value` as a `model`, whose events, if it has any, are at most so many.

    Raises
    ------
    Refusal
        malformed-request, with each field, or too-many-events.
    """
    try:
        body = model.model_validate(value)
    except ValidationError as error:
        wrong = list(faults(error))
        said = "; ".join(
            f"`{w['field']}` must be {w['expected']}, found {w['found']}" for w in wrong
        )
        raise Refusal(ProblemType.MALFORMED_REQUEST, said, errors=wrong) from None
    if (found := len(getattr(body, "events", ()))) > most_events:
        raise Refusal(
            EdgeProblem.TOO_MANY_EVENTS,
            f"a call may have {most_events} events, this one has {found}; send them in "
            "several calls",
            limit_events=most_events,
        )
    return body


def check_sender(headers: Mapping[str, str]) -> None:
    """Return unless a page of another site made a browser send the request.

    Raises
    ------
    Refusal
        foreign-page.
    """
    if is_foreign(headers):
        raise Refusal(
            EdgeProblem.FOREIGN_PAGE,
            "this call came from a page of another site; agents and tools call "
            "without a browser",
        )
