"""A receiver of webhooks that misbehaves on demand: a real HTTP server on loopback.

    with FaultyChannel() as channel:
        channel.play(Act.fail(503), Act.busy("2"), Act.reset_after())  # then `default`
        ...                                       # deliver to channel.url
        channel.accepted                          # what it kept, by webhook-id
        channel.requests                          # every request it read, raw

What each request meets, in turn: the next act of `play`, else the answer of `rule` (a
function of the request, if one is set), else `default`. Acts:

=====================  ==============================================================
`Act.accept()`         stored; 200 and ``{"id": "rcv-<webhook-id>"}``
`Act.fail(status)`     not stored; that status
`Act.busy(after, s)`   not stored; status `s` (429) with ``Retry-After: <after>``
`Act.redirect(url)`    not stored; 302 to `url`
`Act.hang(seconds)`    not stored; the connection is held that long, then cut
`Act.reset_before()`   the connection is reset before the request is read
`Act.reset_after()`    stored, then the connection is reset: the answer is lost
`Act.slow(seconds)`    stored; 200 after that long
`Act.late(seconds)`    504 at once; stored that long afterwards
`Act.duplicate()`      the network brings the request twice; stored, 200
`Act.drip(seconds)`    not stored; 200 of which a byte comes now and then
`Act.flood(size)`      stored; 200 with an answer of that many bytes
=====================  ==============================================================

As a decent receiver does, it keeps a message once by its `webhook-id`, and compares the
bytes: `changed` lists the ids that came again with another body. `doubled` counts what
a receiver that does not dedupe would have done twice. `stop()` has connections refused
(an outage), `start()` on the same port ends that. Thread-safe.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class Way(StrEnum):
    """How a connection ends."""

    ANSWER = "answer"
    HANG = "hang"
    RESET = "reset"
    RESET_UNREAD = "reset_unread"
    DRIP = "drip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What one request meets; see the module for the ways to make one."""

    way: Way = Way.ANSWER
    status: int = 200
    stored: bool = False
    copies: int = 1
    seconds: float = 0.0
    after: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)
    size: int | None = None

    @classmethod
    def accept(cls, status: int = 200) -> Self:
        """Return the act of a receiver that is well."""
        return cls(status=status, stored=True)

    @classmethod
    def fail(cls, status: int) -> Self:
        """Return the act of answering `status` without storing."""
        return cls(status=status)

    @classmethod
    def busy(cls, retry_after: str, status: int = 429) -> Self:
        """Return the act of asking to come again after `retry_after`."""
        return cls(status=status, headers={"Retry-After": retry_after})

    @classmethod
    def redirect(cls, url: str) -> Self:
        """Return the act of sending the caller elsewhere."""
        return cls(status=302, headers={"Location": url})

    @classmethod
    def hang(cls, seconds: float) -> Self:
        """Return the act of saying nothing for `seconds`."""
        return cls(way=Way.HANG, seconds=seconds)

    @classmethod
    def reset_before(cls) -> Self:
        """Return the act of a connection reset before anything is read."""
        return cls(way=Way.RESET_UNREAD)

    @classmethod
    def reset_after(cls) -> Self:
        """Return the act of storing, and losing the connection before the answer."""
        return cls(way=Way.RESET, stored=True)

    @classmethod
    def slow(cls, seconds: float) -> Self:
        """Return the act of storing, and answering after `seconds`."""
        return cls(stored=True, seconds=seconds)

    @classmethod
    def late(cls, seconds: float) -> Self:
        """Return the act of answering 504, and storing `seconds` later all the same."""
        return cls(status=504, after=seconds)

    @classmethod
    def duplicate(cls) -> Self:
        """Return the act of a network that brings the request twice."""
        return cls(stored=True, copies=2)

    @classmethod
    def drip(cls, seconds: float) -> Self:
        """Return the act of an answer that comes byte by byte, for `seconds`."""
        return cls(way=Way.DRIP, seconds=seconds)

    @classmethod
    def flood(cls, size: int) -> Self:
        """Return the act of storing, and answering `size` bytes."""
        return cls(stored=True, size=size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it came."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def webhook_id(self) -> str:
        """The id that stays the same over retries."""
        return self.headers.get("webhook-id", "")


class FaultyChannel:
    """The receiver; see the module. Use it as a context."""

    def __init__(self, default: Act | None = None) -> None:
        self.default = default or Act.accept()
        self.rule: Callable[[Request], Act] | None = None
        self._acts: deque[Act] = deque()
        self._gate = threading.Lock()
        self._requests: list[Request] = []
        self._accepted: dict[str, Request] = {}
        self._stored: dict[str, int] = {}
        self._changed: list[str] = []
        self._timers: list[threading.Timer] = []
        self._server: _Server | None = None
        self._port = 0

    # --- as seen by a test ------------------------------------------------------

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}/hook"

    @property
    def requests(self) -> list[Request]:
        """Every request that was read, in order; copies of the network count."""
        with self._gate:
            return list(self._requests)

    @property
    def accepted(self) -> dict[str, Request]:
        """What was kept, by webhook-id, in the order of first arrival."""
        with self._gate:
            return dict(self._accepted)

    @property
    def doubled(self) -> int:
        """How many messages reached storing again: what deduping saved."""
        with self._gate:
            return sum(n - 1 for n in self._stored.values())

    @property
    def changed(self) -> list[str]:
        """Ids that came again with another body."""
        with self._gate:
            return list(self._changed)

    def play(self, *acts: Act) -> None:
        """Have the next requests meet `acts`, one each."""
        with self._gate:
            self._acts.extend(acts)

    # --- the server -------------------------------------------------------------

    def start(self) -> None:
        """Listen; again on the same port after a `stop`."""
        self._server = server = _Server(("127.0.0.1", self._port), _Handler)
        server.channel = self
        self._port = server.server_address[1]
        serve = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        serve.start()

    def stop(self) -> None:
        """Refuse connections until `start`. Stopping twice is harmless."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for timer in self._timers:
            timer.cancel()

    def early(self) -> bool:
        """Whether the connection under way is reset before it is read."""
        with self._gate:
            if not self._acts:
                return self.rule is None and self.default.way is Way.RESET_UNREAD
            if self._acts[0].way is Way.RESET_UNREAD:
                self._acts.popleft()
                return True
            return False

    def act(self, request: Request) -> Act:
        """Return what `request` meets."""
        with self._gate:
            if self._acts:
                return self._acts.popleft()
        return self.default if self.rule is None else self.rule(request)

    def take(self, request: Request, act: Act) -> None:
        """Count `request`, and store it as `act` says."""
        with self._gate:
            self._requests.extend([request] * act.copies)
        for _ in range(act.copies if act.stored else 0):
            self._store(request)
        if act.after:
            timer = threading.Timer(act.after, self._store, (request,))
            timer.daemon = True
            self._timers.append(timer)
            timer.start()

    def _store(self, request: Request) -> None:
        with self._gate:
            known = self._accepted.setdefault(request.webhook_id, request)
            if known.body != request.body:
                self._changed.append(request.webhook_id)
            n = self._stored.get(request.webhook_id, 0)
            self._stored[request.webhook_id] = n + 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128
    channel: FaultyChannel

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: connections break here on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    server: _Server

    def do_POST(self) -> None:
        """Meet one request with the next act."""
        channel = self.server.channel
        if channel.early():
            self._reset()
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(headers=headers, body=body)
        act = channel.act(request)
        channel.take(request, act)
        self._end(act, request)

    def _end(self, act: Act, request: Request) -> None:
        if act.way is Way.RESET or act.way is Way.RESET_UNREAD:
            self._reset()
        elif act.way is Way.HANG:
            time.sleep(act.seconds)
            self._reset()
        elif act.way is Way.DRIP:
            self._drip(act)
        else:
            time.sleep(act.seconds)
            self._answer(act, request)

    def _answer(self, act: Act, request: Request) -> None:
        said = json.dumps({"id": f"rcv-{request.webhook_id}"}).encode()
        payload = said if act.size is None else b" " * act.size
        self.send_response(act.status)
        for name, value in act.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def _drip(self, act: Act) -> None:
        until = time.monotonic() + act.seconds
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while time.monotonic() < until:
                self.wfile.write(b"a")
                time.sleep(0.05)

    def _reset(self) -> None:
        """Cut the connection with an RST, as a host that lost power would."""
        self.close_connection = True
        linger = struct.pack("ii", 1, 0)
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            # http.server would shut the stream down in order first.
            self.connection.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""
