"""Packages: random ones through every way out, compared byte for byte with the stored.

A package leaves by the API, by the console's download and by each kind of channel in a
full view. What is in it is held against the events that were sent, too.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from _faults_policy import policy_of
from _faults_stores import Place, fresh
from _faults_story import MEMBER
from starlette.testclient import TestClient

from serving.api.app import make_api
from serving.channels.config import Channels
from serving.channels.courier import Courier
from serving.console.pages import make_console
from serving.engine import Engine
from serving.engine.models import NoModel
from serving.policy import unpacking, view

sys.path.append(str(Path(__file__).parents[1] / "tests" / "faults"))
from faulty_channel import FaultyChannel

_BEGIN = datetime(2026, 11, 24, 12, tzinfo=UTC)
_SECRET = "whsec_Zm9yIHRoZSB0ZXN0cyBvZiBmYXVsdHMgYWxvbmU="  # noqa: S105 - opens nothing
_MOST_BYTES = 16_777_216
_STORED = "SELECT handoff_id, body, digest FROM package ORDER BY audit_seq"
# What gets lost when something is read, written, trimmed or escaped once too often.
_PIECES = (
    "plain words ",
    "line\nline\r\n",
    "\ttabs\t",
    "  two  spaces  ",
    "<script>alert(1)</script>",
    "**bold** [link](javascript:1) `code`",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "e\u0301 \u00e9 \u2028\u2029\u00a0",
    "\u202eright to left\u202c",
    "\U0001f9d1\u200d\U0001f527",
    "\\u0000 \\n \"quoted\" 'single' {curly} %s {0}",
    "\x01\x07\x1b[31m",
    "&amp; &lt; \ufeff",
    "日本語 العربية עברית",
    "1e400 -0.0 0.1 12345678901234567890",
)


@dataclass(slots=True)
class Result:
    """What came of the packages.

    Attributes
    ----------
    changed : list of str
        Ways and handoffs at which a byte was another, or something was missing.
    bytes : int
        Of all packages.
    """

    packages: int = 0
    changed: list[str] = field(default_factory=list)
    bytes: int = 0


# --- tasks -------------------------------------------------------------------


def _text(chance: random.Random) -> str:
    pieces = chance.choices(_PIECES, k=chance.choice((1, 3, 8, 60)))
    return "".join(pieces) * chance.choice((1, 1, 1, 40))


def _value(chance: random.Random, depth: int = 3) -> Any:  # noqa: PLR0911 - kinds
    """Return any JSON value."""
    match chance.randrange(7 if depth else 5):
        case 0:
            return _text(chance)
        case 1:
            return chance.randrange(-(2**53), 2**53)
        case 2:
            return chance.uniform(-1e6, 1e6)
        case 3:
            return chance.choice((True, False, None, "", 0, 0.0))
        case 4:
            return chance.choice((1e-7, 1e21, 0.1, 100.0))
        case 5:
            return [_value(chance, depth - 1) for _ in range(chance.randint(0, 4))]
        case _:
            names = (f"{_text(chance)[:20]}{n}" for n in range(chance.randint(0, 4)))
            return {name: _value(chance, depth - 1) for name in names}


def _events(chance: random.Random) -> Iterator[dict[str, Any]]:
    yield {
        "kind": "task_started",
        "agent_id": "bot",
        "domain": "retail",
        "account": {"id": _text(chance)[:100].strip() or "a", "tier": "gold"},
        "extra": _value(chance),
    }
    for n in range(chance.randint(1, 12)):
        yield from _turn(chance, n)
    yield {"kind": "user_message", "text": "I want to talk to a human"}


def _turn(chance: random.Random, n: int) -> Iterator[dict[str, Any]]:
    match chance.randrange(4):
        case 0:
            yield {"kind": "user_message", "text": _text(chance)}
        case 1:
            yield {"kind": "agent_message", "text": _text(chance)}
        case 2:
            yield {"kind": "plan", "text": _text(chance)}
        case _:
            call = {"call_id": f"c{n}", "tool": "look_up"}
            args = {"a": _value(chance), "b": _value(chance)}
            yield {"kind": "tool_call", "args": args, **call}
            yield {"kind": "tool_result", "result": _value(chance), **call}


# --- ways out ----------------------------------------------------------------


class _Office:
    """A service with two channels, and what each way out gave."""

    def __init__(self, place: Place, channel: FaultyChannel) -> None:
        self._place, self._channel = place, channel
        self._now = _BEGIN
        self._store = place.open()
        notify = {"notify": ["desk", "tray"]}
        self._engine = Engine(
            self._store,
            policy_of(place.folder, **notify),
            NoModel(),
            lambda: self._now,
            b"a secret of the faults",
        )
        self._courier = Courier(
            self._engine.deliveries,
            Channels.parse(self._channels()),
            worker="w",
            clock=lambda: self._now,
        )

    def _channels(self) -> str:
        common = {"package_bytes": _MOST_BYTES}
        desk = {"kind": "webhook", "url": self._channel.url, "secret": _SECRET}
        tray = {"kind": "file", "path": str(self._tray)}
        both = {"desk": {**desk, "allow_private": True, **common}}
        return orjson.dumps({**both, "tray": {**tray, **common}}).decode()

    @property
    def _tray(self) -> Path:
        return self._place.folder / "tray.jsonl"

    def go(self, packages: int, chance: random.Random) -> Result:
        """Hand over so many random tasks; return what was changed on the way."""
        result = Result(packages=packages)
        for n in range(packages):
            result.changed += self._hand_over(f"t{n}", chance)
        self._courier.deliver_all()
        self._courier.close()
        stored = {row["handoff_id"]: row for row in self._place.rows(_STORED)}
        result.bytes = sum(len(row["body"]) for row in stored.values())
        result.changed += self._compared(stored)
        self._store.close()
        return result

    def _hand_over(self, task_id: str, chance: random.Random) -> Iterator[str]:
        self._now += timedelta(seconds=1)
        at = self._now.isoformat()
        sent = [
            {"event_id": f"e{n}", "at": at, **body}
            for n, body in enumerate(_events(chance))
        ]
        answer = self._engine.observe(task_id, sent)
        handoff = self._engine.handoff(answer["handoff"]["handoff_id"])
        ours = [e for e in self._engine.log(task_id) if not e.is_outcome]
        lost = unpacking.lost(handoff["package"], ours)
        yield from (f"{task_id}: {what} is not in the package" for what in lost)

    def _compared(self, stored: dict[str, Any]) -> Iterator[str]:
        ways = {
            "api": self._by_api(stored),
            "console": self._by_console(stored),
            "webhook": self._by(r.body for r in self._channel.accepted.values()),
            "file": self._by(self._tray.read_bytes().splitlines()),
        }
        for way, got in ways.items():
            found = dict(got)
            for handoff_id, row in stored.items():
                digest = hashlib.sha256(found.get(handoff_id, b"")).hexdigest()
                is_same = found.get(handoff_id) == bytes(row["body"])
                if not is_same or digest != row["digest"]:
                    yield f"{handoff_id} by {way}"

    def _by_api(self, stored: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
        client = TestClient(make_api(self._engine))
        for handoff_id in stored:
            yield handoff_id, client.get(f"/v1/handoffs/{handoff_id}/package").content

    def _by_console(self, stored: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
        pages = make_console(
            self._engine, key=b"k" * 32, model=NoModel(), clock=lambda: self._now
        )
        client = TestClient(pages, follow_redirects=False)
        self._sign_in(client)
        for handoff_id in stored:
            at = f"/console/handoffs/{handoff_id}/package.json"
            yield handoff_id, client.get(at).content

    def _sign_in(self, client: TestClient) -> None:
        said = {"who": MEMBER, "next": "/console"}
        client.post(
            "/console/sign-in", data=said, headers={"origin": "http://testserver"}
        )

    def _by(self, messages: Any) -> Iterator[tuple[str, bytes]]:
        """Yield what a channel got, put back together from its full view."""
        for message in messages:
            data = orjson.loads(message)["data"]
            with contextlib.suppress(view.ViewError):
                yield data["handoff"]["handoff_id"], view.whole(data["package"])


def packages(kind: str, server: str, n: int, *, seed: int = 0) -> Result:
    """Return what came of `n` random packages on one store."""
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(fresh(kind, server))
        channel = stack.enter_context(FaultyChannel())
        chance = random.Random(seed)  # noqa: S311 - drawn, no secret
        return _Office(place, channel).go(n, chance)
