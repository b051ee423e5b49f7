"""The edge: what a call can be refused with before the engine is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from serving.problems import ProblemType

PROBLEM_MEDIA = "application/problem+json"
_MAX_SHOWN = 60


class EdgeProblem(Enum):
    """What can be wrong before the engine is asked: slug, HTTP status, title."""

    MALFORMED_JSON = ("malformed-json", 400, "The body is not JSON")
    MALFORMED_EXPORT = ("malformed-export", 400, "The export cannot be unpacked")
    FOREIGN_PAGE = ("foreign-page", 403, "Not from a page of another site")
    NO_SUCH_ADDRESS = ("no-such-address", 404, "Nothing has this address")
    NO_SUCH_METHOD = ("no-such-method", 405, "This address knows other methods")
    BODY_TOO_LARGE = ("body-too-large", 413, "The body is too large")
    TOO_MANY_EVENTS = ("too-many-events", 413, "Too many events in one call")
    NOT_JSON = ("not-json", 415, "The body must be JSON")
    UNKNOWN_HOST = ("unknown-host", 421, "The service has no such name")
    INTERNAL = ("internal", 500, "The service failed")
    TOO_MANY_FOLLOWERS = ("too-many-followers", 503, "Too many follow tasks live")
    UNAVAILABLE = ("unavailable", 503, "The store does not answer")

    def __init__(self, slug: str, status: int, title: str) -> None:
        self.slug = slug
        self.status = status
        self.title = title


def problem_json(
    kind: EdgeProblem | ProblemType, detail: str, **extra: Any
) -> dict[str, Any]:
    """Return problem details as `serving.problems.Problem.to_json` gives them."""
    return {
        **extra,
        "type": f"urn:escalon:problem:{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
    }


def faults(error: ValidationError) -> Iterator[dict[str, str]]:
    """Yield what is wrong with a request: ``{"field", "expected", "found"}`` each."""
    for fault in error.errors(include_url=False, include_context=False):
        found = repr(fault["input"])
        if len(found) > _MAX_SHOWN:
            found = found[: _MAX_SHOWN - 1] + "…"
        absent = fault["type"] == "missing"
        yield {
            "field": ".".join(str(part) for part in fault["loc"]) or "body",
            "expected": fault["msg"].removeprefix("Input should be "),
            "found": "nothing" if absent else found,
        }


def is_foreign(headers: Mapping[str, str]) -> bool:
    """Whether a page of another site made the browser send this request.

    Browsers name the sender in headers that no page can set. Callers that are no
    browsers send neither, and nobody's cookies.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")
