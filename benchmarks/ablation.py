"""What each signal is worth: left out of all, and added to next to none.

On real runs (tau: folds of customers; intercode: folds of tasks) and in the simulated
world, the booster is grown anew without a group of signals, or without the signals
that start from one source, and scored on tasks whose customer or task it has not seen.
Added in, the same signals stand beside the number of steps alone. Differences are
differences on the same folds and the same bootstrap draws of whole customers or tasks.

A task gives `_ROWS` of its steps and its last, and boosters have fewer, larger steps
than those that are served: the figures compare signals, not models.
"""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import _packages_first  # noqa: F401 - `features` is the package
import lightgbm
import numpy as np
import orjson
from harness import Measure, main
from numpy.typing import NDArray

from features import batch, ingest
from features.aggregates import leaves
from features.signals import NAMES, SIGNALS
from training.dataset import Snapshots, folds, snapshots
from training.evaluate.intervals import Resampling, interval
from training.evaluate.metrics import auroc, log_loss
from training.labels import labels_of
from training.model import Recipe
from training.simulate import World

Floats = NDArray[np.float64]

_FOLDS = 3
_REPEATS = 2  # boosters by other seeds: what is luck of one shows in the interval
_COMPARED_WITH = 6  # the same, of what all families are compared with
_ROWS = 4
_REPLICATES = 200
_RECIPE = Recipe(rounds=100, rate=0.1, least_in_leaf=30)
_SCORES = {"log_loss": log_loss, "auroc": auroc}


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Rows of one data set that signals are compared on.

    Attributes
    ----------
    name : str
        What it is called in the table.
    rows : Snapshots
        A few steps of each task, and its last.
    fold : ndarray of int, shape (n_rows,)
        Fold of each row.
    draws : Resampling
        Of its groups.
    """

    name: str
    rows: Snapshots
    fold: NDArray[np.int64]
    draws: Resampling

    @classmethod
    def of(cls, name: str, data: Snapshots) -> Data:
        """Return `data` thinned to a few rows a task, each task weighing the same."""
        rng = np.random.default_rng(0)
        lengths = np.diff(np.append(data.starts, len(data)))
        chance = np.repeat(np.minimum(1.0, _ROWS / lengths), lengths)
        last = data.is_last
        kept = last | (rng.random(len(data)) < chance)
        weight = np.where(last, data.weight, data.weight / chance)
        rows = replace(data, weight=weight).where(kept)
        fold = folds(rows.groups, k=_FOLDS, seed=0)
        n_groups = len(np.unique(rows.groups))
        draws = Resampling.draw(n_groups, replicates=_REPLICATES, seed=0)
        return cls(name=name, rows=rows, fold=fold, draws=draws)

    def heard(self, columns: Sequence[int]) -> bool:
        """Return whether any of the signals says anything in this data set."""
        x = np.nan_to_num(self.rows.x[:, columns], nan=-np.inf)
        return bool(np.any(x.max(axis=0) > x.min(axis=0)))


# --- what is compared -----------------------------------------------------------------


def families() -> dict[str, list[int]]:
    """Return the columns of each group, and of each source that signals start from."""
    found: dict[str, list[int]] = {}
    for column, signal in enumerate(SIGNALS):
        source = next(iter(leaves(signal.aggregate))).source
        for family in (f"group: {signal.group}", source):
            found.setdefault(family, []).append(column)
    return found


def _scored(data: Data, columns: Sequence[int], *, repeats: int) -> Floats:
    """Return each score at the end and at every step, by booster and draw.

    Returns
    -------
    ndarray of shape (repeats, 1 + n_draws, 4)
        The first of the second axis is the sample itself, the others its draws.
    """
    return np.stack([_scores(data, _risk(data, columns, s)) for s in range(repeats)])


def _scores(data: Data, risk: Floats) -> Floats:
    rows, found = data.rows, []
    _, cluster = np.unique(rows.groups, return_inverse=True)
    last = rows.is_last
    for at, weight in ((last, np.ones(int(last.sum()))), (slice(None), rows.weight)):
        for score in _SCORES.values():
            statistic = partial(score, rows.y[at], risk[at])
            drawn = data.draws.replicate(statistic, weight, cluster[at])
            found.append(np.append(statistic(weight), drawn))
    return np.array(found).T


def _risk(data: Data, columns: Sequence[int], seed: int) -> Floats:
    """Return out-of-fold risks, shape (n_rows,)."""
    risk = np.empty(len(data.rows))
    x = np.ascontiguousarray(data.rows.x[:, columns])
    parameters = _RECIPE.parameters() | {
        "monotone_constraints": [SIGNALS[c].direction for c in columns],
        "seed": seed,
    }

    # One after the other: side by side in threads, some thousand boosters end in a
    # crash inside LightGBM.
    for part in range(_FOLDS):
        test = data.fold == part
        weight = data.rows.weight[~test]
        table = lightgbm.Dataset(
            x[~test], data.rows.y[~test], weight=weight * len(weight) / weight.sum()
        )
        booster = lightgbm.train(parameters, table, num_boost_round=_RECIPE.rounds)
        risk[test] = np.asarray(booster.predict(x[test]))
    return risk


def _compared(data: Data) -> Iterator[Measure]:
    """Yield what leaving out and adding in each family changes."""
    everything = list(range(len(SIGNALS)))
    steps = NAMES.index("steps")
    full = _scored(data, everything, repeats=_COMPARED_WITH).mean(axis=0)
    bare = _scored(data, [steps], repeats=_COMPARED_WITH).mean(axis=0)
    for family, columns in families().items():
        if not data.heard(columns):
            continue
        print(f"{data.name}: {family}", file=sys.stderr)
        without = _scored(
            data, [c for c in everything if c not in columns], repeats=_REPEATS
        )
        beside = _scored(data, sorted({steps, *columns}), repeats=_REPEATS)
        yield from _changes(data, f"{family}|left out", full - without)
        yield from _changes(data, f"{family}|added in", beside - bare)


def _changes(data: Data, name: str, gain: Floats) -> Iterator[Measure]:
    """Yield what a family adds to each score; draws and boosters make the interval."""
    scores = [f"{score}_{at}" for at in ("end", "every_step") for score in _SCORES]
    for index, score in enumerate(scores):
        value = float(gain[:, 0, index].mean())
        found = interval(value, gain[:, 1:, index].ravel(), n=data.rows.n_tasks)
        yield Measure(
            name=f"{data.name}|{name}|{score}",
            value=round(found.value, 5),
            low=round(found.low, 5),
            high=round(found.high, 5),
            unit="nats" if score.startswith("log_loss") else "1",
            better="lower" if score.startswith("log_loss") else "higher",
        )


# --- the data -------------------------------------------------------------------------


def _shared(name: str) -> Path:
    return Path(os.environ.get("ESCALON_SHARED", "../shared")) / "data" / name


def _labelled(source: Path) -> Snapshots:
    events = batch.events_table(ingest.read("tau", [source], on_refused=print))
    return snapshots(events, labels_of(events))


def _tau() -> Snapshots:
    return _labelled(_shared("tau_runs.jsonl.gz"))


def _tasks_of_intercode() -> Mapping[str, str]:
    with gzip.open(_shared("intercode.jsonl.gz")) as lines:
        runs = [orjson.loads(line) for line in lines]
    return {r["run_id"]: f"{r['domain']}/{r['task_id']}" for r in runs}


def _intercode() -> Snapshots:
    """Return runs whose groups are the tasks that many agents tried."""
    data, task = _labelled(_shared("intercode.jsonl.gz")), _tasks_of_intercode()
    groups = np.array([task[str(run)] for run in data.task_ids])
    return replace(data, groups=groups)


def _world() -> Snapshots:
    events = batch.events_table(
        event
        for task in World(seed=0).tasks(1_000)
        for event in (*task.events, *task.outcomes)
    )
    return snapshots(events, labels_of(events))


_LOADED: Mapping[str, Callable[[], Snapshots]] = {
    "tau": _tau,
    "intercode": _intercode,
    "world": _world,
}


def _fewer(data: Snapshots, n_groups: int) -> Snapshots:
    names = np.random.default_rng(0).permutation(np.unique(data.groups))
    return data.where(np.isin(data.groups, names[:n_groups]))


def measures(quick: bool) -> list[Measure]:  # noqa: FBT001 - the harness's one flag
    """Return what each group and family of signals adds, on each data set."""
    most = 60 if quick else 400
    found: list[Measure] = []
    for name, load in _LOADED.items():
        try:
            data = load()
        except ingest.MissingSourceError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
        else:
            found += _compared(Data.of(name, _fewer(data, most)))
    return found


if __name__ == "__main__":
    main("ablation", measures)
