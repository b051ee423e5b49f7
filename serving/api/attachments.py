"""Attachments and packages over HTTP: bytes in, bytes out, as they are."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable
from functools import partial
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from serving.api.edge import EdgeProblem
from serving.api.reading import Refusal, check_sender
from serving.downloads import ANY_BYTES, headers_of
from serving.engine import Engine
from serving.engine.attachments import Kept
from serving.engine.views import StoredPackage
from serving.store.files import Draft

MAX_ATTACHMENT_BYTES = 26_214_400
_AT_ONCE = 262_144  # bytes gathered before they are written
_HERE = "/v1/attachments"

OffLoop = Callable[[Callable[[], Any]], Awaitable[Any]]


class AttachmentRoutes:
    """The addresses at which bytes are sent and fetched.

    Parameters
    ----------
    engine : Engine
        Keeps them.
    off_loop : callable
        Runs what may block, and awaits it.
    max_bytes : int
        Of one attachment.
    """

    def __init__(self, engine: Engine, off_loop: OffLoop, *, max_bytes: int) -> None:
        self._engine = engine
        self._off_loop = off_loop
        self._max_bytes = max_bytes

    def routes(self) -> list[Route]:
        """Return the routes."""
        at = _HERE + "/{sha256}"
        package = "/v1/handoffs/{handoff_id}/package"
        return [
            Route(_HERE, self._post, methods=["POST"], name="attach"),
            Route(at, self._put, methods=["PUT"], name="attach_as"),
            Route(at, self._get, methods=["GET"], name="attachment"),
            Route(package, self._package, methods=["GET"], name="package"),
        ]

    async def _post(self, request: Request) -> Response:
        return await self._taken(request, None)

    async def _put(self, request: Request) -> Response:
        return await self._taken(request, request.path_params["sha256"].lower())

    async def _taken(self, request: Request, declared: str | None) -> Response:
        check_sender(request.headers)
        _check_length(request.headers.get("content-length"), self._max_bytes)
        attachments = self._engine.attachments
        with await self._off_loop(attachments.drafting) as draft:
            await self._write(request.stream(), draft)
            keep = partial(attachments.keep, draft, declared=declared)
            answer = await self._off_loop(keep)
        return Response(
            orjson.dumps(answer),
            status_code=201 if answer["is_new"] else 200,
            headers={"location": f"{_HERE}/{answer['sha256']}"},
            media_type="application/json",
        )

    async def _write(self, chunks: AsyncIterable[bytes], draft: Draft) -> None:
        """Write what comes as it comes: it is never held whole in memory."""
        held = bytearray()
        async for chunk in chunks:
            held += chunk
            if draft.size + len(held) > self._max_bytes:
                raise _too_large(self._max_bytes)
            if len(held) >= _AT_ONCE:
                await self._off_loop(partial(draft.write, bytes(held)))
                held.clear()
        await self._off_loop(partial(draft.write, bytes(held)))

    async def _get(self, request: Request) -> Response:
        find = partial(self._engine.attachments.find, request.path_params["sha256"])
        kept: Kept = await self._off_loop(find)
        headers = headers_of(kept.name, kept.sha256)
        return FileResponse(kept.path, headers=headers, media_type=ANY_BYTES)

    async def _package(self, request: Request) -> Response:
        fetch = partial(self._engine.package, request.path_params["handoff_id"])
        package: StoredPackage = await self._off_loop(fetch)
        headers = headers_of(package.name, package.sha256)
        return Response(package.body, headers=headers, media_type="application/json")


def _check_length(declared: str | None, most: int) -> None:
    """Refuse early what says it is too large."""
    if declared is not None and declared.isdigit() and int(declared) > most:
        raise _too_large(most)


def _too_large(most: int) -> Refusal:
    return Refusal(
        EdgeProblem.BODY_TOO_LARGE,
        f"an attachment may have {most} bytes, this one has more; keep it elsewhere "
        "and name where, or raise ESCALATION_MAX_ATTACHMENT_BYTES",
        limit_bytes=most,
    )
