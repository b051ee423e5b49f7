"""Auditor: looks whether every handover is on its way, repairs, then alarms.

A deadline that was lost, a letter nobody carries, a worker that has stopped: each is
looked for in what the store holds, by another than who should have done it. What can
be put right is, and audited; what cannot is an alarm. Only a round in which all was
well counts as good, and only a good round has the heartbeat go out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from serving.engine import repairs
from serving.engine.announced import Reconciler
from serving.engine.looking import Look, looks
from serving.engine.ways import Answer, Ways
from serving.policy.audit import rfc3339
from serving.problems import Problem, ProblemType
from serving.store import alarms
from serving.store.looks import beats
from serving.store.transaction import Reader, Transaction
from training.monitor.alarm import OF_SERVICE, Alarm

NAME = "auditor"
EVERY = timedelta(seconds=60)
# Three rounds without a good one are no accident.
OVERDUE = 3 * EVERY


class UnsoundError(RuntimeError):
    """A round of the auditor found what it could not put right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one round of the auditor found.

    Attributes
    ----------
    looks : tuple of Look
        Everything that was looked at.
    repaired : int
        Handoffs that had lost their deadline and have one again.
    """

    at: datetime
    looks: tuple[Look, ...]
    repaired: int = 0

    @property
    def is_good(self) -> bool:
        """Whether all is well; what was repaired is."""
        return not self.failed

    @property
    def failed(self) -> tuple[Look, ...]:
        """The looks at what is not well."""
        return tuple(one for one in self.looks if one.is_standing and not one.passed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """What metrics show of the auditor.

    Attributes
    ----------
    looks : Mapping of str to int
        How many were found in this process' last round, by what was looked at.
    age_s : float
        Since a round in which all was well, in s.
    is_writable : bool
        Whether the store can be written, as far as is known without trying.
    """

    looks: Mapping[str, int]
    age_s: float
    is_writable: bool


class Auditor:
    """Looks at the store once a minute. Safe to call from many threads.

    Parameters
    ----------
    ways : Ways
        The engine's.
    """

    def __init__(self, ways: Ways) -> None:
        self._ways = ways
        self._reconciler = Reconciler(ways)
        self._begun = ways.clock()
        self._last: Found | None = None
        self._last_good: datetime | None = None

    def run(self) -> Found:
        """Repair, look, alarm; return what was found.

        Raises
        ------
        StoreError
            If the store cannot be read or written: then nothing is well.
        """
        at = self._ways.clock()
        self._ways.writing.prove(self._ways.do)
        repaired = self._ways.do(lambda tx: self._repair(tx, at))
        self._reconciler.look(at)
        seen = self._ways.read(lambda reader: self._look(reader, at, repaired))
        self._ways.do(lambda tx: _sync(tx, seen, at))
        found = Found(at=at, looks=seen, repaired=repaired)
        self._last = found
        if found.is_good:
            self._last_good = at
        return found

    def check(self) -> Found:
        """Return what `run` found, if that is nothing.

        Raises
        ------
        UnsoundError
            If it is something; the message names the looks.
        StoreError
            As in `run`.
        """
        found = self.run()
        if not found.is_good:
            failed = ", ".join(str(look.code) for look in found.failed)
            msg = f"expected all to be well, found {failed}; see /v1/alarms"
            raise UnsoundError(msg)
        return found

    def found(self) -> Answer:
        """Return how old the last good round is, here or in a worker, and the looks.

        Raises
        ------
        Problem
            engine-unsound, where there was none for `OVERDUE`; with the same answer.
        """
        good, age = self._age()
        answer = _answer(self._last, good, age)
        if age > OVERDUE:
            raise Problem(
                ProblemType.ENGINE_UNSOUND,
                f"expected a good round of the auditor within {OVERDUE.seconds} s, the "
                f"last was {age.total_seconds():.0f} s ago; see /v1/alarms, and "
                "whether a worker runs",
                **answer,
            )
        return answer

    def sound(self) -> Sound:
        """Return what metrics show."""
        looks = () if self._last is None else self._last.looks
        return Sound(
            looks={str(look.code): look.seen.n for look in looks},
            age_s=self._age()[1].total_seconds(),
            is_writable=self._ways.writing.is_well,
        )

    def _age(self) -> tuple[datetime | None, timedelta]:
        """Return when a round was good last, and how long ago, or since we began."""
        good = self._ways.read(self._good)
        since = self._begun if good is None else good
        return good, max(self._ways.clock() - since, timedelta(0))

    def _good(self, reader: Reader) -> datetime | None:
        """Return when a round was good last, in this process or in a worker."""
        ends = [beat.rounds.get(NAME) for beat in beats(reader)]
        good = [end for end in (*ends, self._last_good) if end is not None]
        return max(good, default=None)

    def _repair(self, tx: Transaction, at: datetime) -> int:
        steps = self._ways.steps
        _, model = steps.judge.model(at)
        if model.rung:
            # Said even if no task asks; a model that is well says so at its next step.
            steps.model.note(tx, model, at)
        return repairs.repair(tx, at)

    def _look(self, reader: Reader, at: datetime, repaired: int) -> tuple[Look, ...]:
        _, model = self._ways.steps.judge.model(at)
        return looks(reader, at, model=model, repaired=repaired, begun=self._begun)


def _answer(found: Found | None, good: datetime | None, age: timedelta) -> Answer:
    return {
        "age_s": age.total_seconds(),
        "last_good": None if good is None else rfc3339(good),
        "last": None if found is None else rfc3339(found.at),
        "repaired": 0 if found is None else found.repaired,
        "looks": [] if found is None else [one.to_json() for one in found.looks],
    }


def _sync(tx: Transaction, seen: Sequence[Look], at: datetime) -> None:
    """Make the alarms of the service that stand those that `seen` calls for."""
    wanted: dict[str, Alarm] = {
        str(look.code): look.alarm(at) for look in seen if not look.passed
    }
    for raised in list(alarms.standing(tx)):
        code = raised.alarm.code
        if code not in OF_SERVICE:
            continue
        if wanted.pop(str(code), None) is None:
            alarms.clear(tx, raised, at, by=alarms.MONITOR, why="it has passed")
    for alarm in wanted.values():
        alarms.add(tx, "", alarm, at)
