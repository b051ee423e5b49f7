from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from training import search as module
from training.dataset import Snapshots
from training.model import Recipe, loss_out_of_fold
from training.search import search

MakeRows = Callable[..., Snapshots]
Loss = Callable[[Snapshots, Recipe], float]
START = Recipe(rounds=60, rate=0.1, leaves=8, random_cuts=False)


def no_news(_line: str) -> None:
    """Listen to nothing."""


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[Recipe]:
    """Return the recipes that a search tries, judged by how few leaves they have."""
    seen: list[Recipe] = []

    def loss(_data: Snapshots, recipe: Recipe) -> float:
        seen.append(recipe)
        return float(abs(np.log(recipe.leaves / 5)) + abs(np.log(recipe.rate / 0.03)))

    monkeypatch.setattr(module, "loss_out_of_fold", loss)
    return seen


@pytest.fixture(scope="module")
def few(simulated: Snapshots) -> Snapshots:
    """Return some dozens of tasks, a few rows each."""
    first: NDArray[np.str_] = np.unique(simulated.task_ids)[:150]
    return simulated.where(np.isin(simulated.task_ids, first)).thinned(3)


@pytest.mark.parametrize("start", [START, replace(START, leaves=4, random_cuts=True)])
def test_the_first_trial_is_the_recipe_given(
    rows: MakeRows, tried: list[Recipe], start: Recipe
) -> None:
    """A search of one trial tries the recipe it was given, and returns it."""
    assert search(rows(3), start, trials=1, progress=no_news) == start
    assert tried == [start]


def test_what_was_left_open_begins_with_cuts_at_random(
    rows: MakeRows, tried: list[Recipe]
) -> None:
    """A recipe that leaves the cuts open is tried with random ones first."""
    open_recipe = replace(START, random_cuts=None)
    search(rows(3), open_recipe, trials=1, progress=no_news)
    assert tried == [replace(START, random_cuts=True)]


def test_the_best_of_all_trials_is_returned(
    rows: MakeRows, tried: list[Recipe]
) -> None:
    """Of the recipes tried, as many as asked for, the one with the least loss wins."""
    found = search(rows(3), START, trials=25, progress=no_news)
    assert len(tried) == 25
    assert tried[0] == START
    losses = [abs(np.log(r.leaves / 5)) + abs(np.log(r.rate / 0.03)) for r in tried]
    assert found == tried[int(np.argmin(losses))]
    # It searches: far better than where it began, and not all over again the same.
    assert min(losses) < 0.5 * losses[0]
    assert len(set(tried)) > 20


def test_what_is_not_searched_stays(rows: MakeRows, tried: list[Recipe]) -> None:
    """Seed, share of rows and rows of a task are those of the recipe given."""
    start = replace(START, seed=7, share_of_rows=0.45, rows_of_task=9)
    search(rows(3), start, trials=5, progress=no_news)
    assert {(r.seed, r.share_of_rows, r.rows_of_task) for r in tried} == {(7, 0.45, 9)}


def test_seed_and_trials_decide_what_is_tried(
    rows: MakeRows, tried: list[Recipe]
) -> None:
    """The same seed tries the same recipes in the same order, another seed others."""
    for seed in (1, 1, 2):
        search(rows(3), replace(START, seed=seed), trials=12, progress=no_news)
    first, again, other = tried[:12], tried[12:24], tried[24:]
    assert first == again
    assert [replace(r, seed=1) for r in other[1:]] != first[1:]


def test_a_search_is_the_same_each_time(few: Snapshots) -> None:
    """On real boosters, seed, data and trials give the same recipe and progress."""
    told: list[list[str]] = [[], []]
    found = [search(few, START, trials=3, progress=lines.append) for lines in told]
    assert found[0] == found[1]
    assert told[0] == told[1]
    assert [line.split(":")[0] for line in told[0]] == [
        f"tried recipe {i} of 3" for i in (1, 2, 3)
    ]
    # No worse than where it began, and the losses told are those of the recipes.
    start, best = (loss_out_of_fold(few, r) for r in (START, found[0]))
    assert best <= start
    assert told[0][0].endswith(f"log-loss {start:.4f}")
    assert any(line.endswith(f"log-loss {best:.4f}") for line in told[0])


def test_a_recipe_outside_the_space_is_still_the_first(
    rows: MakeRows, tried: list[Recipe]
) -> None:
    """A search may begin where it would not go by itself."""
    start = replace(START, rounds=5, leaves=60)
    assert search(rows(3), start, trials=1, progress=no_news) == start
    search(rows(3), start, trials=12, progress=no_news)
    assert tried[:2] == [start, start]
    assert all(50 <= recipe.rounds <= 600 for recipe in tried[2:])
