"""Scorer: from signals to a raw margin, by a booster and its logistic twin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Self

import lightgbm
import numpy as np
from numpy.typing import NDArray

from features.signals import NAMES

Floats = NDArray[np.float64]

_FAR = 4.0  # standard deviations beyond which a signal says no more


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """A logistic regression on the same signals: steadier where tasks are few.

    Signals are taken on a logarithmic scale, standardised and cut at four standard
    deviations; an unknown one counts as average, plus a weight of its own.

    Attributes
    ----------
    centre, scale, weight, if_unknown : tuple of float
        One per signal, in catalogue order; `weight` and `if_unknown` in log-odds.
    intercept : float
        Log-odds.
    """

    centre: tuple[float, ...]
    scale: tuple[float, ...]
    weight: tuple[float, ...]
    if_unknown: tuple[float, ...]
    intercept: float

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """Return the twin that its JSON form describes."""
        known: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in stored.items()
        }
        return cls(**known)

    def contributions(self, x: Floats) -> Floats:
        """Return what each signal adds, shape of `x`; with the intercept, the score."""
        unknown = np.isnan(x)
        z = standardised(x, np.array(self.centre), np.array(self.scale))
        return np.asarray(
            z * np.array(self.weight) + unknown * np.array(self.if_unknown)
        )

    def scores(self, x: Floats) -> Floats:
        """Return the log-odds of each row of `x`, shape (n_rows,)."""
        return np.asarray(self.contributions(x).sum(axis=1) + self.intercept)


def standardised(x: Floats, centre: Floats, scale: Floats) -> Floats:
    """Return signals as a twin reads them, 0 where unknown; shape of `x`."""
    z = (logarithmic(x) - centre) / scale
    return np.clip(np.nan_to_num(z), -_FAR, _FAR)


def logarithmic(x: Floats) -> Floats:
    """Return `x` on a scale on which the tenth of something counts less."""
    return np.sign(x) * np.log1p(np.abs(x))


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """A booster and its twin, weighed against each other.

    Attributes
    ----------
    booster_text : str
        The LightGBM model in its text format.
    base : float
        The booster's expected margin, log-odds.
    twin : Twin or None
    share : float in [0, 1]
        Weight of the twin; the booster has the rest.
    """

    booster_text: str
    base: float
    twin: Twin | None = None
    share: float = 0.0

    @cached_property
    def _booster(self) -> lightgbm.Booster:
        return lightgbm.Booster(model_str=self.booster_text)

    def at(self, share: float) -> Self:
        """Return the scorer in which the twin has the weight `share`."""
        return replace(self, share=share)

    def used(self, share: float) -> Self:
        """Return the same without a twin that has no weight."""
        return replace(self, share=share, twin=self.twin if share else None)

    def scores(self, x: Floats, *, threads: int = 0) -> Floats:
        """Return the margin (log-odds) of each row of `x`, shape (n_rows,)."""
        if self.twin is not None and self.share == 1:
            return self.twin.scores(x)
        margin = np.asarray(
            self._booster.predict(x, raw_score=True, num_threads=threads)
        )
        if self.twin is None or self.share == 0:
            return margin
        return (1 - self.share) * margin + self.share * self.twin.scores(x)

    def contributions(self, x: Floats, *, threads: int = 0) -> Floats:
        """Return what each signal adds, shape of `x`; with `start`, the score.

        By the booster's own TreeSHAP, some thirty times the cost of a score.
        """
        parts = np.asarray(
            self._booster.predict(x, pred_contrib=True, num_threads=threads)
        )[:, :-1]
        if self.twin is None or self.share == 0:
            return parts
        return (1 - self.share) * parts + self.share * self.twin.contributions(x)

    @property
    def start(self) -> float:
        """The score before any signal has spoken, log-odds."""
        twin = 0.0 if self.twin is None else self.twin.intercept
        return (1 - self.share) * self.base + self.share * twin

    def to_json(self) -> dict[str, Any]:
        """Return all but the booster, as JSON data."""
        twin = None if self.twin is None else asdict(self.twin)
        return {"base": self.base, "share": self.share, "twin": twin}

    @classmethod
    def of(cls, booster_text: str, stored: Mapping[str, Any]) -> Self:
        """Return the scorer of a booster and what `to_json` gave."""
        twin = stored["twin"]
        return cls(
            booster_text=booster_text,
            base=stored["base"],
            share=stored["share"],
            twin=None if twin is None else Twin.of(twin),
        )

    @classmethod
    def alone(cls, booster: lightgbm.Booster) -> Self:
        """Return a scorer that is `booster` and nothing else."""
        row = np.full((1, len(NAMES)), np.nan)
        base = np.asarray(booster.predict(row, pred_contrib=True))[0, -1]
        return cls(booster_text=booster.model_to_string(), base=float(base))
