"""What a review and a miss cost: the same prices for reports, choices and regret."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What a review and a miss cost, in one currency; a policy's `costs` in training.

    Attributes
    ----------
    review : float
        Cost of one escalation, whether it was needed or not.
    miss : float or ndarray of shape (n_tasks,)
        Cost of a task that needed a human and did not get one.
    fixable : float in (0, 1]
        Probability that a human who is asked prevents that cost.
    miss_per_account_value : float
        What a miss costs more per unit of the account's value.
    """

    review: float = 5.0
    miss: float | NDArray[np.float64] = 40.0
    fixable: float = 0.8
    miss_per_account_value: float = 0.0

    def of_miss(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what a miss costs, by the account's value."""
        return np.asarray(self.miss + self.miss_per_account_value * value)

    def pays_above(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the risk above which a review pays, by the account's value."""
        return np.asarray(self.review / (self.fixable * self.of_miss(value)))

    @property
    def threshold(self) -> float | NDArray[np.float64]:
        """Risk above which a review pays where no account's value is known."""
        return self.review / (self.fixable * self.miss)
