from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from features.batch import events_table, log_events
from features.events import EventKind
from features.signals import schema_lines
from training.certify import METHOD, certify
from training.dataset import Snapshots, TooFewLabelsError, later_groups, snapshots
from training.evidence import evidence_for
from training.labels import Evidence, Label, labels_of
from training.model import Recipe
from training.search import search
from training.simulate import World
from training.train import (
    LADDER,
    LEAST_OF_EACH,
    LEAST_TASKS,
    Order,
    Trained,
    card,
    evaluate_bundle,
    fit_bundle,
    require_enough,
    set_aside,
    summary,
    train,
)

MakeRows = Callable[..., Snapshots]


# --- too few labels ----------------------------------------------------------


def tasks(make: MakeRows, *, needed: int, not_needed: int, customers: int) -> Snapshots:
    """Return so many tasks of a step each."""
    n = needed + not_needed
    return make(
        n,
        y=np.repeat([1.0, 0.0], [needed, not_needed]),
        groups=np.array([f"g{i % customers}" for i in range(n)]),
    )


def verdicts(data: Snapshots, *, by_complaint: int = 0) -> dict[str, Label]:
    """Return a label for each task of a step, the first of them by complaint."""
    return {
        str(task): Label(
            task_id=str(task),
            needed=bool(needed),
            evidence=Evidence.COMPLAINT if i < by_complaint else Evidence.VERDICT,
            source="human",
            propensity=1.0,
            matured_at=datetime(2026, 1, 31, tzinfo=UTC),
        )
        for i, (task, needed) in enumerate(zip(data.task_ids, data.y, strict=True))
    }


@pytest.mark.parametrize(
    ("needed", "not_needed", "customers", "says"),
    [
        (20, 39, 50, ["have 59 of 60 labelled tasks, 1 more are needed"]),
        (14, 80, 50, ["have 14 of 15 tasks that needed a human, 1 more are needed"]),
        (80, 5, 50, ["have 5 of 15 tasks that did not, 10 more are needed"]),
        (40, 40, 3, ["have 3 of 10 customers, 7 more are needed"]),
        (2, 8, 4, ["have 10 of 60", "have 2 of 15", "have 8 of 15", "have 4 of 10"]),
    ],
)
def test_each_shortage_is_told_with_numbers(
    rows: MakeRows, needed: int, not_needed: int, customers: int, says: list[str]
) -> None:
    """Too few labels are refused, saying of each kind how many there are and lack."""
    data = tasks(rows, needed=needed, not_needed=not_needed, customers=customers)
    with pytest.raises(TooFewLabelsError, match="too few labels to train on") as caught:
        require_enough(data, verdicts(data))
    message = str(caught.value)
    assert all(part in message for part in says)
    assert message.count("have ") == len(says)


def test_just_enough_is_enough(rows: MakeRows) -> None:
    """The least numbers that a refusal asks for are not refused."""
    rest = LEAST_TASKS - LEAST_OF_EACH
    for needed in (LEAST_OF_EACH, rest):
        not_needed = LEAST_TASKS - needed
        data = tasks(rows, needed=needed, not_needed=not_needed, customers=10)
        require_enough(data, verdicts(data))


def test_labels_by_complaint_do_not_count(rows: MakeRows) -> None:
    """What was labelled for how it went is told apart, and does not make up numbers."""
    data = tasks(rows, needed=30, not_needed=40, customers=20)
    require_enough(data, verdicts(data, by_complaint=10))
    with pytest.raises(TooFewLabelsError) as caught:
        require_enough(data, verdicts(data, by_complaint=16))
    message = str(caught.value)
    assert "have 54 of 60 labelled tasks" in message
    assert "have 14 of 15 tasks that needed a human" in message
    assert "16 tasks labelled by a handover or a complaint" in message


def test_what_was_labelled_for_how_it_went_is_only_learned_from() -> None:
    """Complaints alone teach where their customer is kept, and else are left out."""
    log = events_table(
        World(seed=6, customers=200, complaint_share=0.9).log(400, labelled=0.5)
    )
    labels = labels_of(log)
    data = snapshots(log, labels)
    kept, aside = set_aside(data, labels)
    selected = {task for task, label in labels.items() if label.is_selected}
    assert selected & set(kept.task_ids.tolist())
    assert not selected & set(aside.task_ids.tolist())
    assert not set(kept.groups.tolist()) & set(aside.groups.tolist())
    # Nothing else is lost: every other task is on one side.
    lost = set(data.task_ids.tolist()) - {
        *kept.task_ids.tolist(),
        *aside.task_ids.tolist(),
    }
    assert lost < selected
    assert all(data.groups[data.task_ids == task][0] in aside.groups for task in lost)


@pytest.mark.parametrize("labelled", [0.0, 0.03])
def test_a_log_with_few_labels_is_refused(order: Order, labelled: float) -> None:
    """A log with no label, or a handful, is refused before anything is grown."""
    world = World(seed=1, complaint_share=0.0)
    with pytest.raises(TooFewLabelsError, match="label"):
        train(events_table(world.log(200, labelled=labelled)), order)


# --- a whole training --------------------------------------------------------


def test_the_model_beats_what_it_must(trained: Trained) -> None:
    """At the end of a task it ranks better than confidence, rules and base rates."""
    report = trained.report.to_json()
    model = report["end_of_task"]["auroc"]
    for name in ("confidence_only", "rules_only", "base_rate_table"):
        baseline = report["baselines"][name]["end_of_task"]["auroc"]
        assert model["value"] > baseline["value"] + 0.05
        assert model["low"] > baseline["value"]
    assert model["value"] > 0.8


def test_the_certificate_holds_on_fresh_tasks(trained: Trained, order: Order) -> None:
    """Of 5,000 tasks nobody has seen, no more needed ones are missed than promised."""
    fresh = events_table(World(seed=99).log(5000))
    data = snapshots(fresh, labels_of(fresh))
    certificate = trained.bundle.certificate
    assert certificate.threshold is not None
    assert (certificate.alpha, certificate.delta) == (order.alpha, order.delta)
    highest = data.running_maximum(trained.bundle.risks(data.x))
    needed = data.y[data.starts] > 0
    missed = highest[needed] < certificate.threshold
    allowed = certificate.alpha
    slack = 3 * np.sqrt(allowed * (1 - allowed) / needed.sum())
    assert missed.mean() <= allowed + slack
    # Not by escalating everything, and for about the price it names.
    rate = (highest >= certificate.threshold).mean()
    assert certificate.escalation_rate is not None
    assert rate < 0.95
    assert rate == pytest.approx(certificate.escalation_rate, abs=0.08)


def test_risks_on_fresh_tasks_mean_what_they_say(trained: Trained) -> None:
    """On tasks nobody has seen, mean risk and mean truth agree at the task's end."""
    world = World(seed=98)
    data, truth = [], []
    for task in world.tasks(800):
        data.append(task.events)
        truth.append(task.truth[-1])
    table = events_table([e for events in data for e in events])
    labels = labels_of(events_table(world.log(800)))
    found = snapshots(table, labels)
    risk = trained.bundle.risks(found.x[found.is_last])
    assert risk.mean() == pytest.approx(np.mean(truth), abs=0.05)
    assert np.corrcoef(risk, truth)[0, 1] > 0.6


def test_what_a_training_says_of_itself(
    trained: Trained, log: pa.Table, simulated: Snapshots
) -> None:
    """Counts, window, label sources and fingerprint are those of the log."""
    assert trained.n_tasks == simulated.n_tasks
    assert trained.n_unlabelled == 0
    assert trained.label_sources == {"verdict, simulation": simulated.n_tasks}
    assert trained.fingerprint == simulated.fingerprint()
    days = [at.date() for at in log["at"].to_pylist()]
    assert trained.window[0] == min(days)
    assert trained.window[0] <= trained.window[1] <= max(days)
    assert trained.explained.shape == (500, len(schema_lines()))


def test_a_bundle_says_what_it_was_made_of(
    trained: Trained, simulated: Snapshots, quick: Recipe
) -> None:
    """The facts name version, data and libraries, and only the kept tasks' data."""
    kept = simulated.where(~later_groups(simulated, 0.4))
    facts = trained.bundle.facts
    assert facts["n_tasks"] == kept.n_tasks
    assert facts["n_needed"] == kept.n_needed
    assert facts["fingerprint"] == kept.fingerprint()
    assert trained.bundle.version.endswith(kept.fingerprint()[:8])
    assert {"lightgbm", "numpy", "scipy", "escalon"} <= facts["libraries"].keys()
    assert trained.bundle.signals == tuple(schema_lines())
    assert facts["twin_share"] == trained.bundle.scorer.share
    assert facts["recipe"]["rounds"] == quick.rounds
    assert facts["recipe"]["random_cuts"] in (True, False)


def test_certificate_and_report_are_made_on_what_was_set_aside(
    trained: Trained, simulated: Snapshots, order: Order
) -> None:
    """Made again on the tasks set aside, certificate and report are the same."""
    aside = simulated.where(later_groups(simulated, 0.4))
    evidence = evidence_for(trained.bundle, aside)
    certificate = certify(evidence, alpha=order.alpha, delta=order.delta)
    assert certificate == trained.bundle.certificate
    assert certificate.n_tasks == aside.n_tasks
    needed = aside.groups[aside.starts][aside.y[aside.starts] > 0]
    assert certificate.n_needed == len(np.unique(needed))
    report = trained.report.to_json()
    assert report["n_tasks"] == aside.n_tasks
    assert report["threshold"] == certificate.threshold
    again = evaluate_bundle(
        trained.bundle, aside, rules=order.rules, costs=order.costs, replicates=20
    ).to_json()
    assert again["miss_rate"]["value"] == report["miss_rate"]["value"]
    assert (
        again["end_of_task"]["auroc"]["value"]
        == report["end_of_task"]["auroc"]["value"]
    )


def test_other_bounds_are_priced_beside_the_one_asked_for(trained: Trained) -> None:
    """Stricter bounds escalate more, looser ones less; each is dearer than if alone."""
    assert tuple(other.alpha for other in trained.others) == LADDER
    rates = [other.escalation_rate for other in trained.others]
    known = [rate for rate in rates if rate is not None]
    assert len(known) >= 3
    assert known == sorted(known, reverse=True)
    mine = trained.bundle.certificate
    assert mine in [rung.alone for rung in trained.frontier.rungs]
    same = next(other for other in trained.others if other.alpha == mine.alpha)
    assert same.delta < mine.delta
    assert (same.threshold or 0.0) <= (mine.threshold or 0.0)


def test_progress_is_told_in_order(trained: Trained, told: list[str]) -> None:
    """Each step of the training is announced, in words."""
    assert trained.n_tasks == 1500
    steps = [
        "reading labels",
        "choosing how to grow",
        *(f"grew boosters {i} of 5" for i in range(1, 6)),
        "choosing a calibrator",
        "growing the boosters",
        "certifying on",
        "evaluating",
    ]
    places = [
        next(i for i, line in enumerate(told) if line.startswith(step))
        for step in steps
    ]
    assert places == sorted(places)


# --- what was set aside is unseen --------------------------------------------


@pytest.fixture(scope="module")
def small(quick: Recipe, order: Order) -> Order:
    """Return an order for a few hundred tasks, with a bound they cannot reach."""
    recipe = replace(quick, rounds=15)
    return replace(order, alpha=0.05, recipe=recipe, progress=lambda _: None)


@pytest.fixture(scope="module")
def few() -> pa.Table:
    """Return the log of 300 tasks, each with a verdict and nothing else."""
    world = World(seed=5, customers=150, complaint_share=0.0)
    return events_table(world.log(300))


@pytest.fixture(scope="module")
def parts(few: pa.Table) -> tuple[Snapshots, Snapshots]:
    """Return the rows that training keeps, and those it sets aside."""
    data = snapshots(few, labels_of(few))
    late = later_groups(data, 0.4)
    return data.where(~late), data.where(late)


@pytest.fixture(scope="module")
def first(few: pa.Table, small: Order) -> Trained:
    """Return a training on the few tasks."""
    return train(few, small)


def with_ends(log: pa.Table, needed: Callable[[str, str], str]) -> pa.Table:
    """Return `log` with verdicts as `needed` tells from task and verdict."""
    return events_table(
        replace(e, body={**e.body, "needed": needed(e.task_id, e.body["needed"])})
        if e.kind == EventKind.VERDICT
        else e
        for e in log_events(log)
    )


def turned(log: pa.Table, tasks: NDArray[np.str_]) -> pa.Table:
    """Return `log` with the verdicts of some tasks turned round."""
    names, other = set(tasks.tolist()), {"yes": "no", "no": "yes"}
    return with_ends(log, lambda task, said: other[said] if task in names else said)


def test_nothing_set_aside_reaches_booster_or_calibrator(
    few: pa.Table,
    small: Order,
    first: Trained,
    parts: tuple[Snapshots, Snapshots],
) -> None:
    """Turning every label set aside round changes neither, though it does the report."""
    other = train(turned(few, parts[1].task_ids), small)
    assert other.bundle.scorer == first.bundle.scorer
    assert other.bundle.floor == first.bundle.floor
    assert other.bundle.sureness == first.bundle.sureness
    assert other.bundle.calibrator == first.bundle.calibrator
    assert other.bundle.facts["fingerprint"] == first.bundle.facts["fingerprint"]
    assert other.report.to_json()["base_rate"] != first.report.to_json()["base_rate"]


def test_the_bundle_is_grown_on_what_was_kept_and_the_same_each_time(
    small: Order, first: Trained, parts: tuple[Snapshots, Snapshots]
) -> None:
    """Fitted again on the kept tasks alone, booster and calibrator are the same."""
    kept, aside = parts
    assert not set(kept.groups.tolist()) & set(aside.groups.tolist())
    again = fit_bundle(kept, None, small)
    assert again.scorer == first.bundle.scorer
    assert again.floor == first.bundle.floor
    assert again.sureness == first.bundle.sureness
    assert again.calibrator == first.bundle.calibrator
    # And carries no certificate, since nothing was set aside for one.
    assert again.certificate.threshold is None
    assert again.certificate.method == METHOD
    assert (again.certificate.alpha, again.certificate.delta) == (0.05, small.delta)
    assert "no tasks were set aside" in again.certificate.reason


def test_a_recipe_can_be_searched_for(
    small: Order, parts: tuple[Snapshots, Snapshots]
) -> None:
    """With trials the bundle is made by the best recipe that the search found."""
    told: list[str] = []
    searched = replace(small, trials=2, progress=told.append)
    found = fit_bundle(parts[0], None, searched)
    assert [line for line in told if line.startswith("tried recipe")] == told[:2]
    kept = parts[0].thinned(small.recipe.rows_for(parts[0].n_tasks))
    best = search(kept, small.recipe, trials=2, progress=lambda _: None)
    assert found.facts["recipe"] == asdict(best)


def test_what_the_agent_says_is_bounded_in_what_is_trained(first: Trained) -> None:
    """A training on tasks whose agents speak has a floor with the same weights."""
    bundle = first.bundle
    assert bundle.floor is not None
    assert bundle.floor.share == bundle.scorer.share


def test_what_was_kept_does_reach_the_booster(
    few: pa.Table,
    small: Order,
    first: Trained,
    parts: tuple[Snapshots, Snapshots],
) -> None:
    """Turning the label of one customer who was kept changes the booster."""
    kept, _ = parts
    theirs = kept.task_ids[kept.groups == kept.groups[0]]
    other = turned(few, theirs)
    data = snapshots(other, labels_of(other))
    again = fit_bundle(data.where(np.isin(data.groups, kept.groups)), None, small)
    assert again.scorer.booster_text != first.bundle.scorer.booster_text


def test_a_bound_out_of_reach_is_refused_not_faked(first: Trained) -> None:
    """Where too few needed tasks are set aside, training ends with a refusal."""
    certificate = first.bundle.certificate
    assert certificate.threshold is None
    assert "of 45 independent tasks that needed a human" in certificate.reason
    assert first.report.to_json()["threshold"] is None


def test_one_large_customer_can_be_learned_from(few: pa.Table, small: Order) -> None:
    """With most tasks of one customer, enough customers are kept and some set aside."""
    log = events_table(
        replace(e, body={**e.body, "group": "large"})
        if e.kind == EventKind.TASK_STARTED and int(e.task_id[-2:]) < 75
        else e
        for e in log_events(few)
    )
    found = train(log, small)
    assert 225 < found.bundle.facts["n_tasks"] < found.n_tasks
    assert 0 < found.bundle.certificate.n_tasks < 75


@pytest.mark.parametrize("early", ["yes", "no"])
def test_one_outcome_alone_teaches_nothing(
    few: pa.Table, small: Order, parts: tuple[Snapshots, Snapshots], early: str
) -> None:
    """Where all tasks kept ended the same way, training is refused and says so."""
    kept, late = (set(part.task_ids.tolist()) for part in parts)
    assert kept
    other = {"yes": "no", "no": "yes"}[early]
    log = with_ends(few, lambda task, _: other if task in late else early)
    with pytest.raises(TooFewLabelsError, match="some that did and some that did not"):
        train(log, small)


# --- what people read --------------------------------------------------------


def test_the_summary_is_figures_of_the_report(trained: Trained) -> None:
    """The summary names the report's main figures, with their intervals."""
    told, report = summary(trained), trained.report.to_json()
    for scope in ("every_step", "end_of_task"):
        for name in ("auroc", "log_loss", "brier", "ece_debiased"):
            assert told[f"{scope}.{name}"] == report[scope][name]
    for name in ("base_rate", "escalation_rate", "miss_rate", "precision"):
        assert told[name] == report[name]
    assert told["n_tasks"] == trained.n_tasks


def test_the_card_is_written(trained: Trained, tmp_path: Path) -> None:
    """The card's page names the model, its digest and its certificate."""
    page = card(trained, name="escalon", version="7", directory=tmp_path / "card")
    text = page.read_text()
    assert page.suffix == ".html"
    assert trained.bundle.digest[:12] in text
    assert f"{trained.n_tasks:,}" in text or str(trained.n_tasks) in text
