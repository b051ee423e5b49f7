"""The labelled tasks that nobody chose for how they went: what may judge a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from training.dataset import Snapshots
from training.labels import Label


def judged(data: Snapshots, labels: Mapping[str, Label]) -> Snapshots:
    """Return the tasks that were not labelled because of how they went.

    Each is weighed by the draw of its judgement alone.

    Parameters
    ----------
    data : Snapshots
        Labelled tasks.
    labels : Mapping of str to Label
        Their labels, by task.
    """
    found = [labels[str(t)] for t in data.task_ids[data.starts]]
    kept = np.array([not label.is_selected for label in found], dtype=bool)
    factor = np.array([x.propensity / (x.drawn or x.propensity) for x in found])
    lengths = np.diff(np.append(data.starts, len(data)))
    drawn = replace(data, weight=data.weight * np.repeat(factor, lengths))
    return drawn.where(np.repeat(kept, lengths))
