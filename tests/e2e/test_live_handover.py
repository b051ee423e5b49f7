"""A live handover over a real service: followers, cut connections, a killed process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.server import Server, start
from serving.settings import Settings, SettingsError
from serving.store.transaction import StoreError

pytestmark = pytest.mark.slow

ANA = "general-1"
PATIENCE = 20.0
SILENCE = 1.0  # s after which a follower of these tests cuts the line itself
AT = "2026-11-24T12:00:00Z"


@dataclass(slots=True)
class Heard:
    """What one follower heard, over all its connections."""

    url: str
    who: str
    last: str | None = None
    told: list[tuple[str, str | None, Any]] = field(default_factory=list)
    connections: int = 0
    is_over: bool = False
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def texts(self) -> list[str]:
        """The words of the messages, in the order in which they came."""
        return [says["text"] for word, _, says in self.told if word == "message"]

    @property
    def ids(self) -> list[str]:
        """The ids of the messages, in the order in which they came."""
        return [says["message_id"] for word, _, says in self.told if word == "message"]

    def awaits(self, n: int) -> None:
        """Return once `n` messages were heard."""
        until(lambda: len(self.texts) >= n, f"message {n} did not arrive")

    def follow(self) -> None:
        """Follow until it is over, coming back after every cut as a browser does."""
        while not self.is_over and not self.stop.is_set():
            with contextlib.suppress(httpx.HTTPError):
                self._connect()
            time.sleep(0.05)

    def _connect(self) -> None:
        headers = {} if self.last is None else {"last-event-id": self.last}
        query = {"who": self.who, "role": "user"}
        limits = httpx.Timeout(5, read=SILENCE)
        with httpx.stream(
            "GET", self.url, params=query, headers=headers, timeout=limits
        ) as answer:
            if answer.status_code == 204:
                self.is_over = True
                return
            answer.raise_for_status()
            self.connections += 1
            self._read(answer.iter_lines())

    def _read(self, lines: Iterator[str]) -> None:
        fields: dict[str, str] = {}
        for line in lines:
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields.get("data"):
                self._take(fields)
                fields = {}
            if self.stop.is_set() or self.is_over:
                return

    def _take(self, fields: dict[str, str]) -> None:
        self.last = fields.get("id", self.last)
        says = json.loads(fields["data"])
        self.told.append((fields["event"], fields.get("id"), says))
        self.is_over = self.is_over or fields["event"] == "over"


@contextlib.contextmanager
def following(*heard: Heard) -> Iterator[None]:
    """Have all of `heard` follow, each on a thread of its own."""
    threads = [threading.Thread(target=one.follow, daemon=True) for one in heard]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for one in heard:
            one.stop.set()
        for thread in threads:
            thread.join(PATIENCE + 15)
            assert not thread.is_alive()


def until(holds: Callable[[], object], what: str) -> None:
    """Return once `holds`; fail where it takes too long."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.02)


class Site:
    """A service with one task, and short words for what tests do with it."""

    def __init__(self, server: Server, task_id: str) -> None:
        self.url = server.url
        self.task = f"{server.url}/v1/tasks/{task_id}"
        self.handoff_id = ""

    def post(self, url: str, body: Any, status: int = 200) -> Any:
        """Return what a POST that must end in `status` answers."""
        answer = httpx.post(url, json=body, timeout=30)
        assert answer.status_code == status, answer.text
        return answer.json()

    def hand_over(self) -> str:
        """Begin the task, hand it over, and return the id of its message."""
        first = {"event_id": "e1", "at": AT, "kind": "user_message", "text": "Hi"}
        self.post(f"{self.task}/events", {"events": [first]})
        asked = {"by": "user", "reason": "wants a person"}
        answer = self.post(f"{self.task}/escalate", asked)
        self.handoff_id = answer["handoff"]["handoff_id"]
        return str(answer["message_id"])

    def act(self, verb: str, **body: Any) -> Any:
        """Use one of the verbs of people on the handoff."""
        at = f"{self.url}/v1/handoffs/{self.handoff_id}/{verb}"
        return self.post(at, {"by": ANA, **body})

    def say(self, text: str, message_id: str, *, user: bool = False) -> Any:
        """Pass on words of either side."""
        who = {"from": "user"} if user else {"by": ANA}
        said = {**who, "text": text, "message_id": message_id}
        return self.post(f"{self.task}/messages", said)

    def follower(self, who: str) -> Heard:
        """Return a follower of the task."""
        return Heard(url=f"{self.task}/stream", who=who)


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, free_port: int
) -> Iterator[Server]:
    """Serve an empty store."""
    home = tmp_path_factory.mktemp("live")
    settings = Settings.load(
        store=home / "store.db", model=home / "model", port=free_port
    )
    with start(settings) as server:
        yield server


def test_two_followers_hear_the_whole_conversation_in_order(server: Server) -> None:
    """Words of both sides reach both, in log order, and the return ends it."""
    site = Site(server, "talk")
    message_id = site.hand_over()
    ana, max_ = site.follower("ana"), site.follower("max")
    with following(ana, max_):
        until(lambda: ana.told and max_.told, "nobody was told anything")
        site.act("claim")
        for n in range(10):
            site.say(f"word {n}", f"m{n}", user=n % 2 == 1)
        site.act("return", guidance="go on")
        until(lambda: ana.is_over and max_.is_over, "it was not over")
    for heard in (ana, max_):
        assert heard.texts == [f"word {n}" for n in range(10)]
        words = [word for word, place, _ in heard.told if place is not None]
        assert words == ["notice", "claimed", *["message"] * 10, "returned"]
        places = [int(place) for _, place, _ in heard.told if place is not None]
        assert places == sorted(set(places))
        notices = [s["message_id"] for w, _, s in heard.told if w == "notice"]
        assert notices == [message_id]
    present = [says["present"] for word, _, says in ana.told if word == "presence"]
    assert {"who": "max", "role": "user"} in present[-1]
    problem = site.post(
        f"{site.task}/messages", {"by": ANA, "text": "too late"}, status=409
    )
    assert problem["type"] == "urn:escalon:problem:not-live"
    assert (problem["owner"]["kind"], problem["epoch"]) == ("agent", 4)


def test_words_arrive_at_once(server: Server) -> None:
    """What this process wrote is told without waiting for the next look."""
    site = Site(server, "soon")
    site.hand_over()
    site.act("claim")
    heard = site.follower("max")
    took = []
    with following(heard):
        until(lambda: heard.told, "nothing was told")
        for n in range(10):
            begun = time.monotonic()
            site.say(f"word {n}", f"m{n}")
            heard.awaits(n + 1)
            took.append(time.monotonic() - begun)
    assert sorted(took)[5] < 0.4


def test_a_cut_connection_goes_on_where_it_was(server: Server) -> None:
    """Between two connections nothing is lost and nothing of the log told twice."""
    site = Site(server, "cut")
    site.hand_over()
    site.act("claim")
    heard = site.follower("max")
    said = []
    for n in range(6):
        said += [f"word {n}", f"between {n}"]
        with following(heard):
            site.say(f"word {n}", f"m{n}")
            heard.awaits(2 * n + 1)
        # Nobody listens now.
        site.say(f"between {n}", f"b{n}", user=True)
        heard.stop.clear()
    with following(heard):
        heard.awaits(len(said))
    assert heard.texts == said
    assert heard.connections >= 7


def test_who_comes_back_after_the_end_is_told_so(server: Server) -> None:
    """A browser that comes back for ever is answered 204 once it has heard it all."""
    site = Site(server, "end")
    site.hand_over()
    site.act("claim")
    heard = site.follower("max")
    with following(heard):
        site.act("resolve", needed="yes")
        until(lambda: heard.is_over, "it was not over")
    last = {"last-event-id": heard.last or ""}
    answer = httpx.get(f"{site.task}/stream", headers=last)
    assert (answer.status_code, answer.content) == (204, b"")
    for bad in ("x", "-1", "9" * 30):
        refused = httpx.get(f"{site.task}/stream", headers={"last-event-id": bad})
        assert refused.status_code == 422
    assert httpx.get(f"{server.url}/v1/tasks/none/stream").status_code == 404
    foreign = {"sec-fetch-site": "cross-site"}
    refused = httpx.get(f"{site.task}/stream", headers=foreign)
    assert refused.status_code == 403


def killed(server: Server, store: Path) -> None:
    """Kill the service and whoever writes to its store, as a power cut would."""
    writer = int(store.with_name(store.name + ".lock").read_text("ascii"))
    os.killpg(server.process.pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(writer, signal.SIGKILL)
    server.wait()


def started(settings: Settings) -> Server:
    """Start a service again, once the store of the one that was killed is free."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return start(settings)
        except (StoreError, SettingsError):
            assert time.monotonic() < end
            time.sleep(0.1)


def test_a_killed_service_loses_and_doubles_nothing(
    tmp_path: Path, another_port: int
) -> None:
    """Killed between words, it is started again; followers hear each word once."""
    settings = Settings.load(
        store=tmp_path / "store.db", model=tmp_path / "model", port=another_port
    )
    server = start(settings)
    site = Site(server, "killed")
    heard = site.follower("max")
    try:
        site.hand_over()
        site.act("claim")
        with following(heard):
            until(lambda: heard.told, "nothing was told")
            sent = 0
            for _ in range(2):
                for _ in range(5):
                    site.say(f"word {sent}", f"m{sent}")
                    sent += 1
                # Answered, and so in the log; told or not.
                killed(server, settings.store)
                server = started(settings)
                # A caller that did not hear the answer sends it again.
                site.say(f"word {sent - 1}", f"m{sent - 1}")
            site.act("return", guidance="go on")
            until(lambda: heard.is_over, "it was not over")
    finally:
        server.stop()
    assert heard.texts == [f"word {n}" for n in range(sent)]
    assert heard.connections >= 3


def test_a_server_stops_at_once_with_followers_on_the_line(
    tmp_path: Path, another_port: int
) -> None:
    """Open streams do not keep a service from stopping; followers can come back."""
    settings = Settings.load(
        store=tmp_path / "store.db", model=tmp_path / "model", port=another_port
    )
    server = start(settings)
    try:
        site = Site(server, "stop")
        site.hand_over()
        site.act("claim")
        heard = [site.follower(f"f{n}") for n in range(5)]
        with following(*heard):
            until(lambda: all(one.told for one in heard), "nothing was told")
            begun = time.monotonic()
            server.stop()
            took = time.monotonic() - begun
            assert not any(one.is_over for one in heard)
    finally:
        server.stop()
    assert took < 8
    assert server.process.returncode == 0
