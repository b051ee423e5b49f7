"""Followers: who follows a task live in this process, and the watch that wakes them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from serving.api.edge import EdgeProblem
from serving.api.reading import Refusal
from serving.api.stopping import on_stop
from serving.engine.live import Live
from serving.store.presence import BEAT, Role
from serving.store.talk import Stamp
from serving.store.transaction import StoreError

MOST_FOLLOWERS = 200
# Another process may have written: looked for so often, in s.
EVERY = 0.4
# Writes of one moment are looked for together, in s.
_GATHER = 0.03
_log = logging.getLogger(__name__)


class OffLoop(Protocol):
    """Runs what may block, and awaits it."""

    def __call__(self, work: Callable[[], Any], /) -> Awaitable[Any]:
        """Return what `work` returns."""
        ...


@dataclass(slots=True, eq=False)
class Follower:
    """Somebody who follows a task, and is woken once it may have news.

    Attributes
    ----------
    who : str or None
        Shown as present under this name; None: not at all.
    """

    task_id: str
    who: str | None
    role: Role
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class Followers:
    """The followers of this process; on one event loop.

    Parameters
    ----------
    live : Live
        Says which tasks have news.
    off_loop : callable
        Runs what may block, and awaits it.
    most : int
        So many at once; each holds a connection.
    """

    def __init__(
        self, live: Live, off_loop: OffLoop, *, most: int = MOST_FOLLOWERS
    ) -> None:
        self.is_closing = False
        self._live = live
        self._off_loop = off_loop
        self._most = most
        self._there: set[Follower] = set()
        self._nudge = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._beat_at = 0.0
        live.written.call(self._ring)

    def join(self, follower: Follower) -> None:
        """Take `follower` in; it is woken from now on.

        Raises
        ------
        Refusal
            too-many-followers.
        """
        if self.is_closing or len(self._there) >= self._most:
            raise Refusal(
                EdgeProblem.TOO_MANY_FOLLOWERS,
                f"this process has {self._most} followers, or is about to stop; come "
                "back in a moment, Last-Event-ID goes on from where you were",
                limit_followers=self._most,
            )
        if self._watch is None or self._loop is not asyncio.get_running_loop():
            self._begin()
        self._there.add(follower)
        # Whoever comes is present at once.
        self._beat_at = 0.0
        self._nudge.set()

    def leave(self, follower: Follower) -> None:
        """Let `follower` go; the watch ends with the last one."""
        self._there.discard(follower)
        if not self._there and self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def close(self) -> None:
        """Have every stream end, and no new one begin. From any thread."""
        self.is_closing = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # The loop has ended already.
                self._loop.call_soon_threadsafe(self._wake_all)

    def _begin(self) -> None:
        if self._loop is None:
            on_stop(self.close)
        self._loop = asyncio.get_running_loop()
        self._nudge = asyncio.Event()
        self._watch = self._loop.create_task(self._watching())

    def _ring(self) -> None:
        """Look soon: this process wrote. From any thread."""
        loop = self._loop
        if self._there and loop is not None and not self._nudge.is_set():
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._nudge.set)

    def _wake_all(self) -> None:
        for follower in self._there:
            follower.wake.set()

    # --- the watch -----------------------------------------------------------

    async def _watching(self) -> None:
        """Wake the followers of each task that has news, until cancelled."""
        stamps: Mapping[str, Stamp] = {}
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._nudge.wait(), EVERY)
            self._nudge.clear()
            try:
                stamps = await self._look(stamps)
                await self._beat()
            except (StoreError, Refusal) as error:
                # Followers keep their places: they hear of it once the store is back.
                said = {"action": "follow_failed", "fault": type(error).__name__}
                _log.warning("cannot look for news", extra=said)
            await asyncio.sleep(_GATHER)

    async def _look(self, before: Mapping[str, Stamp]) -> Mapping[str, Stamp]:
        followed = {follower.task_id for follower in self._there}
        stamps: Mapping[str, Stamp] = await self._off_loop(
            lambda: self._live.stamps(followed)
        )
        for follower in self._there:
            task_id = follower.task_id
            if task_id in stamps and stamps[task_id] != before.get(task_id):
                follower.wake.set()
        return stamps

    async def _beat(self) -> None:
        """Say in the store who is there, every so often."""
        if time.monotonic() < self._beat_at:
            return
        self._beat_at = time.monotonic() + BEAT.total_seconds()
        there = [(one.task_id, one.who, one.role) for one in self._there if one.who]
        await self._off_loop(lambda: self._live.beat(there))
