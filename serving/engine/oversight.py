"""Oversight: what reviewers and risk owners ask of the service."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

from serving.engine.checks import check, is_amount
from serving.engine.figures import figures
from serving.engine.ownership import NEEDED
from serving.engine.reviewing import Answer, Desk, Verdict
from serving.store.transaction import Reader, Transaction
from training.monitor.kpis import By

MOST_REVIEWS = 50


class Do(Protocol):
    """Runs a use case in a transaction of its own, and returns once it is durable."""

    def __call__(self, use_case: Callable[[Transaction], Answer], /) -> Answer:
        """Return what `use_case` returns."""
        ...


class Read(Protocol):
    """Runs a view over a consistent moment of the store."""

    def __call__(self, view: Callable[[Reader], Answer], /) -> Answer:
        """Return what `view` returns."""
        ...


class Oversight:
    """The label desk and the KPIs. Safe to call from many threads.

    Parameters
    ----------
    desk : Desk
        Knows what is due for review.
    do, read : callable
        The engine's ways to its store.
    clock : callable
        Returns the time, timezone-aware.
    """

    def __init__(
        self, desk: Desk, do: Do, read: Read, clock: Callable[[], datetime]
    ) -> None:
        self._desk = desk
        self._do = do
        self._read = read
        self._clock = clock

    def reviews(self, *, by: str, limit: int = 10) -> Answer:
        """Return what `by` should judge next, with the rubric.

        Raises
        ------
        Problem
            wrong-reviewer, malformed-request.
        """
        check(bool(by.strip()), "by", "the name of a reviewer", by)
        check(1 <= limit <= MOST_REVIEWS, "limit", f"in [1, {MOST_REVIEWS}]", limit)
        return self._read(lambda reader: self._desk.listed(reader, by=by, limit=limit))

    def review(
        self,
        task_id: str,
        *,
        by: str,
        needed: str,
        rubric_version: str,
        note: str = "",
        seconds: float | None = None,
    ) -> Answer:
        """Keep a reviewer's verdict on a task; it becomes a label.

        The same again changes nothing; another replaces the reviewer's earlier one.

        Raises
        ------
        Problem
            unknown-task, wrong-reviewer, not-due, malformed-request.
        """
        check(bool(by.strip()), "by", "the name of a reviewer", by)
        check(needed in NEEDED, "needed", "one of " + ", ".join(NEEDED), needed)
        check(is_amount(seconds), "seconds", "a number >= 0, or nothing", seconds)
        verdict = Verdict(
            by=by,
            needed=str(needed),
            rubric_version=rubric_version,
            note=note,
            seconds=seconds,
        )
        return self._do(lambda tx: self._desk.judge(tx, task_id, verdict))

    def kpis(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        by: By | None = None,
    ) -> dict[str, Any]:
        """Return the KPIs of the tasks last decided on in ``[since, until)``."""
        now = self._clock()
        return self._read(
            lambda reader: figures(
                reader, now=now, since=since, until=until, by=by
            ).to_json()
        )
