"""Certificates of segments, and of a ladder of bounds, hold all at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from training.bundle import SegmentBy
from training.certify import (
    Evidence,
    certify,
    certify_segments,
    misses_allowed,
)
from training.certify.ladder import any_fails, together

DRAWS = 1000
ALPHA = DELTA = 0.1
# Beta distribution of the highest risk of a needed task, by domain.
DOMAINS = {"a": (4, 2), "b": (8, 2), "c": (2, 2), "d": (5, 5)}
NEEDED = 60


def slack(share: float) -> float:
    """Return three standard errors of a share seen in all draws."""
    return 3 * float(np.sqrt(share * (1 - share) / DRAWS))


def world(rng: np.random.Generator) -> tuple[Evidence, NDArray[np.str_]]:
    """Return needed tasks of each domain; one more that needed nobody lies below."""
    n = NEEDED + 1
    highest = [np.append(rng.beta(*shape, NEEDED), -1.0) for shape in DOMAINS.values()]
    basis = Evidence(
        highest=np.concatenate(highest),
        needed=np.tile(np.arange(n) < NEEDED, len(DOMAINS)),
        group=np.arange(n * len(DOMAINS)).astype(np.str_),
    )
    return basis, np.repeat(list(DOMAINS), n)


def missed(threshold: float, domain: str) -> float:
    """Return the true miss rate of a threshold in a domain."""
    return float(beta.cdf(threshold, *DOMAINS[domain]))


def test_all_segments_hold_at_once() -> None:
    """In at most a share delta of draws some segment misses more than alpha.

    With every segment given all of the doubt it would be several times as often.
    """
    rng = np.random.default_rng(0)
    wrong, unpaid, overall_wrong = 0, 0, 0
    for _ in range(DRAWS):
        basis, domain = world(rng)
        overall = certify(basis, alpha=ALPHA, delta=DELTA)
        found = certify_segments(
            basis,
            domain,
            by=SegmentBy.DOMAIN,
            alpha=ALPHA,
            delta=DELTA,
            overall=overall,
        )
        rates = [
            missed(one.threshold, one.segment.removeprefix("domain="))
            for one in found
            if one.threshold is not None
        ]
        assert len(rates) == len(DOMAINS)
        wrong += max(rates) > ALPHA
        overall_wrong += float(np.mean(rates)) > ALPHA
        alone = (
            certify(basis.where(domain == name), alpha=ALPHA, delta=DELTA)
            for name in DOMAINS
        )
        unpaid += any(
            missed(one.threshold or 0.0, name) > ALPHA
            for one, name in zip(alone, DOMAINS, strict=True)
        )
    assert wrong / DRAWS <= DELTA + slack(DELTA)
    assert overall_wrong / DRAWS <= DELTA
    assert unpaid / DRAWS > DELTA + slack(DELTA)


def small_one(rng: np.random.Generator) -> tuple[Evidence, NDArray[np.str_]]:
    """Return three domains, and a fourth of low risks and too few labels."""
    basis, domain = world(rng)
    kept = (domain != "c") | (np.arange(len(domain)) % NEEDED < 8)
    return basis.where(kept), domain[kept]


def test_the_promise_over_all_tasks_survives_a_segment_without_one() -> None:
    """What each task is held against misses at most alpha of all, in 1 - delta.

    Though the fourth segment, held against the threshold of all tasks, misses more.
    """
    rng = np.random.default_rng(1)
    weight = {"a": 60, "b": 60, "c": 8, "d": 60}
    wrong = 0
    for _ in range(DRAWS):
        basis, domain = small_one(rng)
        overall = certify(basis, alpha=ALPHA, delta=DELTA)
        assert overall.threshold is not None
        found = certify_segments(
            basis,
            domain,
            by=SegmentBy.DOMAIN,
            alpha=ALPHA,
            delta=DELTA,
            overall=overall,
        )
        held = {one.segment: one.threshold for one in found}
        rates = {
            name: missed(held.get(f"domain={name}") or overall.threshold, name)
            for name in DOMAINS
        }
        total = sum(weight[name] * rate for name, rate in rates.items())
        wrong += total / sum(weight.values()) > ALPHA
    assert wrong / DRAWS <= DELTA + slack(DELTA)


def test_a_ladder_of_bounds_holds_at_once_and_no_better_than_it_says() -> None:
    """Over draws, some rung is false as often as the exact sum says: at most delta.

    Each rung made with all of the doubt, some would be false far more often.
    """
    n, alphas = 80, np.array([0.05, 0.1, 0.2, 0.3, 0.4])
    uniform = np.sort(np.random.default_rng(2).random((20_000, n)), axis=1)

    def failing(delta: float) -> float:
        allowed = [misses_allowed(n, float(alpha), delta) for alpha in alphas]
        made = [(k, a) for k, a in zip(allowed, alphas, strict=True) if k >= 0]
        false = np.stack([uniform[:, k] > alpha for k, alpha in made])
        return float(false.any(axis=0).mean())

    rungs = tuple(alphas.tolist())
    share = together(n, rungs, DELTA)
    error = 3 * np.sqrt(0.09 / len(uniform))
    assert abs(failing(share) - any_fails(n, rungs, share)) < error
    assert failing(share) <= DELTA + error
    assert failing(DELTA) > 2 * DELTA
