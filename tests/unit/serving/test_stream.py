"""Tests of the stream: heartbeats, slow followers, limits, and who wrote it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from serving.api import stopping, stream
from serving.api.following import Follower, Followers
from serving.api.reading import Refusal
from serving.api.stream import Stream
from serving.engine.live import Said
from serving.store import presence
from serving.store.presence import Doing, Present, Role

ANA = "general-1"


async def off_loop(work: Callable[[], Any]) -> Any:
    """Run what may block on a thread."""
    return await asyncio.to_thread(work)


class Line:
    """One follower's line: what came over it, and how it is held up or cut."""

    def __init__(self) -> None:
        self.sent = b""
        self.status = 0
        self.ended = False
        self.is_stuck = False
        self.cut = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        """Wait until the line is cut."""
        await self.cut.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """Take what is sent, or never."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        if self.is_stuck:
            await asyncio.Event().wait()
        self.sent += message["body"]
        self.ended = not message.get("more_body", False)

    @property
    def words(self) -> list[str]:
        """The event types that came."""
        lines = self.sent.decode().splitlines()
        return [ln.removeprefix("event: ") for ln in lines if ln.startswith("event: ")]

    async def awaits(self, text: str) -> float:
        """Return how long it took, in s, until `text` came."""
        begun = time.monotonic()
        while text.encode() not in self.sent:
            assert time.monotonic() < begun + 10
            await asyncio.sleep(0.005)
        return time.monotonic() - begun


def told(desk: Any, followers: Followers, line: Line, query: bytes = b"") -> Any:
    """Return the call of a follower of the task, to be awaited."""
    route = Stream(desk.engine.live, off_loop, followers).routes()[0]
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/tasks/t/stream",
        "path_params": {"task_id": "t"},
        "query_string": query,
        "headers": [],
    }
    return route.app(scope, line.receive, line.send)


def following(
    desk: Any, talk: Callable[[Line], Awaitable[None]], *, query: bytes = b""
) -> tuple[Line, Followers]:
    """Follow the task while `talk` goes on; then cut the line."""

    async def go() -> tuple[Line, Followers]:
        line, followers = Line(), Followers(desk.engine.live, off_loop)
        task = asyncio.ensure_future(told(desk, followers, line, query))
        await line.awaits("event: presence")
        await talk(line)
        line.cut.set()
        await asyncio.wait_for(task, 10)
        return line, followers

    return asyncio.run(go())


@pytest.fixture
def live(desk: Any) -> Any:
    """Make a desk with a task that Ana has."""
    desk.engine.claim(desk.hand_over(), by=ANA)
    return desk


def test_what_this_process_writes_is_told_at_once(live: Any) -> None:
    """A word wakes its followers without waiting for the next look."""

    async def talk(line: Line) -> None:
        for n in range(5):
            said = Said(text=f"word {n}", by=ANA)
            await off_loop(lambda said=said: live.engine.live.say("t", said))
            assert await line.awaits(f"word {n}") < 0.3

    line, followers = following(live, talk)
    assert line.words.count("message") == 5
    assert not line.ended
    assert not followers.is_closing


def test_what_another_process_writes_is_told_soon(live: Any) -> None:
    """Nothing rings for it, and it is found in the store within half a second."""

    async def talk(line: Line) -> None:
        await asyncio.sleep(0.1)
        at = live.clock()
        max_ = Present(who="max", role=Role.USER, doing=Doing.NOTHING, seen_at=at)
        live.store.submit(lambda tx: presence.seen(tx, "t", max_)).result()
        assert await line.awaits('"max"') < 0.9

    following(live, talk)


def test_a_follower_with_a_name_is_present(live: Any) -> None:
    """Following is being there; the first look says so."""

    async def talk(line: Line) -> None:
        await line.awaits('"who":"ana"')

    following(live, talk, query=b"who=ana&role=person")
    there = live.engine.task("t")["presence"]
    assert [(one["who"], one["role"]) for one in there] == [("ana", "person")]


def test_silence_is_broken_by_a_heartbeat(
    live: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing is said a comment shows that the line is open."""
    monkeypatch.setattr(stream, "HEARTBEAT", 0.1)
    monkeypatch.setattr(stream, "_LOOK", 0.1)

    async def talk(line: Line) -> None:
        await line.awaits(": here")

    line, _ = following(live, talk)
    assert b": here\n\n" in line.sent


def test_who_does_not_read_is_dropped(
    live: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A follower that is stuck costs its line and nobody else's."""
    monkeypatch.setattr(stream, "PATIENCE", 0.1)

    async def go() -> None:
        stuck, quick = Line(), Line()
        followers = Followers(live.engine.live, off_loop)
        stuck.is_stuck = True
        slow = asyncio.ensure_future(told(live, followers, stuck))
        other = asyncio.ensure_future(told(live, followers, quick))
        await asyncio.wait_for(slow, 5)
        said = Said(text="still here", by=ANA)
        await off_loop(lambda: live.engine.live.say("t", said))
        await quick.awaits("still here")
        assert not stuck.ended
        quick.cut.set()
        await other

    asyncio.run(go())


def test_there_is_room_for_so_many_followers(live: Any) -> None:
    """One more is refused with the limit; once one leaves there is room again."""

    async def go() -> None:
        followers = Followers(live.engine.live, off_loop, most=1)
        first = Follower("t", None, Role.USER)
        followers.join(first)
        with pytest.raises(Refusal) as refused:
            followers.join(Follower("t", None, Role.USER))
        assert refused.value.problem["status"] == 503
        assert refused.value.problem["limit_followers"] == 1
        followers.leave(first)
        followers.join(first)
        followers.leave(first)

    asyncio.run(go())


def test_a_service_that_stops_ends_its_streams(live: Any) -> None:
    """Every stream ends whole, without the word that it is over; none begins."""

    async def go() -> Line:
        line, followers = Line(), Followers(live.engine.live, off_loop)
        task = asyncio.ensure_future(told(live, followers, line))
        await line.awaits("event: presence")
        followers.close()
        await asyncio.wait_for(task, 2)
        with pytest.raises(Refusal):
            followers.join(Follower("t", None, Role.USER))
        return line

    line = asyncio.run(go())
    assert line.ended
    assert "over" not in line.words


def test_the_end_of_the_handover_ends_the_stream(live: Any) -> None:
    """The last word is that it is over, with the owner of now."""

    async def go() -> Line:
        line, followers = Line(), Followers(live.engine.live, off_loop)
        task = asyncio.ensure_future(told(live, followers, line))
        await line.awaits("event: presence")
        handoff_id = live.engine.task("t")["handoff_id"]
        await off_loop(lambda: live.engine.return_(handoff_id, by=ANA, guidance="go"))
        await asyncio.wait_for(task, 5)
        return line

    line = asyncio.run(go())
    assert line.ended
    assert line.words[-2:] == ["returned", "over"]
    last = line.sent.decode().rpartition("data: ")[2]
    assert orjson.loads(last)["owner"] == {"kind": "agent", "id": "bot"}


def test_a_signal_is_heard_before_what_handled_it() -> None:
    """Whoever waits for a stop hears of it, and the handler that was there still runs."""
    heard: list[str] = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append("server"))
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        stopping.on_stop(lambda: heard.append("streams"))
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, interrupt)
    assert heard == ["streams", "server"]


def test_the_place_of_a_stream_is_part_of_the_log(live: Any) -> None:
    """Ids of the stream are places of the log; the moment has none."""
    line, _ = following(live, _nothing)
    events = [part for part in line.sent.decode().split("\n\n") if "event:" in part]
    for event in events:
        is_kept = any(f"event: {w}\n" in event for w in ("notice", "claimed"))
        assert ("id: " in event) == is_kept


async def _nothing(_: Line) -> None:
    """Say nothing."""
