"""Two ways to decide on the same tasks: known differences, honest intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from training.compare import ComparisonError, Tasks, Way, compare
from training.evaluate.decisions import Costs

COSTS = Costs(review=5, miss=40, fixable=0.5)


def tasks(needed: list[float], **given: Any) -> Tasks:
    """Return tasks of ten steps with these labels; NaN where there is none."""
    n = len(needed)
    plain: dict[str, Any] = {
        "ids": np.array([f"t{i}" for i in range(n)]),
        "customers": np.array([f"c{i}" for i in range(n)]),
        "needed": np.array(needed),
        "propensity": np.ones(n),
        "guess": np.full(n, 0.3),
        "n_steps": np.full(n, 10.0),
    }
    return Tasks(**{**plain, **given})


def way(*steps: float | None, name: str = "w") -> Way:
    """Return a way that escalates at these steps; None: never."""
    return Way(name=name, step=np.array([np.nan if s is None else s for s in steps]))


def test_figures_of_fully_labelled_tasks_are_plain_shares() -> None:
    """With every label at hand nothing is estimated: shares, costs and leads."""
    found = compare(
        tasks([1, 1, 0, 0]),
        way(2, 4, 3, None, name="new"),
        way(6, None, None, None, name="old"),
        costs=COSTS,
        minutes=8.0,
        replicates=50,
    )
    new, old = found["ways"]["challenger"], found["ways"]["champion"]
    assert (found["challenger"], found["champion"]) == ("new", "old")
    values = {name: new[name]["value"] for name in new}
    assert values["escalation_rate"] == 0.75
    assert values["miss_rate"] == values["miss_rate_ipw"] == 0.0
    assert values["precision"] == pytest.approx(2 / 3)
    # Three reviews, and half of two misses is not put right.
    assert values["cost_per_task"] == pytest.approx((3 * 5 + 2 * 0.5 * 40) / 4)
    assert values["minutes_per_1000_tasks"] == pytest.approx(6000)
    assert values["lead_steps_median"] == 7.0
    assert old["miss_rate"]["value"] == 0.5
    assert found["difference"]["miss_rate"]["value"] == -0.5
    assert found["difference"]["lead_steps_median"]["value"] == 3.0


def test_added_and_removed_escalations_are_told_with_examples() -> None:
    """Who is escalated by one alone is counted, shown, and judged by its labels."""
    found = compare(
        tasks([1, 0, 1, np.nan]), way(1, 1, None, 1), way(None, 1, 1, 1), replicates=20
    )
    assert found["added"] | {"share_needed": None} == {
        "n": 1,
        "n_labelled": 1,
        "share_needed": None,
        "examples": ["t0"],
    }
    assert found["added"]["share_needed"]["value"] == 1.0
    assert found["removed"]["examples"] == ["t2"]
    assert found["removed"]["share_needed"]["value"] == 1.0


def test_a_part_without_labels_says_nothing_of_need() -> None:
    """A guess alone is no finding."""
    found = compare(
        tasks([1, 0, np.nan]), way(None, None, 1), way(None, None, None), replicates=20
    )
    assert found["added"]["n"] == 1
    assert found["added"]["share_needed"] is None


def test_a_way_against_itself_changes_nothing() -> None:
    """Every difference is zero, and its interval too."""
    same = way(*[1, None, 3, None] * 20)
    found = compare(tasks([1, 1, 0, np.nan] * 20), same, same, replicates=50)
    for figure in found["difference"].values():
        assert figure == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert found["added"]["n"] == found["removed"]["n"] == 0


def test_no_task_is_a_mistake() -> None:
    """An empty comparison is refused with what to give."""
    with pytest.raises(ComparisonError, match="--events or --store"):
        compare(tasks([]), way(), way())


# --- under selective labels --------------------------------------------------


def world(seed: int, n: int) -> tuple[Tasks, Way, Way]:
    """Return tasks of pairs of customers, labelled where escalated or drawn.

    The champion acts, so what it escalates is labelled; of the rest one in ten is
    drawn. The challenger looks at a better score.
    """
    rng = np.random.default_rng(seed)
    z = rng.normal(-1.2, 1.5, n)
    needed = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(float)
    theirs = z + rng.normal(0, 1.5, n) > 0.3
    ours = z + rng.normal(0, 0.7, n) > 0.3
    propensity = np.where(theirs, 1.0, 0.1)
    seen = rng.random(n) < propensity
    made = tasks(
        np.where(seen, needed, np.nan).tolist(),
        customers=np.array([f"c{i // 2}" for i in range(n)]),
        propensity=propensity,
        guess=1 / (1 + np.exp(-(z + rng.normal(0, 1, n)))),
    )
    truth = [np.where(fired, 1.0, np.nan) for fired in (ours, theirs)]
    return made, Way(name="new", step=truth[0]), Way(name="old", step=truth[1])


def true_difference() -> float:
    """Return the difference in miss rates over very many tasks, all labels known."""
    rng = np.random.default_rng(1)
    z = rng.normal(-1.2, 1.5, 2_000_000)
    needed = rng.random(len(z)) < 1 / (1 + np.exp(-z))
    ours = z + rng.normal(0, 0.7, len(z)) > 0.3
    theirs = z + rng.normal(0, 1.5, len(z)) > 0.3
    return float((~ours)[needed].mean() - (~theirs)[needed].mean())


def naive(made: Tasks, ours: Way, theirs: Way) -> float:
    """Return the difference in miss rates over the labelled tasks, all alike."""
    yes = made.needed == 1
    return float((~ours.escalated)[yes].mean() - (~theirs.escalated)[yes].mean())


def test_differences_are_unbiased_and_covered_under_selective_labels() -> None:
    """Over 120 replays the paired 95 % interval holds the truth as often as it says.

    Counting labelled tasks alike is far off: the champion's own choice labelled them.
    """
    truth = true_difference()
    worlds = [world(seed, 1_500) for seed in range(120)]
    found = [compare(*one, replicates=200)["difference"] for one in worlds]
    for name in ("miss_rate", "miss_rate_ipw"):
        values, lows, highs = (
            np.array([one[name][part] for one in found])
            for part in ("value", "low", "high")
        )
        error = float(values.std() / np.sqrt(len(values)))
        assert abs(values.mean() - truth) < 3.5 * error + 0.003
        assert float(((lows <= truth) & (truth <= highs)).mean()) >= 0.88
    assert np.mean([naive(*one) for one in worlds]) - truth > 0.1
