"""Labelled events in, a certified bundle with its evaluation and its card out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.batch import without_outcomes
from training import certify
from training.bundle import (
    MOST_SAID,
    Certificate,
    ModelBundle,
)
from training.card import write_card
from training.card.evidence import LabelProcess
from training.card.facts import CardFacts, signal_shares
from training.costs import Costs
from training.dataset import Snapshots, TooFewLabelsError, later_groups, snapshots
from training.evaluate import evaluate
from training.evaluate.baselines import last_confidence, standard_baselines
from training.evaluate.report import Report
from training.evidence import LEARNED_UNTIL, evidence_for, last_began, segment_values
from training.fitting import FOLDS, fit_bundle
from training.gaming import Gaming, price_of_forgery
from training.gates.parts import Part, Parts
from training.judged import judged
from training.labels import Label, labels_of
from training.order import Order, Rules
from training.usual import reference_for

__all__ = [
    "Order",
    "Rules",
    "Trained",
    "card",
    "evaluate_bundle",
    "fit_bundle",
    "require_enough",
    "set_aside",
    "summary",
    "train",
]

LEAST_TASKS = 60
LEAST_OF_EACH = 15
LEAST_CUSTOMERS = 10
LADDER = certify.LADDER  # miss bounds whose cost is shown side by side
_ASIDE = 0.4  # of the tasks: certificate and evaluation need what training wants too
_EXPLAINED_ROWS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a training made.

    Attributes
    ----------
    frontier : Frontier
        What stricter and looser bounds would cost.
    parts : Parts
        Whose tasks were learned from, certified on and tested on.
    gaming : Gaming
        What forged self-reports would buy, on the tasks set aside.
    """

    bundle: ModelBundle
    report: Report
    fingerprint: str
    n_tasks: int
    n_unlabelled: int
    label_sources: Mapping[str, int]
    window: tuple[date, date]
    explained: NDArray[np.float64]
    frontier: certify.Frontier
    parts: Parts
    gaming: Gaming
    labelling: LabelProcess

    @property
    def others(self) -> tuple[Certificate, ...]:
        """The frontier's certificates, which hold all at once.

        Each is dearer than if it alone had been asked for, and one may be chosen for
        its price. That in the bundle was asked for before the data were seen.
        """
        return tuple(rung.together for rung in self.frontier.rungs)


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


def _promise(
    bundle: ModelBundle, kept: Snapshots, aside: Snapshots, order: Order
) -> tuple[ModelBundle, certify.Frontier]:
    """Return the bundle with what is promised of it, and what else could be."""
    found = certify.promised(
        evidence_for(bundle, aside, seed=order.recipe.seed),
        alpha=order.alpha,
        delta=order.delta,
        by=order.by,
        values=segment_values(aside, order.by),
        ladder=LADDER,
    )
    whole = replace(
        bundle,
        certificate=found.certificate,
        segments=found.segments,
        facts={**bundle.facts, LEARNED_UNTIL: last_began(kept)},
    )
    return whole, found.frontier


def _with_reference(bundle: ModelBundle, aside: Snapshots, order: Order) -> ModelBundle:
    """Return the bundle with what its monitors hold later tasks to."""
    usual = reference_for(
        aside,
        bundle.risks(aside.x),
        bundle.certificate.threshold,
        order.rules(aside),
    )
    # As it will be read back: JSON knows lists, no tuples.
    return replace(bundle, reference=orjson.loads(orjson.dumps(usual.to_json())))


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
    known = data.where(fair)
    late = np.unique(known.groups[later_groups(known, _ASIDE, fewest=FOLDS)])
    is_late = np.isin(data.groups, late)
    return data.where(~is_late), judged(data.where(is_late), labels)


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
    bundle, frontier = _promise(bundle, kept, aside, order)
    order.progress("evaluating on the tasks set aside")
    bundle = _with_reference(bundle, aside, order)
    report = evaluate_bundle(bundle, aside, rules=order.rules, costs=order.costs)
    order.progress("pricing forged self-reports")
    gaming = price_of_forgery(
        bundle, aside, bundle.certificate.threshold, seed=order.recipe.seed
    )
    part = Part.of(aside, labels)
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
        frontier=frontier,
        parts=Parts(learned=Part.of(kept, labels), certified=part, tested=part),
        gaming=gaming,
        labelling=_labelling(events, labels, data),
    )


def _labelling(
    events: pa.Table, labels: Mapping[str, Label], data: Snapshots
) -> LabelProcess:
    """Return how the labels that were used came about."""
    used = {str(t): labels[str(t)] for t in data.task_ids[data.starts]}
    seen = without_outcomes(events)
    last = seen.group_by("task_id", use_threads=False).aggregate([("at", "max")])
    ended = zip(last["task_id"].to_pylist(), last["at_max"].to_pylist(), strict=True)
    return LabelProcess.of(used, {task: at.timestamp() for task, at in ended})


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
    manifest = orjson.loads(bundle.manifest)
    facts = CardFacts(
        model=name,
        version=version,
        digest=bundle.digest,
        aliases=("challenger",),
        certificate=bundle.certificate,
        segments=bundle.segments,
        frontier=trained.others,
        frontier_together=True,
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
        made_at=str(bundle.facts["made_at"]),
        files=manifest["files"],
        libraries=bundle.facts["libraries"],
        calibrator=bundle.calibrator.kind,
        twin_share=bundle.scorer.share,
        self_report_bound=0.0 if bundle.floor is None else MOST_SAID,
        gaming=trained.gaming.to_json(),
        labels=trained.labelling,
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
