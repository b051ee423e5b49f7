"""HTTP surface v1: JSON in, JSON out; errors are RFC 9457 problem details."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from serving.api import openapi
from serving.api.answers import StepAnswer
from serving.api.edge import PROBLEM_MEDIA, EdgeProblem, problem_json
from serving.api.metrics import CONTENT_TYPE, Found, Metrics
from serving.api.operation import Call, Operation
from serving.api.otlp import MAX_EXPORT_BYTES, Otlp
from serving.api.reading import Refusal, check_sender, checked, collected, parsed
from serving.api.surface import OPERATIONS
from serving.engine import Engine
from serving.engine.receiving import Receiver
from serving.problems import Problem
from serving.safely import Failure, attempt
from serving.store.transaction import StoreError

MAX_BODY_BYTES = 1_048_576
MAX_EVENTS = 1_000
# Long enough for a restart, short enough for an agent that waits, in s.
_RETRY_AFTER = "2"

Endpoint = Callable[[Request], Awaitable[Response]]
T = TypeVar("T")
logger = logging.getLogger(__name__)


class Api:
    """The routes over one engine.

    Parameters
    ----------
    engine : Engine
        Answers the calls.
    max_body_bytes, max_events, max_export_bytes : int
        Limits of one call.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        max_body_bytes: int = MAX_BODY_BYTES,
        max_events: int = MAX_EVENTS,
        max_export_bytes: int = MAX_EXPORT_BYTES,
    ) -> None:
        self._engine = engine
        self._max_export_bytes = max_export_bytes
        self._max_body_bytes = max_body_bytes
        self._max_events = max_events
        self._metrics = Metrics(engine.queues, engine.health, self._found)
        self._document = _json(openapi.document(OPERATIONS))

    def routes(self) -> list[Route]:
        """Return every route, the hottest first."""
        return [
            *(self._route(operation) for operation in OPERATIONS),
            *self._otlp().routes(),
            Route("/v1/openapi.json", self._openapi),
            Route("/metrics", self._scraped),
        ]

    def _found(self) -> Found:
        """Return the alarms that are open, and the certificates that do not hold."""
        monitors = self._engine.monitors
        return monitors.standing(), monitors.withdrawn()

    def _otlp(self) -> Otlp:
        receiver = Receiver(self._engine, lambda answer: self._count(answer, None))
        return Otlp(receiver, self._off_loop, max_bytes=self._max_export_bytes)

    def _route(self, operation: Operation) -> Route:
        return Route(
            operation.path,
            self._endpoint(operation),
            methods=[operation.method],
            name=operation.name,
        )

    def _endpoint(self, operation: Operation) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            call = await self._read(operation, request)
            started = time.perf_counter()
            try:
                answer = await self._off_loop(lambda: operation.run(self._engine, call))
            except Problem as problem:
                # The good events of a bad batch were decided on all the same.
                self._count(problem.extra, started)
                raise
            if operation.answer is StepAnswer:
                self._count(answer, started)
            return _answer(answer)

        return endpoint

    def _count(self, answer: Mapping[str, Any], started: float | None) -> None:
        decision = answer.get("decision")
        if decision is not None:
            took = None if started is None else time.perf_counter() - started
            self._metrics.decided(decision, took)

    # --- what comes in -------------------------------------------------------

    async def _read(self, operation: Operation, request: Request) -> Call:
        query = body = None
        limit = self._max_events
        if operation.query is not None:
            given = dict(parse_qsl(request.url.query, keep_blank_values=True))
            query = checked(operation.query, given, most_events=limit)
        if operation.body is not None:
            check_sender(request.headers)
            sent = await collected(request.stream(), most=self._max_body_bytes)
            body = checked(operation.body, parsed(sent), most_events=limit)
        return Call(path=request.path_params, query=query, body=body)

    # --- what is asked beside the table ---------------------------------------

    async def _openapi(self, _: Request) -> Response:
        return Response(self._document, media_type="application/json")

    async def _scraped(self, _: Request) -> Response:
        text = await self._off_loop(self._metrics.exposed)
        return Response(text, headers={"content-type": CONTENT_TYPE})

    async def _off_loop(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, run where it may block.

        A failure nobody foresaw becomes a `Refusal` here, so that its message, which
        may hold words of a user, reaches neither the caller nor the log.
        """
        outcome = await run_in_threadpool(attempt, work)
        if not isinstance(outcome, Failure):
            return outcome
        if isinstance(outcome.error, Problem | Refusal | StoreError):
            raise outcome.error
        where = "".join(traceback.format_tb(outcome.error.__traceback__))
        logger.error(
            "call failed: %s\n%s", outcome.name, where, extra={"action": "call_failed"}
        )
        detail = "the call failed for a reason of ours; the log of the service has it"
        raise Refusal(EdgeProblem.INTERNAL, detail)

    # --- what goes wrong -----------------------------------------------------

    def refused(self, _: Request, error: Exception) -> Response:
        """Return the answer to a request that ended in `error`, and count it."""
        problem, headers = _problem_of(error)
        self._metrics.refused(problem["type"])
        return Response(
            _json(problem),
            status_code=problem["status"],
            headers=headers,
            media_type=PROBLEM_MEDIA,
        )


def make_api(
    engine: Engine,
    *,
    max_body_bytes: int = MAX_BODY_BYTES,
    max_events: int = MAX_EVENTS,
    max_export_bytes: int = MAX_EXPORT_BYTES,
) -> Starlette:
    """Return the HTTP surface v1 over `engine`, as an ASGI application.

    Parameters
    ----------
    engine : Engine
        Answers the calls; on threads of their own, so that none waits for another.
    max_body_bytes, max_events, max_export_bytes : int
        Limits of one call; the answer names the one that was passed.
    """
    api = Api(
        engine,
        max_body_bytes=max_body_bytes,
        max_events=max_events,
        max_export_bytes=max_export_bytes,
    )
    errors = (Problem, Refusal, StoreError, HTTPException, ClientDisconnect)
    return Starlette(
        routes=api.routes(),
        exception_handlers=dict.fromkeys(errors, api.refused),
    )


def _json(value: Any) -> bytes:
    return orjson.dumps(value)


def _answer(value: Any) -> Response:
    return Response(_json(value), media_type="application/json")


def _problem_of(error: Exception) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the problem that `error` is, and what goes into the headers with it."""
    match error:
        case Problem():
            return error.to_json(), {}
        case Refusal():
            return error.problem, {}
        case StoreError():
            logger.error("store unavailable", extra={"action": "store_unavailable"})
            detail = "nothing was kept; stop safely, and send the same call again"
            kind = EdgeProblem.UNAVAILABLE
            return problem_json(kind, detail), {"retry-after": _RETRY_AFTER}
        case HTTPException():
            return _routing_problem(error)
        case ClientDisconnect():
            detail = "the caller left before its body was whole; nothing was kept"
            return problem_json(EdgeProblem.MALFORMED_JSON, detail), {}
        case _:
            raise error


def _routing_problem(error: HTTPException) -> tuple[dict[str, Any], dict[str, str]]:
    headers = dict(error.headers or {})
    if error.status_code == EdgeProblem.NO_SUCH_METHOD.status:
        known = headers.get("Allow", "")
        detail = f"this address takes {known}"
        return problem_json(EdgeProblem.NO_SUCH_METHOD, detail), headers
    detail = "nothing has this address; GET /v1/openapi.json lists those that exist"
    return problem_json(EdgeProblem.NO_SUCH_ADDRESS, detail), headers
