"""Order: what is asked of a training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.bundle import SegmentBy
from training.costs import Costs
from training.dataset import Snapshots
from training.model import Recipe

Rules = Callable[[Snapshots], NDArray[np.bool_]]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked of a training.

    Attributes
    ----------
    alpha, delta : float in (0, 1)
        Tolerated miss rate, and probability that its certificate is wrong.
    by : SegmentBy, optional
        What to certify segments by; None: all tasks together and no segments.
    costs : Costs
        Prices of a review and of a miss, for the evaluation.
    recipe : Recipe
        How the booster is grown; carries the seed.
    trials : int
        Recipes to try (`training.search`); 0: this one.
    rules : callable
        Where the policy's hard rules fire, for the rules-only baseline.
    progress : callable
        Told each step in words.
    """

    rules: Rules
    alpha: float = 0.1
    delta: float = 0.1
    by: SegmentBy | None = None
    costs: Costs = field(default_factory=Costs)
    recipe: Recipe = field(default_factory=Recipe)
    trials: int = 0
    progress: Progress = lambda _: None
