"""All tasks of a log, labelled or not, played to a model."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from training.compare import Tasks
from training.dataset import Snapshots, snapshots
from training.evaluate.metrics import Floats
from training.history import stamped
from training.labels import Evidence, Label

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def everything(events: pa.Table, labels: Mapping[str, Label]) -> Snapshots:
    """Return the snapshots of every task of an events table.

    Tasks without a label are marked as not needed, with weight 1: read the labels
    beside, as `tasks_of` does. They say nothing in the outcome history of others.
    """
    known = dict(labels)
    for task in pc.unique(events["task_id"]).to_pylist():
        known.setdefault(task, _unlabelled(task))
    return snapshots(stamped(events, labels), known)


def _unlabelled(task: str) -> Label:
    return Label(
        task_id=task,
        needed=False,
        evidence=Evidence.VERDICT,
        source="none",
        propensity=1.0,
        matured_at=_NEVER,
    )


def peaks_at(data: Snapshots, risk: Floats, threshold: float) -> Floats:
    """Return the 1-based step at which each task reaches `threshold`; NaN: never."""
    step = np.where(risk >= threshold, data.position + 1.0, np.inf)
    first = np.minimum.reduceat(step, data.starts)
    return np.where(np.isfinite(first), first, np.nan)


def tasks_of(data: Snapshots, labels: Mapping[str, Label], guess: Floats) -> Tasks:
    """Return the tasks of `data` with what their labels say.

    Parameters
    ----------
    guess : ndarray of shape (n_tasks,), float in [0, 1]
        How likely each needed a human, where no label says.
    """
    first = data.starts
    held = [labels.get(str(task)) for task in data.task_ids[first]]
    return Tasks(
        ids=data.task_ids[first],
        customers=data.groups[first],
        needed=np.array([np.nan if x is None else float(x.needed) for x in held]),
        propensity=np.array([1.0 if x is None else x.propensity for x in held]),
        guess=guess,
        n_steps=(data.position[data.is_last] + 1).astype(np.float64),
    )
