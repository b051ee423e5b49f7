"""Tests of the score martingale: exact without a change, quick with one."""

from __future__ import annotations

import math

import numpy as np
import orjson
import pytest

from training.monitor.martingale import Jumper, uniform
from training.monitor.reference import Histogram


def begun(seed: int, alarm_at: float, n: int = 400) -> Jumper:
    """Return a jumper on a reference of `n` scores."""
    scores = Histogram.of(np.random.default_rng(seed).random(n))
    return Jumper.begin(scores.edges, scores.counts, alarm_at=alarm_at, seed=seed)


def fed(jumper: Jumper, scores: np.ndarray) -> Jumper:
    """Return the state after `scores`, timed by their number."""
    for place, score in enumerate(scores.tolist()):
        jumper = jumper.advance(score, float(place))
    return jumper


def test_without_a_change_alarms_are_as_rare_as_promised() -> None:
    """On average after at least `alarm_at` scores."""
    alarm_at, most, taken = 100.0, 1_500, []
    for seed in range(150):
        rng = np.random.default_rng(1_000 + seed)
        end = fed(begun(seed, alarm_at), rng.random(most))
        taken.append(end.n)
    error = np.std(taken) / math.sqrt(len(taken))
    assert np.mean(taken) + 3 * error > alarm_at


@pytest.mark.parametrize("shape", [(2.0, 1.0), (1.0, 2.0)])
def test_scores_that_move_either_way_are_found(shape: tuple[float, float]) -> None:
    """Within some hundred, and with the time at which they began to."""
    rng = np.random.default_rng(9)
    scores = np.concatenate([rng.random(300), rng.beta(*shape, 700)])
    end = fed(begun(1, 1e6), scores)
    assert end.has_fired
    assert 250 < end.change.start < 450
    assert end.fired < 900


def test_ranks_are_uniform_though_scores_tie() -> None:
    """Three values only, and still every rank is as probable."""
    rng = np.random.default_rng(2)
    scores = rng.integers(0, 3, 6_000).astype(np.float64)
    jumper = Jumper.begin((1.0, 2.0), (300, 300, 300), alarm_at=math.inf)
    ranks = []
    for score in scores.tolist():
        ranks.append(jumper.rank(int(score)))
        jumper = jumper.advance(score)
    counts = np.histogram(ranks, bins=10, range=(0, 1))[0]
    assert ((counts - 600) ** 2 / 600).sum() < 30


def test_no_score_changes_nothing() -> None:
    """Rules judged the task."""
    jumper = begun(3, 1e6)
    assert jumper.advance(math.nan, 1.0) == jumper


def test_a_stored_state_goes_on_as_if_it_had_not_been() -> None:
    """Through JSON and back nothing is lost."""
    scores = np.random.default_rng(4).random(50)
    half = fed(begun(4, 1e6), scores[:20])
    stored = Jumper.from_json(orjson.loads(orjson.dumps(half.to_json())))
    assert fed(stored, scores[20:]) == fed(half, scores[20:])


def test_ties_are_broken_the_same_way_again() -> None:
    """Same seed and place, same draw; others differ."""
    assert uniform(1, 2) == uniform(1, 2)
    assert len({uniform(s, p) for s in range(9) for p in range(9)}) == 81
