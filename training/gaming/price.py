"""What forged self-reports cost, as values; `to_json` is the content of gaming.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from features.signals import SIGNALS, Signal
from training.evaluate.intervals import Estimate
from training.evaluate.report import Setting, plain

SCHEMA = "escalon.gaming/1"
SELF_REPORTED: tuple[Signal, ...] = tuple(
    signal for signal in SIGNALS if signal.trust == "self_reported"
)
# What depends on the words that the agent chose, its word on itself included.
WORDS: tuple[Signal, ...] = tuple(
    signal for signal in SIGNALS if signal.trust != "observed"
)
EVERYTHING = "everything"
EVERY_WORD = "every word"
FULL_CONFIDENCE = "full confidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A ranking before and after a forgery.

    Attributes
    ----------
    honest, forged : float
        AUROC as it was, and with the forged values.
    lost : Estimate
        Their difference, positive where the forgery pays; paired by customer.
    """

    honest: float
    forged: float
    lost: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One way to lie, and what it buys.

    Attributes
    ----------
    name, says : str
        Which it is, and in words.
    values : Mapping of str to float
        What each forged signal is set to; NaN: the agent reports nothing.
    auroc_end, auroc_every_step : Loss
        Ranking at the end of the tasks, and over every step.
    escalations_suppressed : Estimate or None
        Share of the tasks that needed a human and were escalated which no longer
        are; None where there is no threshold.
    misses_gained : Estimate or None
        Rise of the miss rate at the threshold; 0.01 is one point.
    """

    name: str
    says: str
    values: Mapping[str, float]
    auroc_end: Loss
    auroc_every_step: Loss
    escalations_suppressed: Estimate | None
    misses_gained: Estimate | None

    @property
    def auroc_lost(self) -> Estimate:
        """The larger of the two losses in ranking."""
        return max(
            (self.auroc_end.lost, self.auroc_every_step.lost), key=lambda e: e.value
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaming:
    """The price of forged self-reports, per way to lie.

    Attributes
    ----------
    threshold : float or None
        Risk at which misses are counted.
    n_tasks, n_needed : int
        Tasks the model had not learned from, and the forged ones among them.
    attacks : tuple of Attack
        Full confidence, everything the agent reports of itself, every word it chose,
        then each self-reported signal alone, dearest first.
    """

    threshold: float | None
    n_tasks: int
    n_needed: int
    attacks: tuple[Attack, ...]
    setting: Setting

    @property
    def worst(self) -> Attack:
        """The forgery of self-reports that costs the most ranking."""
        return max(self._self_reports, key=lambda a: a.auroc_lost.value)

    @property
    def _self_reports(self) -> tuple[Attack, ...]:
        """All but the forging of every word: words have a price of their own."""
        return tuple(a for a in self.attacks if a.name != EVERY_WORD)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data; null stands for what the data do not define."""
        attacks = [plain(a) for a in self.attacks]
        dearest = max(self._self_reports, key=lambda a: _value(a.misses_gained))
        return {
            "schema": SCHEMA,
            "threshold": self.threshold,
            "n_tasks": self.n_tasks,
            "n_needed": self.n_needed,
            "signals": [signal.name for signal in SELF_REPORTED],
            "attacks": attacks,
            "worst": {
                "name": self.worst.name,
                "auroc_lost": plain(self.worst.auroc_lost),
                "misses_gained": plain(dearest.misses_gained),
                "escalations_suppressed": plain(dearest.escalations_suppressed),
            },
            "setting": plain(self.setting),
        }


def _value(estimate: Estimate | None) -> float:
    known = estimate is not None and math.isfinite(estimate.value)
    return estimate.value if known and estimate is not None else -math.inf
