from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from serving.policy.rules import LEARNED as TRIGGER
from training.bundle import Refusal
from training.certify import Live
from training.certify.audits import LEARNED, METHOD, METHOD_AHEAD
from training.certify.drawn import most_missed, share_missed
from training.monitor.outcome import Outcomes, TaskOutcome

Q = 0.1


def task(i: int, **known: Any) -> TaskOutcome:
    """Return a task that nothing happened to, with a customer of its own."""
    plain: dict[str, Any] = {
        "task_id": f"t{i:05d}",
        "group": f"g{i:05d}",
        "at": 1e9 + i,
        "escalated": False,
        "risk": 0.2,
        "threshold": 0.5,
        "q_uniform": Q,
    }
    return TaskOutcome(**(plain | known))


def silent(n: int, **known: Any) -> list[TaskOutcome]:
    """Return tasks that nobody has looked at."""
    return [task(i, **known) for i in range(n)]


def audited(n: int, *, needed: bool | None = False, **known: Any) -> list[TaskOutcome]:
    """Return tasks that were drawn, with what the audit found."""
    return [task(10_000 + i, uniform=True, needed=needed, **known) for i in range(n)]


def caught(n: int, *, needed: bool | None = True, **known: Any) -> list[TaskOutcome]:
    """Return tasks that were handed over for their risk, which rises."""
    of = {"escalated": True, "trigger": LEARNED, "needed": needed} | known
    return [task(20_000 + i, **({"risk": 0.5 + i / n / 2} | of)) for i in range(n)]


def live(*parts: list[TaskOutcome], ahead: bool = False) -> Live:
    """Return what is known of all these tasks."""
    return Live.of(Outcomes.of([one for part in parts for one in part]), ahead=ahead)


def at(found: Live, threshold: float, delta: float = 0.1) -> float:
    """Return the bound at one threshold."""
    return float(found.bound(np.array([threshold]), delta)[0])


def test_the_trigger_is_named_as_in_decisions() -> None:
    """What the audits call the learned trigger is what a decision calls it."""
    assert LEARNED == TRIGGER


# --- the bound on what was not drawn ------------------------------------------


@given(st.integers(0, 60), st.floats(0.01, 0.95), st.floats(0.01, 0.45))
def test_the_bound_is_the_largest_that_is_likely(
    found: int, q: float, delta: float
) -> None:
    """So few found are likelier than delta at the bound, and not at one more."""
    (most,) = most_missed(np.array([found]), q, delta)
    assert most == found or binom.cdf(found, most, q) > delta
    assert binom.cdf(found, most + 1, q) <= delta * (1 + 1e-9)


@pytest.mark.parametrize("q", [0.03, 0.2, 0.7])
@pytest.mark.parametrize("delta", [0.05, 0.1])
def test_it_covers_whatever_was_missed(q: float, delta: float) -> None:
    """For every number of misses, found by luck, the bound is too low at most delta.

    With ties broken by chance, floored at a half, it is no worse, and tighter.
    """
    missed = np.arange(0, 120)
    found = np.arange(0, 121)
    chance = binom.pmf(found[:, None], missed[None, :], q)
    coins = np.maximum((np.arange(200) + 0.5) / 200, 0.5)
    plain = most_missed(found, q, delta)
    split = np.stack([most_missed(found, q, delta, tie=float(c)) for c in coins])
    low = (plain[:, None] < missed[None, :]) * chance
    assert low.sum(0).max() <= delta + 1e-9
    low = (split[:, :, None] < missed[None, None, :]).mean(0) * chance
    assert low.sum(0).max() <= delta + 1e-3
    assert (split <= plain).all()
    assert (split.mean(0)[:20] < plain[:20]).any()


@pytest.mark.parametrize("q", [0.05, 0.3])
@pytest.mark.parametrize("missed", [0.02, 0.1, 0.4])
def test_the_share_to_come_is_covered(q: float, missed: float) -> None:
    """Over the luck of outcomes and draws the share is bounded, known or not.

    The needed tasks that are ever known have a binomial share of missed ones.
    """
    share = missed * q / (1 - missed + missed * q)
    for known in (5, 40, 400):
        found = np.arange(known + 1.0)
        bound = share_missed(found, known - found, q, 0.1)
        chance = binom.pmf(found, known, share)
        assert chance[bound < missed].sum() <= 0.1 + 1e-9


def test_all_drawn_is_all_known() -> None:
    """Where everything is audited the bound is the count."""
    assert most_missed(np.array([0, 7]), 1.0, 0.1).tolist() == [0, 7]


# --- certificates -------------------------------------------------------------


def test_a_certificate_by_audits() -> None:
    """Of 1,000 silent tasks 100 were audited and found fine: at most 22 were missed."""
    found = live(silent(900), audited(100), caught(300))
    most = most_missed(np.array([0]), Q, 0.1)[0]
    assert most == 21
    assert at(found, 0.5) == pytest.approx(21 / 321)
    made = found.certificate(alpha=0.1, delta=0.1)
    assert made.threshold is not None
    assert made.threshold >= 0.5
    assert at(found, made.threshold) <= 0.1
    assert made.escalation_rate == pytest.approx(
        np.mean(found.outcomes.risk >= made.threshold)
    )
    assert (made.n_tasks, made.n_needed, made.method) == (1300, 300, METHOD)
    assert "at most 10% of the tasks that need a human are missed" in made.reason
    assert "100 uniform audits" in made.reason
    assert "1,300 tasks decided from 2001-09-09 to 2001-09-09" in made.reason


def test_a_threshold_above_the_live_one_counts_those_it_lets_go() -> None:
    """Tasks handed over for a risk below the new threshold count as missed."""
    found = live(silent(900), audited(100), caught(300))
    higher = at(found, 0.6) - at(found, 0.5)
    assert higher == pytest.approx(60 / 321, abs=1e-3)
    by_rule = live(silent(900), audited(100), caught(300, trigger="loop"))
    assert at(by_rule, 0.6) == at(by_rule, 0.5)


def test_a_lower_threshold_is_certified_where_the_live_one_misses_too_many() -> None:
    """Misses of some risk forbid thresholds above it, and none below."""
    misses = audited(9, needed=True, risk=0.4)
    tasks = (silent(400, risk=0.1), silent(400, risk=0.45), audited(91, risk=0.1))
    found = live(*tasks, misses, caught(300))
    made = found.certificate(alpha=0.15, delta=0.1)
    assert made.threshold == 0.4
    assert at(found, 0.45) > 0.15
    assert made.misses_allowed == 0


def test_no_more_are_missed_than_lie_below() -> None:
    """Where few tasks lie below a threshold, all of them missed is the worst case."""
    few = silent(6, risk=0.05)
    found = live(silent(900)[6:], few, audited(100), caught(300))
    assert at(found, 0.1) == pytest.approx(6 / 306)
    seen = live(silent(900)[6:], few, audited(100, risk=0.05), caught(300))
    assert at(seen, 0.1) == pytest.approx(6 / 306)


def test_no_audit_certifies_nothing() -> None:
    """However many tasks were handed over, the silent ones are unknown."""
    made = live(silent(50), caught(5000)).certificate(alpha=0.3, delta=0.1)
    assert (made.threshold, made.refusal) == (None, Refusal.TOO_FEW_LABELS)
    assert made.still_needed > 0
    assert "have 0 uniform audits" in made.reason


def test_what_is_still_needed_is_enough() -> None:
    """With the audits asked for, finding nothing, the live threshold is certified."""
    few = live(silent(1990, q_uniform=0.005), audited(10, q_uniform=0.005), caught(200))
    made = few.certificate(alpha=0.05, delta=0.1)
    assert made.refusal is Refusal.TOO_FEW_LABELS
    n = 10 + made.still_needed
    q = n / 2000
    more = live(silent(2000 - n, q_uniform=q), audited(n, q_uniform=q), caught(200))
    assert at(more, 0.5) <= 0.05
    assert more.certificate(alpha=0.05, delta=0.1).threshold is not None


def test_audits_without_a_verdict_count_as_misses() -> None:
    """A drawn task that is pending or uncertain is taken for the worst, and named."""
    fine = live(silent(900), audited(100), caught(300))
    late = live(
        silent(900), audited(98), audited(2, needed=None, group="x"), caught(300)
    )
    bad = live(
        silent(900), audited(98), audited(2, needed=True, group="x"), caught(300)
    )
    assert at(late, 0.5) == at(bad, 0.5) > at(fine, 0.5)
    stuck = live(silent(900), audited(100, needed=None), caught(300))
    made = stuck.certificate(alpha=0.1, delta=0.1)
    assert (made.refusal, made.still_needed) == (Refusal.TOO_FEW_LABELS, 100)
    assert "100 uniform audits have no verdict yet" in made.reason


def test_handed_over_without_a_verdict_is_not_taken_for_caught() -> None:
    """A task that was handed over counts as caught only if its label says needed."""
    known = live(silent(900), audited(100), caught(200))
    unknown = live(silent(900), audited(100), caught(200), caught(100, needed=None))
    assert at(unknown, 0.5) == at(known, 0.5)


def test_targeted_labels_are_not_counted_as_draws() -> None:
    """Labels that were looked for say nothing of those that were not drawn."""
    plain = live(silent(900), audited(100), caught(300))
    aimed = silent(50, targeted=True, q_targeted=0.5, needed=False)
    more = live(silent(900)[50:], aimed, audited(100), caught(300))
    assert at(more, 0.5) == at(plain, 0.5)


def test_complaints_are_known_misses_and_leave_the_frame() -> None:
    """They are counted one by one; drawn ones are no longer found by luck."""
    told = silent(5, complained=True, needed=True)
    found = live(silent(900)[5:], told, audited(100), caught(300))
    assert at(found, 0.5) == pytest.approx(26 / 326)
    drawn = silent(5, complained=True, needed=True, uniform=True)
    assert at(live(silent(900)[5:], drawn, audited(100), caught(300)), 0.5) == (
        pytest.approx(26 / 326)
    )
    wrong = silent(5, complained=True, needed=False, uniform=True)
    assert at(live(silent(900)[5:], wrong, audited(100), caught(300)), 0.5) == (
        pytest.approx(21 / 321)
    )


def test_known_misses_alone_can_be_too_many() -> None:
    """Then no number of audits helps, and none is asked for."""
    told = silent(90, complained=True, needed=True, risk=0.0)
    made = live(
        silent(900)[90:], told, audited(100, risk=0.0), caught(300)
    ).certificate(alpha=0.1, delta=0.1)
    assert (made.refusal, made.still_needed) == (Refusal.NO_SUCH_THRESHOLD, 0)
    assert "90 misses are known beside 300 caught" in made.reason


def test_a_task_without_a_risk_is_missed_at_every_threshold() -> None:
    """What the model gave no risk for it does not escalate."""
    found = live(silent(900), audited(90), audited(1, needed=True, risk=float("nan")))
    assert at(found, 1e-9) > 0


# --- propensities that changed ------------------------------------------------


def test_a_policy_that_changed_its_audit_rate_needs_the_draws() -> None:
    """With them a task counts as drawn below the smallest rate; without, refused."""
    early = [replace(t, draw=0.9) for t in silent(500)]
    hit = [replace(t, draw=0.05) for t in audited(50)]
    late = [replace(t, task_id=f"l{t.task_id}", q_uniform=0.3, draw=0.9) for t in early]
    more = [
        replace(t, task_id=f"l{t.task_id}", q_uniform=0.3, draw=draw)
        for t, draw in zip(hit, np.linspace(0.02, 0.29, 50), strict=True)
    ]
    found = live(early, hit, late, more, caught(300))
    assert found.q == Q
    assert found.drawn.sum() == 50 + sum(t.draw < Q for t in more)
    assert found.certificate(alpha=0.1, delta=0.1).refusal is None
    blind = live([replace(t, draw=float("nan")) for t in early], hit, late, more)
    made = blind.certificate(alpha=0.1, delta=0.1)
    assert made.refusal is Refusal.UNEQUAL_LABELS
    assert "the draws are not known" in made.reason


def test_tasks_that_could_not_be_drawn_are_not_vouched_for() -> None:
    """A propensity of 0 leaves a task in the dark, so the window is refused."""
    found = live(silent(900), silent(7, q_uniform=0.0), audited(100), caught(300))
    made = found.certificate(alpha=0.1, delta=0.1)
    assert made.refusal is Refusal.UNEQUAL_LABELS
    assert "7 tasks could not be drawn" in made.reason


def test_the_draws_break_ties_by_half_a_miss_at_most() -> None:
    """Low draws narrow the bound, never below that of half a count, never above."""

    def drawn(value: float) -> Live:
        hit = [replace(t, draw=value) for t in audited(100)]
        return live([replace(t, draw=0.9) for t in silent(900)], hit, caught(300))

    plain = at(live(silent(900), audited(100), caught(300)), 0.5)
    assert at(drawn(np.nextafter(Q, 0)), 0.5) == plain
    half = most_missed(np.array([0]), Q, 0.1, tie=0.5)[0]
    assert at(drawn(0.001), 0.5) == pytest.approx(half / (half + 300))
    assert half < most_missed(np.array([0]), Q, 0.1)[0]


# --- tasks to come ------------------------------------------------------------


def test_tasks_to_come_are_bounded_by_one_task_of_each_customer() -> None:
    """A customer who comes back counts once, and the certificate says of whom it speaks."""
    often = [replace(t, group="often") for t in silent(900)]
    found = live(often, audited(100), caught(300), ahead=True)
    assert len(found.outcomes) == 401
    made = found.certificate(alpha=0.1, delta=0.1)
    assert made.method == METHOD_AHEAD
    assert made.threshold is not None
    assert made.threshold <= 0.51
    assert "for tasks to come, if they are like these and independent" in made.reason


# --- properties ---------------------------------------------------------------


def log_of(drawn: float, needed: float, told: float, risks: int, seed: int) -> Outcomes:
    """Return 200 tasks in which everything happens, some of them alike in risk."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(200):
        risk, truth = (
            float(rng.integers(1, risks + 1) / risks),
            bool(rng.random() < needed),
        )
        escalated = risk > 0.6 or bool(rng.random() < 0.05)
        draw = float(rng.random())
        complained = truth and not escalated and bool(rng.random() < told)
        known = escalated or complained or draw < drawn
        label = truth if known and rng.random() < 0.95 else None
        trigger = (LEARNED if risk > 0.6 else "loop") if escalated else ""
        rows.append(
            task(
                i,
                risk=risk,
                escalated=escalated,
                trigger=trigger,
                q_uniform=drawn,
                uniform=draw < drawn,
                draw=draw,
                complained=complained,
                needed=label,
            )
        )
    return Outcomes.of(rows)


LOGS = st.builds(
    log_of,
    st.floats(0.05, 0.9),
    st.floats(0.0, 0.5),
    st.floats(0.0, 0.5),
    st.sampled_from([1, 3, 50]),
    st.integers(0, 10_000),
)
LEVELS = st.floats(0.02, 0.6)


@settings(max_examples=60)
@given(LOGS, LEVELS, LEVELS, LEVELS)
def test_less_is_asked_for_more_is_escalated(
    log: Outcomes, one: float, other: float, delta: float
) -> None:
    """A smaller alpha, or a smaller delta, never raises the threshold."""
    low, high = sorted((one, other))
    found = Live.of(log)
    strict, mild = (found.certificate(alpha=a, delta=delta) for a in (low, high))
    assert (strict.threshold or 0.0) <= (mild.threshold or 1.0)
    sure, unsure = (found.certificate(alpha=delta, delta=d) for d in (low, high))
    assert (sure.threshold or 0.0) <= (unsure.threshold or 1.0)


@settings(max_examples=60)
@given(LOGS, LEVELS)
def test_the_bound_rises_with_the_threshold_and_is_no_estimate(
    log: Outcomes, delta: float
) -> None:
    """It never falls, and lies nowhere below the misses that are known."""
    found = Live.of(log)
    curve = found.curve(delta)
    assert (np.diff(curve.bound) >= -1e-12).all()
    for threshold, bound in zip(curve.threshold, curve.bound, strict=True):
        passed = ~log.escalated | (log.trigger == LEARNED)
        known = (log.needed == 1) & passed & (log.risk < threshold)
        total = (log.needed == 1).sum()
        assert bound >= known.sum() / max(total, 1) - 1e-12


@settings(max_examples=40)
@given(LOGS, LEVELS)
def test_without_audits_nothing_is_certified(log: Outcomes, alpha: float) -> None:
    """Whatever else is known."""
    bare = replace(log, uniform=np.zeros(len(log), dtype=bool))
    made = Live.of(bare).certificate(alpha=alpha, delta=0.1)
    assert made.threshold is None
    assert made.refusal is not None


@settings(max_examples=60)
@given(LOGS, LEVELS)
def test_one_more_miss_never_helps(log: Outcomes, alpha: float) -> None:
    """If an audit that was fine had found a miss, no threshold would be higher."""
    fine = np.flatnonzero(Live.of(log).drawn & (log.needed == 0))
    if not len(fine):
        return
    worse = log.needed.copy()
    worse[fine[0]] = 1.0
    before = Live.of(log).certificate(alpha=alpha, delta=0.1)
    after = Live.of(replace(log, needed=worse)).certificate(alpha=alpha, delta=0.1)
    if log.risk[fine[0]] < (before.threshold or 0):
        assert (after.threshold or 0) <= (before.threshold or 0)
