"""The frontier: what each bound on misses costs in escalations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.bundle.certificate import Certificate
from training.certify.basis import Basis, Curve

LADDER = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
_MOST_POINTS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One bound on the miss rate, and what it costs.

    Attributes
    ----------
    alpha : float
        The bound.
    alone : Certificate
        Holds with probability 1 - delta if it is the only one that is looked at.
    together : Certificate
        All of a frontier's hold at once with probability 1 - delta: what to read where
        a bound is chosen by looking at its price.
    miss_rate : float or None
        Plain estimate at the threshold of `together`.
    """

    alpha: float
    alone: Certificate
    together: Certificate
    miss_rate: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the row of a table."""
        return {
            "alpha": self.alpha,
            "threshold": self.together.threshold,
            "escalation_rate": self.together.escalation_rate,
            "miss_rate": self.miss_rate,
            "threshold_alone": self.alone.threshold,
            "escalation_rate_alone": self.alone.escalation_rate,
            "refusal": self.together.refusal,
            "still_needed": self.together.still_needed,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """Miss bound against escalation rate.

    Attributes
    ----------
    delta : float
        P(some bound of `rungs` is false), and of each point alone.
    rungs : tuple of Rung
        Rising bounds.
    points : tuple of dict
        For a picture, by rising threshold: `threshold`, `escalation_rate`, `miss_rate`
        (plain), `bound_alone` at that threshold, and `bound`, the lowest of the rungs
        that covers it (all at once), None where none does.
    """

    delta: float
    rungs: tuple[Rung, ...]
    points: tuple[dict[str, float | None], ...]

    def bound_at(self, threshold: float) -> float | None:
        """Return the bound of a threshold chosen by looking; None: it has none."""
        covering = (
            rung.alpha
            for rung in self.rungs
            if rung.together.threshold is not None
            and threshold <= rung.together.threshold
        )
        return min(covering, default=None)

    def to_json(self) -> dict[str, Any]:
        """Return rows and points as plain JSON data."""
        return {
            "delta": self.delta,
            "rows": [rung.to_json() for rung in self.rungs],
            "points": list(self.points),
        }


def frontier(
    basis: Basis, *, delta: float, alphas: Sequence[float] = LADDER
) -> Frontier:
    """Return what a ladder of bounds costs, each alone and all of them at once.

    Parameters
    ----------
    basis : Basis
        Labels, see `exact.Evidence` and `audits.Live`.
    delta : float in (0, 1)
        Doubt.
    alphas : sequence of float in (0, 1)
        Bounds; chosen before the labels are looked at.
    """
    asked = tuple(sorted(set(alphas)))
    share = basis.share(asked, delta)
    curve = basis.curve(delta)
    rungs = tuple(
        Rung(
            alpha=alpha,
            alone=basis.certificate(alpha=alpha, delta=delta),
            together=(held := basis.certificate(alpha=alpha, delta=share)),
            miss_rate=_missed(basis, held.threshold),
        )
        for alpha in asked
    )
    bare = Frontier(delta=delta, rungs=rungs, points=())
    return Frontier(delta=delta, rungs=rungs, points=_points(bare, curve))


def _missed(basis: Basis, threshold: float | None) -> float | None:
    if threshold is None:
        return None
    return _number(basis.tally.missed(np.array([threshold]))[0])


def _points(found: Frontier, curve: Curve) -> tuple[dict[str, float | None], ...]:
    n = len(curve.threshold)
    shown = np.unique(np.linspace(0, n - 1, min(n, _MOST_POINTS)).astype(int))
    return tuple(
        {
            "threshold": float(curve.threshold[i]),
            "escalation_rate": _number(curve.escalation_rate[i]),
            "miss_rate": _number(curve.miss_rate[i]),
            "bound_alone": _number(curve.bound[i]),
            "bound": found.bound_at(float(curve.threshold[i])),
        }
        for i in shown
    )


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
