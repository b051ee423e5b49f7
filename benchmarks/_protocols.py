"""How the figures of `quality` are measured: splits, baselines, flags, errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import lightgbm
import numpy as np
from _real import Real
from numpy.typing import NDArray
from scipy.stats import binom

from escalon.rules import fired
from features.signals import NAMES
from serving.policy.rules import Policy
from training.dataset import Floats, Mask, Snapshots, splits
from training.evaluate.intervals import Estimate, Resampling
from training.evaluate.metrics import auroc, auroc_within, log_loss
from training.evaluate.reliability import ece_debiased, equal_mass_bins
from training.evaluate.rows import strata
from training.model import Recipe
from training.train import Order, fit_bundle

Risk = Callable[[Snapshots, Snapshots, int], Floats]

# The plain counts a first attempt would take: no text is read, nothing is tuned.
COUNTS = (
    "steps", "user_messages", "tool_calls", "distinct_tools", "writes",
    "distinct_writes", "call_repeats", "write_repeats", "agent_repeats", "tool_errors",
    "tool_error_streak", "write_errors", "empty_results", "since_tool_error",
    "since_write", "calls_in_turn_max", "request_words", "user_words_mean",
    "user_words_last", "agent_words_mean", "agent_words_last", "user_questions",
    "user_numbers", "agent_numbers_mean", "result_length_mean", "result_length_max",
    "transfer_calls",
)  # fmt: skip
_COUNT_COLUMNS = [NAMES.index(name) for name in COUNTS]
# Tasks that a stratum's own rate must outweigh before it is believed over the mean.
_PRIOR = 10.0
_REPLICATES = 200


# --- what is compared -------------------------------------------------------------


def ours(train: Snapshots, test: Snapshots, seed: int) -> Floats:
    """Return the risks of the model as it is served."""
    order = Order(rules=fired(Policy.default()), recipe=Recipe(seed=seed))
    return fit_bundle(train, None, order).risks(test.x)


def ours_quickly(train: Snapshots, test: Snapshots, seed: int) -> Floats:
    """Return the risks of a smaller model, for a look at whether all works."""
    recipe = Recipe(seed=seed, rounds=60, rate=0.1, random_cuts=False)
    order = Order(rules=fired(Policy.default()), recipe=recipe)
    return fit_bundle(train, None, order).risks(test.x)


def plain(train: Snapshots, test: Snapshots, seed: int) -> Floats:
    """Return the risks of LightGBM as it comes, on 27 counts."""
    weight = train.weight * len(train) / train.weight.sum()
    parameters = {"objective": "binary", "verbose": -1, "num_threads": 1, "seed": seed}
    table = lightgbm.Dataset(train.x[:, _COUNT_COLUMNS], train.y, weight=weight)
    booster = lightgbm.train(parameters, table)
    return np.asarray(booster.predict(test.x[:, _COUNT_COLUMNS]))


def base_rate_table(train: Snapshots, test: Snapshots, seed: int) -> Floats:
    """Return the share of needed tasks by agent version and domain.

    A version unknown in a domain has the rate of the domain, and an unknown domain
    the rate of the version or of all.
    """
    del seed
    rate = np.full(len(test), np.average(train.y, weights=train.weight))
    for key in (_version, _domain, strata):
        rate = _drawn_to(rate, key(train), key(test), train)
    return rate


def _version(rows: Snapshots) -> NDArray[np.str_]:
    return rows.agent_version


def _domain(rows: Snapshots) -> NDArray[np.str_]:
    return rows.domain


def _drawn_to(
    parent: Floats, known: NDArray[np.str_], asked: NDArray[np.str_], train: Snapshots
) -> Floats:
    """Return the rate of each row's cell, drawn to its parent's by ten tasks."""
    names, cell = np.unique(known, return_inverse=True)
    n = np.append(np.bincount(cell, train.weight), 0.0)
    yes = np.append(np.bincount(cell, train.weight * train.y), 0.0)
    place = np.minimum(np.searchsorted(names, asked), len(names) - 1)
    place = np.where(names[place] == asked, place, len(names))
    return np.asarray((yes[place] + _PRIOR * parent) / (n[place] + _PRIOR))


MODELS: Mapping[str, Risk] = {
    "ours": ours,
    "counts": plain,
    "table": base_rate_table,
}


def models(*, quick: bool) -> Mapping[str, Risk]:
    """Return what is compared, by name; see `ours_quickly`."""
    return MODELS | ({"ours": ours_quickly} if quick else {})


# --- splits -----------------------------------------------------------------------


def out_of_fold(
    data: Snapshots, by: NDArray[np.str_], risk: Risk, *, k: int, seed: int
) -> Floats:
    """Return the risk of each row from a model that saw none of its group `by`."""
    found = np.empty(len(data))
    for train, test in splits(by, k=k, seed=seed):
        found[test] = risk(data.where(train), data.where(test), seed)
    return found


def parted(data: Snapshots, shares: tuple[float, ...], seed: int) -> Iterator[Mask]:
    """Yield row masks of whole tasks, drawn at random in the given shares."""
    lengths = np.diff(np.append(data.starts, len(data)))
    draw = np.random.default_rng(seed).permutation(data.n_tasks)
    edges = np.rint(np.cumsum(shares) * data.n_tasks)
    part = np.searchsorted(edges, draw, side="right")
    for i in range(len(shares)):
        yield np.repeat(part == i, lengths)


# --- figures ----------------------------------------------------------------------


def most_false_alarms(n: int, rate: float, *, delta: float = 0.1) -> int:
    """Return how many of `n` successes may be flagged so that `rate` is certified.

    -1 if none may. Exact binomial, as for the certificate of misses.
    """
    return int((binom.cdf(np.arange(n + 1), n, rate) <= delta).sum()) - 1


def flagged(
    certify: tuple[Floats, Mask], test: tuple[Floats, Mask], rate: float
) -> float:
    """Return the share of failing tasks flagged at a certified false-alarm rate.

    Parameters
    ----------
    certify, test : tuple of ndarray of shape (n_tasks,)
        Highest risk of each task, and whether it failed.
    rate : float in (0, 1)
        Largest tolerated share of the successes that are flagged, with 90 %
        confidence.
    """
    highest, failed = certify
    calm = np.sort(highest[~failed])[::-1]
    allowed = most_false_alarms(len(calm), rate)
    if allowed < 0:
        return 0.0
    return float((test[0][test[1]] > calm[allowed]).mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """Debiased calibration errors: over all steps, in the worst stage, at the end."""

    every_step: float
    worst_stage: float
    end: float


# Steps at which a stage ends; a stage of fewer tasks than `_FEWEST` has no figure.
STAGES = (1, 2, 4, 8, 16, 32)
_FEWEST = 200


def errors(data: Real, risk: Floats) -> Errors:
    """Return the calibration errors of a risk; the steps of a task are dependent."""
    stage = np.searchsorted(STAGES, data.step)
    by_stage = [
        _error(data, risk, at)
        for at in (stage == s for s in range(len(STAGES) + 1))
        if len(np.unique(data.rows.task_ids[at])) >= _FEWEST
    ]
    return Errors(
        every_step=_error(data, risk, np.ones(len(risk), dtype=bool)),
        worst_stage=max(by_stage),
        end=_error(data, risk, data.rows.is_last),
    )


def _error(data: Real, risk: Floats, at: Mask) -> float:
    rows = data.rows.where(at)
    _, cluster = np.unique(rows.groups, return_inverse=True)
    bins = equal_mass_bins(risk[at], rows.weight, n_bins=15)
    found = ece_debiased(rows.y, risk[at], rows.weight, cluster=cluster, bins=bins)
    return float(found)


def end_of(rows: Snapshots) -> Mask:
    """Return the last row of each task, shape (n_rows,)."""
    return rows.is_last


def auroc_of(
    rows: Snapshots, risk: Floats, at: Mask, *, each_task: bool = False
) -> Estimate:
    """Return AUROC with its interval over groups.

    Parameters
    ----------
    at : ndarray of shape (n_rows,), bool
        The rows that count.
    each_task : bool
        One row a task, each weighing 1; otherwise rows weigh as in `rows`.
    """
    return _estimate(auroc, rows.where(at), risk[at], each_task=each_task)


def log_loss_of(
    rows: Snapshots, risk: Floats, at: Mask, *, each_task: bool = False
) -> Estimate:
    """Return the log-loss with its interval over groups; see `auroc_of`."""
    return _estimate(log_loss, rows.where(at), risk[at], each_task=each_task)


def within_of(rows: Snapshots, risk: Floats, at: Mask) -> Estimate:
    """Return AUROC among tasks of one agent version and domain; one row a task."""
    seen = rows.where(at)
    _, stratum = np.unique(strata(seen), return_inverse=True)
    score = partial(auroc_within, strata=stratum)
    return _estimate(score, seen, risk[at], each_task=True)


def _estimate(
    score: Callable[[Floats, Floats, Floats], Floats],
    seen: Snapshots,
    risk: Floats,
    *,
    each_task: bool,
) -> Estimate:
    _, cluster = np.unique(seen.groups, return_inverse=True)
    weight = np.ones(len(seen)) if each_task else seen.weight
    draws = Resampling.draw(int(cluster.max()) + 1, replicates=_REPLICATES, seed=0)
    return draws.estimate(partial(score, seen.y, risk), weight, cluster, n=seen.n_tasks)
