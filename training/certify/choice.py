"""What to choose inside a promise: the cheapest threshold, and what staff can bear."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from training.bundle.certificate import Certificate, Refusal
from training.certify.basis import Basis, Floats, Tally
from training.certify.frontier import frontier
from training.costs import Costs


def cost_per_task(tally: Tally, threshold: float | Floats, costs: Costs) -> float:
    """Return the expected cost per task of one threshold, or of one per task."""
    escalated = tally.escalated(threshold)
    lost = costs.of_miss(tally.value) * tally.needed
    lost = np.where(escalated, (1 - costs.fixable) * lost, lost)
    return float((costs.review * escalated + lost).mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A way to escalate that keeps the promise, and its expected cost.

    Attributes
    ----------
    rule : str
        ``"certified"``: the certified threshold itself; ``"cheapest"``: the threshold
        below it that cost least on these tasks; ``"cost"``: each task's own, where a
        review begins to pay, never above the certified one.
    threshold : float or None
        None: one per task.
    escalation_rate, cost_per_task : float
        On the tasks the certificate was made from, in the currency of the costs.
    """

    rule: str
    threshold: float | None
    escalation_rate: float
    cost_per_task: float


def choices(basis: Basis, certificate: Certificate, costs: Costs) -> tuple[Choice, ...]:
    """Return what keeps the promise of `certificate`, the cheapest first.

    Every threshold below the certified one is certified too, as escalating more can
    only miss less. So one may be chosen by its cost, after looking, at no price.
    """
    if certificate.threshold is None:
        return ()
    tally, top = basis.tally, certificate.threshold
    own = np.minimum(costs.pays_above(tally.value), top)
    low = tally.highest[np.isfinite(tally.highest) & (tally.highest < top)]
    tried = np.append(np.unique(low)[:: max(1, len(low) // 400)], top)
    spent = [cost_per_task(tally, float(t), costs) for t in tried]
    best = float(tried[int(np.argmin(spent))])
    rules: tuple[tuple[str, float | None, float | Floats], ...] = (
        ("certified", top, top),
        ("cheapest", best, best),
        ("cost", None, own),
    )
    found = [
        Choice(
            rule=rule,
            threshold=shown,
            escalation_rate=float(tally.escalated(held).mean()),
            cost_per_task=cost_per_task(tally, held, costs),
        )
        for rule, shown, held in rules
    ]
    return tuple(sorted(found, key=lambda choice: choice.cost_per_task))


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What is left of a promise when humans can take so many tasks and no more.

    Attributes
    ----------
    per_day : float
        Escalations that humans can take in a day.
    tasks_per_day : float
        Tasks that come.
    asked : float
        The bound that was asked for.
    wanted_per_day : float or None
        Escalations a day that it takes; None: it has no threshold.
    threshold : float
        The lowest that stays within `per_day`; infinite: not even the highest risk.
    bound : float or None
        What bounds the miss rate there: the lowest of a ladder of bounds that all hold
        at once, as the threshold is chosen by looking; None: nothing does.
    """

    per_day: float
    tasks_per_day: float
    asked: float
    wanted_per_day: float | None
    threshold: float
    bound: float | None

    @property
    def is_met(self) -> bool:
        """Whether the bound that was asked for is kept."""
        return self.wanted_per_day is not None and self.wanted_per_day <= self.per_day

    @property
    def words(self) -> str:
        """The bound that is kept, or the one that is lost and what is left of it."""
        if self.is_met:
            return (
                f"{self.wanted_per_day:,.0f} of {self.tasks_per_day:,.0f} tasks a day "
                f"are escalated, {self.per_day:,.0f} can be taken: the bound holds"
            )
        takes = "no threshold keeps it"
        if self.wanted_per_day is not None:
            takes = f"it takes {self.wanted_per_day:,.0f} a day"
        left = "no bound holds there"
        if self.bound is not None:
            left = f"there at most {self.bound:.0%} are missed"
        return (
            f"the bound of {self.asked:.0%} is lost: {takes}, and {self.per_day:,.0f} "
            f"can be taken, which is a threshold of {self.threshold:.3f}; {left}"
        )


# Bounds to look for where the one asked for is lost.
_BOUNDS = (0.02, 0.05, 0.075, *(round(0.1 + 0.05 * i, 2) for i in range(17)))


def under_capacity(
    basis: Basis, certificate: Certificate, *, per_day: float, tasks_per_day: float
) -> Capacity:
    """Return which bound a capacity leaves: that of `certificate`, or a weaker one.

    Parameters
    ----------
    per_day, tasks_per_day : float
        Escalations that humans can take, and tasks that come.
    """
    risk = basis.tally.highest
    threshold = np.append(np.unique(risk[np.isfinite(risk)]), np.inf)
    fits = basis.tally.rate(threshold) * tasks_per_day <= per_day
    lowest = float(threshold[int(np.argmax(fits))]) if fits.any() else np.inf
    rate = certificate.escalation_rate
    weaker = frontier(basis, delta=certificate.delta, alphas=_BOUNDS)
    return Capacity(
        per_day=per_day,
        tasks_per_day=tasks_per_day,
        asked=certificate.alpha,
        wanted_per_day=None if rate is None else rate * tasks_per_day,
        threshold=lowest,
        bound=weaker.bound_at(lowest),
    )


def within(certificate: Certificate, capacity: Capacity) -> Certificate:
    """Return the certificate, or its refusal where humans cannot take what it costs."""
    if certificate.threshold is None or capacity.is_met:
        return certificate
    return replace(
        certificate,
        threshold=None,
        escalation_rate=None,
        refusal=Refusal.NO_SUCH_THRESHOLD,
        reason=f"no such threshold: {capacity.words}",
    )
