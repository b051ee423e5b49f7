"""Agreement: whether two reviewers of one task say the same, beyond chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.monitor.estimate import (
    LEVEL,
    Estimate,
    Floats,
    clustered_error,
    wilson,
    z_of,
)

_FEWEST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two independent first answers on one task.

    Attributes
    ----------
    task_id, group : str
        The task and its customer.
    first, second : str
        "yes", "no" or "uncertain"; the order carries no meaning.
    raters : tuple of str
        Who gave them.
    propensity : float in (0, 1]
        Probability that the task was rated twice.
    escalated : bool
        Whether the task had been handed over.
    """

    task_id: str
    group: str
    first: str
    second: str
    raters: tuple[str, str]
    propensity: float = 1.0
    escalated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """Weighted answers of two raters; `x`, `y` of shape (n_pairs, n_answers)."""

    x: Floats
    y: Floats
    weight: Floats

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> _Table:
        answers = sorted({p.first for p in pairs} | {p.second for p in pairs})
        weight = np.array([1 / p.propensity for p in pairs])
        return cls(
            x=np.array([[p.first == a for a in answers] for p in pairs], dtype=float),
            y=np.array([[p.second == a for a in answers] for p in pairs], dtype=float),
            weight=weight / weight.sum(),
        )

    @property
    def same(self) -> Floats:
        """1 where the two answers are the same, shape (n_pairs,)."""
        return np.asarray((self.x * self.y).sum(axis=1))

    @property
    def observed(self) -> float:
        """Weighted share of pairs with the same answer."""
        return float(self.weight @ self.same)

    @property
    def margin(self) -> Floats:
        """Weighted share of each answer, whoever gives it, shape (n_answers,)."""
        return np.asarray(self.weight @ (self.x + self.y) / 2)


def kappa(pairs: Sequence[Pair], *, level: float = LEVEL) -> Estimate:
    """Return by how much reviewers agree beyond chance: 1 always, 0 as by chance.

    Which of two reviewers is the first is arbitrary, so chance is what two reviewers
    with the common shares of answers would agree on (Scott's form of Cohen's kappa).
    Each pair weighs 1 / propensity; the interval is from influences, by customer.

    References
    ----------
    Cohen. "A coefficient of agreement for nominal scales" (1960). Scott. "Reliability
    of content analysis" (1955): exchangeable raters.
    """
    n = len(pairs)
    if n < _FEWEST:
        return Estimate.unknown("tasks that two reviewers have judged", n=n)
    table = _Table.of(pairs)
    observed, margin = table.observed, table.margin
    chance = float(np.square(margin).sum())
    if chance >= 1:
        return Estimate.unknown("pairs of reviewers with more than one answer", n=n)
    value = (observed - chance) / (1 - chance)
    pull = (table.x + table.y) @ margin - 2 * chance
    influence = table.weight * (
        (table.same - observed) / (1 - chance)
        - (1 - observed) / (1 - chance) ** 2 * pull
    )
    half = z_of(level) * clustered_error(influence, _clusters(pairs))
    return Estimate(
        value=value,
        low=max(-1.0, value - half),
        high=min(1.0, value + half),
        n=n,
        method="kappa weighed by 1 / propensity, by customer",
    )


def agreed(pairs: Sequence[Pair], *, level: float = LEVEL) -> Estimate:
    """Return the weighted share of pairs with the same answer.

    The interval is Wilson's, for as many pairs as the weights leave.
    """
    if not pairs:
        return Estimate.unknown("tasks that two reviewers have judged")
    table = _Table.of(pairs)
    worth = 1 / float(np.square(table.weight).sum())
    low, high = wilson(table.observed * worth, worth, level=level)
    return Estimate(
        value=table.observed,
        low=low,
        high=high,
        n=len(pairs),
        method="Wilson for the effective number of pairs",
    )


def _clusters(pairs: Sequence[Pair]) -> NDArray[np.int64]:
    groups = np.array([p.group for p in pairs])
    return np.asarray(np.unique(groups, return_inverse=True)[1])
