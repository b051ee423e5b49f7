"""What decisions cost, and the least that any decision rule could pay."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.costs import Costs
from training.simulate.chain import Floats


def cost_of(
    escalated: NDArray[np.bool_], needed: NDArray[np.bool_], costs: Costs
) -> float:
    """Return the mean cost per task of these decisions.

    A task costs ``review + (1 - fixable) * miss * needed`` if it was escalated and
    ``miss * needed`` if not.

    Parameters
    ----------
    escalated, needed : ndarray of shape (n_tasks,), bool
    costs : Costs
    """
    left = np.where(escalated, 1 - costs.fixable, 1.0)
    return float(np.mean(costs.review * escalated + left * costs.miss * needed))


def optimal_cost(truth_end: Floats, costs: Costs) -> float:
    """Return the least expected mean cost per task of any rule that sees only the past.

    A rule may escalate at any event, and where waiting is free it loses nothing by
    waiting for the last one, which can be told (`usage`). Whatever it does, given a
    whole log its decision is fixed, so its expected cost is at least the smaller of the
    two costs at the truth P of the last event, and deciding there attains it::

        E[min(review + (1 - fixable) * P * miss, P * miss)]

    which for ``fixable = 1`` is ``E[min(review, P * miss)]``.

    Parameters
    ----------
    truth_end : ndarray of shape (n_tasks,), float in [0, 1]
        P(needs a human | the whole log), the last entry of `SimulatedTask.truth`.
    costs : Costs

    Notes
    -----
    The mean is over `truth_end` and not over what came out, so it has no noise from the
    outcomes. To compare with `cost_of`, which has, use the same tasks; or give
    `expected_cost` the same truth.
    """
    return expected_cost(truth_end > costs.threshold, truth_end, costs)


def expected_cost(
    escalated: NDArray[np.bool_], truth_end: Floats, costs: Costs
) -> float:
    """Return `cost_of` with the outcome replaced by its exact probability.

    The difference to `optimal_cost` is the regret, never negative, task by task.

    Parameters
    ----------
    escalated : ndarray of shape (n_tasks,), bool
        Decisions that used nothing but the tasks' own logs.
    truth_end : ndarray of shape (n_tasks,), float in [0, 1]
    costs : Costs
    """
    left = np.where(escalated, 1 - costs.fixable, 1.0)
    return float(np.mean(costs.review * escalated + left * costs.miss * truth_end))
