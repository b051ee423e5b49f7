"""OTLP over HTTP: where an instrumented agent's exporter sends its spans."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceResponse,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from features.ingest.live import MalformedSpanError, Observation, observations
from serving.api.edge import EdgeProblem
from serving.api.reading import Refusal, check_sender, collected
from serving.engine.receiving import Receipt, Receiver

MAX_EXPORT_BYTES = 16_777_216
_JSON, _PROTOBUF = "application/json", "application/x-protobuf"
_SHOWN = 3  # reasons of one answer
_GZIP_WINDOW = 31  # zlib's word for "with a gzip header"

OffLoop = Callable[[Callable[[], Response]], Awaitable[Response]]


class Otlp:
    """The two addresses of an OTLP receiver.

    Parameters
    ----------
    receiver : Receiver
        Takes the spans.
    off_loop : callable
        Runs what may block, and awaits it.
    max_bytes : int
        Of one request, unpacked.
    """

    def __init__(
        self, receiver: Receiver, off_loop: OffLoop, *, max_bytes: int
    ) -> None:
        self._receiver = receiver
        self._off_loop = off_loop
        self._max_bytes = max_bytes

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/v1/traces", self._traces, methods=["POST"], name="otlp_traces"),
            Route("/v1/logs", self._logs, methods=["POST"], name="otlp_logs"),
        ]

    async def _traces(self, request: Request) -> Response:
        return await self._received(request, ExportTraceServiceResponse, "spans")

    async def _logs(self, request: Request) -> Response:
        return await self._received(request, ExportLogsServiceResponse, "log_records")

    async def _received(self, request: Request, answer: Any, what: str) -> Response:
        check_sender(request.headers)
        media = request.headers.get("content-type", "").partition(";")[0].strip()
        if media not in {_JSON, _PROTOBUF}:
            raise Refusal(
                EdgeProblem.NOT_JSON,
                f"expected content-type {_JSON} or {_PROTOBUF}, "
                f"found {media or 'none'}",
            )
        body = await collected(request.stream(), most=self._max_bytes)
        packing = request.headers.get("content-encoding", "identity")
        is_protobuf = media == _PROTOBUF

        def work() -> Response:
            plain = _unpacked(body, packing, most=self._max_bytes)
            receipt = self._taken(plain, is_protobuf=is_protobuf)
            if is_protobuf:
                return Response(_protobuf(receipt, answer, what), media_type=_PROTOBUF)
            return Response(_json(receipt, what), media_type=_JSON)

        return await self._off_loop(work)

    def _taken(self, body: bytes, *, is_protobuf: bool) -> Receipt:
        sound: list[Observation] = []
        faults: list[MalformedSpanError] = []
        for told in observations(body, is_protobuf=is_protobuf):
            if isinstance(told, MalformedSpanError):
                faults.append(told)
            else:
                sound.append(told)
        receipt = self._receiver.take(sound)
        for fault in faults:
            receipt.reject(str(fault))
        return receipt


def _unpacked(body: bytes, packing: str, *, most: int) -> bytes:
    """Return `body` without its compression.

    Raises
    ------
    Refusal
        malformed-export or body-too-large.
    """
    if packing == "identity":
        return body
    if packing != "gzip":
        raise Refusal(
            EdgeProblem.MALFORMED_EXPORT,
            f"expected content-encoding gzip or none, found {packing!r}",
        )
    unzip = zlib.decompressobj(_GZIP_WINDOW)
    try:
        plain = unzip.decompress(body, most + 1)
    except zlib.error as error:
        raise Refusal(
            EdgeProblem.MALFORMED_EXPORT, f"expected gzip, found {error}"
        ) from None
    if len(plain) > most:
        raise Refusal(
            EdgeProblem.BODY_TOO_LARGE,
            f"an export may have {most} bytes unpacked, this one has more; let the "
            "exporter send smaller batches",
            limit_bytes=most,
        )
    if not unzip.eof:
        raise Refusal(
            EdgeProblem.MALFORMED_EXPORT, "expected the whole gzip, found less"
        )
    return plain


def _says(receipt: Receipt) -> str:
    more = len(receipt.says) - _SHOWN
    shown = receipt.says[:_SHOWN] + ([f"and {more} more"] if more > 0 else [])
    return "; ".join(shown)


def _protobuf(receipt: Receipt, answer: Any, what: str) -> bytes:
    response = answer()
    if receipt.says:
        partial = response.partial_success
        setattr(partial, f"rejected_{what}", receipt.rejected)
        partial.error_message = _says(receipt)
    packed: bytes = response.SerializeToString()
    return packed


def _json(receipt: Receipt, what: str) -> bytes:
    if not receipt.says:
        return b"{}"
    first, *rest = what.split("_")
    name = "rejected" + "".join(part.capitalize() for part in (first, *rest))
    # 64-bit numbers are text in the JSON form of protobuf.
    partial = {name: str(receipt.rejected), "errorMessage": _says(receipt)}
    return orjson.dumps({"partialSuccess": partial})
