"""Labelled events in, a certified bundle with its evaluation and its card out."""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.signals import NAMES, schema_lines
from training import calibrate, certify, model
from training.bundle import Certificate, ModelBundle, now
from training.card import write_card
from training.card.facts import CardFacts, signal_shares
from training.dataset import Snapshots, TooFewLabelsError, later_groups, snapshots
from training.evaluate import evaluate
from training.evaluate.baselines import last_confidence, standard_baselines
from training.evaluate.decisions import Costs
from training.evaluate.report import Report
from training.labels import Label, labels_of

Rules = Callable[[Snapshots], NDArray[np.bool_]]
Progress = Callable[[str], None]

LEAST_TASKS = 60
LEAST_OF_EACH = 15
LEAST_CUSTOMERS = 10
LADDER = (0.05, 0.1, 0.2, 0.3, 0.4)  # miss bounds whose cost is shown side by side
_ASIDE = 0.4  # of the tasks: certificate and evaluation need what training wants too
_FOLDS = 5  # of the cross-fit: so many customers must be kept
_EXPLAINED_ROWS = 500
_LIBRARIES = ("lightgbm", "numpy", "scipy", "escalon")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked of a training.

    Attributes
    ----------
    alpha, delta : float in (0, 1)
        Tolerated miss rate, and probability that its certificate is wrong.
    costs : Costs
        Prices of a review and of a miss, for the evaluation.
    recipe : Recipe
        How the booster is grown; carries the seed.
    rules : callable
        Where the policy's hard rules fire, for the rules-only baseline.
    progress : callable
        Told each step in words.
    """

    rules: Rules
    alpha: float = 0.1
    delta: float = 0.1
    costs: Costs = field(default_factory=Costs)
    recipe: model.Recipe = field(default_factory=model.Recipe)
    progress: Progress = lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a training made.

    Attributes
    ----------
    others : tuple of Certificate
        What stricter and looser bounds would cost. Each holds taken alone; the one in
        the bundle was asked for before the data were seen, and is the one that counts.
    """

    bundle: ModelBundle
    report: Report
    fingerprint: str
    n_tasks: int
    n_unlabelled: int
    label_sources: Mapping[str, int]
    window: tuple[date, date]
    explained: NDArray[np.float64]
    others: tuple[Certificate, ...]


def require_enough(data: Snapshots, labels: Mapping[str, Label]) -> None:
    """Raise unless `data` holds enough tasks of both outcomes to learn from.

    Tasks labelled because of how they went do not count: neither report nor
    certificate can be made on them.

    Raises
    ------
    TooFewLabelsError
        Says how many labelled tasks there are and how many more it takes.
    """
    used = [labels[str(t)] for t in data.task_ids[data.starts]]
    fair = [label.needed for label in used if not label.is_selected]
    n, needed = len(fair), sum(fair)
    short = {
        "labelled tasks": (n, LEAST_TASKS),
        "tasks that needed a human": (needed, LEAST_OF_EACH),
        "tasks that did not": (n - needed, LEAST_OF_EACH),
        "customers": (len(np.unique(data.groups)), LEAST_CUSTOMERS),
    }
    lacking = [
        f"have {have} of {least} {what}, {least - have} more are needed"
        for what, (have, least) in short.items()
        if have < least
    ]
    if lacking:
        msg = "too few labels to train on: " + "; ".join(lacking)
        if len(used) > n:
            msg += (
                f" ({len(used) - n} tasks labelled by a handover or a complaint are "
                "learned from, but do not count here)"
            )
        raise TooFewLabelsError(msg)


def _require_both_outcomes(kept: Snapshots) -> None:
    if not 0 < kept.n_needed < kept.n_tasks:
        msg = (
            f"too few labels to train on: {kept.n_needed} of the {kept.n_tasks} tasks "
            "of the customers who came first needed a human; it takes some that did "
            "and some that did not"
        )
        raise TooFewLabelsError(msg)


def fit_bundle(
    data: Snapshots, certificate: Certificate | None, order: Order
) -> ModelBundle:
    """Return booster and out-of-fold calibrator for `data`, with no certificate yet.

    Parameters
    ----------
    certificate : Certificate or None
        One to put in; None puts a refusal in its place that says why.
    """
    scores = model.cross_fit(data, order.recipe, k=_FOLDS, progress=order.progress)
    order.progress("choosing a calibrator on the out-of-fold scores")
    sample = calibrate.Sample(
        score=scores,
        steps=data.x[:, NAMES.index("steps")],
        y=data.y,
        weight=data.weight,
        groups=data.groups,
    )
    calibrator = calibrate.choose(sample, seed=order.recipe.seed)
    order.progress("growing the booster")
    booster = model.fit(data, order.recipe)
    fingerprint = data.fingerprint()
    return ModelBundle(
        booster_text=booster.model_to_string(),
        calibrator=calibrator,
        certificate=certificate or _none_yet(order),
        signals=tuple(schema_lines()),
        facts={
            "version": f"{now()[:10]}-{fingerprint[:8]}",
            "made_at": now(),
            "fingerprint": fingerprint,
            "n_tasks": data.n_tasks,
            "n_needed": data.n_needed,
            "base": float(booster.predict(data.x[:1], pred_contrib=True)[0][-1]),
            "libraries": {n: importlib.metadata.version(n) for n in _LIBRARIES},
        },
    )


def _none_yet(order: Order) -> Certificate:
    return Certificate(
        alpha=order.alpha,
        delta=order.delta,
        n_needed=0,
        n_tasks=0,
        misses_allowed=0,
        method=certify.METHOD,
        threshold=None,
        escalation_rate=None,
        reason="no certificate was made: no tasks were set aside for one",
    )


def evidence_for(bundle: ModelBundle, aside: Snapshots) -> certify.Evidence:
    """Return what a certificate of `bundle` is made from: tasks it has not seen."""
    first = aside.starts
    # Each task weighs 1 / propensity in total.
    weight = np.add.reduceat(aside.weight, first)
    return certify.Evidence(
        highest=aside.running_maximum(bundle.risks(aside.x)),
        needed=aside.y[first] > 0,
        group=aside.groups[first],
        is_even=bool(weight.max() <= weight.min() * (1 + 1e-6)),
    )


def evaluate_bundle(
    bundle: ModelBundle,
    data: Snapshots,
    *,
    rules: Rules,
    costs: Costs,
    replicates: int = 300,
) -> Report:
    """Return what `bundle` is worth on `data`, with the baselines beside it."""
    risk, threshold = bundle.risks(data.x), bundle.certificate.threshold
    return evaluate(
        data,
        risk,
        threshold,
        baselines=standard_baselines(
            data,
            risk,
            threshold,
            rules=rules(data),
            confidence=last_confidence(data.x),
        ),
        by={"account_tier": data.tier},
        costs=costs,
        alpha=bundle.certificate.alpha,
        delta=bundle.certificate.delta,
        replicates=replicates,
    )


def set_aside(
    data: Snapshots, labels: Mapping[str, Label]
) -> tuple[Snapshots, Snapshots]:
    """Return the tasks to learn from, and those for certificate and report.

    No customer is in both. Tasks that were labelled because of how they went (see
    `Label.is_selected`) are only learned from, and left out where their customer is
    set aside.
    """
    selected = np.array(
        [labels[str(t)].is_selected for t in data.task_ids[data.starts]]
    )
    lengths = np.diff(np.append(data.starts, len(data)))
    fair = ~np.repeat(selected, lengths)
    judged = data.where(fair)
    late = np.unique(judged.groups[later_groups(judged, _ASIDE, fewest=_FOLDS)])
    is_late = np.isin(data.groups, late)
    return data.where(~is_late), data.where(is_late & fair)


def train(events: pa.Table, order: Order) -> Trained:
    """Return a bundle trained, certified and evaluated on the labelled tasks.

    The customers who came last, with about two fifths of the tasks, are set aside:
    neither booster nor calibrator sees them. The certificate and the report are made
    on them, and the booster is not grown again afterwards: the certificate speaks of
    the very model that is served.

    Parameters
    ----------
    events : Table
        An events table, see `features.batch`.

    Raises
    ------
    TooFewLabelsError
        If there are too few labelled tasks; says how many more are needed.
    """
    order.progress("reading labels and signals")
    labels = labels_of(events)
    data = snapshots(events, labels)
    require_enough(data, labels)
    kept, aside = set_aside(data, labels)
    _require_both_outcomes(kept)
    bundle = fit_bundle(kept, None, order)
    order.progress(f"certifying on {aside.n_tasks} tasks set aside")
    evidence = evidence_for(bundle, aside)
    certified = [
        certify.certify(evidence, alpha=a, delta=order.delta, seed=order.recipe.seed)
        for a in (order.alpha, *LADDER)
    ]
    bundle = replace(bundle, certificate=certified[0])
    order.progress("evaluating on the tasks set aside")
    report = evaluate_bundle(bundle, aside, rules=order.rules, costs=order.costs)
    n_all = pc.count_distinct(events["task_id"]).as_py()
    return Trained(
        bundle=bundle,
        report=report,
        fingerprint=data.fingerprint(),
        n_tasks=data.n_tasks,
        n_unlabelled=n_all - data.n_tasks,
        label_sources=_sources(labels, data),
        window=(_day(data.started.min()), _day(data.started.max())),
        explained=_spread(kept.x, _EXPLAINED_ROWS),
        others=tuple(certified[1:]),
    )


def _sources(labels: Mapping[str, Label], data: Snapshots) -> dict[str, int]:
    used = [labels[str(task)] for task in data.task_ids[data.starts]]
    return dict(Counter(f"{x.evidence.name.lower()}, {x.source}" for x in used))


def _day(seconds: float) -> date:
    return datetime.fromtimestamp(seconds, UTC).date()


def _spread(x: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    rows = np.linspace(0, len(x) - 1, min(n, len(x))).astype(int)
    return np.asarray(x[rows])


def card(trained: Trained, *, name: str, version: str, directory: Path) -> Path:
    """Write the model card of a training into `directory`; return its page."""
    bundle = trained.bundle
    facts = CardFacts(
        model=name,
        version=version,
        digest=bundle.digest,
        aliases=("challenger",),
        certificate=bundle.certificate,
        made=date.fromisoformat(str(bundle.facts["made_at"])[:10]),
        n_tasks=trained.n_tasks,
        fingerprint=trained.fingerprint,
        evaluated_on=(
            "the customers who came last, unseen by booster and calibrator; the "
            "threshold was certified on the same tasks"
        ),
        window=trained.window,
        n_unlabelled=trained.n_unlabelled,
        label_sources=trained.label_sources,
        signals=signal_shares(bundle.contributions(trained.explained)),
    )
    return write_card(trained.report.to_json(), facts, directory)


def summary(trained: Trained) -> dict[str, Any]:
    """Return the figures of a training that fit in one table, as plain JSON data."""
    report = trained.report.to_json()
    scores = {
        f"{scope}.{name}": report[scope][name]
        for scope in ("every_step", "end_of_task")
        for name in ("auroc", "log_loss", "brier", "ece_debiased")
    }
    return {
        "n_tasks": trained.n_tasks,
        "base_rate": report["base_rate"],
        **scores,
        "escalation_rate": report["escalation_rate"],
        "miss_rate": report["miss_rate"],
        "precision": report["precision"],
    }
