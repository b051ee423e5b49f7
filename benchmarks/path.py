"""The whole path: what the risk is worth on real and simulated tasks, and the demo.

On real runs each model is trained on four fifths of the customers and judged on the
last fifth, five times over; a plain LightGBM on 27 counts is judged on the same folds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import _packages_first  # noqa: F401 - `features` is the package
import numpy as np
import pyarrow as pa
from _protocols import ours, plain
from harness import Measure, main
from numpy.typing import NDArray

from escalon.rules import fired
from features import batch, ingest
from serving.policy.rules import Policy
from training.dataset import Snapshots, snapshots, splits
from training.evaluate import evaluate
from training.evaluate.baselines import last_confidence
from training.labels import labels_of
from training.simulate import Costs, SimulatedTask, World, expected_cost, optimal_cost
from training.train import Order, fit_bundle

Floats = NDArray[np.float64]

_FOLDS = 5


def _shared(name: str) -> Path:
    return Path(os.environ.get("ESCALON_SHARED", "../shared")) / "data" / name


def _tau(*, quick: bool) -> Snapshots | None:
    source = _shared("tau_runs.jsonl.gz")
    if not source.exists():
        print(f"no real runs at {source}: tau measures are left out", file=sys.stderr)
        return None
    log = ingest.read("tau", [source], on_refused=print)
    events = batch.events_table(log)
    data = snapshots(events, labels_of(events))
    if quick:
        fold = np.random.default_rng(0).permutation(np.unique(data.groups))[:60]
        data = data.where(np.isin(data.groups, fold))
    return data


def _tau_measures(*, quick: bool) -> Iterator[Measure]:
    data = _tau(quick=quick)
    if data is None:
        return
    models = {"tau": ours, "tau.counts": plain}
    risk = {name: np.empty(len(data)) for name in models}
    for train, test in splits(data.groups, k=_FOLDS, seed=0):
        for name, model in models.items():
            risk[name][test] = model(data.where(train), data.where(test), 0)
    for name, values in risk.items():
        report = evaluate(data, values, None, baselines={}).to_json()
        yield from _scores(name, report, data)


_WANTED = (
    ("auroc_end", "end_of_task", "auroc", "higher", 0.75),
    ("auroc_every_step", "every_step", "auroc", "higher", 0.61),
    ("log_loss_end", "end_of_task", "log_loss", "lower", 0.53),
    ("log_loss_every_step", "every_step", "log_loss", "lower", 0.60),
    ("brier_end", "end_of_task", "brier", "lower", None),
    ("brier_every_step", "every_step", "brier", "lower", None),
    ("ece_debiased_end", "end_of_task", "ece_debiased", "lower", 0.03),
    ("ece_debiased_every_step", "every_step", "ece_debiased", "lower", 0.02),
)


def _scores(
    model: str, report: dict[str, dict[str, dict[str, float]]], data: Snapshots
) -> Iterator[Measure]:
    for name, scope, metric, better, goal in _WANTED:
        found = report[scope][metric]
        yield Measure(
            name=f"{model}.{name}",
            value=found["value"],
            low=found["low"],
            high=found["high"],
            unit="nats" if metric == "log_loss" else "1",
            better=better,
            goal=goal if model == "tau" else None,
            note=f"{data.n_tasks} runs, {_FOLDS} folds of customers",
        )


def _rows(tasks: Sequence[SimulatedTask]) -> tuple[Snapshots, pa.Table]:
    events = batch.events_table(
        event for task in tasks for event in (*task.events, *task.outcomes)
    )
    return snapshots(events, labels_of(events)), events


def _cheapest(peaks: Floats, needed: Floats, costs: Costs) -> float:
    """Return the threshold on the running maximum that would have cost least."""
    candidates = np.append(np.unique(np.quantile(peaks, np.linspace(0, 1, 200))), 2.0)
    cost = [expected_cost(peaks >= t, needed, costs) for t in candidates]
    return float(candidates[int(np.argmin(cost))])


def _world_of(seed: int, *, n: int) -> tuple[float, float]:
    """Return our regret over the best fixed rule's, and ECE against the truth."""
    costs = Costs()
    tasks = list(World(seed=seed).tasks(2 * n))
    learn, _ = _rows(tasks[:n])
    fresh, _ = _rows(tasks[n:])
    bundle = fit_bundle(learn, None, Order(rules=fired(Policy.default())))
    # The threshold of our rule and of the confidence rule is chosen on tasks the
    # booster learned from by cross-fitting elsewhere: a third of the fresh ones.
    tune = np.isin(fresh.groups, np.unique(fresh.groups)[::3])
    held = fresh.where(~tune)
    truth = {t.task_id: t.truth for t in tasks[n:]}
    names = held.task_ids[held.starts]
    end = np.array([truth[str(name)][-1] for name in names])
    doubt = {
        "ours": bundle.risks,
        "confidence": lambda x: np.nan_to_num(1 - last_confidence(x), nan=0.2),
    }
    cost = {}
    for name, risk in doubt.items():
        tuned = fresh.where(tune)
        at = _cheapest(
            tuned.running_maximum(risk(tuned.x)), tuned.y[tuned.starts], costs
        )
        peaks = held.running_maximum(risk(held.x))
        cost[name] = expected_cost(peaks >= at, end, costs)
    alarm = fired(Policy.default())(held).astype(float)
    cost["rules"] = expected_cost(held.running_maximum(alarm) > 0, end, costs)
    cost["always"] = expected_cost(np.ones(len(end), dtype=bool), end, costs)
    cost["never"] = expected_cost(np.zeros(len(end), dtype=bool), end, costs)
    least = optimal_cost(end, costs)
    fixed = min(value for name, value in cost.items() if name != "ours")
    every = np.concatenate([truth[str(name)] for name in names])
    return (cost["ours"] - least) / (fixed - least), _ece(bundle.risks(held.x), every)


def _ece(risk: Floats, truth: Floats, bins: int = 15) -> float:
    """Return the mean gap between mean risk and mean truth in bins of equal mass."""
    order = np.argsort(risk)
    parts = np.array_split(order, bins)
    return sum(
        len(p) / len(risk) * abs(risk[p].mean() - truth[p].mean()) for p in parts
    )


def _world_measures(*, quick: bool) -> Iterator[Measure]:
    n, seeds = (2_000, 3) if quick else (5_000, 5)
    found = np.array([_world_of(seed, n=n) for seed in range(seeds)])
    for column, (name, goal) in enumerate(
        (("world.regret_share", 0.5), ("world.ece_true", 0.02))
    ):
        values = found[:, column]
        yield Measure(
            name=name,
            value=float(np.median(values)),
            low=float(values.min()),
            high=float(values.max()),
            unit="1",
            goal=goal,
            note=f"{n} tasks learned from, {seeds} seeds (median, range)",
        )


def _demo_measure(*, quick: bool) -> Measure:
    """Time `escalon demo --once` in an empty folder, set-up excluded."""
    tasks = "1000" if quick else "3000"
    command = [sys.executable, "-m", "escalon", "demo", "--once", "--tasks", tasks]
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        subprocess.run(command, cwd=folder, check=True, stdout=sys.stderr)  # noqa: S603
        seconds = time.monotonic() - began
    return Measure(
        name="demo.seconds", value=seconds, unit="s", goal=180, note=f"{tasks} tasks"
    )


def measures(quick: bool) -> list[Measure]:  # noqa: FBT001 - the harness's one flag
    """Return every measure of the path."""
    return [
        *_tau_measures(quick=quick),
        *_world_measures(quick=quick),
        _demo_measure(quick=quick),
    ]


if __name__ == "__main__":
    main("path", measures)
