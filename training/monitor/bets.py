"""Bets: what the outcome of a task says for or against a promise, as one number.

Tasks are taken in the order of their decisions, each once its labels have matured: so
many seconds after the decision everything that counts is known, and what comes later
counts no more. A label is therefore never early because it is bad news. What is not
known by then is counted on the side that delays an alarm: a handover nobody has
resolved as one that was needed, an audit nobody has answered as no miss.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.monitor.outcome import Outcomes

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def chance(outcomes: Outcomes) -> Floats:
    """Return the probability of being seen by the design, shape (n_tasks,).

    1 for a handover, else that of the audit draw, complaint or not: weights must not
    depend on what is found.
    """
    drawn = 1 - (1 - outcomes.q_uniform) * (1 - outcomes.q_targeted)
    return np.where(outcomes.escalated, 1.0, drawn)


def miss_bet(
    *,
    caught: Flags,
    needed: Floats,
    reported: Flags,
    drawn: Flags,
    propensity: Floats,
    alpha: float,
) -> Floats:
    """Return ``w * needed * (missed - alpha)`` of each task, the shape of `caught`.

    Its mean is at most 0 if, and only if, the miss rate is at most `alpha`.

    Parameters
    ----------
    caught : ndarray, bool
        Whether a human was called; every other task in need is missed.
    needed : ndarray, float
        1, 0, or NaN where it is not known.
    reported : ndarray, bool
        Whether the label comes from the user's side: such a task leaves the frame of
        the audits, and weighs 1.
    drawn : ndarray, bool
        Whether the audit draw selected it.
    propensity : ndarray, float in [0, 1]
        Of being drawn.
    alpha : float
        What is promised.
    """
    is_miss = ~caught & (needed == 1)
    found = is_miss & ~reported & drawn & (propensity > 0)
    weighed = (1 - alpha) / np.where(found, propensity, 1.0)
    missed = np.where(found, weighed, np.where(is_miss & reported, 1 - alpha, 0.0))
    return np.where(caught, np.where(needed == 0, 0.0, -alpha), missed)


def misses(outcomes: Outcomes, alpha: float) -> tuple[Floats, Floats]:
    """Return x and propensity of each task, as `MissDetector.advance` takes them.

    A task that the model would have escalated, and that the policy's mode let go on,
    is not missed: it counts as one in need that was caught, which delays an alarm.
    """
    above = np.nan_to_num(outcomes.risk, nan=-1.0) >= outcomes.threshold
    caught = outcomes.escalated | above
    x = miss_bet(
        caught=caught,
        needed=np.where(above & ~outcomes.escalated, np.nan, outcomes.needed),
        reported=outcomes.complained,
        drawn=outcomes.uniform | outcomes.targeted,
        propensity=chance(outcomes),
        alpha=alpha,
    )
    return x, np.where(caught, np.nan, chance(outcomes))


def by_design(outcomes: Outcomes) -> Flags:
    """Return where a label came by the design, not by its content, shape (n_tasks,).

    Handovers and draws; of the other tasks only those are labelled that went wrong.
    """
    chosen = outcomes.escalated | outcomes.uniform | outcomes.targeted
    return chosen & outcomes.labelled


def calibration(outcomes: Outcomes, expected: Floats, slack: float) -> Floats:
    """Return the bets on the risk being too low, and too high, shape (2, n_tasks).

    ``needed - expected - slack`` and ``expected - needed - slack`` where a label came
    by design, else 0. Under a risk that holds, both have a mean of at most 0 whatever
    the risk, so no weights are needed: which tasks are labelled depends on risk and
    chance alone.

    Parameters
    ----------
    outcomes : Outcomes
        The tasks.
    expected : ndarray of shape (n_tasks,)
        Share in need that the risk stands for; NaN: unknown.
    slack : float
        Deviation that is tolerated.
    """
    known = by_design(outcomes) & ~np.isnan(expected)
    over = outcomes.needed - expected
    return np.where(known, np.stack([over - slack, -over - slack]), 0.0)


def inflation(outcomes: Outcomes, gap: float, floor: float) -> Floats:
    """Return the bets on an agent's word being worth less than it was, (n_tasks,).

    ``w * (confidence - ok - gap)``, w being `floor` / propensity, at most 1.

    Parameters
    ----------
    outcomes : Outcomes
        Of one agent version.
    gap : float
        How far the confidence may be above the share of tasks that went well.
    floor : float
        A lower bound of the propensities; what is below it weighs 1.
    """
    known = by_design(outcomes) & ~np.isnan(outcomes.confidence)
    weight = np.minimum(floor / np.maximum(chance(outcomes), 1e-12), 1.0)
    x = weight * (outcomes.confidence - (1 - outcomes.needed) - gap)
    return np.where(known, x, 0.0)
