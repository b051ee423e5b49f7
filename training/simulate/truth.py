"""The exact P(needs a human | what has been seen so far), by the forward filter."""

from __future__ import annotations

import numpy as np

from training.simulate.categories import SLOTS, Slot
from training.simulate.chain import Chain, Floats, Ints, Observations, is_active

_TINY = np.finfo(np.float64).tiny


def _likelihood(
    chain: Chain, slot: Slot, turn: int, version: Ints, observed: Ints
) -> Floats:
    """Return P(what this slot shows | state), (n_tasks, n_states)."""
    result = np.ones((len(version), chain.need.shape[1]))
    for factor in slot.factors:
        table = chain.emission[factor][min(turn, 1)]
        seen = table[version, :, observed[:, factor]]
        active = is_active(slot, factor, observed)
        result *= np.where(active[:, None], seen, 1.0)
    return result


def _normal(belief: Floats) -> Floats:
    # What stands after a task's end may be impossible (0 / 0); nobody reads it.
    normal: Floats = belief / np.maximum(belief.sum(axis=1, keepdims=True), _TINY)
    return normal


def _risk(belief: Floats, outlook: Floats) -> Floats:
    risk: Floats = np.minimum((belief * outlook).sum(axis=1), 1.0)
    return risk


def follow(chain: Chain, seen: Observations) -> Floats:
    """Return P(needs a human | events so far) at each place of the log.

    The belief over hidden states is filtered forward, one event at a time; a missing
    event speaks too, from the next event on. Times the probability that a task in that
    state will need a human at its end, over all ends it can still come to, this is the
    exact conditional probability: no rule that sees the same events can know more.

    Parameters
    ----------
    chain : Chain
    seen : Observations
        Each value is read only for its own place and later ones.

    Returns
    -------
    ndarray of shape (n_tasks, 2 + n_turns * n_slots), float in [0, 1]
        In log order: the start, each slot of each turn, the end. Meaningful where
        ``seen.present()``; the value at the end is only there if the task ended.

    References
    ----------
    Rabiner. "A Tutorial on Hidden Markov Models and Selected Applications in Speech
    Recognition" (1989): the forward and backward variables.
    """
    config, version, outlook = seen.config, chain.version[seen.config], chain.outlook()
    belief = _normal(chain.initial[config] * chain.request[:, seen.request].T)
    places = [_risk(belief, outlook[0, config])]
    at_end = np.zeros(len(config))
    for turn in range(chain.n_turns):
        observed = seen.observed[:, turn]
        for slot in SLOTS:
            belief = _normal(belief * _likelihood(chain, slot, turn, version, observed))
            places.append(_risk(belief, outlook[turn, config]))
        ended = seen.last == turn
        closing = _normal((belief * chain.ends[turn])[ended])
        at_end[ended] = _risk(closing, chain.need[config[ended]])
        going = belief * (1 - chain.ends[turn])
        belief = np.einsum("ns,nsz->nz", going, chain.transition[config])
    return np.stack([*places, at_end], axis=1)
