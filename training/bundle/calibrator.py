"""Calibrator: from a score to a risk, as a formula that serving can evaluate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LEAST = 0.01  # needed share: none and all are no certainty


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrator:
    """From score z to risk: sigmoid(c + a u + b v + d log-odds of what is expected).

    (u, v) is (z, z²), or for beta calibration (log s, -log(1 - s)) with s = sigmoid z.
    Coefficients depend on the stage of the task: how many events there were, and
    whether the agent has just spoken, as it has when it gives its answer. The last
    term draws the risk to the outcome history of the task's agent version and type: a
    segment that came up after training is calibrated by its own labels as they come
    in.

    A parabola is followed on its rising side only and goes on level from its vertex:
    otherwise a signal that raises the score could lower the risk.

    Attributes
    ----------
    kind : str
        Which of the candidates it is.
    edges : tuple of int
        Stage s holds steps up to edges[s]; the last stage has no edge.
    a, b, c : tuple of float
        One coefficient per stage, n = len(edges) + 1 each; 2 n where it matters
        whether the agent has just spoken, those for when it has coming second.
    expected : float
        d, >= 0.
    is_beta : bool
        Whether u and v are those of beta calibration.
    """

    kind: str
    edges: tuple[int, ...]
    a: tuple[float, ...]
    b: tuple[float, ...]
    c: tuple[float, ...]
    expected: float = 0.0
    is_beta: bool = False

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """Return the calibrator that its JSON form describes."""
        known: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in stored.items()
        }
        return cls(**known)

    def stage(self, steps: Floats, spoke: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the stage of each row, the place of its coefficients."""
        n = len(self.edges) + 1
        stage = np.searchsorted(self.edges, np.nan_to_num(steps), side="left")
        return np.asarray(stage + n * spoke if len(self.a) > n else stage)

    def risk(
        self,
        score: float,
        steps: float,
        expected: float = math.nan,
        *,
        spoke: bool = False,
    ) -> float:
        """Return the calibrated risk of one score.

        Parameters
        ----------
        score : float
            Log-odds.
        steps : float
            Events so far.
        expected : float in (0, 1)
            Needed share of the task's kin; NaN where it has no history.
        spoke : bool
            Whether the latest event is a message of the agent's.
        """
        n = len(self.edges) + 1
        stage = sum(steps > edge for edge in self.edges)
        stage += n * (spoke and len(self.a) > n)
        a, b, c = self.a[stage], self.b[stage], self.c[stage]
        if self.is_beta:
            z = c - a * _softplus(-score) + b * _softplus(score)
        else:
            if b != 0:
                vertex = -a / (2 * b)
                score = min(score, vertex) if b < 0 else max(score, vertex)
            z = c + (a + b * score) * score
        if self.expected and not math.isnan(expected):
            share = min(max(expected, _LEAST), 1 - _LEAST)
            z += self.expected * math.log(share / (1 - share))
        # The two-sided form never overflows.
        return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))

    def risks(
        self,
        score: Floats,
        steps: Floats,
        expected: Floats | None = None,
        *,
        spoke: NDArray[np.bool_] | None = None,
    ) -> Floats:
        """Return the same for many, each of shape (n_rows,)."""
        said = np.zeros(len(score), dtype=bool) if spoke is None else spoke
        stage = self.stage(steps, said)
        a, b, c = (np.array(x)[stage] for x in (self.a, self.b, self.c))
        if self.is_beta:
            z = c - a * np.logaddexp(0, -score) + b * np.logaddexp(0, score)
        else:
            with np.errstate(over="ignore"):  # a vertex out of sight lies at infinity
                vertex = np.divide(-a, 2 * b, out=np.zeros_like(b), where=b != 0)
            score = np.where(b < 0, np.minimum(score, vertex), score)
            score = np.where(b > 0, np.maximum(score, vertex), score)
            z = c + (a + b * score) * score
        if self.expected and expected is not None:
            z = z + self.expected * log_odds(expected)
        tail = np.exp(-np.abs(z))
        return np.asarray(np.where(z >= 0, 1 / (1 + tail), tail / (1 + tail)))


def log_odds(expected: Floats) -> Floats:
    """Return the log-odds of a needed share, 0 where it is unknown."""
    share = np.clip(expected, _LEAST, 1 - _LEAST)
    return np.asarray(np.nan_to_num(np.log(share / (1 - share))))


def _softplus(z: float) -> float:
    return max(z, 0.0) + math.log1p(math.exp(-abs(z)))
