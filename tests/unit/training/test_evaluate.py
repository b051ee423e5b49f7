from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import beta
from sklearn.metrics import precision_recall_curve, roc_auc_score

from features.signals import NAMES
from training.costs import Costs
from training.evaluate import evaluate
from training.evaluate.baselines import (
    Baseline,
    base_rates,
    last_confidence,
    standard_baselines,
)
from training.evaluate.decisions import Alarms, decisions, rates, weighted_median
from training.evaluate.intervals import Resampling
from training.evaluate.report import Report
from training.evaluate.rows import EvaluationError, Rows

SCORES = ("auroc", "auprc", "brier", "log_loss", "ece_debiased", "smece")
DECISIONS = (
    "escalation_rate",
    "miss_rate",
    "precision",
    "appropriateness",
    "lead_steps_median",
    "share_of_task_at_alarm_median",
)


@dataclass(frozen=True, kw_only=True)
class Snap:
    """Labelled rows in the form of training.dataset.Snapshots."""

    task_ids: NDArray[Any]
    groups: NDArray[Any]
    domain: NDArray[Any]
    agent_version: NDArray[Any]
    tier: NDArray[Any]
    position: NDArray[Any]
    y: NDArray[Any]
    weight: NDArray[Any]

    def shuffled(self, order: NDArray[Any]) -> Snap:
        """Return the rows in another order."""
        return Snap(**{f.name: getattr(self, f.name)[order] for f in fields(self)})


def tasks_of(lengths: list[int], needed: list[int], **columns: list[Any]) -> Snap:
    """Return tasks of given lengths and labels; other columns are given per task."""
    n = np.array(lengths)
    task = np.repeat(np.arange(len(n)), n)
    name = np.char.add("t", np.arange(len(n)).astype(str))
    propensity = np.array(columns.get("propensity", [1.0] * len(n)))
    return Snap(
        task_ids=name[task],
        groups=np.array(columns.get("groups", name))[task],
        domain=np.array(columns.get("domain", ["retail"] * len(n)))[task],
        agent_version=np.array(columns.get("agent_version", ["v1"] * len(n)))[task],
        tier=np.array(columns.get("tier", ["?"] * len(n)))[task],
        position=np.concatenate([np.arange(k) for k in lengths]),
        y=np.array(needed)[task],
        weight=(1 / n / propensity)[task],
    )


def world(n_tasks: int = 300, seed: int = 0) -> tuple[Snap, NDArray[np.float64]]:
    """Return tasks whose risk sharpens as they go, and that risk."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 20, n_tasks)
    latent = rng.normal(size=n_tasks)
    snap = tasks_of(
        lengths.tolist(),
        (rng.random(n_tasks) < 1 / (1 + np.exp(1 - 2 * latent))).astype(int).tolist(),
        groups=[f"c{k}" for k in rng.integers(0, n_tasks // 2, n_tasks)],
        domain=rng.choice(
            ["retail", "telecom", "rare"], n_tasks, p=[0.6, 0.36, 0.04]
        ).tolist(),
        agent_version=rng.choice(["v1", "v2"], n_tasks).tolist(),
    )
    task = np.repeat(np.arange(n_tasks), lengths)
    done = (snap.position + 1) / lengths[task]
    return snap, 1 / (1 + np.exp(1 - 2 * done * latent[task]))


def rules_for(snap: Snap, risk: NDArray[np.float64]) -> dict[str, Baseline]:
    """Return the standard baselines, with a rule that fires at odd places."""
    fires = (snap.position % 7 == 5).astype(int)
    confidence = np.where(snap.position % 3 == 0, np.nan, 1 - risk / 2)
    return standard_baselines(snap, risk, 0.4, rules=fires, confidence=confidence)


@pytest.fixture(scope="module")
def report() -> Report:
    """Return the report on the world, at threshold 0.4."""
    snap, risk = world()
    tier = np.where(snap.y > 0, "gold", "basic")
    return evaluate(
        snap,
        risk,
        0.4,
        baselines=rules_for(snap, risk),
        by={"tier": tier},
        replicates=80,
    )


def test_report_has_every_figure_with_its_interval(report: Report) -> None:
    """The JSON has the keys that others rely on, each with value, low and high."""
    found = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert found["n_tasks"] == 300
    assert 0 < found["base_rate"] < 1
    rules = {"always", "never", "rules_only", "confidence_only", "base_rate_table"}
    assert set(found["baselines"]) == rules
    for judged in (found, *found["baselines"].values()):
        for scope in ("every_step", "end_of_task"):
            for name in SCORES:
                assert set(judged[scope][name]) == {"value", "low", "high"}
        assert set(DECISIONS) <= set(judged)
    for name in DECISIONS:
        assert found[name]["low"] <= found[name]["value"] <= found[name]["high"]
    assert set(found["by_group"]) == {"domain", "agent_version", "tier"}
    assert set(found["at_steps"]) == {"4", "8", "12", "16"}


def test_scores_are_those_of_rows_and_of_last_rows(report: Report) -> None:
    """Every step weighs 1 / steps of its task; at the end only last rows count."""
    snap, risk = world()
    last = np.append(snap.task_ids[1:] != snap.task_ids[:-1], True)
    every = roc_auc_score(snap.y, risk, sample_weight=snap.weight)
    assert report.every_step.auroc.value == pytest.approx(every)
    assert report.end_of_task.auroc.value == pytest.approx(
        roc_auc_score(snap.y[last], risk[last])
    )
    assert report.base_rate == pytest.approx(snap.y[last].mean())


def test_the_order_of_rows_does_not_matter(report: Report) -> None:
    """Shuffled rows give the same report."""
    snap, risk = world()
    order = np.random.default_rng(1).permutation(len(risk))
    mixed = snap.shuffled(order)
    baselines = rules_for(mixed, risk[order])
    tier = np.where(mixed.y > 0, "gold", "basic")
    again = evaluate(
        mixed, risk[order], 0.4, baselines=baselines, by={"tier": tier}, replicates=80
    )
    assert again.decisions == report.decisions
    mixed_json, json_ = again.to_json(), report.to_json()
    assert mixed_json["by_group"] == json_["by_group"]
    one, two = mixed_json["baselines"], json_["baselines"]
    assert one["rules_only"]["end_of_task"]["auroc"]["value"] == pytest.approx(
        two["rules_only"]["end_of_task"]["auroc"]["value"]
    )


def test_a_seed_fixes_the_intervals() -> None:
    """The same seed gives the same report, another seed other intervals."""
    snap, risk = world(60)
    one, same, other = (
        evaluate(snap, risk, 0.4, baselines={}, replicates=40, seed=seed).to_json()
        for seed in (3, 3, 4)
    )
    assert one == same
    assert one["miss_rate"]["value"] == other["miss_rate"]["value"]
    assert one["end_of_task"]["brier"] != other["end_of_task"]["brier"]


def test_decisions_by_hand() -> None:
    """Four tasks, one caught early, one missed, one false alarm, one left alone."""
    snap = tasks_of([4, 2, 3, 1], [1, 1, 0, 0])
    risk = np.array([0.1, 0.6, 0.2, 0.2, 0.1, 0.3, 0.1, 0.1, 0.5, 0.2])
    costs = Costs(review=5, miss=40, fixable=0.75)
    found = evaluate(
        snap, risk, 0.5, baselines={}, costs=costs, replicates=20
    ).to_json()
    assert found["escalation_rate"]["value"] == 0.5
    assert found["miss_rate"]["value"] == 0.5
    assert found["precision"] == found["appropriateness"]
    assert found["precision"]["value"] == 0.5
    assert found["false_alarm_rate"]["value"] == 0.5
    assert found["lead_steps_median"]["value"] == 2
    assert found["share_of_task_at_alarm_median"]["value"] == 0.5
    # two reviews, one miss, and the quarter of the caught one that is lost all the same
    assert found["cost_per_task"]["value"] == pytest.approx(
        (2 * 5 + 40 + 0.25 * 40) / 4
    )


def test_a_threshold_is_reached_at_equality() -> None:
    """A risk equal to the threshold escalates."""
    snap = tasks_of([1, 1], [1, 0])
    found = evaluate(snap, np.array([0.5, 0.49]), 0.5, baselines={}, replicates=5)
    assert found.decisions.escalation_rate.value == 0.5
    assert found.decisions.miss_rate.value == 0.0


def test_a_rarely_labelled_task_stands_for_many() -> None:
    """A task drawn with propensity 1/4 weighs as four."""
    snap = tasks_of([2, 5, 1], [1, 0, 1], propensity=[0.25, 1.0, 1.0])
    risk = np.array([0.9, 0.9, *[0.1] * 5, 0.1])
    found = evaluate(snap, risk, 0.5, baselines={}, replicates=5)
    assert found.decisions.escalation_rate.value == pytest.approx(4 / 6)
    assert found.decisions.miss_rate.value == pytest.approx(1 / 5)
    assert found.base_rate == pytest.approx(5 / 6)
    assert any("unequal propensities" in note for note in found.notes)


def test_without_a_threshold_decisions_are_null() -> None:
    """A refused certificate leaves the scores, and null for what needs a threshold."""
    snap, risk = world(60)
    found = evaluate(snap, risk, None, baselines=rules_for(snap, risk), replicates=20)
    shown = found.to_json()
    assert [shown[name] for name in DECISIONS] == [None] * len(DECISIONS)
    assert shown["end_of_task"]["auroc"]["value"] > 0.5
    assert shown["baselines"]["always"]["escalation_rate"]["value"] == 1
    assert any("refused" in note for note in shown["notes"])


def test_always_and_never_are_certain(report: Report) -> None:
    """The trivial rules escalate all and none, without a margin; precision has one."""
    always, never = (report.baselines[name].decisions for name in ("always", "never"))
    assert (always.escalation_rate.low, always.escalation_rate.high) == (1, 1)
    assert (always.miss_rate.value, never.miss_rate.value) == (0, 1)
    assert always.precision.value == pytest.approx(report.base_rate)
    assert always.precision.low < always.precision.high
    assert math.isnan(never.precision.value)
    assert report.baselines["always"].end_of_task.auroc.value == 0.5


def test_a_rule_that_happened_to_miss_nothing_is_not_certain() -> None:
    """No miss among 20 needed tasks leaves an upper bound above zero."""
    snap = tasks_of([1] * 40, [1, 0] * 20)
    found = evaluate(snap, np.full(40, 0.9), 0.5, baselines={}, replicates=20)
    assert found.decisions.miss_rate.value == 0
    assert found.decisions.miss_rate.high == pytest.approx(1 - 0.025 ** (1 / 20))


def test_rules_that_rank_get_the_models_workload(report: Report) -> None:
    """A confidence that ranks like the model gets exactly its escalation rate."""
    model = report.decisions.escalation_rate.value
    snap, risk = world()
    by_confidence = standard_baselines(
        snap, risk, 0.4, rules=np.zeros(len(risk)), confidence=1 - risk
    )["confidence_only"]
    rows = Rows.of(snap)
    alarms = Alarms.of(rows, by_confidence.alarm[rows.order])
    assert alarms.escalated.mean() == pytest.approx(model)
    assert "nearest the model's" in by_confidence.says


def test_unknown_confidence_is_the_base_rate() -> None:
    """Where the agent has said nothing, the forecast is the base rate."""
    snap, risk = world(60)
    confidence = np.where(snap.position == 0, np.nan, 0.25)
    found = standard_baselines(
        snap, risk, None, rules=np.zeros(len(risk)), confidence=confidence
    )["confidence_only"]
    base = np.average(snap.y, weights=snap.weight)
    np.testing.assert_allclose(found.risk[snap.position == 0], base)
    np.testing.assert_allclose(found.risk[snap.position > 0], 0.75)


def test_last_confidence_is_a_self_reported_signal() -> None:
    """The confidence column is read by its name in the catalogue."""
    signals = np.arange(2.0 * len(NAMES)).reshape(2, -1)
    column = NAMES.index("confidence_last")
    assert last_confidence(signals).tolist() == signals[:, column].tolist()


def test_a_rule_counts_from_where_it_fired() -> None:
    """The rules' forecast changes at the step a rule fires, and stays changed."""
    snap = tasks_of([3] * 40, [1] * 20 + [0] * 20)
    fires = ((snap.y == 1) & (snap.position == 1)).astype(int)
    found = standard_baselines(
        snap,
        np.full(120, 0.5),
        0.5,
        rules=fires,
        confidence=np.full(120, np.nan),
    )["rules_only"]
    first = found.risk.reshape(40, 3)
    assert (first[:20, 1] > first[:20, 0]).all()
    np.testing.assert_array_equal(first[:20, 1], first[:20, 2])
    np.testing.assert_array_equal(found.alarm, fires == 1)


def test_a_base_rate_is_a_shrunk_share_of_tasks() -> None:
    """A cell's rate is its share of needed tasks, with ten average tasks added."""
    snap = tasks_of([1, 4, 2, 1], [1, 1, 0, 0], domain=["a", "a", "a", "b"])
    rate = base_rates(snap, snap.domain.astype(np.str_))
    np.testing.assert_allclose(rate[snap.domain == "a"], (2 + 10 * 0.5) / 13)
    np.testing.assert_allclose(rate[snap.domain == "b"], (0 + 10 * 0.5) / 11)


def test_the_table_ranks_nothing_inside_its_cells(report: Report) -> None:
    """Tasks of one agent version and domain have one rate at every step."""
    snap, risk = world()
    table = rules_for(snap, risk)["base_rate_table"].risk
    assert len(np.unique(table)) == 6
    found = evaluate(snap, table, 0.4, baselines={}, replicates=10)
    assert found.within_strata["every_step"].value == 0.5
    assert report.baselines["base_rate_table"].end_of_task.auroc.value > 0.5


def test_difference_to_a_baseline_is_paired(report: Report) -> None:
    """The model minus a baseline is their difference, zero against itself."""
    gap = report.baselines["rules_only"].model_minus_baseline["end_of_task"]
    rules = report.baselines["rules_only"].end_of_task
    assert gap.auroc.value == pytest.approx(
        report.end_of_task.auroc.value - rules.auroc.value
    )
    snap, risk = world(60)
    itself = Baseline(risk=risk, alarm=risk >= 0.4, says="itself")
    same = evaluate(snap, risk, 0.4, baselines={"itself": itself}, replicates=20)
    none = same.baselines["itself"].model_minus_baseline["every_step"].log_loss
    assert (none.value, none.low, none.high) == (0, 0, 0)


def test_slices_are_the_metric_on_the_slice(report: Report) -> None:
    """A slice's AUROC and base rate are those of its tasks alone."""
    snap, risk = world()
    last = np.append(snap.task_ids[1:] != snap.task_ids[:-1], True)
    here = last & (snap.domain == "telecom")
    found = report.by_group["domain"]["telecom"]
    assert found.n == here.sum()
    assert found.auroc is not None
    assert found.auroc.value == pytest.approx(roc_auc_score(snap.y[here], risk[here]))
    assert found.calibration_gap is not None
    assert found.calibration_gap.value == pytest.approx((risk - snap.y)[here].mean())
    assert next(iter(report.by_group["domain"])) == "retail"


def test_account_tiers_are_sliced_where_any_is_known() -> None:
    """One known tier makes a grouping; without any there is none."""
    snap = tasks_of([1] * 4, [1, 0, 1, 0], tier=["gold", "?", "?", "?"])
    risk = np.full(4, 0.5)
    with_tier = evaluate(snap, risk, 0.4, baselines={}, replicates=5).by_group
    assert set(with_tier["account_tier"]) == {"gold", "?"}
    unknown = replace(snap, tier=np.full(4, "?"))
    without = evaluate(unknown, risk, 0.4, baselines={}, replicates=5).by_group
    assert set(without) == {"domain", "agent_version"}


def test_a_small_slice_is_suppressed_and_says_so(report: Report) -> None:
    """Fewer than 30 tasks give n and a reason, and no figure."""
    shown = report.to_json()["by_group"]["domain"]["rare"]
    assert shown["suppressed"] is True
    assert shown["why"] == "fewer than 30 tasks"
    assert set(shown) == {"n", "suppressed", "why"}
    assert any("1 of 3 values of domain" in note for note in report.notes)


def test_a_slice_of_one_class_has_no_auroc(report: Report) -> None:
    """Where every task needed a human, ranking is null and the rest is not."""
    shown = report.to_json()["by_group"]["tier"]["gold"]
    assert shown["auroc"] is None
    assert shown["base_rate"]["value"] == 1
    assert shown["brier"]["value"] > 0


def test_at_a_step_only_tasks_that_long_count() -> None:
    """At step 4 the risk of the fourth row counts, for tasks that have one."""
    snap, risk = world()
    found = evaluate(snap, risk, 0.4, baselines={}, replicates=10).at_steps["4"]
    fourth = snap.position == 3
    assert found.n_tasks == fourth.sum()
    assert found.scores.brier.value == pytest.approx(
        ((risk - snap.y)[fourth] ** 2).mean()
    )
    moved = replace(snap, position=snap.position + 1)
    from_one = evaluate(moved, risk, 0.4, baselines={}, replicates=10).at_steps["4"]
    assert from_one == found


def test_strata_hide_what_the_table_knows() -> None:
    """A risk that is its stratum's base rate ranks nothing inside the stratum."""
    snap, _ = world()
    risk = np.where(snap.domain == "retail", 0.2, 0.6)
    found = evaluate(snap, risk, 0.4, baselines={}, replicates=10)
    assert found.within_strata["end_of_task"].value == 0.5


def test_threshold_points_run_from_all_to_none(report: Report) -> None:
    """The first point escalates every task, the last none; the bound lies above."""
    points = report.curves["thresholds"]
    assert points[0]["escalation_rate"]["value"] == 1
    assert points[-1]["threshold"] is None
    assert points[-1]["escalation_rate"]["value"] == 0
    assert points[-1]["precision"] is None
    here = next(p for p in points if p["threshold"] == 0.4)
    assert here["miss_rate"]["value"] == pytest.approx(report.decisions.miss_rate.value)
    snap, _ = world()
    n = int(snap.y[snap.position == 0].sum())
    k = round(here["miss_rate"]["value"] * n)
    assert here["miss_bound"] == pytest.approx(beta.ppf(0.9, k + 1, n - k))
    assert all(p["miss_bound"] >= p["miss_rate"]["value"] for p in points)


def test_reliability_points_are_bins_of_equal_mass(report: Report) -> None:
    """Predicted risk rises over the points, and observed shares average to the base."""
    points = report.curves["reliability"]["end_of_task"]
    assert 2 <= len(points) <= 10
    assert (np.diff([p["risk"] for p in points]) > 0).all()
    mean = np.mean([p["observed"]["value"] for p in points])
    assert mean == pytest.approx(report.base_rate, abs=0.03)
    mass = report.curves["histogram"]["end_of_task"]
    assert sum(mass["needed"]) + sum(mass["not_needed"]) == pytest.approx(300)


def test_operating_points_lie_on_the_curves_of_scikit_learn() -> None:
    """Each point of precision and recall is one of scikit-learn's."""
    snap, risk = world(60)
    points = evaluate(snap, risk, 0.4, baselines={}, replicates=5).curves[
        "operating_points"
    ]
    precision, recall, _ = precision_recall_curve(
        snap.y, risk, sample_weight=snap.weight
    )
    found = points["every_step"]
    for p, r in zip(found["precision"], found["recall"], strict=True):
        assert np.isclose(precision, p).any()
        assert np.isclose(recall, r).any()
    assert found["recall"][-1] == 1


def test_lead_counts_every_caught_task_once(report: Report) -> None:
    """Both histograms of lead time hold the caught tasks."""
    snap, risk = world()
    peak = {
        t: risk[snap.task_ids == t].max() for t in np.unique(snap.task_ids[snap.y > 0])
    }
    caught = sum(p >= 0.4 for p in peak.values())
    assert sum(report.curves["lead"]["steps"]) == pytest.approx(caught)
    assert sum(report.curves["lead"]["share"]) == pytest.approx(caught)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=30)
)
def test_weighted_median_is_the_median_of_repeated_values(
    pairs: list[tuple[int, int]],
) -> None:
    """A value of weight k counts as k values; without weight there is no median."""
    values, weight = (
        np.array(column, dtype=float) for column in zip(*pairs, strict=True)
    )
    found = float(weighted_median(values, weight))
    repeated = np.repeat(values, weight.astype(int))
    if len(repeated) == 0:
        assert math.isnan(found)
    else:
        assert found == np.median(repeated)


def test_one_and_many_rules_agree() -> None:
    """A matrix of rules gives what each rule gives alone."""
    rng = np.random.default_rng(0)
    needed = rng.integers(0, 2, 30).astype(float)
    escalated = rng.random((30, 4)) < 0.5
    together = rates(np.ones(30), needed, escalated, Costs())
    for j in range(4):
        alone = rates(np.ones(30), needed, escalated[:, [j]], Costs())
        for name, column in together.items():
            assert column[j] == alone[name][0]


def test_decisions_count_what_they_rest_on() -> None:
    """Each estimate knows the number of tasks in its denominator."""
    snap = tasks_of([1] * 5, [1, 1, 1, 0, 0])
    alarms = Alarms.of(Rows.of(snap), np.array([True, False, True, True, False]))
    draws = Resampling.draw(5, replicates=10, seed=0)
    found = decisions(alarms, Costs(), draws)
    assert found.escalation_rate.n == 5
    assert found.miss_rate.n == 3
    assert found.false_alarm_rate.n == 2
    assert found.lead_steps_median.n == 2


def test_cost_rule_is_the_break_even_of_the_cost_curve() -> None:
    """At a risk equal to the rule's threshold, escalating costs what a miss would."""
    costs = Costs(review=6, miss=40, fixable=0.6)
    p = costs.threshold
    escalate = costs.review + p * (1 - costs.fixable) * costs.miss
    assert escalate == pytest.approx(p * costs.miss)


def test_few_customers_and_few_of_a_kind_are_noted() -> None:
    """A thin sample says that its intervals are."""
    snap = tasks_of([1] * 12, [1] + [0] * 11)
    notes = evaluate(
        snap, np.linspace(0, 1, 12), 0.5, baselines={}, replicates=10
    ).notes
    assert any("12 customers only" in note for note in notes)
    assert any("1 of 12 tasks needed" in note for note in notes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y": np.array([], dtype=float)}, "found none"),
        ({"y": np.array([1, 0, 0])}, "1 of 2 tasks with several"),
        ({"y": np.array([2, 2, 0])}, "one label, 0 or 1"),
        ({"weight": np.array([0.5, 0.5, 0.0])}, "weights must be positive"),
    ],
)
def test_rows_that_cannot_be_judged_are_refused(
    change: dict[str, Any], words: str
) -> None:
    """No rows, two labels in a task, other labels and zero weights are refused."""
    snap = replace(tasks_of([2, 1], [1, 0]), **change)
    with pytest.raises(EvaluationError, match=words):
        evaluate(snap, np.full(3, 0.5), 0.5, baselines={})


@pytest.mark.parametrize(
    ("risk", "words"),
    [
        (np.full(2, 0.5), "one entry per row, 3, found 2"),
        (np.array([0.5, 1.5, 0.5]), "found 1.5 and 0 more"),
        (np.array([0.5, np.nan, 0.5]), "found nan and 0 more"),
    ],
)
def test_risks_that_are_no_probabilities_are_refused(
    risk: NDArray[np.float64], words: str
) -> None:
    """A wrong length, a score outside [0, 1] and NaN are refused."""
    with pytest.raises(EvaluationError, match=words):
        evaluate(tasks_of([2, 1], [1, 0]), risk, 0.5, baselines={})
