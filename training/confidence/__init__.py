"""Does what an agent says of itself track how its tasks end? Per agent version.

Before any rule may threshold on such a signal it is held against outcomes: does it
rank, does it rank better than what is known of the domain anyway, does 0.9 mean nine
in ten, and does a verifier say more?
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.signals import NAMES, SIGNALS, Signal
from training.confidence.verdict import Standard, Validation, judged
from training.dataset import Snapshots
from training.evaluate.baselines import base_rates
from training.evaluate.curves import reliability
from training.evaluate.intervals import Estimate, Resampling
from training.evaluate.metrics import (
    Floats,
    Indices,
    auroc,
    auroc_within,
    base_rate,
    brier,
)
from training.evaluate.reliability import ece_debiased
from training.gaming.price import SELF_REPORTED

__all__ = [
    "ConfidenceError",
    "Standard",
    "Validation",
    "audit_confidence",
    "doubt",
    "is_probability",
]

_BY_NAME = {signal.name: signal for signal in SIGNALS}
_VERIFIER = "verifier_last"


class ConfidenceError(ValueError):
    """A signal that is not one the agent reports of itself."""


def audit_confidence(
    data: Snapshots,
    *,
    signals: Iterable[str] | None = None,
    standard: Standard | None = None,
    replicates: int = 1_000,
    seed: int = 0,
) -> tuple[Validation, ...]:
    """Return what each self-reported signal is worth on each agent version.

    Parameters
    ----------
    data : Snapshots
        Labelled tasks, none labelled because of how it went: see
        `training.judged`. Whether a
        model has learned from them does not matter: no model is judged.
    signals : iterable of str, optional
        Which; by default all that were ever known in a task.
    standard : Standard, optional
        What it takes to be validated.

    Raises
    ------
    ConfidenceError
        If a signal is not self-reported.
    """
    chosen = [_self_reported(name) for name in signals] if signals else _known(data)
    versions = np.unique(data.agent_version)
    return tuple(
        _audit(
            data.where(data.agent_version == version),
            signal,
            standard or Standard(),
            replicates=replicates,
            seed=seed,
        )
        for version in versions
        for signal in chosen
    )


def _self_reported(name: str) -> Signal:
    signal = _BY_NAME.get(name)
    if signal is None or signal.trust != "self_reported":
        known = ", ".join(s.name for s in SELF_REPORTED)
        msg = (
            f"expected a signal the agent reports of itself, found {name!r}; "
            f"choose of {known}"
        )
        raise ConfidenceError(msg)
    return signal


def _known(data: Snapshots) -> list[Signal]:
    seen = np.asarray(np.isfinite(data.x).any(axis=0))
    return [s for s in SELF_REPORTED if seen[NAMES.index(s.name)]]


def doubt(signal: Signal, values: Floats) -> Floats:
    """Return values of `signal`, turned so that more of it should mean more risk."""
    if signal.direction >= 0:
        return values
    return 1.0 - values if is_probability(signal) else -values


def is_probability(signal: Signal) -> bool:
    """Whether the signal claims a chance of success, so that it can be calibrated."""
    return signal.unit == "ratio" and signal.direction < 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Rows on which the doubt is known, and the draws; every array (n_rows,)."""

    y: Floats
    doubt: Floats
    table: Floats
    verifier: Floats
    weight: Floats
    cluster: Indices
    domain: Indices
    draws: Resampling

    def where(self, rows: NDArray[np.bool_]) -> _Part:
        arrays = (
            *("y", "doubt", "table", "verifier"),
            *("weight", "cluster", "domain"),
        )
        return replace(self, **{name: getattr(self, name)[rows] for name in arrays})

    def auroc(self, of: str = "doubt", *, minus: str | None = None) -> Estimate:
        score = getattr(self, of)

        def statistic(weight: Floats) -> Floats:
            found = auroc(self.y, score, weight)
            if minus is None:
                return found
            return found - auroc(self.y, getattr(self, minus), weight)

        return self.estimate(statistic)

    def estimate(self, statistic: Any) -> Estimate:
        if len(self.y) == 0:
            return _UNDEFINED
        return self.draws.estimate(statistic, self.weight, self.cluster, n=len(self.y))

    def calibration(self) -> tuple[Estimate, Estimate]:
        """Return calibration error, and Brier score minus the base rate's."""
        risk = np.clip(self.doubt, 0.0, 1.0)

        def skill(weight: Floats) -> Floats:
            plain_rate = base_rate(self.y, weight)
            spread = plain_rate * (1 - plain_rate)
            return np.asarray(brier(self.y, risk, weight) - spread)

        error = partial(ece_debiased, self.y, risk, cluster=self.cluster)
        return self.estimate(error), self.estimate(skill)


_UNDEFINED = Estimate(value=math.nan, low=math.nan, high=math.nan, n=0)


def _audit(
    data: Snapshots, signal: Signal, standard: Standard, *, replicates: int, seed: int
) -> Validation:
    _, cluster = np.unique(data.groups, return_inverse=True)
    n_clusters = int(cluster.max()) + 1
    every = _Part(
        y=data.y,
        doubt=doubt(signal, data.x[:, NAMES.index(signal.name)]),
        table=base_rates(data, data.domain),
        verifier=1.0 - data.x[:, NAMES.index(_VERIFIER)],
        weight=data.weight,
        cluster=cluster,
        domain=np.unique(data.domain, return_inverse=True)[1],
        draws=Resampling.draw(n_clusters, replicates=replicates, seed=seed),
    )
    known, is_last = np.isfinite(every.doubt), data.is_last
    # At the end one row stands for its task, and so has all its weight.
    whole = np.zeros(len(data))
    whole[is_last] = np.add.reduceat(data.weight, data.starts)
    end = replace(every, weight=whole).where(known & is_last)
    return judged(_measured(data, signal, every.where(known), end), signal, standard)


def _measured(
    data: Snapshots, signal: Signal, every: _Part, end: _Part
) -> dict[str, Any]:
    both = end.where(np.isfinite(end.verifier))
    is_chance = is_probability(signal) and len(end.y) > 0
    ece, skill = end.calibration() if is_chance else (_UNDEFINED, _UNDEFINED)
    points: list[dict[str, Any]] = []
    if is_chance:
        risk = np.clip(end.doubt, 0.0, 1.0)
        points = reliability(end.y, risk, end.weight, end.cluster, end.draws)
    return {
        "signal": signal.name,
        "agent_version": str(data.agent_version[0]),
        "n_tasks": data.n_tasks,
        "n_known": len(end.y),
        "n_needed": int(end.y.sum()),
        "base_rate": end.estimate(partial(base_rate, end.y)),
        "auroc_end": end.auroc(),
        "auroc_every_step": every.auroc(),
        "table_auroc": end.auroc("table"),
        "auroc_within": end.estimate(
            partial(auroc_within, end.y, end.doubt, strata=end.domain)
        ),
        "verifier_auroc": both.auroc("verifier"),
        "auroc_over_verifier": both.auroc(minus="verifier"),
        "ece_debiased": ece,
        "brier_over_base_rate": skill,
        "reliability": tuple(points),
    }
