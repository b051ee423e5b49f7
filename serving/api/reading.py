"""Reading: from the bytes of a request to a checked value, or a refusal that says why.

Nothing here knows a web framework: the surface and the door to BentoML both use it.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from serving.api.edge import EdgeProblem, faults, is_foreign, problem_json
from serving.problems import ProblemType

M = TypeVar("M", bound=BaseModel)


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
        malformed-json, with line and column.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(
            EdgeProblem.MALFORMED_JSON,
            f"expected JSON, found {error.msg} at line {error.lineno}, column "
            f"{error.colno}",
            line=error.lineno,
            column=error.colno,
        ) from None


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
