"""Webhook: a signed POST to an address of the operator's choice."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import httpx
import orjson

from serving.channels.channel import Message
from serving.channels.guard import ForbiddenAddressError, resolved
from serving.channels.signing import headers
from serving.policy.delivery import Attempt, Ending, retry_after

# Of connecting, and of each read, in s; then of all of it together.
_PATIENCE = 15.0
_WHOLE = 30.0
_MOST_ANSWER = 65_536
_MOST_REMOTE_ID = 255
# A client error that says "later", not "never".
_LATER = frozenset({408, 425, 429})
_ASK_AGAIN = frozenset({429, 502, 503, 504})


class Webhook:
    """Signed POSTs of CloudEvents to one URL.

    The name is resolved at each attempt, and the connection goes to an address that
    was checked. No redirect is followed, no proxy of the environment used, and of the
    answer no more read than is needed.

    Parameters
    ----------
    url : str
        Where to.
    keys : sequence of bytes
        To sign with; two while one replaces the other.
    clock : callable
        Returns the time, timezone-aware.
    allow_private : bool
        Whether the address may lie inside.
    patience, whole : float
        Most time for a connection or one read, and for all of an attempt, in s.
    """

    def __init__(
        self,
        url: str,
        keys: Sequence[bytes],
        clock: Callable[[], datetime],
        *,
        allow_private: bool = False,
        patience: float = _PATIENCE,
        whole: float = _WHOLE,
    ) -> None:
        self._url = httpx.URL(url)
        self._keys = tuple(keys)
        self._clock = clock
        self._allow_private = allow_private
        self._whole = whole
        # A connection for each attempt: one that was kept may have died unseen.
        self._client = httpx.Client(
            verify=_trusted(),
            trust_env=False,
            follow_redirects=False,
            timeout=patience,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    def send(self, message: Message) -> Attempt:
        """Send `message` once, and return what came of it."""
        try:
            return self._sent(message)
        except ForbiddenAddressError:
            return _failed("forbidden-address")
        except httpx.TimeoutException:
            return _failed("timeout")
        except httpx.HTTPError as error:
            return _failed(_name(error))
        except (OSError, UnicodeError):
            return _failed("unresolved")

    def close(self) -> None:
        """Let go of what it holds. Closing twice is harmless."""
        self._client.close()

    def _sent(self, message: Message) -> Attempt:
        until = time.monotonic() + self._whole
        request = self._request(message)
        with _cut_off(request, self._whole):
            response = self._client.send(request, stream=True)
            with contextlib.closing(response):
                answer = _beginning(response, until)
        return self._judged(response, answer)

    def _request(self, message: Message) -> httpx.Request:
        """Return the request to the checked address, in the name of the host."""
        url, host = self._url, self._url.host
        port = url.port or (443 if url.scheme == "https" else 80)
        address = resolved(host, port, allow_private=self._allow_private)[0]
        signed = headers(self._keys, message.message_id, message.body, self._clock())
        return self._client.build_request(
            "POST",
            url.copy_with(host=address),
            content=message.body,
            headers={
                **signed,
                "Host": url.netloc.decode("ascii"),
                "Content-Type": "application/cloudevents+json; charset=utf-8",
                "Idempotency-Key": f'"{message.message_id}"',
                "User-Agent": "escalon",
                "Accept-Encoding": "identity",
                "Connection": "close",
            },
            extensions={"sni_hostname": host},
        )

    def _judged(self, response: httpx.Response, answer: bytes) -> Attempt:
        status = response.status_code
        if response.is_success:
            return Attempt(ending=Ending.TOLD, remote_id=_remote_id(answer))
        refused = response.is_client_error and status not in _LATER
        pause: timedelta | None = None
        if status in _ASK_AGAIN:
            pause = retry_after(response.headers.get("Retry-After"), self._clock())
        return Attempt(
            ending=Ending.REFUSED if refused else Ending.FAILED,
            fault=f"status-{status}",
            retry_after=pause,
        )


def _trusted() -> ssl.SSLContext:
    """Return what vouches for the names of others: what this machine trusts."""
    return ssl.create_default_context()


def _failed(fault: str) -> Attempt:
    return Attempt(ending=Ending.FAILED, fault=fault)


def _name(error: httpx.HTTPError) -> str:
    """Return our word for an error of the connection, such as ``"connect"``."""
    return type(error).__name__.removesuffix("Error").lower() or "http"


def _beginning(response: httpx.Response, until: float) -> bytes:
    """Return the first bytes of the answer; what follows is nothing to us."""
    answer = b""
    for chunk in response.iter_raw():
        answer += chunk
        if len(answer) >= _MOST_ANSWER or time.monotonic() >= until:
            break
    return answer[:_MOST_ANSWER]


def _remote_id(answer: bytes) -> str | None:
    """Return what the receiver calls it, if it answers with an ``id``."""
    try:
        said = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return None
    named: Any = said.get("id") if isinstance(said, Mapping) else None
    is_name = isinstance(named, str | int) and not isinstance(named, bool)
    return str(named)[:_MOST_REMOTE_ID] if is_name else None


@contextlib.contextmanager
def _cut_off(request: httpx.Request, after: float) -> Iterator[None]:
    """Cut the connection of `request` if it takes longer than `after` seconds.

    A timeout counts from byte to byte: one now and then would hold us for ever.
    """
    held: list[socket.socket] = []

    def trace(event: str, info: Mapping[str, Any]) -> None:
        if event in {
            "connection.connect_tcp.complete",
            "connection.start_tls.complete",
        }:
            held.append(info["return_value"].get_extra_info("socket"))

    def cut() -> None:
        for connection in held[-1:]:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    request.extensions["trace"] = trace
    timer = threading.Timer(after, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
