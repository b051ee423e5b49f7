"""`escalon evaluate --stream`: predict as tasks come in, learn as labels are known."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from escalon.learning import MISTAKES, gather, order_for
from escalon.rules import policy_at
from escalon.terminal import mistakes, out, print_json, print_pairs, progress
from features.batch import without_outcomes
from features.events import OUTCOME_KINDS
from training.bundle import ModelBundle
from training.dataset import Snapshots, TooFewLabelsError, snapshots
from training.evaluate.rows import EvaluationError
from training.evaluate.stream import Predict, Refit, Streamed, Timeline, stream
from training.evaluate.streamed import at_stream_steps
from training.history import stamped
from training.judged import judged
from training.labels import Label, labels_of
from training.model import Recipe
from training.registry import Registry
from training.train import Order, fit_bundle

SCHEMA = "escalon.stream/1"
_DELAY = re.compile(r"(\d+)([smhd]?)")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class DelayError(ValueError):
    """A delay that is none, or that the log cannot tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a user asks of a streaming evaluation; see `escalon evaluate --help`."""

    model: str
    delay: str
    refit: int | None
    seed: int
    policy: Path | None
    mlruns: Path


@dataclass(frozen=True, slots=True)
class Come:
    """Tasks as they came in: signals with the history of that moment, and its clock."""

    data: Snapshots
    timeline: Timeline
    labels: dict[str, Label]


def evaluate_stream(
    events: list[Path], asked: Asked, *, target: Path, as_json: bool
) -> None:
    """Measure a model, or its training, on tasks as they come in; write the report."""
    with mistakes(*MISTAKES, DelayError, EvaluationError), progress() as tell:
        tell("computing signals, each with the history of its moment")
        come = as_they_came(gather(events, None), asked.delay, seed=asked.seed)
        tell(f"following {come.data.n_tasks} tasks")
        with TemporaryDirectory() as scratch:
            streamed = stream(come.data, come.timeline, _model(asked, Path(scratch)))
        report = _report(asked, come, streamed)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))
    if as_json:
        print_json(report)
        return
    for step, found in report["steps"].items():
        print_pairs(f"step {step}: {found['n_tasks']} tasks", _pairs(found))
    out.print(f"written to {target}", style="dim")


def as_they_came(events: pa.Table, delay: str, *, seed: int) -> Come:
    """Return labelled tasks in the order in which they came, labels `delay` late.

    Parameters
    ----------
    delay : str
        ``"50"``: a label is known once 50 further tasks have begun. ``"12h"`` (s, m,
        h, d): so long after the log says that it was given.
    seed : int
        Of the order of the tasks, where the log tells no time.

    Raises
    ------
    DelayError
        If it is neither, or a time, and the log tells none.
    TooFewLabelsError
        If no task has a label.
    """
    number, unit = _parsed(delay)
    order = _order(events, seed)
    if unit:
        return _by_time(events, number * _SECONDS[unit], told=order is None)
    if order is None:
        order = _by_start(events)
    labels = labels_of(events)
    data = snapshots(stamped(events, labels, order=order, delay=number), labels)
    place = {task: i for i, task in enumerate(order)}
    came = [place[str(t)] for t in data.task_ids[data.starts]]
    # Tasks without a label came too: a delay counts them.
    began = np.array(came, dtype=np.float64)
    timeline = Timeline(began=began, known=began + number + 1)
    return Come(data, timeline, labels)


def _parsed(delay: str) -> tuple[int, str]:
    found = _DELAY.fullmatch(delay.strip())
    if found is None:
        msg = (
            f"--delay must be a number of tasks, or a time like 30m, 12h or 7d, found "
            f"{delay!r}"
        )
        raise DelayError(msg)
    return int(found[1]), found[2]


def _by_time(events: pa.Table, late: int, *, told: bool) -> Come:
    if not told:
        msg = (
            "the log tells no time for some of its tasks, so a delay can only be a "
            "number of tasks, such as --delay 50"
        )
        raise DelayError(msg)
    later = _later(events, late)
    labels = labels_of(later)
    data = snapshots(stamped(later, labels), labels)
    first = data.starts
    known = [labels[str(t)].matured_at.timestamp() for t in data.task_ids[first]]
    timeline = Timeline(began=data.started[first], known=np.array(known))
    return Come(data, timeline, labels)


def _later(events: pa.Table, seconds: int) -> pa.Table:
    """Return the events with every outcome heard of so much later."""
    kinds = pa.array([str(kind) for kind in OUTCOME_KINDS])
    at = pc.add(events["at"], pa.scalar(seconds * 1_000_000, pa.duration("us")))
    heard = pc.if_else(pc.is_in(events["kind"], kinds), at, events["at"])
    return events.set_column(events.column_names.index("at"), "at", heard)


def _heads(events: pa.Table) -> pa.Table:
    """Return the first event of each task that a signal may see."""
    seen = without_outcomes(events)
    rows = pa.table({"task_id": seen["task_id"], "row": np.arange(seen.num_rows)})
    first = rows.group_by("task_id").aggregate([("row", "min")])["row_min"]
    return seen.take(first).select(["task_id", "at", "body"])


def _order(events: pa.Table, seed: int) -> list[str] | None:
    """Return the tasks in an order drawn by `seed`; None where the log tells times."""
    heads = _heads(events)
    bodies = map(orjson.loads, heads["body"].to_pylist())
    if not any(body.get("at_synthetic") for body in bodies):
        return None
    names = np.array(sorted(heads["task_id"].to_pylist()))
    return [str(name) for name in np.random.default_rng(seed).permutation(names)]


def _by_start(events: pa.Table) -> list[str]:
    heads = _heads(events)
    by = pc.sort_indices(heads, [("at", "ascending"), ("task_id", "ascending")])
    return [str(task) for task in heads["task_id"].take(by).to_pylist()]


def _model(asked: Asked, scratch: Path) -> Predict | Refit:
    """Return the model asked for, or how one is grown."""
    if asked.model:
        folder = Registry(asked.mlruns).fetch(asked.model, scratch / "bundle")
        bundle = ModelBundle.load(folder)
        return lambda rows: bundle.risks(rows.x)
    order = order_for(policy_at(asked.policy), recipe=Recipe(seed=asked.seed))
    return Refit(fit=_fit(order), every=asked.refit)


def _fit(order: Order) -> Any:
    def fit(known: Snapshots) -> Predict:
        if not 0 < known.n_needed < known.n_tasks:
            msg = (
                f"too few labels to train on: {known.n_needed} of the {known.n_tasks} "
                "tasks known when a model had to be grown needed a human; it takes "
                "some that did and some that did not"
            )
            raise TooFewLabelsError(msg)
        bundle = fit_bundle(known, None, order)
        return lambda rows: bundle.risks(rows.x)

    return fit


def _report(asked: Asked, come: Come, streamed: Streamed) -> dict[str, Any]:
    """Return figures on the later tasks that nobody chose for how they went."""
    fair = judged(streamed.rows, come.labels)
    kept = np.isin(streamed.rows.task_ids, fair.task_ids)
    shown = replace(
        streamed, rows=fair, risk=streamed.risk[kept], table=streamed.table[kept]
    )
    steps = at_stream_steps(shown, seed=asked.seed)
    return {
        "schema": SCHEMA,
        "model": asked.model or "grown from what was known",
        "delay": asked.delay,
        "refit": asked.refit,
        "models_grown": streamed.models,
        "n_tasks": come.data.n_tasks,
        "n_scored": fair.n_tasks,
        "steps": {step: found.to_json() for step, found in steps.items()},
    }


_SHOWN = ("auroc", "log_loss", "brier", "ece_debiased")


def _pairs(found: dict[str, Any]) -> Sequence[tuple[str, Any]]:
    rows = [(name, found["model"][name]) for name in _SHOWN]
    rows += [(f"{name}, base-rate table", found["table"][name]) for name in _SHOWN[:2]]
    return [*rows, ("auroc within a version and domain", found["within_strata"])]
