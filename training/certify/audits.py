"""Certificates where labels are selective: what uniform audits say of the silent tasks.

Every task that was handed over has a label, and of the others a known share was drawn
for an audit. What nobody drew is bounded by what was found among the drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from training.bundle.certificate import Certificate
from training.certify import words
from training.certify.basis import Curve, Floats, Mask, Tally, below, require_levels
from training.certify.drawn import most_missed, share_missed
from training.monitor.outcome import Outcomes

METHOD = "uniform audits of what was not handed over, for the tasks of the window"
METHOD_AHEAD = "uniform audits of what was not handed over, for tasks to come"
# The name of the learned trigger in a decision.
LEARNED = "learned"
# A tie is broken by the draws, though never by more than half a miss: see `_tie`.
_LEAST_TIE = 0.5


@dataclass(frozen=True, kw_only=True)
class Live:
    """Tasks that a model judged while live, with the labels its decisions chose.

    A needed task is missed at a threshold if nothing but the risk could have handed it
    over and its risk stayed below. Of those that were handed over, and of those that
    somebody complained about, each is known; of the silent ones each was drawn with
    the same probability q, so that m missed ones give Binomial(m, q) found ones. What
    is random is the draw alone: the bound needs no independence of the tasks, however
    often a customer comes back.

    Attributes
    ----------
    outcomes : Outcomes
        Tasks of one model.
    ahead : bool
        Bound the miss rate of tasks to come, not of these. Takes the tasks for
        independent draws, so one of each customer is kept.
    """

    outcomes: Outcomes
    ahead: bool = False

    @classmethod
    def of(cls, outcomes: Outcomes, *, ahead: bool = False, seed: int = 0) -> Self:
        """Return the tasks a certificate can be made from; see `ahead`."""
        if ahead:
            order = np.random.default_rng(seed).permutation(len(outcomes))
            _, first = np.unique(outcomes.group[order], return_index=True)
            outcomes = outcomes.where(np.sort(order[first]))
        return cls(outcomes=outcomes, ahead=ahead)

    def where(self, tasks: NDArray[Any]) -> Self:
        """Return a part of the tasks: a mask, or places."""
        return type(self)(outcomes=self.outcomes.where(tasks), ahead=self.ahead)

    # --- who is who ----------------------------------------------------------

    @cached_property
    def silent(self) -> Mask:
        """Whether only a draw could tell: neither handed over nor complained about."""
        told = self.outcomes.escalated
        return np.asarray(~told if self.ahead else ~(told | self.outcomes.complained))

    @cached_property
    def q(self) -> float:
        """The probability that every silent task was drawn with at least."""
        propensity = self.outcomes.q_uniform[self.silent]
        return float(propensity.min()) if len(propensity) else 1.0

    @cached_property
    def is_even(self) -> bool:
        """Whether the silent tasks can be taken as drawn with one probability.

        Where the policy changed it, a task counts as drawn if its draw lies below the
        smallest: that needs the draws themselves.
        """
        o = self.outcomes
        same = bool((o.q_uniform[self.silent] == self.q).all())
        return self.q > 0 and (same or not np.isnan(o.draw[self.silent]).any())

    @cached_property
    def drawn(self) -> Mask:
        """Whether a silent task was drawn, each with probability `q`."""
        o = self.outcomes
        lower = ~(o.draw >= self.q)  # an unknown draw stands as it is
        return np.asarray(self.silent & o.uniform & lower)

    @cached_property
    def found(self) -> Mask:
        """Whether a task was drawn and not found fine; unlabelled ones count."""
        return np.asarray(self.drawn & (self.outcomes.needed != 0))

    @cached_property
    def pending(self) -> int:
        """Drawn tasks without a label, by now or for good."""
        return int((self.drawn & ~self.outcomes.labelled).sum())

    @cached_property
    def _by_risk(self) -> Mask:
        """Whether a task was handed over by its risk alone."""
        return np.asarray(self.outcomes.escalated & (self.outcomes.trigger == LEARNED))

    @cached_property
    def _known(self) -> Mask:
        """Whether a task is missed for sure once its risk is below the threshold."""
        return np.asarray(self._told | (self._by_risk & (self.outcomes.needed != 0)))

    @cached_property
    def _told(self) -> Mask:
        """Whether a task was missed and somebody complained."""
        o = self.outcomes
        return np.asarray(~o.escalated & ~self.silent & (o.needed != 0))

    @cached_property
    def _risk(self) -> Floats:
        risk = self.outcomes.risk
        return np.where(np.isnan(risk), -np.inf, risk)

    @property
    def n_needed(self) -> int:
        """Tasks known to have needed a human."""
        return int((self.outcomes.needed == 1).sum())

    @property
    def tally(self) -> Tally:
        """The tasks, as costs see them: a found miss stands for 1 / q."""
        o = self.outcomes
        sure = (o.needed == 1) & ~self.silent
        missed = (o.needed == 1) & self.drawn
        return Tally(
            highest=self._risk,
            always=o.escalated & ~self._by_risk,
            needed=sure + missed / (self.q or 1.0),
            value=np.zeros(len(o)),
        )

    # --- the bound -----------------------------------------------------------

    @cached_property
    def _tie(self) -> float:
        """What the draws say where a bound lies between two counts.

        Given which tasks were drawn, their draws over q are uniform. The highest of n
        to the n-th power is uniform too: a coin that the server tossed, that is in the
        log, and that nobody can toss again. It never takes off more than half a miss.
        """
        draws = self.outcomes.draw[self.drawn] / self.q
        if self.ahead or not len(draws) or np.isnan(draws).any():
            return 1.0
        return max(_LEAST_TIE, float(draws.max()) ** len(draws))

    def curve(self, delta: float) -> Curve:
        """Return bound, estimate and cost at each risk that a task reached."""
        threshold = np.unique(self._risk[np.isfinite(self._risk)])
        tally = self.tally
        return Curve(
            threshold=threshold,
            bound=self.bound(threshold, delta),
            miss_rate=tally.missed(threshold),
            escalation_rate=tally.rate(threshold),
        )

    def bound(self, threshold: Floats, delta: float) -> Floats:
        """Return the upper bound of the miss rate at each threshold taken alone."""
        o = self.outcomes
        needed = o.needed == 1
        passes = ~o.escalated | self._by_risk
        masses = (
            self.found,
            self.silent & ~(self.drawn & (o.needed == 0)),
            self._known,
            needed & passes,
        )
        found, unsure, sure, missed = below(
            self._risk, np.stack(masses).astype(np.float64), threshold
        )
        caught = needed.sum() - missed
        if self.ahead:
            share = share_missed(found, caught, self.q, delta)
            return np.where(sure > 0, 1.0, share)
        steps, at = np.unique(found, return_inverse=True)
        most = most_missed(steps, self.q, delta, tie=self._tie)[at]
        worst = sure + np.minimum(most, unsure)
        return np.asarray(worst / np.maximum(worst + caught, 1.0))

    # --- the certificate -----------------------------------------------------

    @cached_property
    def _caught(self) -> int:
        return int((self.outcomes.escalated & (self.outcomes.needed == 1)).sum())

    def _tolerated(self, alpha: float) -> int:
        """Return how many silent misses would be few enough at today's decisions."""
        return math.floor(alpha / (1 - alpha) * self._caught) - int(self._told.sum())

    def can(self, alpha: float, delta: float) -> bool:
        """Whether there are enough audits to certify if they had found no miss."""
        none = most_missed(np.zeros(1), self.q, delta) if self.is_even else np.inf
        return bool(self.drawn.any() and none <= self._tolerated(alpha))

    def share(self, alphas: tuple[float, ...], delta: float) -> float:
        """Return the doubt per bound that lets all of them hold at once."""
        return delta / len(alphas)

    def certificate(
        self, *, alpha: float, delta: float, segment: str = ""
    ) -> Certificate:
        """Return the certificate of the largest threshold, or a refusal."""
        require_levels(alpha=alpha, delta=delta)
        found = self._refused(alpha, delta) or self._held(alpha, delta)
        return Certificate(
            alpha=alpha,
            delta=delta,
            n_needed=self.n_needed,
            n_tasks=len(self.outcomes),
            method=METHOD_AHEAD if self.ahead else METHOD,
            segment=segment,
            **{
                "threshold": None,
                "escalation_rate": None,
                "misses_allowed": 0,
                **found,
            },
        )

    def _refused(self, alpha: float, delta: float) -> dict[str, Any]:
        """Return why no threshold needs to be looked for; nothing if one does."""
        if not self.is_even:
            never = int((self.outcomes.q_uniform[self.silent] == 0).sum())
            return words.uneven_audits(never)
        if not self.drawn.any():
            return self._too_few(alpha, delta)
        return {}

    def _held(self, alpha: float, delta: float) -> dict[str, Any]:
        curve = self.curve(delta)
        # The bound never falls as the threshold rises: one test after the other.
        fails = np.append(curve.bound > alpha, True)
        n_held = int(np.argmax(fails))
        if n_held and (rate := float(curve.escalation_rate[n_held - 1])) < 1:
            threshold = float(curve.threshold[n_held - 1])
            found = self.found & (self._risk < threshold)
            return {
                "threshold": threshold,
                "escalation_rate": rate,
                "misses_allowed": int(found.sum()),
                "reason": f"{words.promise(alpha, delta)}, {self._words(rate)}",
            }
        waits = self.pending and self.found.sum() > self._tolerated(alpha)
        if self.can(alpha, delta) and not waits:
            return words.escalates_all(alpha, delta)
        return self._too_few(alpha, delta)

    def _words(self, rate: float) -> str:
        whose = words.whose(self.outcomes.at, ahead=self.ahead)
        return words.audited(whose, int(self.drawn.sum()), self.pending, rate)

    def _too_few(self, alpha: float, delta: float) -> dict[str, Any]:
        n, found = int(self.drawn.sum()), int(self.found.sum())
        tolerated = self._tolerated(alpha)
        if tolerated < found - self.pending:
            known = found - self.pending + int(self._told.sum())
            return words.too_many_known(alpha, self._caught, known)
        if tolerated < found:
            return words.unfinished(self.pending, alpha, delta)
        share = beta.ppf(1 - delta, found + 1, tolerated + 1 - found)
        more = math.ceil(share * self.silent.sum()) - n
        return words.too_few_audits(n, max(more, 1), self.pending, alpha, delta)
