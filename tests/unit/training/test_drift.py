"""Tests of drift: large shifts are told, and chance is not."""

from __future__ import annotations

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from training.monitor.drift import (
    FEWEST,
    Kind,
    distance,
    missing_change,
    psi,
    shifts,
)
from training.monitor.reference import (
    Histogram,
    Rates,
    Reference,
    reference_of,
    stops,
)

NAMES = tuple(f"s{i}" for i in range(12))


def draw(seed: int, n: int, *, missing: float = 0.1) -> np.ndarray:
    """Return signals of many kinds: counts, flags, heavy tails."""
    rng = np.random.default_rng(seed)
    kinds = [
        lambda: rng.normal(size=n),
        lambda: rng.poisson(1.5, n).astype(float),
        lambda: rng.integers(0, 2, n).astype(float),
        lambda: rng.exponential(3, n),
    ]
    x = np.stack([kinds[i % 4]() for i in range(len(NAMES))], axis=1)
    x[rng.random(x.shape) < missing] = np.nan
    return x


def named(x: np.ndarray) -> dict[str, np.ndarray]:
    """Return the columns by name."""
    return {name: x[:, place] for place, name in enumerate(NAMES)}


REFERENCE = reference_of(draw(0, 3_000), NAMES)


@pytest.mark.parametrize("n", [FEWEST, 120, 600])
def test_windows_without_a_shift_cry_wolf_as_seldom_as_promised(n: int) -> None:
    """Though PSI passes its bound in nearly all of the small ones."""
    rounds, level = 300, 0.1
    windows = [named(draw(1 + seed, n)) for seed in range(rounds)]
    alarms = sum(bool(shifts(REFERENCE, w, {}, level=level)) for w in windows)
    assert alarms <= rounds * level + 3 * np.sqrt(rounds * level)
    if n == FEWEST:
        before = REFERENCE.signals["s0"]
        plain = [psi(before, before.filled(w["s0"]))[0] > 0.1 for w in windows]
        assert np.mean(plain) > 0.1


def test_a_shift_is_told_with_its_signal() -> None:
    """By both measures, the largest first."""
    x = draw(5, 800)
    x[:, 3] += 4
    x[:, 0] += 0.5
    found = shifts(REFERENCE, named(x), {})
    assert {s.name for s in found} == {"s0", "s3"}
    assert found[0].name == "s3"
    assert found[0].is_large
    assert {s.kind for s in found} == {Kind.PSI, Kind.KS}


def test_a_small_but_sure_shift_is_no_news() -> None:
    """With enough tasks anything is significant."""
    x = draw(6, 60_000)
    x[:, 0] += 0.05
    assert not shifts(REFERENCE, named(x), {})


def test_a_signal_that_goes_missing_is_told() -> None:
    """Its values alone would not show it."""
    x = draw(7, 500)
    x[np.random.default_rng(0).random(500) < 0.3, 2] = np.nan
    (found,) = shifts(REFERENCE, named(x), {})
    assert (found.kind, found.name, found.is_large) == (Kind.MISSING, "s2", True)


def test_values_never_seen_are_told() -> None:
    """A domain or agent version that the model has not met."""
    seen = reference_of(
        np.empty((0, 0)), (), categories={"domain": np.array(["a", "b"] * 500)}
    )
    new = np.array(["a"] * 90 + ["c"] * 10)
    (found,) = shifts(seen, {}, {"domain": new})
    assert (found.kind, found.value, found.n) == (Kind.UNSEEN, 0.1, 100)
    assert not shifts(seen, {}, {"domain": np.array(["a", "b", ""] * 50)})


def test_rare_values_make_new_ones_expected() -> None:
    """Where every tenth value was seen just once, one more is no news."""
    values = np.array(["a"] * 900 + [f"once-{i}" for i in range(100)])
    seen = reference_of(np.empty((0, 0)), (), categories={"domain": values})
    new = np.array(["a"] * 93 + [f"new-{i}" for i in range(7)])
    assert not shifts(seen, {}, {"domain": new})


def test_few_tasks_say_nothing() -> None:
    """However far they are from the reference."""
    x = draw(8, FEWEST - 1) + 9
    assert not shifts(REFERENCE, named(x), {"domain": np.array(["z"] * 9)})


def test_psi_is_that_of_the_textbook() -> None:
    """Sum of (a - b) ln(a / b), but for half a count that keeps it finite."""
    before = Histogram(edges=(1.0,), counts=(5_000, 5_000))
    after = Histogram(edges=(1.0,), counts=(7_000, 3_000))
    expected = (0.5 - 0.7) * np.log(0.5 / 0.7) + (0.5 - 0.3) * np.log(0.5 / 0.3)
    assert psi(before, after)[0] == pytest.approx(expected, rel=1e-3)


def test_p_of_psi_is_that_of_the_contingency_table() -> None:
    """Pearson's test, as the library has it."""
    before = Histogram(edges=(1.0, 2.0), counts=(400, 300, 300))
    after = Histogram(edges=(1.0, 2.0), counts=(50, 20, 30))
    table = [before.counts, after.counts]
    assert psi(before, after)[1] == pytest.approx(
        stats.chi2_contingency(table, correction=False).pvalue
    )


def test_the_distance_is_that_of_kolmogorov_and_smirnov() -> None:
    """Exactly so where every value has a bin of its own."""
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 9, 500).astype(float), rng.integers(2, 9, 200).astype(float)
    before = Histogram(edges=tuple(np.arange(0.5, 8.5)), counts=(0,) * 9).filled(a)
    far, p = distance(before, before.filled(b))
    oracle = stats.ks_2samp(a, b, method="asymp")
    assert far == pytest.approx(oracle.statistic)
    assert p == pytest.approx(oracle.pvalue, rel=0.2)


def test_the_missing_change_is_fishers() -> None:
    """Twice the smaller tail of the hypergeometric law."""
    before = Histogram(edges=(), counts=(90,), missing=10)
    after = Histogram(edges=(), counts=(30,), missing=20)
    rise, p = missing_change(before, after)
    oracle = stats.fisher_exact([[20, 30], [10, 90]], alternative="greater").pvalue
    assert rise == pytest.approx(0.3)
    assert p == pytest.approx(2 * oracle)


@given(
    st.lists(st.one_of(st.just(float("nan")), st.floats(-9, 9)), max_size=80),
    st.lists(st.floats(-99, 99), max_size=40),
)
def test_a_histogram_counts_every_value_once(
    values: list[float], others: list[float]
) -> None:
    """Known or missing, of its own or of another window."""
    made = Histogram.of(np.array(values, dtype=np.float64))
    assert made.total == len(values)
    assert list(made.edges) == sorted(set(made.edges))
    assert made.filled(np.array(others, dtype=np.float64)).total == len(others)


def test_a_reference_is_stored_whole() -> None:
    """Through JSON and back it compares alike; an empty one stays empty."""
    made = reference_of(
        draw(1, 300),
        NAMES,
        risk=np.linspace(0, 1, 300),
        needed=(np.arange(300) > 150).astype(float),
        categories={"domain": np.array(["a", "b", ""] * 100)},
        rates=Rates(tasks=300, escalated=30, transferred=9, labelled=300, gap=0.1),
    )
    stored = Reference.from_json(orjson.loads(orjson.dumps(made.to_json())))
    assert stored == made
    assert stored.is_complete
    assert Reference.from_json({}) == Reference()


def test_a_highest_risk_stands_for_what_was_found_at_it() -> None:
    """Of many steps the highest risk flatters; the reference says by how much."""
    risk = np.linspace(0, 1, 2_000)
    needed = np.random.default_rng(0).random(2_000) < risk / 2
    made = reference_of(np.empty((0, 0)), (), risk=risk, needed=needed.astype(float))
    expected = made.expected(np.array([0.9, 0.2, np.nan]))
    assert expected[:2] == pytest.approx([0.45, 0.1], abs=0.06)
    assert np.isnan(expected[2])
    assert Reference().expected(np.array([0.3])).tolist() == [0.3]


def test_what_a_reference_leaves_open_is_taken_from_the_first_tasks() -> None:
    """And what it says is kept."""
    first = reference_of(draw(2, 100), NAMES, risk=np.linspace(0, 1, 100))
    mine = Reference(rates=Rates(tasks=9))
    assert mine.completed(first).signals == first.signals
    assert mine.completed(first).rates == mine.rates


def test_a_task_stops_where_it_would_be_handed_over() -> None:
    """At the first step at or above the threshold, else at its end."""
    task = np.array(["a", "a", "a", "b", "b", "c"])
    risk = np.array([0.1, 0.6, 0.9, 0.1, 0.2, 0.7])
    assert stops(task, risk, 0.6).tolist() == [1, 4, 5]
    assert stops(task, risk, None).tolist() == [2, 4, 5]
    assert stops(np.array([]), np.array([]), 0.5).tolist() == []
