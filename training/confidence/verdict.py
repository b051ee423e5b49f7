"""What a validation says: the figures of one signal on one agent version, judged."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from features.signals import Signal
from training.evaluate.intervals import Estimate
from training.evaluate.report import plain

_WELL_CALIBRATED = 0.05
_MOSTLY = 0.9
_COIN = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    """What it takes to be validated.

    Attributes
    ----------
    least_tasks, least_of_each : int
        Labelled tasks in which the signal was known; those that needed a human, and
        those that did not.
    least_auroc : float
        That the lower end of the interval must exceed. 0.5 is a coin.
    """

    least_tasks: int = 100
    least_of_each: int = 20
    least_auroc: float = 0.55


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What one self-reported signal is worth on one agent version.

    Attributes
    ----------
    signal, agent_version : str
        Which, on whom.
    validated : bool
        Whether a rule may threshold on it.
    reason : str
        Why, or why not, in words.
    cautions : tuple of str
        What to know although it is validated.
    n_tasks, n_known, n_needed : int
        Labelled tasks of the version, those in which the signal was known at the end,
        and those of them that needed a human.
    base_rate : Estimate
        Share that needed a human.
    auroc_end, auroc_every_step : Estimate
        Of the doubt the signal expresses: for confidence, 1 minus it.
    table_auroc : Estimate
        Of the base rate of the task's domain, on the same tasks.
    auroc_within : Estimate
        AUROC over pairs of one domain: what base rates cannot explain.
    verifier_auroc, auroc_over_verifier : Estimate
        The same of 1 minus the verifier's score, where both are known; undefined
        where no verifier spoke.
    ece_debiased, brier_over_base_rate : Estimate
        Calibration error of the doubt taken as a risk, and its Brier score minus that
        of the plain base rate; undefined for a signal that is no probability.
    reliability : tuple of Mapping
        Mean doubt and observed share needed, per bin.
    """

    signal: str
    agent_version: str
    validated: bool
    reason: str
    cautions: tuple[str, ...]
    n_tasks: int
    n_known: int
    n_needed: int
    base_rate: Estimate
    auroc_end: Estimate
    auroc_every_step: Estimate
    table_auroc: Estimate
    auroc_within: Estimate
    verifier_auroc: Estimate
    auroc_over_verifier: Estimate
    ece_debiased: Estimate
    brier_over_base_rate: Estimate
    reliability: tuple[Mapping[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data; null stands for what the data do not define."""
        names = type(self).__dataclass_fields__
        return {name: plain(getattr(self, name)) for name in names}


def judged(found: Mapping[str, Any], signal: Signal, standard: Standard) -> Validation:
    """Return the verdict on the figures `found`, fields of `Validation` by name."""
    refusals = list(_refusals(found, standard))
    auc = found["auroc_end"]
    reason = "; ".join(refusals) or (
        f"it ranks: AUROC {_shown(auc)} on "
        f"{found['n_known']} tasks, and inside the domains too"
    )
    return Validation(
        **found,
        validated=not refusals,
        reason=reason,
        cautions=tuple(_cautions(found, signal)),
    )


def _refusals(found: Mapping[str, Any], standard: Standard) -> Iterator[str]:
    """Yield each reason why no rule may threshold on the signal."""
    n, needed = found["n_known"], found["n_needed"]
    if n < standard.least_tasks:
        yield (
            f"too few labels: it is known in {n} labelled tasks, it takes "
            f"{standard.least_tasks}"
        )
    if min(needed, n - needed) < standard.least_of_each:
        yield (
            f"{needed} tasks needed a human and {n - needed} did not; it takes "
            f"{standard.least_of_each} of each"
        )
    if not math.isfinite(found["auroc_end"].low):
        return
    auc, within = found["auroc_end"], found["auroc_within"]
    if auc.low <= standard.least_auroc:
        yield (
            f"it does not track the outcome: AUROC {_shown(auc)}; its lower end must "
            f"exceed {standard.least_auroc:g}"
        )
    if not within.low > _COIN:
        yield (
            "inside a domain it is not shown to say more than the domain's base rate: "
            f"AUROC {_shown(within)}; its lower end must exceed {_COIN:g}"
        )


def _shown(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _cautions(found: Mapping[str, Any], signal: Signal) -> Iterator[str]:
    ece, over = found["ece_debiased"], found["auroc_over_verifier"]
    if math.isfinite(ece.low) and ece.low > _WELL_CALIBRATED:
        yield (
            f"its number is no chance: calibration error {ece.value:.2f} "
            f"({ece.low:.2f} to {ece.high:.2f}); read a threshold off the "
            "reliability table"
        )
    if math.isfinite(over.high) and over.high < 0:
        yield "the verifier ranks better; prefer a rule on its score"
    if signal.direction == 0:
        yield "which way it points was assumed: more of it, more risk"
    share = found["n_known"] / found["n_tasks"]
    if share < _MOSTLY:
        yield f"it is known in {share:.0%} of the tasks; elsewhere a rule is silent"
