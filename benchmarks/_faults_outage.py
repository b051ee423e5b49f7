"""An outage: a channel is away for a day, handovers go on, then it comes back.

The day passes on a clock that is turned; the connections are real and are refused.
Once the channel is back the clock runs on by itself, and the time until it was told
everything is real.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
from _faults_policy import policy_of
from _faults_stores import Place, fresh

from serving.channels.config import Channels
from serving.channels.courier import Courier
from serving.engine import Engine
from serving.engine.models import NoModel
from serving.worker import running

sys.path.append(str(Path(__file__).parents[1] / "tests" / "faults"))
from faulty_channel import FaultyChannel

_DAY = timedelta(hours=24)
_BURSTS = 100
# When the courier's rounds come after each burst, in s; closer where it matters.
_ROUNDS_AT = (0, 2, 7, 25, 60, 90, 100, 104, 108, 110, 112, 114, 116, 118, 120)
_BEGIN = datetime(2026, 11, 23, 12, tzinfo=UTC)
_SECRET = "whsec_Zm9yIHRoZSB0ZXN0cyBvZiBmYXVsdHMgYWxvbmU="  # noqa: S105 - opens nothing
_PATIENCE = 1_800.0  # with the draining, in s
_PAGE = 200
_UNTOLD = """
SELECT count(*) AS n FROM outbox WHERE channel = 'desk' AND status <> 'done'
"""
_DEAD = "SELECT count(*) AS n FROM outbox WHERE status = 'dead'"


@dataclass(slots=True)
class Result:
    """What came of the outage.

    Attributes
    ----------
    lost, doubled : list of str
        Handoffs that the channel was never told of, or as two.
    fallback : float
        Longest time until the channel that stands in had one, in s of the outage.
    visible : float
        Longest time from a handover's answer until the list of its queue showed it,
        in real s.
    drain : float
        Real time from the end of the outage until all was told, in s.
    """

    handovers: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    fallback: float = 0.0
    visible: float = 0.0
    drain: float = 0.0


class _Clock:
    """A clock that is turned, and later runs by itself."""

    def __init__(self) -> None:
        self.now = _BEGIN
        self._since: float | None = None

    def __call__(self) -> datetime:
        if self._since is None:
            return self.now
        return self.now + timedelta(seconds=time.monotonic() - self._since)

    def run(self) -> None:
        """Go on by itself from now on."""
        self._since = time.monotonic()


class _Outage:
    """The service during a day without one of its channels."""

    def __init__(self, place: Place, channel: FaultyChannel) -> None:
        self.result = Result()
        self._place, self._channel = place, channel
        self._tray = place.folder / "tray.jsonl"
        self._clock = _Clock()
        self._store = place.open()
        policy = policy_of(place.folder, notify=["desk"])
        self._engine = Engine(
            self._store, policy, NoModel(), self._clock, b"a secret of the faults"
        )
        self._courier = Courier(
            self._engine.deliveries,
            Channels.parse(self._channels()),
            worker="w",
            clock=self._clock,
        )
        self._opened: dict[str, datetime] = {}
        self._told_at: dict[str, datetime] = {}
        self._read = 0

    def _channels(self) -> str:
        desk = {
            "kind": "webhook",
            "url": self._channel.url,
            "secret": _SECRET,
            "allow_private": True,
            "fallback": "tray",
        }
        tray = {"kind": "file", "path": str(self._tray)}
        return orjson.dumps({"desk": desk, "tray": tray}).decode()

    def go(self, handovers: int) -> Result:
        """Hand over so many tasks in a day, then let the channel come back."""
        self._channel.stop()
        self._day(handovers)
        self._channel.start()
        self._drain()
        self._courier.close()
        self._store.close()
        self._count(handovers)
        return self.result

    def _day(self, handovers: int) -> None:
        """Let the day pass: handovers come in bursts, the rounds follow each."""
        bursts = min(_BURSTS, handovers)
        for burst in range(bursts):
            self._clock.now = began = _BEGIN + burst * _DAY / bursts
            for n in range(burst, handovers, bursts):
                self._hand_over(f"t{n}")
            for seconds in _ROUNDS_AT:
                self._clock.now = began + timedelta(seconds=seconds)
                self._rounds()
        self._clock.now = _BEGIN + _DAY

    def _hand_over(self, task_id: str) -> None:
        said = {"kind": "user_message", "text": "I want to talk to a human"}
        event = {"event_id": "e", "at": self._clock.now.isoformat(), **said}
        answer = self._engine.observe(task_id, [event])
        began = time.monotonic()
        handoff_id = answer["handoff"]["handoff_id"]
        self._opened[handoff_id] = self._clock.now
        before = max(0, len(self._opened) - _PAGE)
        listed = self._engine.handoffs(limit=_PAGE, offset=before)
        if all(one["handoff_id"] != handoff_id for one in listed["handoffs"]):
            msg = f"expected {handoff_id} in the list of its queue, found it not"
            raise RuntimeError(msg)
        self.result.visible = max(self.result.visible, time.monotonic() - began)

    def _rounds(self) -> None:
        self._courier.deliver_all()
        for handoff_id in self._tray_says():
            self._told_at.setdefault(handoff_id, self._clock.now)

    def _tray_says(self) -> Iterator[str]:
        """Yield the handoffs that the other channel was told of since last time."""
        if not self._tray.exists():
            return
        with self._tray.open("rb") as tray:
            tray.seek(self._read)
            lines = tray.readlines()
            self._read = tray.tell()
        yield from (_handoff_of(line) for line in lines)

    def _drain(self) -> None:
        began = time.monotonic()
        self._clock.run()
        with running(self._courier.rounds()):
            while self._untold() and time.monotonic() - began < _PATIENCE:
                time.sleep(0.1)
        self.result.drain = time.monotonic() - began

    def _untold(self) -> int:
        with self._store.reading() as reader:
            row = reader.one(_UNTOLD)
        return 0 if row is None else int(row["n"])

    def _count(self, handovers: int) -> None:
        result, told = self.result, Counter[str]()
        result.handovers = handovers
        for request in self._channel.accepted.values():
            if _kind_of(request.body) == "opened":
                told[_handoff_of(request.body)] += 1
        result.lost = [h for h in self._opened if h not in told]
        result.lost += [
            f"{h} in the tray" for h in self._opened if h not in self._told_at
        ]
        result.doubled = [h for h, n in told.items() if n > 1]
        waits = (self._told_at.get(h, at) - at for h, at in self._opened.items())
        result.fallback = max(wait.total_seconds() for wait in waits)
        dead = self._place.rows(_DEAD)[0]["n"]
        result.lost += [f"{dead} dead letters"] if dead else []
        result.lost += self._place.verify().problems


def _handoff_of(body: bytes) -> str:
    return str(orjson.loads(body)["data"]["handoff"]["handoff_id"])


def _kind_of(body: bytes) -> str:
    return str(orjson.loads(body)["data"]["what"])


def outage(kind: str, server: str, handovers: int) -> Result:
    """Return what came of an outage of a day with so many handovers in it."""
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(fresh(kind, server))
        channel = stack.enter_context(FaultyChannel())
        return _Outage(place, channel).go(handovers)
