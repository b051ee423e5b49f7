"""The door to BentoML: what may pass to it, checked first; the rest is answered here.

BentoML picks how to read a body by what the sender says it is, pickles among them. Only
checked JSON for the one API it has, and its own pages, get as far as that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import orjson

from serving.api.edge import PROBLEM_MEDIA, EdgeProblem
from serving.api.reading import Refusal, check_sender, checked, collected, parsed
from serving.api.wire import ScoreRequest

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PREDICT = "/predict"
_PAGES = frozenset({"/", "/docs.json", "/schema.json", "/livez"})
_ASSETS = "/static_content/"


def is_bentos(scope: Scope) -> bool:
    """Whether a request is for what BentoML itself answers."""
    path = scope["path"]
    return path == PREDICT or path in _PAGES or path.startswith(_ASSETS)


def headers_of(scope: Scope) -> Mapping[str, str]:
    """Return the headers of a request, by lower-case name."""
    return {name.decode("latin-1"): v.decode("latin-1") for name, v in scope["headers"]}


def check_host(scope: Scope, known: frozenset[str]) -> None:
    """Return if the caller means this service.

    A page elsewhere can let a name of its own point to this machine; then the browser
    takes our answers for that page's. The name it was called by gives it away.

    Raises
    ------
    Refusal
        unknown-host.
    """
    name = headers_of(scope).get("host", "")
    host = name if name.endswith("]") else name.rpartition(":")[0] or name
    if known and host not in known:
        raise Refusal(
            EdgeProblem.UNKNOWN_HOST,
            f"expected one of {', '.join(sorted(known))}, found {host!r}; set "
            "ESCALATION_HOSTS to the names under which this service is called",
        )


async def checked_predict(
    scope: Scope, receive: Receive, *, most_bytes: int, most_events: int
) -> Receive:
    """Return a `receive` that gives the body of a call again, once it was checked.

    Raises
    ------
    Refusal
        not-json, foreign-page, body-too-large, malformed-json, malformed-request or
        too-many-events.
    """
    headers = headers_of(scope)
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        raise Refusal(
            EdgeProblem.NOT_JSON,
            f"expected content-type application/json, found {media or 'none'}",
        )
    check_sender(headers)
    body = await collected(_chunks(receive), most=most_bytes)
    checked(ScoreRequest, parsed(body), most_events=most_events)
    return _again(body, receive)


async def send_problem(
    send: Send, problem: Mapping[str, Any], *, headers: Mapping[str, str] | None = None
) -> None:
    """Answer with `problem`, as problem details."""
    body = orjson.dumps(problem)
    named = {
        "content-type": PROBLEM_MEDIA,
        "content-length": str(len(body)),
        **(headers or {}),
    }
    await send(
        {
            "type": "http.response.start",
            "status": problem["status"],
            "headers": [(k.encode("latin-1"), v.encode()) for k, v in named.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        yield message.get("body", b"")
        more = message.get("more_body", False)


def _again(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
