from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from training.simulate import Costs, World, cost_of, expected_cost, optimal_cost
from training.simulate.blocks import Block
from training.simulate.categories import SLOTS, Factor
from training.simulate.chain import Chain, Observations, draw
from training.simulate.read import read
from training.simulate.tables import config_shares, standard
from training.simulate.truth import follow

N_CATEGORIES = {
    Factor.SENTIMENT: 3,
    Factor.WISH: 2,
    Factor.PLAN: 2,
    Factor.CALL: 3,
    Factor.RESULT: 3,
    Factor.AGAIN: 3,
    Factor.RESULT_AGAIN: 3,
    Factor.CLAIM: 3,
    Factor.CONFIDENCE: 3,
    Factor.INTERPRETATIONS: 2,
    Factor.VERIFIER: 3,
}


def rows(rng: np.random.Generator, *shape: int) -> NDArray[np.float64]:
    """Return random distributions along the last axis."""
    return rng.dirichlet(np.ones(shape[-1]), size=shape[:-1])


def small_chain(seed: int, *, n_states: int = 3, n_turns: int = 3) -> Chain:
    """Return a chain with random tables: two configurations, two agent versions."""
    rng = np.random.default_rng(seed)
    ends = rng.random((n_turns, n_states))
    ends[-1] = 1
    emission = {f: rows(rng, 2, 2, n_states, n) for f, n in N_CATEGORIES.items()}
    said = emission[Factor.CLAIM]
    said[..., 0] = 0  # the message that closes a turn is always there
    emission[Factor.CLAIM] = said / said.sum(axis=-1, keepdims=True)
    return Chain(
        initial=rows(rng, 2, n_states),
        transition=rows(rng, 2, n_states, n_states),
        ends=ends,
        need=rng.random((2, n_states)),
        request=rows(rng, n_states, 2),
        emission=emission,
        version=np.array([0, 1]),
    )


def path_likelihood(
    chain: Chain, seen: Observations, path: tuple[int, ...], n_slots: int
) -> float:
    """Return P(request and the first `n_slots` slots of the first task | path)."""
    version = chain.version[seen.config[0]]
    result = float(chain.request[path[0], seen.request[0]])
    all_slots = list(itertools.product(range(chain.n_turns), SLOTS))
    for turn, slot in all_slots[:n_slots]:
        row = seen.observed[0, turn]
        if slot.gate is not None and row[slot.gate] == 0:
            continue
        there = row[slot.factors[0]] > 0
        for factor in slot.factors if there else slot.factors[:1]:
            table = chain.emission[factor][min(turn, 1), version]
            result *= table[path[turn], row[factor]]
    return result


def path_weight(chain: Chain, config: int, path: tuple[int, ...], end: int) -> float:
    """Return P(path, the task ends after turn `end`); states after it change nothing."""
    weight = chain.initial[config, path[0]] * chain.ends[end, path[end]]
    for a, b in itertools.pairwise(path):
        weight *= chain.transition[config, a, b]
    return float(weight * np.prod([1 - chain.ends[t, path[t]] for t in range(end)]))


def enumerated(chain: Chain, seen: Observations, place: int) -> float:
    """Return P(needed | first task's log up to `place`), over all paths and ends."""
    config, n_turns, last = int(seen.config[0]), chain.n_turns, int(seen.last[0])
    closing = place == 1 + n_turns * len(SLOTS)
    n_slots = (last + 1) * len(SLOTS) if closing else place
    reached = (max(n_slots, 1) - 1) // len(SLOTS)
    above = below = 0.0
    for path in itertools.product(range(chain.need.shape[1]), repeat=n_turns):
        likelihood = path_likelihood(chain, seen, path, n_slots)
        for end in [last] if closing else range(reached, n_turns):
            weight = likelihood * path_weight(chain, config, path, end)
            above += weight * chain.need[config, path[end]]
            below += weight
    return above / below


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_truth_equals_enumeration_of_all_paths(seed: int) -> None:
    """The filter gives what summing over every hidden path and every end gives."""
    chain = small_chain(seed)
    seen, _ = draw(chain, np.array([seed % 2]), np.random.default_rng(seed))
    truth, present = follow(chain, seen)[0], seen.present()[0]
    for place in np.flatnonzero(present):
        assert truth[place] == pytest.approx(enumerated(chain, seen, place), abs=1e-12)


@pytest.mark.slow
def test_standard_world_tells_the_enumerated_truth() -> None:
    """In the full world too, from the events alone, at the first and last places."""
    world = World(seed=5)
    task = next(world.tasks(1))
    seen, places = read(task.events, world.chain.n_turns)
    for k in (0, len(places) // 2, len(places) - 1):
        expected = enumerated(world.chain, seen, int(places[k]))
        assert task.truth[k] == pytest.approx(expected, abs=1e-12)


def many_tasks(n_blocks: int = 60) -> tuple[Block, ...]:
    """About thirty thousand tasks of the standard world, unwritten."""
    world = World(seed=11)
    return tuple(
        Block.draw(world.chain, b, seed=world.seed, customers=4000, per_day=2000)
        for b in range(n_blocks)
    )


@pytest.fixture(scope="module")
def sample() -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Truth and presence per place, and need, of many tasks."""
    blocks = many_tasks()
    return (
        np.concatenate([b.truth for b in blocks]),
        np.concatenate([b.present for b in blocks]),
        np.concatenate([b.needed for b in blocks]),
    )


Sample = tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]


def worst_z(p: NDArray[np.float64], y: NDArray[np.bool_], n_bins: int = 10) -> float:
    """Return the largest binomial z over equal-mass bins of the predicted probability."""
    worst = 0.0
    for index in np.array_split(np.argsort(p, kind="stable"), n_bins):
        spread = np.sqrt((p[index] * (1 - p[index])).sum())
        worst = max(worst, abs((y[index] - p[index]).sum()) / spread)
    return worst


def test_truth_is_calibrated_at_every_step_and_at_the_end(sample: Sample) -> None:
    """At each step, in each bin of truth, the observed rate is within binomial error."""
    truth, present, needed = sample
    step = present.cumsum(axis=1) - 1
    checked = 0
    for k in range(25):
        there = present & (step == k)
        has = there.any(axis=1)
        assert has.sum() > 500
        assert worst_z(truth[there], needed[has]) < 4.5
        checked += int(has.sum())
    assert checked > 15 * len(needed)
    assert worst_z(truth[:, -1], needed, n_bins=20) < 4


def test_a_wrong_truth_is_told_apart(sample: Sample) -> None:
    """The calibration check has the power to see an error of a fifth in log-odds."""
    truth, _, needed = sample
    odds = truth[:, -1] / (1 - truth[:, -1]) * np.exp(0.2)
    assert worst_z(odds / (1 + odds), needed) > 4.5


def test_learning_is_possible_and_not_trivial(sample: Sample) -> None:
    """Truth ranks with AUROC near .9 at the end, .8 at every step, .67 at the start."""
    truth, present, needed = sample
    at_all = np.broadcast_to(needed[:, None], truth.shape)
    assert roc_auc_score(needed, truth[:, -1]) == pytest.approx(0.90, abs=0.015)
    assert roc_auc_score(at_all[present], truth[present]) == pytest.approx(
        0.81, abs=0.02
    )
    assert roc_auc_score(needed, truth[:, 0]) == pytest.approx(0.67, abs=0.02)
    assert needed.mean() == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("base_rate", [0.05, 0.2, 0.4])
def test_base_rate_is_met(base_rate: float) -> None:
    """The chain has the base rate that was asked for, and so have its tasks."""
    assert standard(base_rate).base_rate(config_shares()) == pytest.approx(base_rate)
    needed = [task.needed for task in World(base_rate=base_rate).tasks(3000)]
    assert np.mean(needed) == pytest.approx(base_rate, abs=0.04)


def test_tables_are_distributions() -> None:
    """Every row of every table adds up to one."""
    chain = standard(0.2)
    tables = [chain.initial, chain.transition, chain.request, *chain.emission.values()]
    for table in tables:
        np.testing.assert_allclose(table.sum(axis=-1), 1)
        assert (table >= 0).all()


def test_no_rule_beats_the_optimum(sample: Sample) -> None:
    """Rules that see the very truth, at any step, cost more than deciding at the end."""
    truth, present, needed = sample
    costs = Costs(review=5.0, miss=40.0, fixable=0.8)
    best = optimal_cost(truth[:, -1], costs)
    reached = np.where(present, truth, 0).max(axis=1)
    rules = [reached > t for t in (0.1, 0.2, 0.4)] + [truth[:, -1] > 0.3]
    rules += [np.ones_like(needed), np.zeros_like(needed)]
    assert all(expected_cost(rule, truth[:, -1], costs) > best for rule in rules)
    paid = cost_of(truth[:, -1] > costs.threshold, needed, costs)
    assert paid == pytest.approx(best, abs=4 * 40 * 0.4 / np.sqrt(len(needed)))


@given(
    p=st.floats(0, 1),
    review=st.floats(0.1, 50),
    miss=st.floats(0.1, 500),
    fixable=st.floats(0.05, 1),
)
def test_optimal_cost_is_the_smaller_of_two(
    p: float, review: float, miss: float, fixable: float
) -> None:
    """Optimal cost is min(review + (1 - fixable) P miss, P miss)."""
    costs = Costs(review=review, miss=miss, fixable=fixable)
    two = (review + (1 - fixable) * p * miss, p * miss)
    assert optimal_cost(np.array([p]), costs) == pytest.approx(min(two))


def test_cost_of_a_miss_may_differ_by_task() -> None:
    """With a miss cost per task, each task is priced with its own."""
    costs = Costs(review=5.0, miss=np.array([10.0, 1000.0]), fixable=1.0)
    needed = np.array([True, True])
    assert cost_of(np.array([False, True]), needed, costs) == pytest.approx(7.5)
    assert optimal_cost(np.array([0.1, 0.1]), costs) == pytest.approx(3.0)
