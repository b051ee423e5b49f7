"""From labelled snapshots to what a certificate is made from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.signals import NAMES
from training.bundle import ModelBundle, SegmentBy
from training.certify import Evidence
from training.dataset import Snapshots

# Fact of a bundle: when the last customer it has learned from began, s since 1970. All
# that were set aside began later.
LEARNED_UNTIL = "learned_until"
_ACCOUNT_VALUE = NAMES.index("account_value")


def evidence_for(bundle: ModelBundle, aside: Snapshots, *, seed: int = 0) -> Evidence:
    """Return what a certificate of `bundle` is made from: tasks it has not seen."""
    first = aside.starts
    # Each task weighs 1 / propensity in total.
    weight = np.add.reduceat(aside.weight, first)
    return Evidence(
        highest=aside.running_maximum(bundle.risks(aside.x)),
        needed=aside.y[first] > 0,
        group=aside.groups[first],
        is_even=bool(weight.max() <= weight.min() * (1 + 1e-6)),
        value=aside.x[aside.is_last, _ACCOUNT_VALUE],
        seed=seed,
    )


def segment_values(data: Snapshots, by: SegmentBy | None) -> NDArray[np.str_] | None:
    """Return what each task is parted by, shape (n_tasks,); None: nothing."""
    if by is None:
        return None
    column: NDArray[np.str_] = getattr(data, str(by))
    return column[data.starts]


def last_began(kept: Snapshots) -> float:
    """Return when the last of the customers began, s since 1970."""
    return float(_first_began(kept).max())


def unseen(bundle: ModelBundle, data: Snapshots) -> NDArray[np.bool_]:
    """Return the rows of customers that `bundle` has not learned from.

    Those that began after the last it has learned from. A bundle that does not say
    when that was may have learned from any of them: then there is none.
    """
    until = bundle.facts.get(LEARNED_UNTIL, np.inf)
    return np.asarray(_first_began(data) > until)


def _first_began(data: Snapshots) -> NDArray[np.float64]:
    """Return when the first task of each row's customer began, shape (n_rows,)."""
    names, row = np.unique(data.groups, return_inverse=True)
    began = np.full(len(names), np.inf)
    np.minimum.at(began, row, data.started)
    return began[row]
