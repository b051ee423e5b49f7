"""Kill -9, again and again: processes that serve, tell stories and lose their lives.

Run as a script, because it forks: everything is imported once, and each life is a fork
that opens the store as the service does, with all its rounds, and tells stories through
the whole HTTP application until it is killed or ends itself at a named place. The next
life tells again every story that did not end.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import os
import random
import select
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import _packages_first  # noqa: F401 - `features` is the package
import orjson
from _faults_check import Found, check
from _faults_policy import write_policy
from _faults_stores import Place, fresh
from _faults_story import DONE, Answered, Asked, in_process, tell

from serving import crash
from serving.channels.courier import Courier
from serving.composition import Application, channels_of, policy_of
from serving.engine import Engine
from serving.engine.models import NoModel
from serving.settings import Settings

_AT_ONCE = 12  # stories told side by side
# From the beginning of work to the kill, in s: for most lives, and for the others.
_LONGEST, _LONG_LIFE = 0.3, 3.0
_LONG_LIVES = 0.3
_PATIENCE = 20.0
# The share of lives that end at a named place, and how often it is passed before.
_ARMED = 0.4
_PASSES = {"before_commit": 12, "after_commit": 12, "after_send": 12}
_POINTS = tuple(_PASSES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run of kills is to do.

    Attributes
    ----------
    kills, handovers : int
        It ends once there were so many of both.
    per_store : int
        Kills after which a store is checked for the last time, and another is begun.
    seconds : float
        It ends after so long in any case.
    """

    kills: int
    handovers: int = 0
    per_store: int = 150
    seconds: float = 1e9
    seed: int = 0


class Journal:
    """What was begun, answered and ended, in a file that outlives every process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, **said: Any) -> None:
        """Append one line, in one write, so that none is torn."""
        os.write(self._file, orjson.dumps(said) + b"\n")

    def lines(self) -> list[dict[str, Any]]:
        """Return everything that was written."""
        return [orjson.loads(line) for line in self._path.read_bytes().splitlines()]

    def answers(self) -> list[dict[str, Any]]:
        """Return what was answered, in order."""
        return [line for line in self.lines() if "what" in line]

    def unfinished(self, slot: int) -> list[str]:
        """Return the stories that a slot has begun and not ended."""
        begun: dict[str, None] = {}
        for line in self.lines():
            if line.get("begins") == slot:
                begun[line["task"]] = None
            if "ends" in line:
                begun.pop(line["task"], None)
        return list(begun)


def note_of(asked: Asked, answered: Answered) -> dict[str, Any]:
    """Return what the journal keeps of an answer."""
    body = answered.body
    sent = asked.body.get("events", ()) if isinstance(asked.body, Mapping) else ()
    handoff, is_done = body.get("handoff") or {}, answered.status == DONE
    return {
        "task": asked.task_id,
        "what": asked.what,
        # A refusal says how things stand, which may change.
        "digest": answered.digest if is_done else "",
        "ids": [event["event_id"] for event in sent] if is_done else [],
        "handoff": handoff.get("handoff_id") or body.get("handoff_id", ""),
        "message_id": body.get("message_id"),
    }


# --- a life ------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """What a process is born with."""

    settings: Settings
    journal: Journal
    slot: int
    name: str
    unfinished: Sequence[str]
    crash_at: str = ""
    is_last: bool = False

    def stories(self) -> Iterator[str]:
        """Yield the stories to tell: first what is unfinished, then new ones."""
        yield from self.unfinished
        if not self.is_last:
            yield from (f"{self.name}-{n}" for n in itertools.count())


@dataclass(slots=True)
class Life:
    """A process that was born, as its parent sees it."""

    birth: Birth
    process: int
    said: int
    began: float = field(default_factory=time.monotonic)

    def awaited(self) -> None:
        """Return once it has begun to work.

        Raises
        ------
        RuntimeError
            If it does not.
        """
        ready, _, _ = select.select([self.said], [], [], _PATIENCE)
        if not ready:
            msg = f"{self.birth.name} did not begin within {_PATIENCE} s"
            raise RuntimeError(msg)

    def ended(self, within: float) -> int | None:
        """Return how it ended, if it does so within that many s."""
        until = time.monotonic() + within
        while time.monotonic() < until:
            process, status = os.waitpid(self.process, os.WNOHANG)
            if process:
                os.close(self.said)
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.001)
        return None

    def end(self) -> int:
        """Kill it and return how it ended."""
        os.kill(self.process, signal.SIGKILL)
        ended = self.ended(_PATIENCE)
        return -1 if ended is None else ended


def born(birth: Birth) -> Life:
    """Return a new life, which is being born."""
    said, says = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(said)
        _live(birth, says)
    os.close(says)
    return Life(birth, process, said)


def _live(birth: Birth, says: int) -> NoReturn:
    """Serve and tell stories until killed; never returns to the caller's code."""
    status = 5
    try:
        logging.disable()
        crash.arm({crash.VARIABLE: birth.crash_at})
        application = Application(birth.settings)
        if not application.open():
            raise RuntimeError(application.unavailable()["detail"])  # noqa: TRY301
        os.write(says, b"open")
        asyncio.run(_tell_all(birth, application))
        application.close()
        status = 0
    except BaseException:  # noqa: BLE001 - a fork must not go on as its parent
        traceback.print_exc()
    os._exit(status)


async def _tell_all(birth: Birth, application: Application) -> None:
    stories, call, journal = birth.stories(), in_process(application), birth.journal

    async def teller() -> None:
        for task_id in stories:
            journal.write(begins=birth.slot, task=task_id)
            await tell(task_id, call, lambda *both: journal.write(**note_of(*both)))
            journal.write(ends=birth.slot, task=task_id)

    await asyncio.gather(*(teller() for _ in range(_AT_ONCE)))


def _channels(place: Place) -> Path:
    """Write the channels of a run, and return where."""
    path = place.folder / "channels.yaml"
    tray = {"kind": "file", "path": str(place.tray)}
    path.write_bytes(orjson.dumps({"tray": tray}))
    return path


def _carried(place: Place, settings: Settings) -> None:
    """Have a worker carry all that is still to be told, once every lease is over.

    In a process of its own, on a clock that is ahead: so long is nobody to wait.
    """
    process = os.fork()
    if process == 0:
        status = 5
        try:
            logging.disable()
            _carry(place, settings)
            status = 0
        except BaseException:  # noqa: BLE001 - a fork must not go on as its parent
            traceback.print_exc()
        os._exit(status)
    _, ended = os.waitpid(process, 0)
    if ended:
        msg = f"what was left to be told could not be carried: {ended}"
        raise RuntimeError(msg)


def _carry(place: Place, settings: Settings) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=1)
    store = place.open()
    engine = Engine(
        store, policy_of(settings), NoModel(), lambda: ahead, settings.key()
    )
    courier = Courier(
        engine.deliveries, channels_of(settings), worker="last", clock=lambda: ahead
    )
    while courier.deliver_all():
        pass
    courier.close()
    store.close()


# --- the loop ----------------------------------------------------------------


class Killing:
    """Lives over one store, one after the other in each slot, all killed.

    Parameters
    ----------
    place : Place
        The store.
    chance : random.Random
        When to kill, and where to let a life end itself.
    """

    def __init__(self, place: Place, chance: random.Random) -> None:
        self.kills = 0
        self.ends: Counter[int] = Counter()
        self._place = place
        self._journal = Journal(place.folder / "journal")
        self._chance = chance
        self._settings = Settings.load(
            store=place.address,
            model=place.folder / "no-model",
            policy=write_policy(place.folder / "policy.yaml", notify=["tray"]),
            channels=_channels(place),
            secret="a secret of the faults alone",  # noqa: S106 - opens nothing
            console=False,
            monitor_seconds=0,
        )
        self._numbers = itertools.count()

    def go(self, kills: int, until: float) -> None:
        """Kill so often, or until that moment of the monotonic clock."""
        alive = [self._born(slot) for slot in range(self._place.writers)]
        while self.kills < kills and time.monotonic() < until:
            slot = self._chance.randrange(len(alive))
            self._kill(alive[slot])
            alive[slot] = self._born(slot)
        for life in alive:
            self._kill(life)

    def check(self) -> Found:
        """Let every story end, then return what is wrong with the store."""
        for slot in range(self._place.writers):
            last = self._born(slot, is_last=True)
            ended = last.ended(60)
            if ended != 0:
                last.end()
                msg = f"the last life of slot {slot} ended with {ended}"
                raise RuntimeError(msg)
        _carried(self._place, self._settings)
        found = check(self._place, self._journal.answers())
        for slot in range(self._place.writers):
            found.lost += [f"story {s}" for s in self._journal.unfinished(slot)]
        return found

    def _born(self, slot: int, *, is_last: bool = False) -> Life:
        name = f"{slot}-{next(self._numbers)}"
        point = self._chance.choice(_POINTS)
        nth = self._chance.randint(1, _PASSES[point])
        armed = self._chance.random() < _ARMED and not is_last
        return born(
            Birth(
                settings=self._settings,
                journal=self._journal,
                slot=slot,
                name=name,
                unfinished=self._journal.unfinished(slot),
                crash_at=f"{point}:{nth}" if armed else "",
                is_last=is_last,
            )
        )

    def _kill(self, life: Life) -> None:
        """Let a life end: by its own hand if it is armed, else by ours, at random."""
        life.awaited()
        # One that is to end itself is given the time to come that far.
        is_armed = bool(life.birth.crash_at)
        is_long = is_armed or self._chance.random() < _LONG_LIVES
        longest = _LONG_LIFE if is_long else _LONGEST
        ended = life.ended(self._chance.uniform(0, longest))
        status = life.end() if ended is None else ended
        if status not in (-signal.SIGKILL, crash.EXIT_STATUS):
            msg = f"{life.birth.name} ended by itself, with {status}"
            raise RuntimeError(msg)
        self.kills += 1
        self.ends[status] += 1


def killed(plan: Plan, kind: str, server: str) -> dict[str, Any]:
    """Return what a whole run found: counts, and what is wrong in words."""
    chance = random.Random(plan.seed)  # noqa: S311 - moments to kill at, no secret
    until = time.monotonic() + plan.seconds
    found, kills, ends = Found(), 0, Counter[int]()
    while kills < plan.kills or found.handovers < plan.handovers:
        with fresh(kind, server) as place:
            killing = Killing(place, chance)
            killing.go(min(plan.per_store, max(1, plan.kills - kills)), until)
            found += killing.check()
        kills += killing.kills
        ends += killing.ends
        said = f"{kind}: {kills} kills, {found.handovers} handovers, {_wrong(found)}"
        print(said, file=sys.stderr)
        if time.monotonic() > until:
            break
    by_themselves = ends[crash.EXIT_STATUS]
    return {"kills": kills, "by_themselves": by_themselves, **asdict(found)}


def _wrong(found: Found) -> str:
    counts = {"lost": found.lost, "doubled": found.doubled, "torn": found.torn}
    return ", ".join(f"{len(what)} {name}" for name, what in counts.items())


def main() -> None:
    """Run a plan from the command line; print what was found as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("sqlite", "postgresql"))
    parser.add_argument("--server", default="", help="PostgreSQL, without a database")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--handovers", type=int, default=0)
    parser.add_argument("--per-store", type=int, default=150)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--seed", type=int, default=0)
    asked = vars(parser.parse_args())
    where = asked.pop("kind"), asked.pop("server")
    print(orjson.dumps(killed(Plan(**asked), *where)).decode())


if __name__ == "__main__":
    main()
