"""Conduct: whether one agent version games the escalation, in either direction.

More handovers than before, or fewer; the agent's own word worth less than it was; an
agent that always asks for a human, or never does any more; a flood of handovers. Every
promise has room for what is no news: a rate may be half as high again as where the
model learned, and as the noise of that rate allows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from training.monitor import bets
from training.monitor.detectors import Mixture, through
from training.monitor.evidence import ALARM_AT
from training.monitor.outcome import Outcomes
from training.monitor.reference import Rates

Floats = NDArray[np.float64]

# A rate above, or below, the reference by this factor is no news yet.
ROOM = 1.5
# Nor is a rate of transfers below this one: some agents ask often.
_MODEST = 0.2
# Confidence may exceed what it is worth by so much more than in the reference.
SLACK = 0.01
_DOUBT = 0.01
_WORDS = "confidence_inflated"
# Of a mean of values in [-1, 1]: its normal quantile, and their usual spread.
_Z = 2.33
_SPREAD = 0.45


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What the conduct of a version is held against: all of it from the reference.

    Attributes
    ----------
    most_escalated, least_escalated : float
        Shares of its tasks; NaN: not known, so not watched.
    most_transferred, least_transferred : float
        Likewise of the tasks in which it asked for a human itself.
    gap : float
        How far its confidence may be above the share that went well.
    floor : float
        The lowest propensity of a review.
    """

    most_escalated: float = math.nan
    least_escalated: float = math.nan
    most_transferred: float = math.nan
    least_transferred: float = math.nan
    gap: float = math.nan
    floor: float = 1.0

    @classmethod
    def of(cls, rates: Rates, floor: float) -> Self:
        """Return what follows from `rates`, which rest on a sample."""
        most, least = _room(rates.escalated, rates.tasks)
        often, seldom = _room(rates.transferred, rates.tasks)
        noise = _Z * _SPREAD / math.sqrt(max(rates.labelled, 1))
        return cls(
            most_escalated=most,
            least_escalated=least,
            most_transferred=max(often, _MODEST),
            least_transferred=seldom,
            gap=rates.gap + noise + SLACK if rates.labelled else math.nan,
            floor=floor,
        )


def rates_of(outcomes: Outcomes) -> Rates:
    """Return how agents conducted themselves in `outcomes`."""
    known = bets.by_design(outcomes) & ~np.isnan(outcomes.confidence)
    weight = np.where(known, 1 / np.maximum(bets.chance(outcomes), 1e-12), 0.0)
    over = np.where(known, outcomes.confidence - (1 - outcomes.needed), 0.0)
    spread = float((weight**2).sum())
    return Rates(
        tasks=len(outcomes),
        escalated=int(outcomes.escalated.sum()),
        transferred=int(outcomes.transferred.sum()),
        labelled=int(weight.sum() ** 2 / spread) if spread else 0,
        gap=float((weight * over).sum() / weight.sum()) if spread else 0.0,
    )


def _room(count: int, n: int) -> tuple[float, float]:
    """Return the most and the least that a share of `count` in `n` allows for."""
    if n == 0:
        return math.nan, math.nan
    high = beta.ppf(1 - _DOUBT, count + 1, n - count) if count < n else 1.0
    low = beta.ppf(_DOUBT, count, n - count + 1) if count else 0.0
    return min(ROOM * float(high), 1.0), float(low) / ROOM


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """The detectors of one agent version.

    Attributes
    ----------
    promise : Promise
    detectors : Mapping of str to Mixture
        By what each has evidence of; where there is no promise there is none.
    """

    promise: Promise
    detectors: Mapping[str, Mixture] = field(default_factory=dict)

    @classmethod
    def begin(
        cls, promise: Promise, alarm_at: float, *, words_at: float = ALARM_AT
    ) -> Self:
        """Return the state before the first task of the version.

        Parameters
        ----------
        promise : Promise
            What its conduct is held against.
        alarm_at : float
            Tasks of the version between two false alarms of one detector, at the least.
        words_at : float
            Likewise of the one that looks at its confidence, which has few labels to go
            by: at 2 % audits these are 4,000.
        """
        least = {
            "escalations_up": -promise.most_escalated,
            "escalations_down": promise.least_escalated - 1,
            "transfers_up": -promise.most_transferred,
            "transfers_down": promise.least_transferred - 1,
            _WORDS: -1 - max(promise.gap, 0.0),
        }
        if math.isnan(promise.gap):
            del least[_WORDS]
        watched = {n: x for n, x in least.items() if x < 0 and not _idle(n, promise)}
        return cls(
            promise=promise,
            detectors={
                name: Mixture(
                    least=x, alarm_at=words_at if name == _WORDS else alarm_at
                )
                for name, x in watched.items()
            },
        )

    def advance(
        self, outcomes: Outcomes, cleared: Mapping[str, float] | None = None
    ) -> Self:
        """Return the state after more tasks of the version, in order.

        Parameters
        ----------
        outcomes : Outcomes
            Of this version.
        cleared : Mapping of str to float, optional
            Up to which time a detector passes over tasks, s since 1970.
        """
        promise = self.promise
        escalated = outcomes.escalated.astype(np.float64)
        transferred = outcomes.transferred.astype(np.float64)
        # While a withdrawn certificate sends every task to a human, that is no news.
        chosen = ~(outcomes.threshold <= 0)
        x = {
            "escalations_up": np.where(chosen, escalated - promise.most_escalated, 0),
            "escalations_down": np.where(
                chosen, promise.least_escalated - escalated, 0
            ),
            "transfers_up": transferred - promise.most_transferred,
            "transfers_down": promise.least_transferred - transferred,
            _WORDS: bets.inflation(outcomes, promise.gap, promise.floor),
        }
        after = {}
        for name, detector in self.detectors.items():
            late = outcomes.at > (cleared or {}).get(name, -math.inf)
            after[name] = through(detector, x[name][late], outcomes.at[late])
        return replace(self, detectors=after)


def _idle(name: str, promise: Promise) -> bool:
    """Whether a detector could never find anything: what cannot rise, or fall."""
    if name == "escalations_up":
        return promise.most_escalated >= 1
    if name == "transfers_up":
        return promise.most_transferred >= 1
    return {
        "escalations_down": promise.least_escalated,
        "transfers_down": promise.least_transferred,
    }.get(name, 1.0) <= 0


def by_version(outcomes: Outcomes) -> Iterator[tuple[str, Outcomes]]:
    """Yield the tasks of each agent version that is named."""
    for version in np.unique(outcomes.agent_version).tolist():
        if version:
            yield version, outcomes.where(outcomes.agent_version == version)
