"""The hidden Markov chain behind a task: its tables, and how tasks are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.simulate.categories import SLOTS, Factor, Slot

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Everything that is random about a task, as tables of probabilities.

    A task has facts (its *configuration*), known from the first event, and goes through
    turns. In each turn it has one hidden state, which colours what is observed; after
    each it ends or goes on. Whether it needs a human is one draw from its last state.

    Attributes
    ----------
    initial : ndarray of shape (n_configs, n_states)
        P(state of the first turn | configuration).
    transition : ndarray of shape (n_configs, n_states, n_states)
        P(next state | state, configuration), where the task goes on.
    ends : ndarray of shape (n_turns, n_states)
        P(the task ends after this turn | state). The last row is 1.
    need : ndarray of shape (n_configs, n_states)
        P(needs a human | last state, configuration).
    request : ndarray of shape (n_states, n_requests)
        P(how the request is put | state of the first turn).
    emission : mapping of Factor to ndarray
        Each of shape (2, n_versions, n_states, n_categories): P(category | state, agent
        version), at index 0 for the first turn and at 1 for later ones.
    version : ndarray of shape (n_configs,), int
        Agent version of each configuration.
    """

    initial: Floats
    transition: Floats
    ends: Floats
    need: Floats
    request: Floats
    emission: Mapping[Factor, Floats]
    version: Ints

    @property
    def n_turns(self) -> int:
        """The largest number of turns a task can have."""
        return len(self.ends)

    def outlook(self) -> Floats:
        """Return P(will need a human | state in turn, configuration), backward.

        Returns
        -------
        ndarray of shape (n_turns, n_configs, n_states)
            Before it is known whether the task ends after that turn.
        """
        result = np.empty((self.n_turns, *self.need.shape))
        ahead = np.zeros_like(self.need)
        for turn in reversed(range(self.n_turns)):
            ends = self.ends[turn]
            ahead = (
                ends * self.need
                + (1 - ends) * (self.transition @ ahead[..., None])[..., 0]
            )
            result[turn] = ahead
        return result

    def base_rate(self, shares: Floats) -> float:
        """Return P(needs a human) where configurations come in these `shares`."""
        return float(shares @ (self.initial * self.outlook()[0]).sum(axis=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """All that can be seen of some tasks, and nothing else.

    Attributes
    ----------
    config : ndarray of shape (n_tasks,), int
    request : ndarray of shape (n_tasks,), int
        A `Request` each.
    observed : ndarray of shape (n_tasks, n_turns, n_factors), int
        A category each; whatever stands after the task's end means nothing.
    last : ndarray of shape (n_tasks,), int
        Index of the last turn, or -1 where the task has not been seen to end.
    """

    config: Ints
    request: Ints
    observed: Ints
    last: Ints

    def present(self) -> NDArray[np.bool_]:
        """Return which places of the log hold an event.

        Returns
        -------
        ndarray of shape (n_tasks, 2 + n_turns * n_slots), bool
            In log order: the start, each slot of each turn, the end.
        """
        n_tasks, n_turns, _ = self.observed.shape
        first = [slot.factors[0] for slot in SLOTS]
        reached = np.arange(n_turns) <= self.last[:, None]
        slots = (self.observed[..., first] > 0) & reached[..., None]
        edge = np.ones((n_tasks, 1), dtype=np.bool_)
        return np.hstack([edge, slots.reshape(n_tasks, -1), edge])


def _pick(probabilities: Floats, uniform: Floats) -> Ints:
    """Return one index per row of `probabilities`, by inversion of `uniform`."""
    edges = probabilities.cumsum(axis=1)[:, :-1]
    picked: Ints = (uniform[:, None] >= edges).sum(axis=1)
    return picked


def is_active(slot: Slot, factor: Factor, observed: Ints) -> NDArray[np.bool_]:
    """Return where `factor` says something: its slot is open and, if later, filled.

    Parameters
    ----------
    slot : Slot
        That the factor belongs to.
    factor : Factor
    observed : ndarray of shape (n_tasks, n_factors), int
        One turn.
    """
    if factor != slot.factors[0]:
        return observed[:, slot.factors[0]] > 0
    if slot.gate is not None:
        return observed[:, slot.gate] > 0
    return np.ones(len(observed), dtype=np.bool_)


def _observe(
    chain: Chain, turn: int, version: Ints, state: Ints, uniform: Floats
) -> Ints:
    """Return the categories of one turn, (n_tasks, n_factors)."""
    observed = np.zeros(uniform.shape, dtype=np.int64)
    for slot in SLOTS:
        for factor in slot.factors:
            table = chain.emission[factor][min(turn, 1)]
            drawn = _pick(table[version, state], uniform[:, factor])
            observed[:, factor] = drawn * is_active(slot, factor, observed)
    return observed


def draw(
    chain: Chain, config: Ints, rng: np.random.Generator
) -> tuple[Observations, NDArray[np.bool_]]:
    """Return what is seen of one task per configuration, and if it needed a human.

    Always takes the same amount from `rng`, whatever comes out of it.

    Parameters
    ----------
    chain : Chain
    config : ndarray of shape (n_tasks,), int
    rng : Generator

    Returns
    -------
    Observations
    ndarray of shape (n_tasks,), bool
        True where the task needed a human.
    """
    n_tasks, n_turns, version = len(config), chain.n_turns, chain.version[config]
    move, end, say = (
        rng.random((n_tasks, n_turns)),
        rng.random((n_tasks, n_turns)),
        rng.random((n_tasks, n_turns, len(Factor))),
    )
    ask, need = rng.random((2, n_tasks))
    observed = np.zeros(say.shape, dtype=np.int64)
    last = np.full(n_tasks, -1)
    final = state = _pick(chain.initial[config], move[:, 0])
    request = _pick(chain.request[state], ask)
    for turn in range(n_turns):
        if turn:
            state = _pick(chain.transition[config, state], move[:, turn])
        observed[:, turn] = _observe(chain, turn, version, state, say[:, turn])
        ending = (last < 0) & (end[:, turn] < chain.ends[turn, state])
        final, last = np.where(ending, state, final), np.where(ending, turn, last)
    seen = Observations(config=config, request=request, observed=observed, last=last)
    return seen, need < chain.need[config, final]
