"""`escalon certify`: what can be promised of a model, and what it would cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import typer
from numpy.typing import NDArray
from rich.table import Table

from escalon.learning import (
    MISTAKES,
    costs_in,
    gather,
    segment_by,
    segment_rows,
)
from escalon.rules import policy_at
from escalon.terminal import fail, mistakes, out, print_json, print_pairs, progress
from serving.policy.rules import Policy
from serving.store.opening import reading
from serving.store.outcomes import outcomes
from serving.where import Where
from training.bundle import ModelBundle, SegmentBy, now
from training.certify import (
    Basis,
    Capacity,
    Choice,
    Live,
    Promised,
    choices,
    promised,
    under_capacity,
    within,
)
from training.dataset import snapshots
from training.evidence import evidence_for, segment_values, unseen
from training.judged import judged
from training.labels import labels_of
from training.monitor.outcome import Outcomes
from training.registry import Registry

_DAY = 86_400.0
_REFUSED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a user asks of a certificate; see `escalon certify --help`."""

    events: tuple[Path, ...] = ()
    store: Where | None = None
    alpha: float = 0.1
    delta: float = 0.1
    by: str | None = None
    capacity: float | None = None
    since: datetime | None = None
    until: datetime | None = None
    ahead: bool = False
    policy: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known to certify on.

    Attributes
    ----------
    basis : Basis
        Labels or audits.
    values : ndarray of shape (n_tasks,), str, or None
        What the tasks are parted by.
    tasks_per_day : float
        How many come, labelled or not.
    left_out : str
        What was not used, and why.
    """

    basis: Basis
    values: NDArray[np.str_] | None
    tasks_per_day: float
    left_out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What can be promised, and what follows."""

    found: Promised
    choices: tuple[Choice, ...]
    capacity: Capacity | None
    left_out: str

    def to_json(self, model: str, target: Path | None) -> dict[str, Any]:
        """Return it as plain JSON data."""
        return {
            "model": model,
            "certificate": self.found.certificate,
            "segments": self.found.segments,
            "frontier": self.found.frontier.to_json(),
            "choices": self.choices,
            "capacity": self.capacity,
            "left_out": self.left_out,
            "written": None if target is None else str(target),
        }


def certify_model(
    model: str, asked: Asked, *, target: Path | None, mlruns: Path, as_json: bool
) -> None:
    """Certify a model on labelled tasks or on live audits, and print the frontier.

    Raises
    ------
    typer.Exit
        With code 1 where the certificate is refused.
    """
    if bool(asked.events) == (asked.store is not None):
        msg = "give either --events (labelled tasks) or --store (live audits)"
        raise fail(msg)
    by = segment_by(asked.by)
    with mistakes(*MISTAKES), progress() as tell, TemporaryDirectory() as scratch:
        tell("fetching the model")
        folder = Registry(mlruns).fetch(model, Path(scratch) / "bundle")
        bundle = ModelBundle.load(folder)
        tell("reading what is known")
        known = _audited(bundle, asked, by) if asked.store else _lab(bundle, asked, by)
        tell("certifying")
        answer = _answer(known, asked, by, policy_at(asked.policy))
        if target is not None:
            _written(bundle, answer.found).save(target)
    if as_json:
        print_json(answer.to_json(model, target))
    else:
        _print(model, answer, target)
    if answer.found.certificate.threshold is None:
        raise typer.Exit(_REFUSED)


def _lab(bundle: ModelBundle, asked: Asked, by: SegmentBy | None) -> Known:
    """Return the labelled tasks of customers that the model has not learned from."""
    table = gather(list(asked.events), None)
    labels = labels_of(table)
    data = snapshots(table, labels)
    fair = judged(data, labels)
    fresh = fair.where(unseen(bundle, fair))
    if len(fresh) == 0:
        msg = (
            f"the model has learned from the customers of all {fair.n_tasks:,} tasks, "
            "or does not say from whom it has; give tasks of later customers"
        )
        raise fail(msg)
    return Known(
        basis=evidence_for(bundle, fresh),
        values=segment_values(fresh, by),
        tasks_per_day=_per_day(table),
        left_out=(
            f"{data.n_tasks - fair.n_tasks:,} labelled because of how they went, "
            f"{fair.n_tasks - fresh.n_tasks:,} of customers that the model may know"
        ),
    )


def _per_day(table: pa.Table) -> float:
    first = table.group_by("task_id").aggregate([("at", "min")])["at_min"]
    times = first.cast(pa.int64())
    span = (pc.max(times).as_py() - pc.min(times).as_py()) / 1e6
    return float(len(times) / max(span / _DAY, 1.0))


def _audited(bundle: ModelBundle, asked: Asked, by: SegmentBy | None) -> Known:
    """Return what became of the tasks that this model has judged."""
    store = asked.store or Path()
    with reading(store) as reader:
        found = outcomes(reader, since=_utc(asked.since), until=_utc(asked.until))
    everything = Outcomes.of(found)
    mine = everything.where(everything.model_version == bundle.version)
    if len(mine) == 0:
        others = ", ".join(map(str, np.unique(everything.model_version)))
        msg = (
            f"{store} holds no decision of model {bundle.version} in this window; "
            f"found {others or 'no decision at all'}"
        )
        raise fail(msg)
    basis = Live.of(mine, ahead=asked.ahead)
    days = max(float(mine.at[-1] - mine.at[0]) / _DAY, 1.0)
    return Known(
        basis=basis,
        values=None if by is None else getattr(basis.outcomes, str(by)),
        tasks_per_day=len(mine) / days,
        left_out=(
            f"{len(everything) - len(mine):,} decided by rules or by another model, "
            f"{len(mine) - len(basis.outcomes):,} more of the same customers"
        ),
    )


def _utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(tzinfo=at.tzinfo or UTC)


def _answer(known: Known, asked: Asked, by: SegmentBy | None, policy: Policy) -> Answer:
    found = promised(
        known.basis, alpha=asked.alpha, delta=asked.delta, by=by, values=known.values
    )
    capacity = None
    if asked.capacity is not None:
        capacity = under_capacity(
            known.basis,
            found.certificate,
            per_day=asked.capacity,
            tasks_per_day=known.tasks_per_day,
        )
        found = replace(
            found,
            certificate=within(found.certificate, capacity),
            segments=tuple(within(one, capacity) for one in found.segments),
        )
    return Answer(
        found=found,
        choices=choices(known.basis, found.certificate, costs_in(policy)),
        capacity=capacity,
        left_out=known.left_out,
    )


def _written(bundle: ModelBundle, found: Promised) -> ModelBundle:
    """Return the same model with the fresh promises."""
    return replace(
        bundle,
        certificate=found.certificate,
        segments=found.segments,
        facts={**bundle.facts, "certified_at": now()},
    )


# --- what a person sees ------------------------------------------------------


def _print(model: str, answer: Answer, target: Path | None) -> None:
    certificate = answer.found.certificate
    told = [("refused" if certificate.refusal else "certified", certificate.reason)]
    if answer.capacity is not None:
        told.append(("capacity", answer.capacity.words))
    told += [
        ("made from", f"{certificate.n_tasks:,} tasks: {certificate.method}"),
        ("left out", answer.left_out),
    ]
    print_pairs(f"Certificate of {model}", told)
    if answer.found.segments:
        print_pairs("Segments", segment_rows(answer.found.segments))
    out.print(_frontier(answer.found))
    if answer.choices:
        print_pairs("Inside the certificate", [_priced(one) for one in answer.choices])
    if target is not None:
        out.print(f"written to {target}", style="dim")


def _frontier(found: Promised) -> Table:
    sure = f"{1 - found.frontier.delta:.0%}"
    table = Table(
        title=f"Frontier: what a bound costs ({sure}: all rows at once)",
        title_justify="left",
    )
    for column in ("missed at most", "threshold", "escalated", "missed here", "alone"):
        table.add_column(column, justify="right")
    for rung in found.frontier.rungs:
        row = rung.to_json()
        table.add_row(
            f"{rung.alpha:.0%}",
            "-" if row["threshold"] is None else f"{row['threshold']:.3f}",
            _share(row["escalation_rate"]) or str(row["refusal"]),
            _share(row["miss_rate"]),
            _share(row["escalation_rate_alone"]),
        )
    return table


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _priced(one: Choice) -> tuple[str, str]:
    at = "its own for each task" if one.threshold is None else f"{one.threshold:.3f}"
    return one.rule, (
        f"threshold {at}: {one.cost_per_task:.2f} per task, "
        f"{one.escalation_rate:.0%} escalated"
    )
