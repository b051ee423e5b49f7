from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapie.risk_control import BinaryClassificationController
from numpy.typing import NDArray
from scipy.stats import beta

from training.bundle import Refusal
from training.certify import (
    METHOD,
    CertificateError,
    Evidence,
    certify,
    least_needed,
    misses_allowed,
)

LEVELS = st.floats(0.01, 0.5)


def evidence(highest: NDArray[np.float64], **columns: NDArray[np.generic]) -> Evidence:
    """Return needed tasks of a customer each, unless columns say otherwise."""
    n = len(highest)
    plain = {"needed": np.ones(n, dtype=bool), "group": np.arange(n).astype(str)}
    return Evidence(highest=highest, **(plain | columns))


# --- how many misses ---------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "alpha", "allowed"),
    [
        (100, 0.02, -1),
        (100, 0.05, 1),
        (100, 0.10, 5),
        (300, 0.02, 2),
        (300, 0.05, 9),
        (300, 0.10, 22),
        (1000, 0.02, 13),
        (1000, 0.05, 40),
        (1000, 0.10, 87),
        (5000, 0.02, 86),
        (5000, 0.05, 229),
        (5000, 0.10, 472),
    ],
)
def test_misses_allowed_at_ninety_per_cent(n: int, alpha: float, allowed: int) -> None:
    """The published table of the exact binomial certificate at delta = 0.1."""
    assert misses_allowed(n, alpha, 0.1) == allowed


@pytest.mark.parametrize(
    ("alpha", "delta", "least"),
    [(0.05, 0.1, 45), (0.05, 0.05, 59), (0.02, 0.1, 114), (0.01, 0.1, 230)],
)
def test_fewest_tasks_that_certify(alpha: float, delta: float, least: int) -> None:
    """The published number of tasks that it takes when none of them is missed."""
    assert least_needed(alpha, delta) == least


@given(LEVELS, LEVELS, st.integers(0, 400))
def test_misses_allowed_are_the_most_that_pass(
    alpha: float, delta: float, n: int
) -> None:
    """As many misses as allowed are unlikely at a rate alpha, one more is not."""
    allowed = misses_allowed(n, alpha, delta)
    # P(Bin(n, alpha) <= k), by way of the beta distribution.
    if allowed >= 0:
        assert beta.sf(alpha, allowed + 1, n - allowed) <= delta * (1 + 1e-9)
    if allowed + 1 < n:
        assert beta.sf(alpha, allowed + 2, n - allowed - 1) > delta * (1 - 1e-9)


@given(LEVELS, LEVELS)
def test_the_fewest_tasks_are_enough_and_no_fewer(alpha: float, delta: float) -> None:
    """The number that a refusal asks for certifies, and one task less does not."""
    least = least_needed(alpha, delta)
    assert misses_allowed(least, alpha, delta) >= 0
    assert misses_allowed(least - 1, alpha, delta) == -1


@pytest.mark.parametrize(
    ("alpha", "delta"), [(0.1, 0.81), (0.5, 0.25), (0.5, 0.125), (0.2, 0.8), (0.1, 0.9)]
)
def test_the_fewest_tasks_at_a_round_number(alpha: float, delta: float) -> None:
    """Where the formula gives a whole number, rounding does not ask for one too few."""
    least = least_needed(alpha, delta)
    assert misses_allowed(least, alpha, delta) >= 0
    assert misses_allowed(least - 1, alpha, delta) == -1


# --- the certificate ---------------------------------------------------------


def test_the_threshold_lets_through_the_misses_allowed() -> None:
    """Of 100 needed tasks exactly the five lowest lie below the threshold."""
    highest = np.random.default_rng(0).permutation(np.arange(100) / 100)
    found = certify(evidence(highest), alpha=0.1, delta=0.1)
    assert found.threshold == 0.05
    assert (highest < 0.05).sum() == found.misses_allowed == 5
    assert (found.n_needed, found.n_tasks) == (100, 100)
    assert (found.alpha, found.delta, found.method) == (0.1, 0.1, METHOD)


def test_the_reason_says_what_is_promised_and_what_it_costs() -> None:
    """A certificate reads as a sentence with bound, confidence and price."""
    highest, needed = np.linspace(0, 1, 400), np.arange(400) >= 200
    found = certify(evidence(highest, needed=needed), alpha=0.1, delta=0.05)
    assert found.escalation_rate == pytest.approx(np.mean(highest >= found.threshold))
    assert "at most 10% of the tasks that need a human are missed" in found.reason
    assert "confidence 95%" in found.reason
    assert f"escalating {found.escalation_rate:.0%} of all tasks" in found.reason


@pytest.mark.parametrize(
    ("alpha", "delta", "says"),
    [
        (0.025, 0.1, "at most 2.5% of"),
        (0.004, 0.1, "at most 0.4% of"),
        (0.1, 0.004, "confidence 99.6%"),
    ],
)
def test_the_reason_promises_no_more_than_the_numbers(
    alpha: float, delta: float, says: str
) -> None:
    """Levels are not rounded into a stronger promise."""
    found = certify(evidence(np.linspace(0, 1, 1000)), alpha=alpha, delta=delta)
    assert says in found.reason


@pytest.mark.parametrize(
    ("n", "alpha", "delta", "says"),
    [
        (44, 0.05, 0.1, "have 44 of 45 independent tasks that needed a human; 1 more"),
        (0, 0.1, 0.1, "have 0 of 22 independent tasks that needed a human; 22 more"),
        (10, 0.02, 0.05, "have 10 of 149"),
    ],
)
def test_too_few_tasks_are_refused_with_numbers(
    n: int, alpha: float, delta: float, says: str
) -> None:
    """A refusal has no threshold, and says how many tasks there are and are needed."""
    found = certify(evidence(np.linspace(0.5, 1, n)), alpha=alpha, delta=delta)
    assert found.threshold is None
    assert found.escalation_rate is None
    assert found.misses_allowed == 0
    assert found.n_needed == n
    assert found.refusal is Refusal.TOO_FEW_LABELS
    assert found.still_needed == least_needed(alpha, delta) - n
    assert says in found.reason
    assert f"miss rate <= {alpha:g} with confidence {1 - delta:g}" in found.reason


def test_one_task_more_and_the_refusal_is_over() -> None:
    """With the number asked for, the lowest of them is the threshold."""
    highest, needed = np.append(np.linspace(0.5, 1, 45), 0.1), np.arange(46) < 45
    found = certify(evidence(highest, needed=needed), alpha=0.05, delta=0.1)
    assert (found.threshold, found.misses_allowed) == (0.5, 0)
    assert (found.refusal, found.still_needed) == (None, 0)
    short = certify(evidence(highest[1:], needed=needed[1:]), alpha=0.05, delta=0.1)
    assert (short.refusal, short.still_needed) == (Refusal.TOO_FEW_LABELS, 1)


def test_tasks_that_needed_nobody_bound_nothing() -> None:
    """The threshold depends on needed tasks alone; the others tell what it costs."""
    rng = np.random.default_rng(1)
    highest, needed = rng.random(600), np.arange(600) < 200
    whole = certify(evidence(highest, needed=needed), alpha=0.1, delta=0.1, seed=4)
    other = np.where(needed, highest, 0.0)
    moved = certify(evidence(other, needed=needed), alpha=0.1, delta=0.1, seed=4)
    assert moved.threshold == whole.threshold
    assert moved.escalation_rate is not None
    assert whole.escalation_rate is not None
    assert moved.escalation_rate < whole.escalation_rate
    assert (whole.n_needed, whole.n_tasks) == (200, 600)


def test_ties_at_the_threshold_are_escalated() -> None:
    """Tasks with exactly the threshold's risk count as escalated, not as missed."""
    highest = np.repeat([0.1, 0.2, 0.6], [25, 65, 10])
    needed = np.arange(100) >= 25
    found = certify(evidence(highest, needed=needed), alpha=0.1, delta=0.1)
    assert found.threshold == 0.2
    assert found.escalation_rate == 0.75


def test_ties_at_the_lowest_risk_leave_no_threshold() -> None:
    """Where only escalating everything keeps the bound, that is no certificate.

    It is not for want of labels, and none are asked for.
    """
    highest = np.repeat([0.2, 0.6], [90, 10])
    found = certify(evidence(highest), alpha=0.1, delta=0.1)
    assert (found.threshold, found.escalation_rate) == (None, None)
    assert (found.refusal, found.still_needed) == (Refusal.NO_SUCH_THRESHOLD, 0)
    assert "would take escalating every task" in found.reason


@pytest.mark.parametrize("level", [0, 1, -0.1, 1.5, float("nan")])
@pytest.mark.parametrize("name", ["alpha", "delta"])
def test_a_level_outside_its_range_is_refused(name: str, level: float) -> None:
    """Neither certainty nor its opposite can be certified; the error names which."""
    levels = {"alpha": 0.1, "delta": 0.1, name: level}
    with pytest.raises(CertificateError, match=rf"`{name}` must be inside \(0, 1\)"):
        certify(evidence(np.ones(50)), **levels)


# --- one task per customer ---------------------------------------------------


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=30),
    st.integers(0, 5),
)
def test_one_needed_task_of_each_customer_counts(
    tasks: list[tuple[str, bool]], seed: int
) -> None:
    """The sample holds one needed task of every customer who has any, and no other."""
    highest = np.arange(len(tasks)) / 100
    group = np.array([g for g, _ in tasks], dtype=np.str_)
    needed = np.array([n for _, n in tasks], dtype=bool)
    drawn = evidence(highest, needed=needed, group=group).independent(seed)
    index = (drawn * 100).round().astype(int)
    assert needed[index].all()
    assert sorted(group[index].tolist()) == sorted(set(group[needed].tolist()))


def test_which_task_of_a_customer_counts_is_drawn() -> None:
    """Each of a customer's needed tasks is as likely as another, told by the seed."""
    highest = np.array([0.1, 0.2, 0.3])
    drawn = [
        float(evidence(highest, group=np.array(["g"] * 3)).independent(seed)[0])
        for seed in range(300)
    ]
    counts = [drawn.count(value) for value in highest.tolist()]
    assert min(counts) > 70
    again = evidence(highest, group=np.array(["g"] * 3)).independent(7)
    assert again.tolist() == [drawn[7]]


# --- an oracle ---------------------------------------------------------------


@pytest.mark.parametrize("n", [44, 45, 100, 300, 1000])
@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_mapie_certifies_the_same_thresholds(n: int, alpha: float) -> None:
    """An independent fixed-sequence test finds our threshold, or one miss less.

    MAPIE rounds the number of misses up where a ratio is not exact, so it may be one
    miss stricter; it is never more lenient, and it refuses where we refuse.
    """
    highest = np.sort(np.random.default_rng(n).beta(4, 2, n))
    with_another = np.append(highest, -1.0)
    needed = np.arange(n + 1) < n
    ours = certify(evidence(with_another, needed=needed), alpha=alpha, delta=0.1)
    controller = BinaryClassificationController(
        lambda x: np.column_stack([1 - x[:, 0], x[:, 0]]),
        risk="recall",
        target_level=1 - alpha,
        confidence_level=0.9,
        list_predict_params=highest,
        fwer_method="fixed_sequence",
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No predict parameters were found")
        controller.calibrate(highest[:, None], np.ones(n, dtype=int))
    certified = controller.valid_predict_params
    if ours.threshold is None:
        assert len(certified) == 0
        return
    misses = int((highest < max(certified)).sum())
    assert ours.misses_allowed - misses in (0, 1)


def test_labels_chosen_with_unequal_chances_are_not_certified_on() -> None:
    """However many there are, an uneven choice is refused, with what would do."""
    found = certify(
        evidence(np.linspace(0.1, 0.9, 500), is_even=False), alpha=0.1, delta=0.1
    )
    assert (found.threshold, found.refusal) == (None, Refusal.UNEQUAL_LABELS)
    assert "uniform audits alone" in found.reason
