"""Whether the promises hold: certificates, alarms, miss rates, forgery, and the clock.

What is replayed stands beside the code that makes the promise; here it is only asked.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import _missrate
import lightgbm
import pyarrow as pa
from _found import Found

from escalon.rules import fired
from features import batch
from serving.policy.rules import Policy
from training import simulate
from training.certify import replay as replays
from training.dataset import Snapshots, snapshots
from training.gaming import FULL_CONFIDENCE
from training.labels import labels_of
from training.model import Recipe
from training.monitor.missrate import Method
from training.simulate import breach
from training.train import Order, train

# Studies that draw many worlds by themselves.
ONCE = frozenset({"certificate", "drift", "refit"})

_REPLAYS = 1_000
_FORGED = 4_000
_REFIT = 20_000


def certificate(seed: int, *, quick: bool) -> Iterator[Found]:
    """Yield coverage and tightness of audit-based certificates under selective labels.

    20,000 tasks a window, 1,000 audits of what was not handed over, the score wrong by
    half a log-odds.
    """
    n = 100 if quick else _REPLAYS
    found = replays.replay(replays=n, seed=seed)
    spread = 1.96 * found.error
    note = f"{n} replays, {replays.World().audits} audits"
    yield Found(
        name="certificate.coverage",
        value=found.coverage,
        low=found.low,
        high=found.high,
        note=note,
    )
    yield Found(
        name="certificate.bound_over_truth",
        value=found.bound_over_truth,
        low=found.bound_over_truth - spread,
        high=found.bound_over_truth + spread,
        note=note,
    )
    yield Found(name="certificate.wrong", value=found.wrong, note=note)
    yield Found(
        name="certificate.naive_over_truth",
        value=found.naive / found.truth,
        note="miss rate among labelled tasks, over the true one",
    )


def drift(seed: int, *, quick: bool) -> Iterator[Found]:
    """Yield how soon a threefold breach is found, and how seldom none is."""
    del seed
    rows = 5 if quick else 100
    found = breach.measure_delays(seeds=1 if quick else 5, rows=rows)
    note = "2 % audits, 25 % complaints, learned score"
    yield Found.of("drift.tasks_to_alarm", found.tasks_to_alarm, note)
    yield Found.of("drift.false_alarms", found.false_alarms, note)


def missrate(seed: int, *, quick: bool) -> Iterator[Found]:
    """Yield the error of the miss rate at 2 % audits, with a learned score."""
    found = _missrate.measure(replays=20 if quick else 400, seed=seed)
    note = f"{found['audits']:.0f} audits, true rate {found['truth']:.2f}"
    for method, figures in found.items():
        if not isinstance(figures, dict):
            continue
        words = method.lower().replace(" + ", "_with_").replace(" ", "_")
        best = method in {Method.AIPW.name.lower(), str(Method.AIPW)}
        name = "missrate" if best else f"missrate.{words}"
        yield Found(
            name=f"{name}.rmse",
            value=figures["rmse"],
            low=figures["low"],
            high=figures["high"],
            note=note,
        )
        yield Found(name=f"{name}.bias", value=figures["bias"], note=note)


def _world(n: int, seed: int) -> pa.Table:
    return batch.events_table(
        event
        for task in simulate.World(seed=seed).tasks(n)
        for event in (*task.events, *task.outcomes)
    )


def _order(seed: int) -> Order:
    return Order(rules=fired(Policy.default()), recipe=Recipe(seed=seed), alpha=0.2)


def gaming(seed: int, *, quick: bool) -> Iterator[Found]:
    """Yield what full confidence, forged on every failing task, would buy."""
    n = 500 if quick else _FORGED
    found = train(_world(n, seed), _order(seed)).gaming
    note = f"{found.n_needed} forged tasks of a simulated world"
    full = next(a for a in found.attacks if a.name == FULL_CONFIDENCE)
    yield Found.of("gaming.auroc_lost", full.auroc_lost, note)
    if full.misses_gained is not None:
        yield Found.of("gaming.misses_gained", full.misses_gained, note)
    yield Found.of("gaming.worst.auroc_lost", found.worst.auroc_lost, found.worst.name)


def refit(seed: int, *, quick: bool) -> Iterator[Found]:
    """Yield how long it takes to refit, calibrate, certify and evaluate."""
    n = 300 if quick else _REFIT
    events = _world(n, seed)
    began = time.monotonic()
    train(events, _order(seed))
    took = time.monotonic() - began
    note = f"{n} simulated tasks, signals computed too"
    yield Found(name="refit.seconds", value=took, note=note)
    bare = _bare(snapshots(events, labels_of(events)))
    yield Found(name="refit.bare.seconds", value=bare, note="LightGBM's fit alone")


def _bare(data: Snapshots) -> float:
    """Return how long LightGBM takes as it comes, on the same signals."""
    table = lightgbm.Dataset(data.x, data.y, weight=data.weight)
    began = time.monotonic()
    lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 2}, table)
    return time.monotonic() - began
