"""Certificates by counting labelled tasks: the exact binomial on running maxima."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from training.bundle.certificate import Certificate
from training.certify import words
from training.certify.basis import Curve, Tally, require_levels
from training.certify.ladder import misses_allowed, together, upper

METHOD = "exact binomial order statistic on running maxima, one task per group"


def least_needed(alpha: float, delta: float) -> int:
    """Return how many needed tasks, none of them missed, certify `alpha` at `delta`.

    Examples
    --------
    >>> least_needed(0.05, 0.1), least_needed(0.1, 0.1)
    (45, 22)
    """
    return math.ceil(math.log(delta) / math.log1p(-alpha))


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a certificate is made from: one entry per task set aside for it.

    Attributes
    ----------
    highest : ndarray of shape (n_tasks,), float in [0, 1]
        Highest risk the task reached: "escalate at any step" as one number.
    needed : ndarray of shape (n_tasks,), bool
        Whether the task needed a human.
    group : ndarray of shape (n_tasks,), str
        Customer. Tasks of one customer are not independent, so one needed task is
        drawn from each.
    is_even : bool
        Whether every task had the same chance of being labelled. Where it had not,
        counting tasks says little of how many are missed.
    value : ndarray of shape (n_tasks,), float, optional
        Account's value, for costs.
    seed : int
        Draws the task of each customer.
    """

    highest: NDArray[np.float64]
    needed: NDArray[np.bool_]
    group: NDArray[np.str_]
    is_even: bool = True
    value: NDArray[np.float64] | None = None
    seed: int = 0

    def independent(self, seed: int) -> NDArray[np.float64]:
        """Return the highest risk of one needed task per group, drawn by `seed`."""
        order = np.random.default_rng(seed).permutation(len(self.needed))
        order = order[self.needed[order]]
        _, first = np.unique(self.group[order], return_index=True)
        return self.highest[order[np.sort(first)]]

    @property
    def n_needed(self) -> int:
        """Customers with a task that needed a human."""
        return len(np.unique(self.group[self.needed]))

    @property
    def tally(self) -> Tally:
        """The tasks, as costs see them."""
        n = len(self.highest)
        return Tally(
            highest=self.highest,
            always=np.zeros(n, dtype=bool),
            needed=self.needed.astype(np.float64),
            value=np.zeros(n) if self.value is None else np.nan_to_num(self.value),
        )

    def where(self, tasks: NDArray[Any]) -> Self:
        """Return a part of the tasks: a mask, or places."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        taken = {n: c[tasks] for n, c in columns.items() if isinstance(c, np.ndarray)}
        return replace(self, **taken)

    def can(self, alpha: float, delta: float) -> bool:
        """Whether there are enough labels, whatever they say of any threshold."""
        return self.is_even and self.n_needed >= least_needed(alpha, delta)

    def share(self, alphas: tuple[float, ...], delta: float) -> float:
        """Return the doubt per bound that lets all of them hold at once."""
        return together(self.n_needed, alphas, delta)

    def curve(self, delta: float) -> Curve:
        """Return bound, estimate and cost at the risk of each needed task."""
        drawn = np.sort(self.independent(self.seed))
        threshold, misses = np.unique(drawn, return_index=True)
        return Curve(
            threshold=threshold,
            bound=upper(misses, len(drawn), delta),
            miss_rate=misses / max(len(drawn), 1),
            escalation_rate=self.tally.rate(threshold),
        )

    def certificate(
        self, *, alpha: float, delta: float, segment: str = ""
    ) -> Certificate:
        """Return the certificate of the largest threshold, or a refusal."""
        require_levels(alpha=alpha, delta=delta)
        highest = np.sort(self.independent(self.seed))
        n, allowed = len(highest), misses_allowed(len(highest), alpha, delta)
        found: dict[str, Any] = {"threshold": None, "escalation_rate": None}
        if not self.is_even:
            found |= words.uneven()
        elif allowed < 0:
            found |= words.too_few(n, least_needed(alpha, delta), alpha, delta)
        else:
            found |= self._at(float(highest[allowed]), alpha, delta)
        return Certificate(
            alpha=alpha,
            delta=delta,
            n_needed=n,
            n_tasks=len(self.needed),
            misses_allowed=max(allowed, 0),
            method=METHOD,
            segment=segment,
            **found,
        )

    def _at(self, threshold: float, alpha: float, delta: float) -> dict[str, Any]:
        rate = float((self.highest >= threshold).mean())
        if rate >= 1:
            return words.escalates_all(alpha, delta)
        reason = words.counted(alpha, delta, rate)
        return {"threshold": threshold, "escalation_rate": rate, "reason": reason}


def certify(
    evidence: Evidence, *, alpha: float, delta: float, seed: int = 0
) -> Certificate:
    """Return the certificate of the largest threshold with miss rate <= `alpha`.

    Holds with probability 1 - `delta` over the draw of the tasks, for tasks of the
    same kind. Where there is none it is a refusal: its threshold is None, `refusal`
    says of what kind, and its reason in words what would help.

    Parameters
    ----------
    evidence : Evidence
        Tasks that neither the model nor its calibrator has seen. To be used once.
    alpha : float in (0, 1)
        Largest tolerated share of needed tasks that are never escalated.
    delta : float in (0, 1)
        Probability that the certificate is wrong.

    Raises
    ------
    CertificateError
        If `alpha` or `delta` is not inside (0, 1).
    """
    return replace(evidence, seed=seed).certificate(alpha=alpha, delta=delta)
