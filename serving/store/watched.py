"""Watched: what monitors read of a store: tasks with their labels and signals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import orjson
from numpy.typing import NDArray

from features.signals import SIGNALS, Group
from serving.policy.audit import AuditType, rfc3339
from serving.store.outcomes import outcomes
from serving.store.transaction import Reader
from training.monitor.outcome import Outcomes, TaskOutcome

Floats = NDArray[np.float64]

# SQLite gives the columns beside one max() from the row that has it.
_LAST = """
SELECT last.task_id AS task_id,
  json_extract(CAST(last.body AS TEXT), '$.inputs.signals') AS signals
FROM (
  SELECT task_id, body, max(audit_seq) AS seq FROM decision GROUP BY task_id
) AS last
JOIN audit_event ON audit_event.seq = last.seq
WHERE (:since IS NULL
    OR json_extract(CAST(audit_event.body AS TEXT), '$.at') >= :since)
  AND json_extract(CAST(audit_event.body AS TEXT), '$.at') < :until
"""
_LOADED = """
SELECT min(json_extract(CAST(body AS TEXT), '$.at')) AS at FROM audit_event
WHERE json_extract(CAST(body AS TEXT), '$.type') = :type
  AND json_extract(CAST(body AS TEXT), '$.model.sha256') = :digest
"""


def watched(
    reader: Reader, *, since: datetime | None, until: datetime, matures: timedelta
) -> tuple[Outcomes, dict[str, Floats]]:
    """Return the tasks last decided on in ``[since, until)``, and their signals.

    Parameters
    ----------
    reader : Reader
        Of a store.
    since, until : datetime
        Timezone-aware; None: from the first task on.
    matures : timedelta
        Labels that came later than this after the decision are left out, so that what
        is found does not depend on when it was looked for.
    """
    found = outcomes(reader, since=since, until=until)
    columns = Outcomes.of(_as_of(one, matures.total_seconds()) for one in found)
    rows = reader.all(
        _LAST,
        since=None if since is None else rfc3339(since),
        until=rfc3339(until),
    )
    by_task = {row["task_id"]: row["signals"] for row in rows}
    return columns, _signals([by_task.get(str(t)) for t in columns.task_id])


def _as_of(outcome: TaskOutcome, matures: float) -> TaskOutcome:
    if not outcome.matured - outcome.at > matures:
        return outcome
    return replace(outcome, needed=None, complained=False)


def _signals(stored: Sequence[str | None]) -> dict[str, Floats]:
    """Return the signals by name, each of shape (n_tasks,), NaN where unknown.

    Those of the outcome history are left out: they change as labels come in.
    """
    names = [signal.name for signal in SIGNALS if signal.group is not Group.HISTORY]
    places = {name: place for place, name in enumerate(names)}
    values = np.full((len(stored), len(names)), np.nan)
    for row, text in enumerate(stored):
        for name, value in orjson.loads(text or "{}").items():
            if name in places:
                values[row, places[name]] = value
    return {name: values[:, place] for name, place in places.items()}


def loaded_at(reader: Reader, digest: str) -> datetime | None:
    """Return when the bundle with this SHA-256 first decided; None if it never did."""
    kind = str(AuditType.MODEL_LOADED)
    row = reader.one(_LOADED, type=kind, digest=digest)
    at = None if row is None else row["at"]
    return None if at is None else datetime.fromisoformat(at)
