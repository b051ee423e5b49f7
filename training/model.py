"""The booster: a small LightGBM that may not learn a signal the wrong way round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from features.signals import NAMES, SIGNALS
from training.dataset import Snapshots, splits

Floats = NDArray[np.float64]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a booster is grown.

    Attributes
    ----------
    rounds, leaves : int
        Trees, and leaves of each: small, since tasks are few and steps are not
        independent.
    rate : float
        Learning rate.
    least_in_leaf : int
        Fewest rows in a leaf; a task gives one row per step.
    share_of_signals, share_of_rows : float in (0, 1]
        Drawn anew for each tree.
    seed : int
        The same seed and data give the same booster to the bit.
    """

    rounds: int = 300
    leaves: int = 15
    rate: float = 0.04
    least_in_leaf: int = 200
    share_of_signals: float = 0.3
    share_of_rows: float = 0.6
    ridge: float = 5.0
    seed: int = 0

    def parameters(self) -> dict[str, Any]:
        """Return the parameters in LightGBM's words."""
        return {
            "objective": "binary",
            "num_leaves": self.leaves,
            "learning_rate": self.rate,
            "min_data_in_leaf": self.least_in_leaf,
            "feature_fraction": self.share_of_signals,
            "bagging_fraction": self.share_of_rows,
            "bagging_freq": 1,
            "lambda_l2": self.ridge,
            # Random cuts average out: with few tasks, the best cut is mostly luck.
            "extra_trees": True,
            "monotone_constraints": [signal.direction for signal in SIGNALS],
            # The other two methods let a score fall where a signal rises (LightGBM
            # issues 5358, 6155); this one costs an AUROC of some 0.001.
            "monotone_constraints_method": "basic",
            "seed": self.seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbose": -1,
        }

    def scaled_to(self, n_rows: int) -> Recipe:
        """Return the recipe with leaves that a small data set can still fill."""
        least = min(self.least_in_leaf, max(5, n_rows // 100))
        return replace(self, least_in_leaf=least)


def fit(data: Snapshots, recipe: Recipe) -> lightgbm.Booster:
    """Return a booster grown on `data`; its raw score is a log-odds of "needed"."""
    # LightGBM's ridge and thresholds count rows, so weights must average to one.
    weight = data.weight * (len(data) / data.weight.sum())
    table = lightgbm.Dataset(
        data.x, data.y, weight=weight, feature_name=list(NAMES), free_raw_data=True
    )
    scaled = recipe.scaled_to(len(data))
    return lightgbm.train(scaled.parameters(), table, num_boost_round=scaled.rounds)


def score(booster: lightgbm.Booster, x: Floats) -> Floats:
    """Return the raw margin of each row of `x`, shape (n_rows,)."""
    return np.asarray(booster.predict(x, raw_score=True), dtype=np.float64)


def cross_fit(
    data: Snapshots, recipe: Recipe, *, k: int = 5, progress: Progress | None = None
) -> Floats:
    """Return out-of-fold scores, shape (n_rows,).

    No row is scored by a booster that has seen a row of its group.
    """
    scores = np.empty(len(data))
    parts = list(splits(data.groups, k=k, seed=recipe.seed))

    # One after the other: boosters grown at once in threads share native state of
    # LightGBM's, and a run of thousands of them has crashed the process.
    for i, (train, test) in enumerate(parts, start=1):
        scores[test] = score(fit(data.where(train), recipe), data.x[test])
        if progress is not None:
            progress(f"grew booster {i} of {k} for out-of-fold scores")
    return scores


def describe(recipe: Recipe) -> Mapping[str, Any]:
    """Return the recipe as flat values for a run's parameters."""
    constraints = recipe.parameters().pop("monotone_constraints")
    flat = {k: v for k, v in recipe.parameters().items() if k != "monotone_constraints"}
    return flat | {
        "rounds": recipe.rounds,
        "constrained_signals": sum(c != 0 for c in constraints),
    }
