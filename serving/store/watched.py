"""Watched: what monitors read of a store: tasks with their labels and signals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import orjson
from numpy.typing import NDArray

from features.signals import SIGNALS, Group
from serving.policy.audit import AuditType
from serving.store.outcomes import last_decisions, outcomes
from serving.store.transaction import Reader
from training.monitor.outcome import Outcomes, TaskOutcome

Floats = NDArray[np.float64]

_RECORDS = "SELECT body FROM audit_event ORDER BY seq"


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
    by_task = {
        row["task_id"]: orjson.loads(row["body"])["inputs"]["signals"]
        for row, _ in last_decisions(reader, since=since, until=until)
    }
    return columns, _signals([by_task.get(str(t)) for t in columns.task_id])


def _as_of(outcome: TaskOutcome, matures: float) -> TaskOutcome:
    if not outcome.matured - outcome.at > matures:
        return outcome
    return replace(outcome, needed=None, complained=False)


def _signals(stored: Sequence[Mapping[str, float] | None]) -> dict[str, Floats]:
    """Return the signals by name, each of shape (n_tasks,), NaN where unknown.

    Those of the outcome history are left out: they change as labels come in.
    """
    names = [signal.name for signal in SIGNALS if signal.group is not Group.HISTORY]
    places = {name: place for place, name in enumerate(names)}
    values = np.full((len(stored), len(names)), np.nan)
    for row, signals in enumerate(stored):
        for name, value in (signals or {}).items():
            if name in places:
                values[row, places[name]] = value
    return {name: values[:, place] for name, place in places.items()}


def loaded_at(reader: Reader, digest: str) -> datetime | None:
    """Return when the bundle with this SHA-256 first decided; None if it never did."""
    kind = str(AuditType.MODEL_LOADED)
    for row in reader.all(_RECORDS):
        # Most records are of something else: they need not be read to be told so.
        if digest.encode() not in row["body"] or kind.encode() not in row["body"]:
            continue
        record = orjson.loads(row["body"])
        if (record["type"], record["model"].get("sha256")) == (kind, digest):
            return datetime.fromisoformat(record["at"])
    return None
