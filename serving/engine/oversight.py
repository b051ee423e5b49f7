"""Oversight: what reviewers and risk owners ask of the service."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from serving.engine.checks import check, is_amount
from serving.engine.figures import figures
from serving.engine.ownership import NEEDED
from serving.engine.reviewing import Desk, Verdict
from serving.engine.ways import Answer, Ways
from training.monitor.kpis import By

MOST_REVIEWS = 50


class Oversight:
    """The label desk and the KPIs. Safe to call from many threads.

    Parameters
    ----------
    desk : Desk
        Knows what is due for review.
    ways : Ways
        The engine's.
    """

    def __init__(self, desk: Desk, ways: Ways) -> None:
        self._desk = desk
        self._do = ways.do
        self._read = ways.read
        self._clock = ways.clock

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
