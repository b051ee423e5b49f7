"""Schedules: handoffs under random policies, over months of a clock that is turned.

People come late, vanish in the middle, give back or never come at all; queues close,
open again and change their clocks. After each moment at which anything happens every
open handoff must have a deadline that is still to pass, or a person whose claim ends by
itself; and none may wait where nobody is while somebody is elsewhere on its chain.
"""

from __future__ import annotations

import heapq
import itertools
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from _faults_policy import document
from _faults_stores import fresh

from serving.engine import Engine, Problem
from serving.engine.duties import Duties
from serving.engine.models import NoModel
from serving.policy.audit import rfc3339
from serving.policy.rules import Policy, PolicyError
from serving.store.transaction import Reader, Store

# Clocks that change by an hour, by half of one, on days of their own, or never.
_ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Africa/Casablanca",
    "Asia/Kolkata",
    "America/Santiago",
)
# Both changes of the clocks of each hemisphere lie within a year from here.
_BEGIN = datetime(2026, 2, 20, tzinfo=UTC)
_YEAR = timedelta(days=365)
_PER_POLICY = 25
_PEOPLE = ("ana", "ben")
# Somebody comes after so long in any case, so that a run ends.
_PATIENCE = timedelta(days=2)
_MINUTE = timedelta(minutes=1)
# Shares of queues with a limit, of queues that never close; of people who vanish, put
# back, and (from there on) give back to the agent.
_LIMITED, _ALWAYS_OPEN = 0.5, 0.2
_VANISHES, _RELEASES, _RETURNS = 0.2, 0.2, 0.4

_OPEN = """
SELECT handoff_id, queue, status, body FROM handoff
WHERE status IN ('QUEUED', 'CLAIMED')
"""
_NEXT = "SELECT min(due_at) AS due FROM timer WHERE settled_at IS NULL"
_PENDING = """
SELECT handoff_id, kind, due_at FROM timer WHERE settled_at IS NULL AND due_at > :now
"""


@dataclass(slots=True)
class Result:
    """What came of the schedules.

    Attributes
    ----------
    stuck : list of str
        Handoffs for which nothing was to happen any more, and when.
    deadlines : int
        Acted on.
    """

    schedules: int = 0
    deadlines: int = 0
    stuck: list[str] = field(default_factory=list)


# --- policies ----------------------------------------------------------------


def random_policy(chance: random.Random) -> Policy:
    """Return a policy whose hours, chains and limits are drawn; it may go live."""
    while True:
        names = [f"q{n}" for n in range(chance.randint(1, 4))]
        drawn = document()
        drawn["queues"] = [_queue(chance, name, names) for name in names]
        drawn["routes"] = [{"queue": names[0]}]
        drawn["unstaffed"] = chance.choice(("wait", "safe_stop"))
        drawn["messages"] = {"default": drawn["messages"]["default"]}
        try:
            return Policy.parse(orjson.dumps(drawn).decode())
        except PolicyError:
            continue


def _queue(chance: random.Random, name: str, names: list[str]) -> dict[str, Any]:
    others = [other for other in names if other != name]
    drawn: dict[str, Any] = {
        "name": name,
        "owner": "lead",
        "members": list(_PEOPLE),
        "staff": chance.randint(1, 2),
        "hours": _hours(chance),
        "acknowledge_within": f"{chance.choice((600, 3_600, 14_400))} s",
        "resolve_within": f"{chance.choice((60, 480, 4_320))} min",
        "lease": f"{chance.choice((1, 10, 120))} min",
        "minutes_per_handoff": chance.choice((2, 20, 90)),
        "chain": chance.sample(others, chance.randint(0, len(others))),
        "unattended": True,
    }
    if chance.random() < _LIMITED:
        drawn["capacity"] = chance.randint(1, 5)
        drawn["on_overload"] = chance.choice(("keep", "shed"))
    return drawn


def _hours(chance: random.Random) -> dict[str, Any]:
    if chance.random() < _ALWAYS_OPEN:
        return {"timezone": chance.choice(_ZONES)}
    holidays = [_BEGIN + chance.random() * _YEAR for _ in range(chance.randint(0, 5))]
    return {
        "timezone": chance.choice(_ZONES),
        **_shift(chance),
        "also": [_shift(chance) for _ in range(chance.randint(0, 1))],
        "closed_on": sorted({str(day.date()) for day in holidays}),
    }


def _shift(chance: random.Random) -> dict[str, Any]:
    def at() -> str:
        return f"{chance.randrange(24):02}:{chance.choice((0, 15, 30, 59)):02}"

    days = sorted(chance.sample(range(7), chance.randint(1, 7)))
    return {"days": days, "opens": at(), "closes": at()}


# --- one policy --------------------------------------------------------------


class Run:
    """The handoffs of one policy, from the first handover until all are closed."""

    def __init__(self, store: Store, chance: random.Random, name: str) -> None:
        self.policy = random_policy(chance)
        self.now = _BEGIN + chance.random() * _YEAR / 2
        self.result = Result()
        self._store = store
        self._chance = chance
        self._name = name
        self._engine = Engine(
            store, self.policy, NoModel(), lambda: self.now, b"a secret of the faults"
        )
        self._duties = Duties(self._engine.ways)
        self._number = itertools.count()
        self._diary: list[tuple[datetime, int, Callable[[], None]]] = []

    def go(self, handoffs: int) -> Result:
        """Hand so many tasks over, and go on until every handoff is closed."""
        for n in range(handoffs):
            begins = self.now + self._chance.expovariate(1 / 3) * timedelta(days=1)
            self._plan(begins, lambda n=n: self._hand_over(f"{self._name}-{n}"))
        while (due := self._next()) is not None:
            self.now = max(self.now, due)
            while self._diary and self._diary[0][0] <= self.now:
                heapq.heappop(self._diary)[2]()
            while done := self._duties.run():
                self.result.deadlines += done
            with self._store.reading() as reader:
                self.result.stuck += self._stuck(reader)
        self.result.schedules += handoffs
        return self.result

    def _plan(self, at: datetime, what: Callable[[], None]) -> None:
        heapq.heappush(self._diary, (at, next(self._number), what))

    def _next(self) -> datetime | None:
        """Return when anything happens next; None: everything has."""
        if not self._diary:
            return None
        with self._store.reading() as reader:
            row = reader.one(_NEXT)
        planned = self._diary[0][0]
        if row is None or row["due"] is None:
            return planned
        return min(planned, datetime.fromisoformat(row["due"]))

    # --- what people do ------------------------------------------------------

    def _hand_over(self, task_id: str) -> None:
        at = self.now.isoformat()
        said = {"kind": "user_message", "text": "I want to talk to a human"}
        answer = self._engine.observe(task_id, [{"event_id": "e", "at": at, **said}])
        self._await(str(answer["handoff"]["handoff_id"]), self.now + _PATIENCE)

    def _await(self, handoff: str, latest: datetime) -> None:
        """Let somebody come, sooner or later."""
        hours = self._chance.expovariate(1 / self._chance.choice((0.1, 1, 10)))
        at = min(self.now + timedelta(hours=hours), max(latest, self.now + _MINUTE))
        self._plan(at, lambda: self._take(handoff, latest))

    def _take(self, handoff: str, latest: datetime) -> None:
        by = self._chance.choice(_PEOPLE)
        try:
            self._engine.claim(handoff, by=by)
        except Problem:
            self._await(handoff, latest)
            return
        share = self._chance.choice((0.1, 0.9, 1.5, 4.0))
        lease = self.policy.find(self._engine.handoff(handoff)["queue"])
        span = timedelta(minutes=30) if lease is None else lease.lease
        may_vanish = self.now < latest
        if may_vanish and (share > 1 or self._chance.random() < _VANISHES):
            # Gone without a word: the lease ends, and somebody else must come.
            self._plan(self.now + share * span, lambda: self._await(handoff, latest))
        else:
            end = self.now + min(share, 0.9) * span
            self._plan(end, lambda: self._close(handoff, by, latest))

    def _close(self, handoff: str, by: str, latest: datetime) -> None:
        try:
            self._end(handoff, by, latest)
        except Problem:
            # The lease had ended; whoever comes next takes it up again.
            self._await(handoff, latest)

    def _end(self, handoff: str, by: str, latest: datetime) -> None:
        engine, way = self._engine, self._chance.random()
        if way < _RELEASES and self.now < latest:
            engine.release(handoff, by=by)
            self._await(handoff, latest)
        elif way < _RETURNS:
            engine.return_(handoff, by=by, guidance="ask again")
        else:
            engine.resolve(handoff, by=by, needed="yes")

    # --- what must hold ------------------------------------------------------

    def _stuck(self, reader: Reader) -> Iterator[str]:
        """Yield what no deadline and no person will move any more."""
        pending = {
            (row["handoff_id"], row["kind"])
            for row in reader.all(_PENDING, now=rfc3339(self.now))
        }
        for row in reader.all(_OPEN):
            handoff_id, queue = row["handoff_id"], row["queue"]
            waits = row["status"] == "QUEUED"
            kind = "acknowledge" if waits else "lease"
            if (handoff_id, kind) not in pending:
                yield f"{handoff_id} is {row['status']} with no {kind} to come"
            elif waits and not self._is_there(queue) and self._elsewhere(queue):
                yield f"{handoff_id} waits at {queue}, which is closed"

    def _is_there(self, queue: str) -> bool:
        found = self.policy.find(queue)
        return found is not None and found.hours.is_open(self.now)

    def _elsewhere(self, queue: str) -> bool:
        """Whether somebody is on the chain that began at the first queue."""
        first = self.policy.queues[0]
        rungs = self.policy.rungs(first.name)
        return any(self._is_there(rung) for rung in rungs if rung != queue)


def schedules(kind: str, server: str, n: int, *, seed: int = 0) -> Result:
    """Return what came of `n` schedules on one store."""
    chance, total = random.Random(seed), Result()  # noqa: S311 - drawn, no secret
    with fresh(kind, server) as place:
        store = place.open()
        for number in range(-(-n // _PER_POLICY)):
            run = Run(store, chance, f"p{number}")
            done = run.go(min(_PER_POLICY, n - total.schedules))
            total.schedules += done.schedules
            total.deadlines += done.deadlines
            total.stuck += done.stuck
            if number % 20 == 0:
                said = f"{kind}: {total.schedules} schedules, {len(total.stuck)} stuck"
                print(said, file=sys.stderr)
        store.close()
    return total
