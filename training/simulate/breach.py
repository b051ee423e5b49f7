"""Breach: how soon a broken promise is found, and how seldom a kept one is accused.

A world of tasks with signals, a booster that learns from them, a threshold certified as
in production, audits and complaints as in production; then new failures that no signal
shows. What is measured is the `MissDetector` of `training.monitor`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, rankdata
from sklearn.ensemble import HistGradientBoostingClassifier

from training.certify import misses_allowed
from training.evaluate.intervals import Estimate
from training.monitor.bets import miss_bet
from training.monitor.evidence import ALARM_AT
from training.monitor.paths import miss_alarms

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_SIGNALS = 12
_TRAINED_ON = 12_000
_CERTIFIED_ON = 4_500
_POOL = 200_000
_INTERVAL = (2.5, 97.5)
_RESAMPLES = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is simulated.

    Attributes
    ----------
    alpha, delta : float
        Of the certificate.
    audits : float
        Share of the tasks nobody escalated that is drawn for review.
    complaints : float
        Share of the missed tasks whose user complains, and is found to be right.
    breach : float
        Miss rate after the change, as a multiple of `alpha`.
    before, after : int
        Tasks before the change, and at most after it.
    """

    alpha: float = 0.1
    delta: float = 0.1
    audits: float = 0.02
    complaints: float = 0.25
    breach: float = 3.0
    before: int = 20_000
    after: int = 30_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """What a simulation measured.

    Attributes
    ----------
    tasks_to_alarm : Estimate
        Median of the tasks from the change to the alarm; infinite where most replicates
        never saw one.
    false_alarms : Estimate
        Alarms before the change, per 200,000 tasks.
    auroc, base_rate, escalation_rate, miss_rate : float
        Of the learned score and its certified threshold, on the tasks watched, before
        the change.
    miss_rate_after : float
        After it.
    """

    tasks_to_alarm: Estimate
    false_alarms: Estimate
    auroc: float
    base_rate: float
    escalation_rate: float
    miss_rate: float
    miss_rate_after: float


@dataclass(frozen=True, slots=True)
class _Tasks:
    """Tasks as arrays of one shape: score in [0, 1], and whether one needed a human."""

    score: Floats
    needed: Flags


class _Learned:
    """A booster trained on simulated signals, with its certified threshold."""

    def __init__(self, seed: int, world: World) -> None:
        self._rng = np.random.default_rng(seed)
        self._slopes = self._rng.normal(0, 1, _SIGNALS)
        x, needed = self._signals(_TRAINED_ON)
        self._model = HistGradientBoostingClassifier(
            max_iter=80, max_leaf_nodes=15, min_samples_leaf=40, random_state=seed
        ).fit(x, needed)
        certify = self.tasks(_CERTIFIED_ON)
        needs = np.sort(certify.score[certify.needed])
        allowed = misses_allowed(len(needs), world.alpha, world.delta)
        self.threshold = float(needs[allowed])

    def tasks(self, n: int) -> _Tasks:
        """Return `n` new tasks, scored by what was learned."""
        x, needed = self._signals(n)
        return _Tasks(self._model.predict_proba(x)[:, 1], needed)

    def replicates(self, rows: int, n: int) -> _Tasks:
        """Return tasks of shape (rows, n), drawn from a large pool of new ones."""
        pool = self.tasks(_POOL)
        drawn = self._rng.integers(0, _POOL, (rows, n))
        return _Tasks(pool.score[drawn], pool.needed[drawn])

    def _signals(self, n: int) -> tuple[Floats, Flags]:
        """Return noisy signals of a latent need; some tell more, half tell nothing."""
        need = self._rng.beta(0.3, 4.0, n)
        log_odds = np.log(need + 1e-4) - np.log1p(1e-4 - need)
        tells = np.where(np.arange(_SIGNALS) < _SIGNALS // 2, self._slopes, 0.0)
        noise = self._rng.normal(0, 1, (n, _SIGNALS))
        x = np.tanh(log_odds[:, None] / 3) * 3 * tells + noise
        return x, self._rng.random(n) < need


def measure_delays(
    world: World | None = None, *, seeds: int = 5, rows: int = 60
) -> Delays:
    """Return how soon the breach is found with a learned score.

    Parameters
    ----------
    world : World, optional
        What is simulated.
    seeds : int
        Worlds, each with a booster and a certificate of its own.
    rows : int
        Replicates of each.
    """
    world = world or World()
    runs = [_run(world, seed, rows) for seed in range(seeds)]
    alarms = np.concatenate([run.alarms for run in runs])
    early = alarms <= world.before
    facts = np.mean([run.facts for run in runs], axis=0)
    return Delays(
        tasks_to_alarm=_median(alarms[~early] - world.before),
        false_alarms=_rate(early, world.before),
        auroc=float(facts[0]),
        base_rate=float(facts[1]),
        escalation_rate=float(facts[2]),
        miss_rate=float(facts[3]),
        miss_rate_after=float(facts[4]),
    )


@dataclass(frozen=True, slots=True)
class _Run:
    alarms: Floats
    facts: tuple[float, ...]


def _run(world: World, seed: int, rows: int) -> _Run:
    learned = _Learned(seed, world)
    rng = np.random.default_rng(10_000 + seed)
    tasks = learned.replicates(rows, world.before + world.after)
    caught = tasks.score >= learned.threshold
    changed = _changed(world, rng, caught, tasks.needed)
    alarms = _alarms(world, rng, caught, changed)
    return _Run(alarms, _facts(world, tasks, caught, changed))


def _changed(
    world: World, rng: np.random.Generator, caught: Flags, needed: Flags
) -> Flags:
    """Return `needed` with new failures after the change, where no signal shows them.

    Among the tasks below the threshold, whatever their score, so many that the miss
    rate becomes the breach.
    """
    share = float(needed.mean())
    missed = float((needed & ~caught).mean())
    target = world.breach * world.alpha
    new = (target * share - missed) / (1 - target)
    quiet = ~caught & ~needed
    quiet[:, : world.before] = False
    chance = new / (~caught & ~needed).mean()
    new_needs: Flags = needed | (quiet & (rng.random(needed.shape) < chance))
    return new_needs


def _alarms(
    world: World, rng: np.random.Generator, caught: Flags, needed: Flags
) -> Floats:
    """Return the task of the first alarm of each row; infinity where none came."""
    missed = needed & ~caught
    reported = missed & (rng.random(needed.shape) < world.complaints)
    drawn = rng.random(needed.shape) < world.audits
    x = miss_bet(
        caught=caught,
        needed=needed.astype(np.float64),
        reported=reported,
        drawn=drawn,
        propensity=np.full(needed.shape, world.audits),
        alpha=world.alpha,
    )
    propensity = np.where(caught, np.nan, world.audits)
    return miss_alarms(x, propensity, world.alpha)


def _facts(
    world: World, tasks: _Tasks, caught: Flags, changed: Flags
) -> tuple[float, ...]:
    after = np.s_[:, world.before :]
    needed = tasks.needed
    return (
        _auroc(tasks.score[0], needed[0]),
        float(needed.mean()),
        float(caught.mean()),
        float((needed & ~caught).sum() / needed.sum()),
        float((changed & ~caught)[after].sum() / changed[after].sum()),
    )


def _auroc(score: Floats, needed: Flags) -> float:
    ranks = rankdata(score)[needed]
    n, of = len(ranks), len(score)
    return float((ranks.sum() - n * (n + 1) / 2) / (n * (of - n)))


def _median(delays: Floats) -> Estimate:
    rng = np.random.default_rng(0)
    draws = np.median(rng.choice(delays, (_RESAMPLES, len(delays))), axis=1)
    low, high = np.percentile(draws, _INTERVAL, method="nearest")
    return Estimate(
        value=float(np.median(delays)),
        low=float(low),
        high=float(high),
        n=len(delays),
    )


def _rate(early: Flags, before: int) -> Estimate:
    """Return false alarms per `ALARM_AT` tasks, with an exact Poisson interval."""
    found, seen = int(early.sum()), len(early) * before
    per = ALARM_AT / seen
    return Estimate(
        value=found * per,
        low=float(chi2.ppf(0.025, 2 * found)) / 2 * per if found else 0.0,
        high=float(chi2.ppf(0.975, 2 * (found + 1))) / 2 * per,
        n=len(early),
    )
