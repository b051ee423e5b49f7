"""Alarming: the monitors of a service, and what people ask and say about alarms."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from serving.engine import keys
from serving.engine.checks import check
from serving.engine.keys import Replay
from serving.engine.models import ModelSource
from serving.engine.watch import MATURES, Watcher
from serving.engine.withdrawals import Withdrawals
from serving.policy.rules import Policy
from serving.problems import Problem, ProblemType
from serving.safely import Failure, attempt
from serving.store import alarms
from serving.store.transaction import Reader, Store, Transaction

MOST_LISTED = 500

Json = dict[str, Any]


class Monitors:
    """What watches the model in force, and the alarms that were raised.

    Parameters
    ----------
    store : Store
        Where alarms are kept.
    policy : Policy
        In force.
    model : ModelSource
        Where the model comes from.
    withdrawals : Withdrawals
        Of the judge.
    clock : callable
        Returns the time, timezone-aware.
    matures : timedelta
        How long the labels of a task are waited for.

    Attributes
    ----------
    watcher : Watcher
        Looks when it is told to; see `watch.Rounds`.
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
    ) -> None:
        self.watcher = Watcher(
            store,
            policy,
            model,
            withdrawals,
            clock,
            matures=matures,
            pause=time.sleep,
        )
        self._store = store
        self._model = model
        self._withdrawals = withdrawals
        self._clock = clock

    def begin(self) -> None:
        """Take from the store which certificates do not hold."""
        with self._store.reading() as reader:
            self._withdrawals.refresh(reader)

    def withdrawn(self) -> frozenset[str]:
        """Return the segments whose certificate is withdrawn now; "" is all tasks."""
        bundle = attempt(self._model.current)
        if bundle is None or isinstance(bundle, Failure):
            return frozenset()
        with self._store.reading() as reader:
            self._withdrawals.refresh(reader)
        return self._withdrawals.of(bundle.digest)

    def listed(
        self,
        *,
        is_open: bool | None = None,
        since: datetime | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> Json:
        """Return a page of alarms, and which certificates in force are withdrawn.

        Raises
        ------
        Problem
            malformed-request.
        """
        with self._store.reading() as reader:
            return listed(
                reader,
                self.withdrawn(),
                is_open=is_open,
                since=since,
                limit=limit,
                offset=offset,
            )

    def clear(self, alarm_id: str, *, by: str, why: str) -> Json:
        """Say that an alarm is over; a certificate it had withdrawn holds again.

        Raises
        ------
        Problem
            unknown-alarm, already-cleared, malformed-request.
        """
        check(bool(by.strip()), "by", "who clears it", by)
        check(bool(why.strip()), "why", "why it is over", why)
        held, at = self._withdrawals, self._clock()
        work = keys.once(lambda tx: clear(tx, held, alarm_id, at, by=by, why=why), at)
        cleared = self._store.submit(work).result()
        if isinstance(cleared, Problem | Replay):
            raise cleared
        return cleared

    def standing(self) -> list[alarms.Raised]:
        """Return the alarms that are open."""
        with self._store.reading() as reader:
            return list(alarms.standing(reader))


def listed(
    reader: Reader,
    withdrawn: frozenset[str],
    *,
    is_open: bool | None,
    since: datetime | None,
    limit: int,
    offset: int,
) -> Json:
    """Return a page of alarms, and which certificates of the present model are gone.

    Raises
    ------
    Problem
        malformed-request.
    """
    if not (1 <= limit <= MOST_LISTED and offset >= 0):
        raise Problem(
            ProblemType.MALFORMED_REQUEST,
            f"`limit` must be in [1, {MOST_LISTED}] and `offset` not negative, found "
            f"{limit} and {offset}",
        )
    if since is not None and since.utcoffset() is None:
        raise Problem(
            ProblemType.MALFORMED_REQUEST,
            f"`since` must name its timezone, found {since.isoformat()}; add Z for UTC",
        )
    found = alarms.listed(
        reader, is_open=is_open, since=since, limit=limit, offset=offset
    )
    return {
        "alarms": [raised.to_json() for raised in found],
        "withdrawn": sorted(withdrawn),
    }


def clear(
    tx: Transaction,
    withdrawals: Withdrawals,
    alarm_id: str,
    at: datetime,
    *,
    by: str,
    why: str,
) -> Json:
    """Say that an alarm is over; a certificate it had withdrawn holds again.

    Raises
    ------
    Problem
        unknown-alarm, already-cleared, malformed-request.
    """
    if by.strip().lower() == alarms.MONITOR:
        raise Problem(
            ProblemType.MALFORMED_REQUEST,
            f"`by` must be the name of a person, found {by!r}: that is what clears "
            "alarms that have passed",
        )
    raised = alarms.find(tx, alarm_id)
    if raised is None:
        raise Problem(
            ProblemType.UNKNOWN_ALARM,
            f"expected the id of an alarm, found {alarm_id!r}; GET /v1/alarms has them",
        )
    if raised.cleared_at is not None:
        raise Problem(
            ProblemType.ALREADY_CLEARED,
            f"alarm {alarm_id!r} was cleared by {raised.cleared_by}; there is no more "
            "to do",
        )
    over = alarms.clear(tx, raised, at, by=by, why=why)
    withdrawals.changed(tx)
    return over.to_json()
