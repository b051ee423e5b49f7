"""Calibrator: from a score to a risk, as a formula that serving can evaluate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrator:
    """From score to risk: sigmoid(c + a z + b z²), by stage of the task.

    A parabola is followed on its rising side only and goes on level from its vertex:
    otherwise a signal that raises the score could lower the risk.

    Attributes
    ----------
    kind : str
        Which of the candidates it is.
    edges : tuple of int
        Stage s holds steps up to edges[s]; the last stage has no edge.
    a, b, c : tuple of float
        One coefficient per stage, len(edges) + 1 each.
    """

    kind: str
    edges: tuple[int, ...]
    a: tuple[float, ...]
    b: tuple[float, ...]
    c: tuple[float, ...]

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """Return the calibrator that its JSON form describes."""
        return cls(
            kind=stored["kind"],
            edges=tuple(stored["edges"]),
            a=tuple(stored["a"]),
            b=tuple(stored["b"]),
            c=tuple(stored["c"]),
        )

    def risk(self, score: float, steps: float) -> float:
        """Return the calibrated risk of one score after `steps` events."""
        stage = sum(steps > edge for edge in self.edges)
        a, b, c = self.a[stage], self.b[stage], self.c[stage]
        if b != 0:
            score = min(score, -a / (2 * b)) if b < 0 else max(score, -a / (2 * b))
        z = c + (a + b * score) * score
        # The two-sided form never overflows.
        return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))

    def risks(
        self, score: NDArray[np.float64], steps: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the same for many, shape of `score`."""
        stage = np.searchsorted(self.edges, np.nan_to_num(steps), side="left")
        a, b, c = (np.array(x)[stage] for x in (self.a, self.b, self.c))
        with np.errstate(over="ignore"):  # a vertex out of sight lies at infinity
            vertex = np.divide(-a, 2 * b, out=np.zeros_like(b), where=b != 0)
        score = np.where(b < 0, np.minimum(score, vertex), score)
        score = np.where(b > 0, np.maximum(score, vertex), score)
        z = c + (a + b * score) * score
        tail = np.exp(-np.abs(z))
        return np.where(z >= 0, 1 / (1 + tail), tail / (1 + tail))
