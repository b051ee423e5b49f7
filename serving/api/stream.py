"""Stream: a task followed live, as server-sent events.

Followers are told out of the store, so that they hear what any process wrote. Nothing
is kept for one but the place it has reached: whoever is slow, cut off or dropped goes
on from there.

References
----------
WHATWG. "HTML Living Standard", section 9.2 "Server-sent events".
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from functools import partial

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from serving.api.following import Follower, Followers, OffLoop
from serving.api.live import StreamQuery
from serving.api.reading import Refusal, check_sender, checked
from serving.engine.following import News, Seen, Told
from serving.engine.live import Live
from serving.problems import ProblemType
from serving.store.transaction import StoreError

MEDIA = "text/event-stream"
HEARTBEAT = 15.0  # s of silence after which a follower is told that we are there
PATIENCE = 20.0  # s that a follower may take to read what it is sent
_LOOK = 5.0  # s after which those who have left are noticed
_MOST_DIGITS = 18
_RETRY = 1_000  # ms after which a browser that was cut off comes back

_HEADERS = (
    (b"content-type", MEDIA.encode()),
    (b"cache-control", b"no-store"),
    # A proxy that gathers what passes would keep words back.
    (b"x-accel-buffering", b"no"),
)
_log = logging.getLogger(__name__)


class Stream:
    """The address at which tasks are followed.

    Parameters
    ----------
    live : Live
        Says what is new.
    off_loop : callable
        Runs what may block, and awaits it.
    followers : Followers, optional
        Those that are being told.
    """

    def __init__(
        self, live: Live, off_loop: OffLoop, followers: Followers | None = None
    ) -> None:
        self._live = live
        self._off_loop = off_loop
        self._followers = followers or Followers(live, off_loop)

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [Route("/v1/tasks/{task_id}/stream", self._stream, name="stream")]

    async def _stream(self, request: Request) -> Response:
        check_sender(request.headers)
        query = checked(StreamQuery, dict(request.query_params), most_events=0)
        task_id = request.path_params["task_id"]
        again = _last_event_id(request)
        after = query.after if again is None else again
        seen: Seen = await self._off_loop(partial(self._live.begin, task_id, after))
        if again is not None and await self._is_over(task_id, seen):
            # A browser would come back for ever; this word ends it.
            return Response(status_code=204)
        follower = Follower(task_id, query.who, query.role)
        self._followers.join(follower)
        return _Telling(self._live, self._off_loop, self._followers, follower, seen)

    async def _is_over(self, task_id: str, seen: Seen) -> bool:
        """Whether somebody who comes back has heard all there will be."""
        news: News = await self._off_loop(partial(self._live.news, task_id, seen))
        return news.is_over and all(told.place is None for told in news.told)


def _last_event_id(request: Request) -> int | None:
    """Return the place a follower that comes back had reached.

    Raises
    ------
    Refusal
        malformed-request.
    """
    text = request.headers.get("last-event-id", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise Refusal(
            ProblemType.MALFORMED_REQUEST,
            "`Last-Event-ID` must be the id of an event of this stream, found "
            f"{text[:40]!r}",
        )
    return int(text)


@dataclass(slots=True)
class _Pipe:
    """Bytes on their way to one follower."""

    send: Send
    sent_at: float = 0.0

    async def put(self, data: bytes) -> None:
        """Pass `data` on.

        Raises
        ------
        TimeoutError
            If the follower does not read it in time.
        """
        part = {"type": "http.response.body", "body": data, "more_body": True}
        await asyncio.wait_for(self.send(part), PATIENCE)
        self.sent_at = time.monotonic()


class _Telling(Response):
    """The answer that goes on for as long as somebody is live and listens."""

    def __init__(
        self,
        live: Live,
        off_loop: OffLoop,
        followers: Followers,
        follower: Follower,
        seen: Seen,
    ) -> None:
        super().__init__()
        self._live = live
        self._off_loop = off_loop
        self._followers = followers
        self._follower = follower
        self._seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell the follower what is new until it leaves, or nobody is live."""
        del scope
        both: tuple[asyncio.Task[bool], ...] = ()
        try:
            start = {"type": "http.response.start", "status": 200, "headers": _HEADERS}
            await send(start)
            both = (
                asyncio.create_task(self._told(send)),
                asyncio.create_task(_left(receive)),
            )
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._followers.leave(self._follower)
            for one in both:
                one.cancel()
            ends = await asyncio.gather(*both, return_exceptions=True)
        if ends[0] is True:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _told(self, send: Send) -> bool:
        """Tell all there is; return whether the follower is still there to hear it."""
        pipe = _Pipe(send)
        try:
            await self._tell(pipe)
        except TimeoutError:
            said = {"action": "follower_dropped"}
            _log.info("a follower did not read: dropped", extra=said)
            return False
        except (StoreError, Refusal) as error:
            # The follower comes back, and goes on from where it is.
            fault = {"action": "follow_failed", "fault": type(error).__name__}
            _log.warning("a stream ended early", extra=fault)
        return True

    async def _tell(self, pipe: _Pipe) -> None:
        await pipe.put(f"retry: {_RETRY}\n\n".encode())
        follower, seen = self._follower, self._seen
        while not self._followers.is_closing:
            # Before the store is asked: what is written meanwhile wakes us again.
            follower.wake.clear()
            ask = partial(self._live.news, follower.task_id, seen)
            news: News = await self._off_loop(ask)
            if news.told:
                await pipe.put(b"".join(_frame(told) for told in news.told))
            seen = news.seen
            if news.is_over:
                return
            if not news.more:
                await self._rest(pipe)

    async def _rest(self, pipe: _Pipe) -> None:
        """Wait for news; say that we are there where there has been none for long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._follower.wake.wait(), _LOOK)
        if time.monotonic() - pipe.sent_at >= HEARTBEAT - _LOOK / 2:
            await pipe.put(b": here\n\n")


async def _left(receive: Receive) -> bool:
    """Return once the follower has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    return False


def _frame(told: Told) -> bytes:
    """Return what is told as one event of the stream; JSON has no line breaks."""
    place = "" if told.place is None else f"id: {told.place}\n"
    head = f"{place}event: {told.word}\ndata: "
    return head.encode() + orjson.dumps(told.says) + b"\n\n"
