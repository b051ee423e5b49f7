"""Tests of whether reviewers agree beyond chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.monitor.agreement import Pair, agreed, kappa

ANSWERS = ("yes", "no", "uncertain")


def pair(first: str, second: str, n: int = 0, propensity: float = 1.0) -> Pair:
    """Return two answers on task `n`, of a customer of its own."""
    return Pair(
        task_id=str(n),
        group=str(n),
        first=first,
        second=second,
        raters=("ann", "bob"),
        propensity=propensity,
    )


def table(both_yes: int, both_no: int, divided: int) -> list[Pair]:
    """Return pairs; of the divided ones half each way round."""
    words = [("yes", "yes")] * both_yes + [("no", "no")] * both_no
    words += [("yes", "no"), ("no", "yes")] * (divided // 2)
    return [pair(a, b, i) for i, (a, b) in enumerate(words)]


def test_kappa_is_that_of_the_textbook() -> None:
    """20 yes, 15 no, 15 divided: .70 agree, .505 by chance."""
    found = kappa(table(20, 15, 14))
    margin = 27 / 49
    chance = margin**2 + (1 - margin) ** 2
    assert found.value == pytest.approx((35 / 49 - chance) / (1 - chance))
    assert found.n == 49


def test_the_interval_is_the_one_that_resampling_gives() -> None:
    """The influence function's error is that of a bootstrap over customers."""
    pairs = table(30, 50, 20)
    found = kappa(pairs)
    rng = np.random.default_rng(0)
    drawn = [
        kappa([pairs[i] for i in rng.integers(len(pairs), size=len(pairs))]).value
        for _ in range(800)
    ]
    assert found.low is not None
    assert found.high is not None
    error = (found.high - found.low) / 2 / 1.96
    assert error == pytest.approx(np.std([v for v in drawn if v is not None]), rel=0.15)


def test_pairs_weigh_by_how_improbable_they_were() -> None:
    """A pair that had one chance in ten stands for ten."""
    rare = [
        pair("yes", "no", 0, propensity=0.1),
        *(pair("yes", "yes", i) for i in range(1, 11)),
    ]
    assert agreed(rare).value == pytest.approx(0.5)
    often = [pair("yes", "no", -i) for i in range(10)] + rare[1:]
    assert kappa(rare).value == pytest.approx(kappa(often).value)
    wide, narrow = agreed(rare), agreed(often)
    assert wide.high is not None
    assert narrow.high is not None
    assert wide.high > narrow.high


@given(
    st.lists(
        st.tuples(st.sampled_from(ANSWERS), st.sampled_from(ANSWERS)),
        min_size=2,
        max_size=30,
    )
)
def test_who_is_first_does_not_matter(words: list[tuple[str, str]]) -> None:
    """Reviewers are exchangeable, and kappa lies in [-1, 1]."""
    one = kappa([pair(a, b, i) for i, (a, b) in enumerate(words)])
    other = kappa([pair(b, a, i) for i, (a, b) in enumerate(words)])
    assert one.value == pytest.approx(other.value)
    if one.value is not None and one.low is not None and one.high is not None:
        assert -1 <= one.low <= one.value <= one.high <= 1


def test_perfect_agreement_is_one_and_chance_is_about_zero() -> None:
    """The ends of the scale."""
    assert kappa(table(10, 10, 0)).value == pytest.approx(1.0)
    rng = np.random.default_rng(2)
    words = rng.choice(["yes", "no"], size=(4_000, 2), p=[0.2, 0.8])
    value = kappa([pair(str(a), str(b), i) for i, (a, b) in enumerate(words)]).value
    assert value == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("pairs", [[], table(1, 0, 0), table(9, 0, 0)])
def test_too_little_to_tell_says_so(pairs: list[Pair]) -> None:
    """Without two pairs, or with one answer only, chance cannot be told from skill."""
    found = kappa(pairs)
    assert found.value is None
    assert found.missing
    assert found.n == len(pairs)
