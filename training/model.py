"""The model: a small LightGBM and its logistic twin, and what bounds the agent's words.

Neither may learn a signal the wrong way round. How much each counts is found out of
fold. A second booster, the floor, reads nothing that the agent's words can change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from features.batch.workers import Pool, cores
from features.signals import NAMES, SIGNALS
from training import twin
from training.bundle import MOST_SAID, WORDS, Scorer
from training.dataset import Snapshots, splits

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Progress = Callable[[str], None]

# Weights of the twin that are tried.
SHARES = (0.0, 0.15, 0.3, 0.5, 0.75, 1.0)
_FEWEST_ROWS = 5
_SIGNALS_OF_TREE = 12.0
_ROWS_TO_CHOOSE = 20_000
_FOLDS_TO_CHOOSE = 3
_WORTH_PROCESSES = 20_000  # rows; below, starting them takes longer
_MOST_ROWS = 100_000


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
    ridge : float
        Pull of a leaf to nothing.
    random_cuts : bool or None
        Whether cuts are drawn at random. With few tasks the best cut is mostly luck;
        with a signal that nearly decides, a random one blurs it. None: whichever
        does better out of fold, see `chosen`.
    rows_of_task : int
        Most rows of a task that are learned from, fewer where tasks are many.
    seed : int
        The same seed and data give the same model to the bit.
    """

    rounds: int = 300
    leaves: int = 15
    rate: float = 0.04
    least_in_leaf: int = 80
    share_of_signals: float = 0.3
    share_of_rows: float = 0.6
    ridge: float = 5.0
    random_cuts: bool | None = None
    rows_of_task: int = 12
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
            "extra_trees": self.random_cuts is not False,
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

    def rows_for(self, n_tasks: int) -> int:
        """Return how many rows of each of `n_tasks` tasks to learn from."""
        return max(_FEWEST_ROWS, min(self.rows_of_task, _MOST_ROWS // n_tasks))

    def scaled_to(self, n_rows: int, n_signals: int) -> Recipe:
        """Return the recipe with leaves that a small data set can still fill.

        And with enough signals for each tree, where only `n_signals` say anything.
        """
        least = min(self.least_in_leaf, max(5, n_rows // 100))
        share = min(1.0, max(self.share_of_signals, _SIGNALS_OF_TREE / n_signals))
        return replace(self, least_in_leaf=least, share_of_signals=share)


def fit(
    data: Snapshots, recipe: Recipe, *, blind_to: Sequence[int] = ()
) -> lightgbm.Booster:
    """Return a booster grown on `data`; its raw score is a log-odds of "needed".

    Parameters
    ----------
    blind_to : sequence of int
        Signals, by place, that it must not read.
    """
    x = data.x
    if blind_to:
        x = x.copy()
        x[:, list(blind_to)] = np.nan
    # LightGBM's ridge and thresholds count rows, so weights must average to one.
    weight = data.weight * (len(data) / data.weight.sum())
    table = lightgbm.Dataset(
        x, data.y, weight=weight, feature_name=list(NAMES), free_raw_data=True
    )
    known = np.nan_to_num(x, nan=-np.inf)
    n_signals = int((known.max(axis=0) > known.min(axis=0)).sum())
    scaled = recipe.scaled_to(len(data), max(n_signals, 1))
    return lightgbm.train(scaled.parameters(), table, num_boost_round=scaled.rounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What the parts of a model make of some rows; every array (n_rows,), log-odds.

    Attributes
    ----------
    booster, twin : ndarray
        On all signals.
    floor, floor_twin : ndarray
        On those that no word of the agent's changes; the same where words say nothing.
    """

    booster: Floats
    twin: Floats
    floor: Floats
    floor_twin: Floats

    def at(self, share: float) -> Floats:
        """Return the score where the twin has the weight `share`."""
        score = (1 - share) * self.booster + share * self.twin
        floor = (1 - share) * self.floor + share * self.floor_twin
        return np.clip(score, floor, floor + MOST_SAID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Boosters and twins grown on the same rows, not yet weighed.

    Attributes
    ----------
    whole, floor : (Scorer, Scorer)
        Booster and twin, each alone, on all signals; on those without the agent's
        words, or None.
    """

    whole: Scorer
    floor: Scorer | None

    @classmethod
    def grown(cls, data: Snapshots, recipe: Recipe) -> Model:
        """Return the model of `data`."""
        other = twin.fit(data)
        whole = replace(Scorer.alone(fit(data, recipe)), twin=other)
        if not _speaks(data):
            return cls(whole=whole, floor=None)
        floor = Scorer.alone(fit(data, recipe, blind_to=WORDS))
        return cls(whole=whole, floor=replace(floor, twin=twin.without(other, WORDS)))

    def scores(self, x: Floats) -> Scores:
        """Return what its parts make of each row of `x`."""
        booster, other = self.whole.at(0.0).scores(x), self.whole.at(1.0).scores(x)
        if self.floor is None:
            return Scores(booster=booster, twin=other, floor=booster, floor_twin=other)
        return Scores(
            booster=booster,
            twin=other,
            floor=self.floor.at(0.0).scores(x),
            floor_twin=self.floor.at(1.0).scores(x),
        )

    def weighed(self, share: float) -> tuple[Scorer, Scorer | None]:
        """Return scorer and floor where the twin has the weight `share`."""
        floor = self.floor
        return self.whole.used(share), None if floor is None else floor.used(share)


def chosen(data: Snapshots, recipe: Recipe) -> Recipe:
    """Return the recipe with all that it leaves open decided, by grouped folds."""
    if recipe.random_cuts is not None:
        return recipe
    few = _some_groups(data, most=_ROWS_TO_CHOOSE, seed=recipe.seed)
    candidates = [replace(recipe, random_cuts=at_random) for at_random in (True, False)]
    return min(candidates, key=lambda one: loss_out_of_fold(few, one))


def _some_groups(data: Snapshots, *, most: int, seed: int) -> Snapshots:
    """Return whole groups, drawn by `seed`, with about `most` rows between them."""
    names, group = np.unique(data.groups, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    rows = np.cumsum(np.bincount(group)[order])
    kept = order[: max(_FOLDS_TO_CHOOSE, int(np.searchsorted(rows, most)))]
    return data.where(np.isin(group, kept))


def loss_out_of_fold(data: Snapshots, recipe: Recipe) -> float:
    """Return the mean log-loss of boosters on groups they have not seen.

    Half of it is that of every step, half that of the end of the task: a recipe must
    serve both.
    """
    loss = np.empty(len(data))
    for train, test in splits(data.groups, k=_FOLDS_TO_CHOOSE, seed=recipe.seed):
        z = score(fit(data.where(train), recipe), data.x[test])
        loss[test] = np.logaddexp(0.0, z) - data.y[test] * z
    total = np.add.reduceat(data.weight, data.starts)
    every_step = float(np.average(loss, weights=data.weight))
    end = float(np.average(loss[data.is_last], weights=total))
    return (every_step + end) / 2


def score(booster: lightgbm.Booster, x: Floats) -> Floats:
    """Return the raw margin of each row of `x`, shape (n_rows,)."""
    return np.asarray(booster.predict(x, raw_score=True), dtype=np.float64)


def _speaks(data: Snapshots) -> bool:
    """Return whether anything the agent says differs between rows."""
    said = np.nan_to_num(data.x[:, list(WORDS)], nan=-1.0)
    return bool((np.ptp(said, axis=0) > 0).any())


def cross_fit(
    data: Snapshots,
    recipe: Recipe,
    *,
    k: int = 5,
    progress: Progress | None = None,
) -> Scores:
    """Return out-of-fold scores: no row is scored by what has seen its group."""
    parts = list(splits(data.groups, k=k, seed=recipe.seed))
    jobs = [_Fold(data.where(train), data.x[test], recipe) for train, test in parts]
    found: list[tuple[Mask, Scores]] = []
    # In processes, never in threads: boosters grown at once in threads share native
    # state of LightGBM's, and a run of thousands of them has crashed the process.
    with Pool(cores() if len(data) > _WORTH_PROCESSES else 1) as pool:
        for (_, test), scores in zip(parts, pool.run(_grow, jobs), strict=True):
            found.append((test, scores))
            if progress is not None:
                progress(f"grew boosters {len(found)} of {k} for out-of-fold scores")
    joined: dict[str, Any] = {
        part.name: _joined(found, part.name, len(data)) for part in fields(Scores)
    }
    return Scores(**joined)


@dataclass(frozen=True, slots=True)
class _Fold:
    """What one fold learns from, what it scores, and how."""

    learned: Snapshots
    scored: Floats
    recipe: Recipe


def _grow(fold: _Fold) -> Scores:
    with threadpool_limits(1, user_api="blas"):
        return Model.grown(fold.learned, fold.recipe).scores(fold.scored)


def _joined(found: Sequence[tuple[Mask, Scores]], name: str, n_rows: int) -> Floats:
    joined = np.empty(n_rows)
    for test, scores in found:
        joined[test] = getattr(scores, name)
    return joined


def best_share(scores: Scores, data: Snapshots) -> float:
    """Return the twin's weight with the least log-loss on out-of-fold scores."""

    def loss(share: float) -> float:
        z = scores.at(share)
        return float(data.weight @ (np.logaddexp(0.0, z) - data.y * z))

    return min(SHARES, key=loss)


def describe(recipe: Recipe) -> Mapping[str, Any]:
    """Return the recipe as flat values for a run's parameters."""
    constraints = recipe.parameters().pop("monotone_constraints")
    flat = {k: v for k, v in recipe.parameters().items() if k != "monotone_constraints"}
    return flat | {
        "rounds": recipe.rounds,
        "constrained_signals": sum(c != 0 for c in constraints),
    }
