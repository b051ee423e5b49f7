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
from serving.api.attachments import MAX_ATTACHMENT_BYTES, AttachmentRoutes
from serving.api.edge import PROBLEM_MEDIA, EdgeProblem
from serving.api.headers import REPLAYED_HEADER, key_of, with_epoch
from serving.api.metrics import CONTENT_TYPE, Found, Metrics
from serving.api.operation import Call, Operation
from serving.api.otlp import MAX_EXPORT_BYTES, Otlp
from serving.api.reading import Refusal, check_sender, checked, collected, parsed
from serving.api.refusing import problem_of
from serving.api.stream import Stream
from serving.api.surface import OPERATIONS
from serving.engine import Engine, keys
from serving.engine.auditor import Sound
from serving.engine.keys import Replay
from serving.engine.receiving import Receiver
from serving.problems import Problem
from serving.safely import Failure, attempt
from serving.store.idempotency import Kept
from serving.store.transaction import StoreError

MAX_BODY_BYTES = 1_048_576
MAX_EVENTS = 1_000
_LOWEST_PROBLEM = 400

Endpoint = Callable[[Request], Awaitable[Response]]
T = TypeVar("T")
logger = logging.getLogger(__name__)


class Api:
    """The routes over one engine.

    Parameters
    ----------
    engine : Engine
        Answers the calls.
    max_body_bytes, max_events, max_export_bytes, max_attachment_bytes : int
        Limits of one call.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        max_body_bytes: int = MAX_BODY_BYTES,
        max_events: int = MAX_EVENTS,
        max_export_bytes: int = MAX_EXPORT_BYTES,
        max_attachment_bytes: int = MAX_ATTACHMENT_BYTES,
    ) -> None:
        self._engine = engine
        self._max_export_bytes = max_export_bytes
        self._max_attachment_bytes = max_attachment_bytes
        self._max_body_bytes = max_body_bytes
        self._max_events = max_events
        self._metrics = Metrics(
            engine.queues,
            engine.health,
            self._found,
            self._sound,
            engine.acts_after_handover,
            deliveries=engine.deliveries.load,
        )
        self._document = _json(openapi.document(OPERATIONS))

    def routes(self) -> list[Route]:
        """Return every route, the hottest first."""
        return [
            *(self._route(operation) for operation in OPERATIONS),
            *self._otlp().routes(),
            *self._attachments().routes(),
            *Stream(self._engine.live, self._off_loop).routes(),
            Route("/v1/openapi.json", self._openapi),
            Route("/metrics", self._scraped),
        ]

    def _found(self) -> Found:
        """Return the alarms that are open, and the certificates that do not hold."""
        monitors = self._engine.monitors
        return monitors.standing(), monitors.withdrawn()

    def _attachments(self) -> AttachmentRoutes:
        most = self._max_attachment_bytes
        return AttachmentRoutes(self._engine, self._off_loop, max_bytes=most)

    def _sound(self) -> Sound:
        """Return what the auditor found."""
        return self._engine.auditor.sound()

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
                answer = await self._off_loop(lambda: self._made(operation, call))
            except Problem as problem:
                # The good events of a bad batch were decided on all the same.
                self._count(problem.extra, started)
                raise
            if isinstance(answer, Kept):
                return _replayed(answer)
            if operation.answer is StepAnswer:
                self._count(answer, started)
            return _answer(answer)

        return endpoint

    def _made(self, operation: Operation, call: Call) -> Any:
        """Return the answer to `call`, or what it was answered before."""
        try:
            with keys.under(call.key):
                return operation.run(self._engine, call)
        except Replay as replay:
            return replay.kept

    def _count(self, answer: Mapping[str, Any], started: float | None) -> None:
        decision = answer.get("decision")
        if decision is not None:
            took = None if started is None else time.perf_counter() - started
            self._metrics.decided(decision, took)
        if (handoff := answer.get("handoff")) is not None:
            self._metrics.lacked(handoff["lacking"])

    # --- what comes in -------------------------------------------------------

    async def _read(self, operation: Operation, request: Request) -> Call:
        query = body = key = value = None
        limit = self._max_events
        if operation.query is not None:
            given = dict(parse_qsl(request.url.query, keep_blank_values=True))
            query = checked(operation.query, given, most_events=limit)
        if operation.body is not None:
            check_sender(request.headers)
            sent = await collected(request.stream(), most=self._max_body_bytes)
            value = parsed(sent)
            body = checked(operation.body, value, most_events=limit)
            body = with_epoch(request.headers, body)
        if operation.takes_key:
            key = key_of(request.headers, request.method, request.url.path, value)
        return Call(path=request.path_params, query=query, body=body, key=key)

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
        if isinstance(outcome.error, Problem | Refusal | StoreError | OSError):
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
        problem, headers = problem_of(error)
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
    max_attachment_bytes: int = MAX_ATTACHMENT_BYTES,
) -> Starlette:
    """Return the HTTP surface v1 over `engine`, as an ASGI application.

    Parameters
    ----------
    engine : Engine
        Answers the calls; on threads of their own, so that none waits for another.
    max_body_bytes, max_events, max_export_bytes, max_attachment_bytes : int
        Limits of one call; the answer names the one that was passed.
    """
    api = Api(
        engine,
        max_body_bytes=max_body_bytes,
        max_events=max_events,
        max_export_bytes=max_export_bytes,
        max_attachment_bytes=max_attachment_bytes,
    )
    errors = (
        Problem,
        Refusal,
        StoreError,
        OSError,
        HTTPException,
        ClientDisconnect,
    )
    return Starlette(
        routes=api.routes(),
        exception_handlers=dict.fromkeys(errors, api.refused),
    )


def _json(value: Any) -> bytes:
    return orjson.dumps(value)


def _replayed(kept: Kept) -> Response:
    """Return what a call was answered when it was made first."""
    is_problem = kept.status >= _LOWEST_PROBLEM
    return Response(
        kept.body,
        status_code=kept.status,
        headers={REPLAYED_HEADER: "true"},
        media_type=PROBLEM_MEDIA if is_problem else "application/json",
    )


def _answer(value: Any) -> Response:
    return Response(_json(value), media_type="application/json")
