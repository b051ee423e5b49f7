"""Raced actions: agents consume tokens while their tasks are handed over and returned.

Whether an act was fenced is judged by the order of the audit log alone: at the place of
each act the agent must have owned the task, under the epoch of its token.
"""

from __future__ import annotations

import multiprocessing
import random
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
from _faults_policy import policy_of
from _faults_stores import Place, fresh
from _faults_story import MEMBER

from serving.engine import Engine, Problem
from serving.engine.actions import Asked
from serving.engine.models import NoModel

_TASKS = 24
_AGENTS, _PEOPLE = 12, 4  # threads of each process
_DIGEST = "0" * 64
# Longest time for which a person keeps a task, in s.
_KEEPS = 0.02
# With a whole race, in s.
_PATIENCE = 3_600


@dataclass(slots=True)
class Result:
    """What came of the race.

    Attributes
    ----------
    raced : int
        Tokens that agents tried to use up, by whatever of the two it ended in.
    executed, refused : int
        Of them, those that were let through and those that were not.
    old : list of str
        Acts under an epoch that was over, or a token used twice, in words.
    moves : int
        Changes of owner meanwhile.
    """

    raced: int = 0
    executed: int = 0
    refused: int = 0
    moves: int = 0
    old: list[str] = field(default_factory=list)


class _Race:
    """What one process does: threads of agents and of people over the same tasks."""

    def __init__(self, place: Place, n: int, seed: int) -> None:
        self.said: Counter[str] = Counter()
        self._left = n
        self._gate = threading.Lock()
        self._seed = seed
        self._engine = Engine(
            place.open(),
            policy_of(place.folder),
            NoModel(),
            lambda: datetime.now(UTC),
            b"a secret of the faults",
        )

    def begin(self) -> None:
        """Let every task be there, with its agent."""
        for task_id in _names():
            said = {"event_id": "e", "at": "2026-11-24T12:00:00Z"}
            event = said | {"kind": "task_started", "agent_id": "bot"}
            self._engine.observe(task_id, [event])

    def go(self) -> None:
        """Race until enough tokens were tried."""
        threads = [
            threading.Thread(target=work, args=(random.Random(f"{self._seed}-{n}"),))  # noqa: S311
            for work, many in ((self._agent, _AGENTS), (self._person, _PEOPLE))
            for n in range(many)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _taken(self) -> bool:
        with self._gate:
            self._left -= 1
            return self._left >= 0

    def _agent(self, chance: random.Random) -> None:
        """Act on tasks; go on with an old token as long as it is let."""
        while self._left > 0:
            task_id = chance.choice(_names())
            epoch = self._engine.task(task_id)["epoch"]
            try:
                given = self._engine.actions.authorize(
                    task_id, epoch=epoch, tool="refund", args_sha256=_DIGEST
                )
            except Problem:
                continue
            # Now and then the same token twice.
            for _ in range(1 + (chance.random() < 0.1)):  # noqa: PLR2004
                if self._taken():
                    self._act(task_id, given["token"])

    def _act(self, task_id: str, token: str) -> None:
        asked = Asked(task_id=task_id, token=token, tool="refund", consume=True)
        answer = self._engine.actions.verify(asked)
        done = answer["may_act"]
        with self._gate:
            self.said["executed" if done else answer["token"]["fault"]] += 1

    def _person(self, chance: random.Random) -> None:
        """Take tasks away and give them back."""
        while self._left > 0:
            task_id = chance.choice(_names())
            try:
                self._take_away(task_id)
            except Problem:  # another person was quicker
                continue

    def _take_away(self, task_id: str) -> None:
        engine = self._engine
        answer = engine.escalate(task_id, by="user", reason="I want one")
        handoff = answer["handoff"]["handoff_id"]
        engine.claim(handoff, by=MEMBER)
        threading.Event().wait(_KEEPS * random.random())  # noqa: S311
        engine.return_(handoff, by=MEMBER, guidance="go on")


def _names() -> list[str]:
    return [f"t{n}" for n in range(_TASKS)]


def _run(place: Place, n: int, seed: int, said: Any) -> None:
    race = _Race(place, n, seed)
    race.begin()
    race.go()
    said.put(dict(race.said))


def raced(kind: str, server: str, n: int) -> Result:
    """Return what came of `n` raced actions on one store."""
    context = multiprocessing.get_context("spawn")
    with fresh(kind, server) as place:
        said, share = context.Queue(), -(-n // place.writers)
        runs = [
            context.Process(target=_run, args=(place, share, seed, said))
            for seed in range(place.writers)
        ]
        for run in runs:
            run.start()
        told = [Counter[str](said.get(timeout=_PATIENCE)) for _ in runs]
        for run in runs:
            run.join()
        counts = sum(told, Counter[str]())
        result = Result(raced=counts.total(), executed=counts["executed"])
        result.refused = result.raced - result.executed
        result.moves, result.old = _judged(place, result.executed)
    return result


def _judged(place: Place, executed: int) -> tuple[int, list[str]]:
    """Return how often tasks changed hands, and the acts that should not have been."""
    rows = place.rows("SELECT body FROM audit_event ORDER BY seq")
    owners: dict[str, tuple[str, int]] = {}
    moves, old, used = 0, [], Counter[str]()
    for record in (orjson.loads(bytes(row["body"])) for row in rows):
        if "owner" in record:
            moves += owners.get(record["task"], ("agent", 1))[1] != record["epoch"]
            owners[record["task"]] = record["owner"]["kind"], record["epoch"]
        elif "action" in record:
            used[record["action"]["jti"]] += 1
            if owners[record["task"]] != ("agent", record["epoch"]):
                old.append(f"record {record['seq']}: {owners[record['task']]}")
    old += list(_miscounted(place, used, executed))
    return moves, old


def _miscounted(place: Place, used: Counter[str], executed: int) -> Iterator[str]:
    yield from (f"token {jti} used {n} times" for jti, n in used.items() if n > 1)
    rows = {row["jti"] for row in place.rows("SELECT jti FROM action")}
    if not len(rows) == used.total() == executed or rows != set(used):
        yield f"{executed} acts let through, {used.total()} logged, {len(rows)} kept"
    yield from place.verify().problems
