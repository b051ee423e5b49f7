"""Sureness: how far the labels behind a risk leave it open (Venn-Abers)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sureness:
    """Two calibrated risks per score: if this task did not need a human, if it did.

    One of the two is calibrated whatever the scores are like, so a wide gap means
    that few labels lie near this score. It is a statement of knowledge, not a
    confidence interval of the risk.

    Attributes
    ----------
    edges : tuple of float
        Scores at which the next bin begins, n_bins - 1, ascending.
    low, high : tuple of float in [0, 1]
        One per bin.

    References
    ----------
    Vovk, Petej. "Venn-Abers predictors" (UAI 2014).
    """

    edges: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """Return the value that its JSON form describes."""
        return cls(**{name: tuple(stored[name]) for name in ("edges", "low", "high")})

    def between(self, score: Floats) -> tuple[Floats, Floats]:
        """Return both risks at each score, each of the shape of `score`."""
        place = np.searchsorted(self.edges, score, side="right")
        return np.array(self.low)[place], np.array(self.high)[place]
