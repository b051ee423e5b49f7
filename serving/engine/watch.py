"""Watch: the monitors, run now and then beside the decisions, and never in their way.

They read through a reader, on a thread of their own, and pause as they go. What they
find is written in one transaction: the alarm, the withdrawal it means, and the audit
records of both.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from serving.engine.models import ModelSource
from serving.engine.withdrawals import Withdrawals
from serving.policy.rules import Mode, Policy
from serving.store import alarms
from serving.store.alarms import Raised
from serving.store.transaction import Reader, Store, Transaction
from serving.store.watched import loaded_at, watched
from training.bundle import Certificate
from training.monitor.alarm import OF_AGENTS, OF_SERVICE, PASSING, Alarm, Code
from training.monitor.alarms import Watch
from training.monitor.reference import Rates, Reference
from training.monitor.watching import Watched

MATURES = timedelta(days=7)
# Tasks taken at a time, and how long the thread then lets others go first, in s.
_SLICE = 200
_PAUSE = 0.01
_log = logging.getLogger(__name__)

_Cleared = Mapping[tuple[Code, str], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Promises:
    """What monitors need to know of the model in force.

    Attributes
    ----------
    digest, version : str
        Of the bundle; "" where rules decide alone.
    promised : Mapping of str to float
        Certified miss rate by segment, of the certificates that were made.
    reference : Reference
        What tasks were like in training.
    """

    digest: str
    version: str
    promised: Mapping[str, float]
    reference: Reference

    @classmethod
    def of(cls, bundle: Any) -> Promises:
        """Return what `bundle` promises; None promises nothing."""
        if bundle is None:
            return cls(digest="", version="", promised={}, reference=Reference())
        made: Sequence[Certificate] = (
            bundle.certificate,
            *getattr(bundle, "segments", ()),
        )
        return cls(
            digest=bundle.digest,
            version=bundle.version,
            promised={
                c.segment: float(c.alpha) for c in made if c.threshold is not None
            },
            reference=Reference.from_json(getattr(bundle, "reference", {})),
        )

    def watched(self, policy: Policy, cleared: _Cleared) -> Watched:
        """Return what is watched of this model under `policy`."""
        return Watched(
            promised=self.promised,
            model_version=self.version,
            audits=policy.audit.uniform or Watched().audits,
            cleared=cleared,
        )

    def usual(self, policy: Policy) -> Reference:
        """Return what tasks are held against under `policy`.

        Where it does not act on all of them, the rates of training say nothing of how
        many are handed over, so the first tasks do.
        """
        if policy.mode is Mode.ENFORCE:
            return self.reference
        return replace(self.reference, rates=Rates())


class Watcher:
    """Looks at the tasks whose labels have matured since it last looked.

    Its state is in memory, and comes again out of the store: a service that starts
    takes in the tasks of its model from the first one on.

    Parameters
    ----------
    store : Store
        Read, and written to where something is found.
    policy : Policy
        In force.
    model : ModelSource
        Where the model comes from.
    withdrawals : Withdrawals
        Of the judge: what it must know at once.
    clock : callable
        Returns the time, timezone-aware.
    matures : timedelta
        How long after its last decision a task's labels are waited for.
    pause : callable
        Called with seconds to wait, between slices of tasks.
    """

    def __init__(
        self,
        store: Store,
        policy: Policy,
        model: ModelSource,
        withdrawals: Withdrawals,
        clock: Callable[[], datetime],
        *,
        matures: timedelta = MATURES,
        pause: Callable[[float], object] = lambda _: None,
    ) -> None:
        self._store = store
        self._policy = policy
        self._model = model
        self._withdrawals = withdrawals
        self._clock = clock
        self._matures = matures
        self._pause = pause
        self._held: tuple[str, _Cleared, Watch] | None = None
        self._cursor: datetime | None = None

    def look(self) -> list[Raised]:
        """Take in what has matured, write what was found; return what is open now.

        Raises
        ------
        StoreError
            If the store cannot be read or written; nothing was kept.
        """
        promises = Promises.of(self._model.current())
        with self._store.reading() as reader:
            cleared = _cleared(alarms.of_model(reader, promises.digest))
            watch = self._watch_of(reader, promises, cleared)
        self._take(watch, self._clock() - self._matures)
        write = _Sync(
            digest=promises.digest,
            found=watch.alarms(),
            cleared=cleared,
            at=self._clock(),
            withdrawals=self._withdrawals,
        )
        return self._store.submit(write).result()

    def _watch_of(self, reader: Reader, promises: Promises, cleared: _Cleared) -> Watch:
        """Return the watch to go on with; a new one with a model or a clearing."""
        held = self._held
        if held is not None and held[:2] == (promises.digest, cleared):
            return held[2]
        watched_by = promises.watched(self._policy, cleared)
        watch = Watch(watched_by, promises.usual(self._policy))
        self._cursor = loaded_at(reader, promises.digest)
        self._held = (promises.digest, cleared, watch)
        return watch

    def _take(self, watch: Watch, until: datetime) -> None:
        if self._cursor is not None and until <= self._cursor:
            return
        with self._store.reading() as reader:
            tasks, signals = watched(
                reader, since=self._cursor, until=until, matures=self._matures
            )
        for start in range(0, len(tasks), _SLICE):
            rows = np.arange(start, min(start + _SLICE, len(tasks)))
            part = {name: values[rows] for name, values in signals.items()}
            watch.take(tasks.where(rows), part)
            self._pause(_PAUSE)
        self._cursor = until


def _cleared(raised: Iterable[Raised]) -> _Cleared:
    """Return until when a person cleared each alarm last, s since 1970."""
    return {
        one.alarm.key: one.cleared_at.timestamp()
        for one in raised
        if one.cleared_at is not None
        and one.cleared_by != alarms.MONITOR
        and one.alarm.code not in OF_SERVICE | OF_AGENTS
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sync:
    """The use case that makes the stored alarms those that were found."""

    digest: str
    found: Sequence[Alarm]
    cleared: _Cleared
    at: datetime
    withdrawals: Withdrawals

    def __call__(self, tx: Transaction) -> list[Raised]:
        standing = alarms.standing(tx)
        apart = OF_SERVICE | OF_AGENTS
        before = [one for one in standing if one.alarm.code not in apart]
        if _cleared(alarms.of_model(tx, self.digest)) != self.cleared:
            # Somebody cleared one while we looked: what we found may be that one.
            return before
        keys = {alarm.key for alarm in self.found}
        kept = []
        for raised in before:
            why = self._over(raised, keys)
            if why is None:
                kept.append(raised)
            else:
                alarms.clear(tx, raised, self.at, by=alarms.MONITOR, why=why)
        known = {raised.alarm.key for raised in kept}
        new = [a for a in self.found if a.key not in known]
        kept += [alarms.add(tx, self.digest, alarm, self.at) for alarm in new]
        if new or len(kept) != len(before):
            self.withdrawals.changed(tx)
        return kept

    def _over(self, raised: Raised, keys: set[tuple[Code, str]]) -> str | None:
        """Return why an open alarm is over; None: it is not."""
        if raised.model != self.digest:
            return "another model is in force"
        if raised.alarm.code in PASSING and raised.alarm.key not in keys:
            return "it has passed"
        return None
