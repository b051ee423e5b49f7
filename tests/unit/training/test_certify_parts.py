"""Tests of segments, ladders, frontier, costs and capacity of certificates."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom

from training.bundle import Certificate, Refusal, SegmentBy
from training.bundle.certificate import applicable, segment_of
from training.certify import (
    Capacity,
    Evidence,
    certify_segments,
    choices,
    frontier,
    least_needed,
    misses_allowed,
    promised,
    under_capacity,
    within,
)
from training.certify.choice import cost_per_task
from training.certify.ladder import any_fails, together
from training.costs import Costs

ALPHA = DELTA = 0.1
BY = SegmentBy.DOMAIN


def evidence(
    sizes: dict[str, int], *, seed: int = 0
) -> tuple[Evidence, NDArray[np.str_]]:
    """Return needed tasks of each domain, and as many that needed nobody."""
    rng = np.random.default_rng(seed)
    domain = np.repeat(list(sizes), [2 * n for n in sizes.values()])
    needed = np.concatenate([np.arange(2 * n) < n for n in sizes.values()])
    easy = np.where(domain == "airline", 8, 4)
    highest = np.where(needed, rng.beta(easy, 2), rng.beta(2, 4, len(domain)))
    group = np.arange(len(domain)).astype(np.str_)
    return Evidence(highest=highest, needed=needed, group=group), domain


def by_domain(sizes: dict[str, int]) -> dict[str, Certificate]:
    """Return the certificates of the domains, by segment; all tasks' under ``""``."""
    basis, domain = evidence(sizes)
    overall = basis.certificate(alpha=ALPHA, delta=DELTA)
    found = certify_segments(
        basis, domain, by=BY, alpha=ALPHA, delta=DELTA, overall=overall
    )
    return {one.segment: one for one in (overall, *found)}


# --- segments ----------------------------------------------------------------


def test_each_segment_has_its_own_threshold() -> None:
    """It is that of its tasks alone, made with its part of the doubt."""
    basis, domain = evidence({"retail": 200, "airline": 150})
    found = by_domain({"retail": 200, "airline": 150})
    assert set(found) == {"", "domain=retail", "domain=airline"}
    alone = basis.where(domain == "retail").certificate(alpha=ALPHA, delta=DELTA / 2)
    assert found["domain=retail"].threshold == alone.threshold
    assert found["domain=retail"].delta == DELTA / 2
    assert "all 2 segments hold at once" in found["domain=retail"].reason


def test_only_segments_that_can_succeed_share_the_doubt() -> None:
    """A segment with too few labels costs the others nothing, and is told how many."""
    found = by_domain({"retail": 200, "airline": 150, "new": 5})
    assert found["domain=retail"].delta == DELTA / 2
    new = found["domain=new"]
    assert (new.threshold, new.refusal) == (None, Refusal.TOO_FEW_LABELS)
    assert new.still_needed == least_needed(ALPHA, DELTA / 3) - 5
    assert "domain=new" in new.reason


def test_the_rest_has_a_certificate_of_its_own_where_it_can() -> None:
    """Small and unknown segments together are one more."""
    sizes = {"retail": 200, "airline": 150} | {f"s{i}": 20 for i in range(9)} | {"": 40}
    found = by_domain(sizes)
    rest = found["domain=*"]
    assert rest.n_needed == 9 * 20 + 40
    assert rest.threshold is not None
    assert found["domain=retail"].delta == DELTA / 3
    assert found["domain=s1"].refusal is Refusal.TOO_FEW_LABELS


def test_no_segment_is_above_all_tasks_where_some_have_no_bound() -> None:
    """Else those without would not be made up for, and the whole promise be lost."""
    sizes = {"retail": 200, "airline": 150}
    whole, part = by_domain(sizes), by_domain(sizes | {"new": 5})
    top = part[""].threshold
    assert top is not None
    named = [part["domain=retail"], part["domain=airline"]]
    thresholds = [one.threshold for one in named if one.threshold is not None]
    assert max(thresholds) <= top
    free = [whole[one.segment].threshold or 0.0 for one in named]
    assert max(free) > top
    capped = next(one for one in named if one.threshold == top)
    assert "held at the threshold of all tasks" in capped.reason


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 90), min_size=1))
@settings(max_examples=40)
def test_the_doubt_is_parted_and_no_more_than_all_of_it(sizes: dict[str, int]) -> None:
    """The doubts of what is certified add up to delta at most, whatever the sizes."""
    found = by_domain(sizes)
    overall = found.pop("")
    held = [one for one in found.values() if one.threshold is not None]
    assert sum(one.delta for one in held) <= DELTA * (1 + 1e-9)
    assert set(found) - {"domain=*"} == {f"domain={name}" for name in sizes}
    for one in held:
        assert one.n_needed >= least_needed(ALPHA, one.delta)
        assert one.misses_allowed == misses_allowed(one.n_needed, ALPHA, one.delta)
    assert overall.segment == ""


# --- which certificate a task is held against ----------------------------------


def promise(segment: str, threshold: float | None, **known: object) -> Certificate:
    """Return a certificate of a segment."""
    basis, _ = evidence({"retail": 30})
    made = basis.certificate(alpha=0.3, delta=0.1, segment=segment)
    return replace(made, threshold=threshold, **known)


def test_a_task_is_held_against_its_segment_then_the_rest_then_all() -> None:
    """The nearest certificate that has a threshold speaks."""
    overall = promise("", 0.5)
    own, rest = promise("domain=retail", 0.6), promise("domain=*", 0.4)
    refused = promise("domain=new", None, refusal=Refusal.TOO_FEW_LABELS)
    segments = (refused, own, rest)
    assert applicable(overall, segments, {"domain": "retail"}) is own
    assert applicable(overall, segments, {"domain": "new"}) is rest
    assert applicable(overall, segments, {"domain": "never seen"}) is rest
    assert applicable(overall, segments, {"tier": "gold"}) is rest
    assert applicable(overall, (refused, own), {"domain": "new"}) is overall
    assert applicable(overall, (), {"domain": "retail"}) is overall


def test_a_withdrawn_certificate_is_not_replaced() -> None:
    """What was seen to be false leaves its tasks to the rules."""
    gone = promise("domain=retail", None, refusal=Refusal.WITHDRAWN)
    rest = promise("domain=*", 0.4)
    assert applicable(promise("", 0.5), (gone, rest), {"domain": "retail"}) is gone


@pytest.mark.parametrize("value", ["", "?", "unknown"])
def test_unknown_values_are_no_segment(value: str) -> None:
    """However a log writes that it does not know."""
    assert segment_of(SegmentBy.AGENT_VERSION, value) == "agent_version=*"


# --- several bounds at once ----------------------------------------------------


@pytest.mark.parametrize(("n", "alphas"), [(12, (0.3, 0.5)), (9, (0.2, 0.4, 0.6))])
def test_any_fails_counts_every_case(n: int, alphas: tuple[float, ...]) -> None:
    """It is the sum over all ways in which n tasks can fall between the bounds."""
    delta = 0.2
    edges = np.diff([0.0, *alphas, 1.0])
    allowed = [misses_allowed(n, alpha, delta) for alpha in alphas]
    failing = 0.0
    for counts in product(range(n + 1), repeat=len(alphas)):
        if sum(counts) > n:
            continue
        held = all(
            below > most for below, most in zip(np.cumsum(counts), allowed, strict=True)
        )
        if not held:
            failing += _multinomial([*counts, n - sum(counts)], edges)
    assert any_fails(n, alphas, delta) == pytest.approx(failing)


def _multinomial(counts: list[int], edges: NDArray[np.float64]) -> float:
    chance, left, share = 1.0, sum(counts), 1.0
    for count, edge in zip(counts[:-1], edges[:-1], strict=True):
        chance *= float(binom.pmf(count, left, edge / share))
        left, share = left - count, share - edge
    return chance


@given(st.integers(5, 300), st.floats(0.02, 0.3))
@settings(max_examples=30)
def test_bounds_at_once_cost_less_than_parting_the_doubt(n: int, delta: float) -> None:
    """Each gets at least its equal part, at most all, and together they fit."""
    alphas = (0.05, 0.1, 0.2, 0.4)
    share = together(n, alphas, delta)
    assert delta / 4 <= share <= delta
    assert any_fails(n, alphas, share) <= delta + 1e-9


def test_the_frontier_is_dearer_at_once_than_alone() -> None:
    """Bounds that hold together escalate more, and a picture's bounds are theirs."""
    basis, _ = evidence({"retail": 400})
    found = frontier(basis, delta=DELTA)
    for rung in found.rungs:
        if rung.together.threshold is not None and rung.alone.threshold is not None:
            assert rung.together.threshold <= rung.alone.threshold
            assert rung.miss_rate is not None
            assert rung.miss_rate <= rung.alpha
    rates = [r.together.escalation_rate for r in found.rungs if r.together.threshold]
    assert rates == sorted(rates, reverse=True)
    for point in found.points:
        if point["bound"] is not None:
            assert point["bound"] >= (point["miss_rate"] or 0)
    assert found.points[0]["bound"] is not None
    assert found.points[-1]["bound"] is None
    assert found.to_json()["rows"][0]["alpha"] == 0.02


def test_a_chosen_threshold_has_the_bound_of_the_rung_above_it() -> None:
    """Looking is allowed: whatever threshold is picked, a rung that covers it holds."""
    found = frontier(evidence({"retail": 400})[0], delta=DELTA)
    rung = next(r for r in found.rungs if r.alpha == 0.2)
    assert rung.together.threshold is not None
    assert found.bound_at(rung.together.threshold) == 0.2
    assert found.bound_at(np.nextafter(rung.together.threshold, 1)) == 0.3
    assert found.bound_at(1.0) is None


def test_promises_without_segments_have_none() -> None:
    """Segments are made where they are asked for."""
    basis, domain = evidence({"retail": 200, "airline": 150})
    assert promised(basis, alpha=ALPHA, delta=DELTA).segments == ()
    made = promised(basis, alpha=ALPHA, delta=DELTA, by=BY, values=domain)
    assert len(made.segments) == 2


# --- costs and capacity --------------------------------------------------------


def test_the_cost_of_a_threshold_is_reviews_and_what_is_lost() -> None:
    """By hand: one review of 5, one miss of 40 + 10, one caught of which 1/5 is lost."""
    basis = Evidence(
        highest=np.array([0.9, 0.1, 0.1]),
        needed=np.array([True, True, False]),
        group=np.array(["a", "b", "c"]),
        value=np.array([0.0, 100.0, np.nan]),
    )
    costs = Costs(review=5, miss=40, miss_per_account_value=0.1, fixable=0.8)
    assert cost_per_task(basis.tally, 0.5, costs) == pytest.approx((5 + 8 + 50) / 3)


@given(st.floats(0.5, 60), st.integers(0, 50))
@settings(max_examples=30)
def test_choices_stay_inside_the_promise(review: float, seed: int) -> None:
    """No rule escalates less than the certificate does; the cheapest is no dearer."""
    basis, _ = evidence({"retail": 150}, seed=seed)
    made = basis.certificate(alpha=ALPHA, delta=DELTA)
    assert made.threshold is not None
    found = {c.rule: c for c in choices(basis, made, Costs(review=review))}
    assert set(found) == {"certified", "cheapest", "cost"}
    for one in found.values():
        assert one.escalation_rate >= found["certified"].escalation_rate
    assert found["cheapest"].cost_per_task <= found["certified"].cost_per_task
    assert (found["cheapest"].threshold or 2) <= made.threshold


def test_a_refused_certificate_leaves_nothing_to_choose() -> None:
    """Costs do not make a promise."""
    basis, _ = evidence({"retail": 5})
    refused = basis.certificate(alpha=ALPHA, delta=DELTA)
    assert choices(basis, refused, Costs()) == ()


def capacity(per_day: float) -> tuple[Certificate, Capacity]:
    """Return certificate and capacity of 800 tasks a day."""
    basis, _ = evidence({"retail": 400})
    made = basis.certificate(alpha=ALPHA, delta=DELTA)
    return made, under_capacity(basis, made, per_day=per_day, tasks_per_day=800)


def test_enough_people_keep_the_bound() -> None:
    """Then the certificate stands, and the words say how many it takes."""
    made, held = capacity(800)
    assert held.is_met
    assert within(made, held) == made
    assert "the bound holds" in held.words


def test_too_few_people_lose_the_bound_and_are_told_which() -> None:
    """The certificate is refused, with the bound that is left at what they can take."""
    made, lost = capacity(300)
    basis, _ = evidence({"retail": 400})
    assert (basis.highest >= lost.threshold).mean() * 800 <= 300
    assert (basis.highest >= np.nextafter(lost.threshold, 0)).mean() * 800 >= 299
    assert lost.bound is not None
    assert lost.bound > ALPHA
    refused = within(made, lost)
    assert (refused.threshold, refused.refusal) == (None, Refusal.NO_SUCH_THRESHOLD)
    assert "the bound of 10% is lost" in refused.reason
    assert f"at most {lost.bound:.0%} are missed" in refused.reason


def test_nobody_to_take_anything_leaves_no_bound() -> None:
    """With no capacity nothing is escalated, and nothing promised."""
    _, lost = capacity(0)
    assert (lost.threshold, lost.bound) == (np.inf, None)
    assert "no bound holds there" in lost.words
