"""A world of tasks with known truth: for the demo, tests and benchmarks.

Modules: `categories` names what is hidden and what is seen, `chain` draws it, `truth`
filters it, `tables` holds the numbers, `blocks` draws many tasks at once, `words` and
`render` make events of them, `read` reads these back, `outcomes` tells what is heard
later, `regret` prices decisions.
"""

from training.costs import Costs
from training.simulate.read import ForeignEventError
from training.simulate.regret import cost_of, expected_cost, optimal_cost
from training.simulate.tables import WorldError
from training.simulate.world import SimulatedTask, World

__all__ = [
    "Costs",
    "ForeignEventError",
    "SimulatedTask",
    "World",
    "WorldError",
    "cost_of",
    "expected_cost",
    "optimal_cost",
]
