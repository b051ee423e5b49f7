"""Replays of a live model whose truth is known: whether audits keep their promise.

A policy hands over what reaches a threshold, a uniform share of the rest is audited,
and some of the missed complain. The certificate sees what a service would see; the
truth is known here alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from training.certify.audits import LEARNED, Live
from training.certify.basis import Floats, Mask
from training.certify.ladder import upper
from training.monitor.outcome import Outcomes

_SHAPE = 0.3  # of the beta distribution of true risks: most are near 0
_SAMPLE = 400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A live model to replay.

    Attributes
    ----------
    n_tasks, audits : int
        Tasks of one window, and how many are audited on average.
    base_rate, miss_rate : float in (0, 1)
        P(a task needs a human), and P(it is not handed over | it does).
    complaints : float in [0, 1]
        P(a missed task is complained about).
    noise : float >= 0
        Standard deviation of the score's error, log-odds; 0: it is the truth.
    per_customer : int >= 1
        Tasks of one customer. They share risk and, nine times in ten, outcome.
    alpha, delta : float in (0, 1)
        What is certified.
    ahead : bool
        Certify tasks to come, not those of the window; see `Live`.
    """

    n_tasks: int = 20_000
    audits: int = 1_000
    base_rate: float = 0.07
    miss_rate: float = 0.054
    complaints: float = 0.25
    noise: float = 0.5
    per_customer: int = 1
    alpha: float = 0.1
    delta: float = 0.1
    ahead: bool = False

    def risks(self, rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        """Return true risks and the model's, each of shape (n,)."""
        b = _SHAPE * (1 - self.base_rate) / self.base_rate
        own = rng.beta(_SHAPE, b, -(-n // self.per_customer))
        true = np.repeat(own, self.per_customer)[:n]
        true = np.clip(true, 1e-9, 1 - 1e-9)
        return true, expit(logit(true) + self.noise * rng.standard_normal(n))

    def needed(self, rng: np.random.Generator, true: Floats) -> Mask:
        """Return which tasks need a human."""
        luck = rng.random(len(true))
        if self.per_customer > 1:
            shared = np.repeat(luck[:: self.per_customer], self.per_customer)
            luck = np.where(rng.random(len(true)) < _ALIKE, shared[: len(true)], luck)
        return np.asarray(luck < true)


_ALIKE = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Replays:
    """What many replays show.

    Attributes
    ----------
    n, refused : int
        Replays, and those of them without a certificate.
    coverage, low, high : float
        Share in which the true miss rate at the live threshold is at most the bound,
        and its exact 95 % interval.
    wrong : float
        Share in which the certified threshold misses more than alpha; at most delta.
    bound, truth, naive : float
        Means of bound, true miss rate, and of the miss rate among labelled tasks.
    bound_over_truth, error : float
        Ratio of the means, and its standard error.
    """

    n: int
    refused: int
    coverage: float
    low: float
    high: float
    wrong: float
    bound: float
    truth: float
    naive: float
    bound_over_truth: float
    error: float


def replay(
    world: World | None = None, *, replays: int = 1000, seed: int = 0
) -> Replays:
    """Return coverage and tightness of audit-based certificates over many replays."""
    world = world or World()
    rng = np.random.default_rng(seed)
    live = _live_threshold(world, rng)
    rows = np.array([_once(world, live, rng) for _ in range(replays)])
    bound, truth, naive, held, wrong, refused = rows.T
    n_out = np.array([int((1 - held).sum())])
    ratio = bound - bound.mean() / truth.mean() * truth
    return Replays(
        n=replays,
        refused=int(refused.sum()),
        coverage=float(held.mean()),
        low=float(1 - upper(n_out, replays, 0.025)[0]),
        high=float(upper(replays - n_out, replays, 0.025)[0]),
        wrong=float(wrong.mean()),
        bound=float(bound.mean()),
        truth=float(truth.mean()),
        naive=float(np.nanmean(naive)),
        bound_over_truth=float(bound.mean() / truth.mean()),
        error=float(ratio.std() / truth.mean() / np.sqrt(replays)),
    )


def _live_threshold(world: World, rng: np.random.Generator) -> float:
    """Return the threshold at which the world's policy misses its miss rate."""
    true, risk = world.risks(rng, _SAMPLE)
    order = np.argsort(risk)
    missed = np.cumsum(true[order]) / true.sum()
    return float(risk[order][int(np.searchsorted(missed, world.miss_rate))])


def _once(world: World, live: float, rng: np.random.Generator) -> tuple[float, ...]:
    """Return bound, truth, naive rate, whether it held, was wrong, was refused."""
    true, risk = world.risks(rng, world.n_tasks)
    needed = world.needed(rng, true)
    outcomes = observed(world, live, risk, needed, rng)
    basis = Live.of(outcomes, ahead=world.ahead)
    certificate = basis.certificate(alpha=world.alpha, delta=world.delta)
    bound = float(basis.bound(np.array([live]), world.delta)[0])

    def missed(threshold: float) -> float:
        # Of tasks to come the truth is the world's, known by its risks.
        mass = true if world.ahead else needed.astype(np.float64)
        return float(mass[risk < threshold].sum() / mass.sum())

    truth, at = missed(live), certificate.threshold
    labelled = outcomes.labelled
    naive = needed[labelled & ~outcomes.escalated].sum() / needed[labelled].sum()
    wrong = at is not None and missed(at) > world.alpha
    return bound, truth, naive, truth <= bound, wrong, at is None


def observed(
    world: World,
    live: float,
    risk: Floats,
    needed: Mask,
    rng: np.random.Generator,
) -> Outcomes:
    """Return what a service would know of the tasks under the threshold `live`."""
    n = len(risk)
    escalated = risk >= live
    q = min(1.0, world.audits / max(int((~escalated).sum()), 1))
    draw = rng.random(n)
    complained = needed & ~escalated & (rng.random(n) < world.complaints)
    known = escalated | complained | (draw < q)
    nothing, zero = np.full(n, "", dtype=np.str_), np.zeros(n)
    return Outcomes(
        task_id=nothing,
        group=_customers(n, world.per_customer),
        at=np.arange(n, dtype=np.float64),
        escalated=escalated,
        risk=risk,
        threshold=np.full(n, live),
        q_uniform=np.full(n, q),
        q_targeted=zero,
        uniform=draw < q,
        targeted=zero > 0,
        needed=np.where(known, needed.astype(np.float64), np.nan),
        evidence=nothing,
        matured=zero,
        domain=nothing,
        agent_version=nothing,
        tier=nothing,
        trigger=np.where(escalated, LEARNED, ""),
        model_version=nothing,
        confidence=zero,
        transferred=zero > 0,
        complained=complained,
        draw=draw,
    )


@lru_cache(maxsize=4)
def _customers(n: int, each: int) -> NDArray[np.str_]:
    return (np.arange(n) // each).astype(np.str_)
