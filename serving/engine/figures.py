"""Figures: the KPIs of a window, from what the store holds of it."""

from __future__ import annotations

from datetime import datetime

from serving.store.handled import handled
from serving.store.outcomes import outcomes
from serving.store.reviews import pairs
from serving.store.transaction import Reader
from training.monitor.kpis import By, Kpis, Seen, kpis
from training.monitor.outcome import Outcomes


def figures(
    reader: Reader,
    *,
    now: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
    by: By | None = None,
) -> Kpis:
    """Return the KPIs of the tasks whose last decision was in ``[since, until)``.

    Parameters
    ----------
    reader : Reader
        Of a store.
    now : datetime
        When this is asked: labels and claims that have not come yet are weighed by it.
    by : By, optional
        What to break the figures down by.
    """
    found = Outcomes.of(outcomes(reader, since=since, until=until))
    return kpis(
        Seen(
            outcomes=found,
            handled=handled(reader, since=since, until=until),
            pairs=pairs(reader, frozenset(found.task_id.tolist())),
            now=now.timestamp(),
            since=None if since is None else since.timestamp(),
            until=None if until is None else until.timestamp(),
        ),
        by=by,
    )
