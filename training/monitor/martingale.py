"""Martingale: whether scores still come from where they came from, without a label.

Each score is ranked among all before it, the reference first. As long as scores are
exchangeable the ranks are uniform and independent, exactly, whatever the model; a bet
on ranks that run high or low, and that changes its mind now and then, grows only once
they are not.

References
----------
Vovk, Petej, Nouretdinov, Ahlberg, Carlsson, Gammerman. "Retrain or not retrain:
conformal test martingales for change-point detection" (2021): the simple jumper, and
its Shiryaev-Roberts form.
"""

from __future__ import annotations

import bisect
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from training.monitor.evidence import ALARM_AT, Detector

# Slopes of the bets on a rank, and how much of the capital moves between them.
_SLOPES = (-2.0, -1.0, 0.0, 1.0, 2.0)
_JUMPS = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Jumper(Detector):
    """Evidence that scores are no longer those of the reference.

    Scores are ranked by the bin they fall in, ties at random: as exact as by the score
    itself, and a state of constant size.

    Attributes
    ----------
    edges : tuple of float
        Rising; a score on an edge belongs to the bin above it.
    counts : tuple of int
        Scores seen in each bin, those of the reference first.
    capital : tuple of float
        Share of each slope; adds up to 1.
    total : float
        The evidence: an alarm at `alarm_at`.
    seed : int
        Of the ties.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    capital: tuple[float, ...] = (0.2,) * len(_SLOPES)
    total: float = 0.0
    seed: int = 0

    @classmethod
    def begin(
        cls,
        edges: Sequence[float],
        counts: Sequence[int],
        *,
        alarm_at: float = ALARM_AT,
        seed: int = 0,
    ) -> Self:
        """Return the state before the first score, on a reference in bins."""
        return cls(
            edges=tuple(edges), counts=tuple(counts), alarm_at=alarm_at, seed=seed
        )

    def advance(self, score: float, at: float = 0.0) -> Self:
        """Return the state after one score; NaN, which is none, changes nothing."""
        if self.has_fired or math.isnan(score):
            return self
        place = bisect.bisect_right(self.edges, score)
        stakes = self._stakes(self.rank(place))
        factor = sum(stakes)
        total = (self.total + 1) * factor
        counts = list(self.counts)
        counts[place] += 1
        return replace(
            self,
            counts=tuple(counts),
            capital=tuple(stake / factor for stake in stakes),
            total=total,
            n=self.n + 1,
            fired=at if total >= self.alarm_at else math.nan,
            change=self.change.advance(factor, at),
        )

    def rank(self, place: int) -> float:
        """Return the rank in (0, 1) of a score in the bin `place`: a conformal p."""
        above = sum(self.counts[place + 1 :])
        tie = uniform(self.seed, self.n)
        return (above + tie * (self.counts[place] + 1)) / (sum(self.counts) + 1)

    def _stakes(self, rank: float) -> list[float]:
        """Return the capital of each slope after a bet on `rank`, before it was 1."""
        moved = _JUMPS / len(_SLOPES)
        return [
            ((1 - _JUMPS) * share + moved) * (1 + slope * (rank - 0.5))
            for share, slope in zip(self.capital, _SLOPES, strict=True)
        ]


def uniform(seed: int, place: int) -> float:
    """Return a number in (0, 1) that looks drawn, the same for the same arguments."""
    head = hashlib.blake2b(f"{seed}:{place}".encode(), digest_size=8).digest()
    return ((int.from_bytes(head) >> 11) + 0.5) / 2.0**53
