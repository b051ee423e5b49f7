"""Trials whose outcome is evidence: outcomes told early, and a model made again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features import batch
from features.events import AgentEvent
from features.online import TaskState
from features.signals import NAMES
from training.bundle import ModelBundle
from training.dataset import Snapshots
from training.labels import Label
from training.model import Recipe
from training.train import Order, fit_bundle, set_aside

_TASKS = 100


def leaks(table: pa.Table) -> tuple[str, ...]:
    """Return the signals that change when a task's outcomes are told at its start.

    On an even selection of its tasks, by the very code that serves.
    """
    ids = pc.unique(table["task_id"])
    chosen = ids.take(np.linspace(0, len(ids) - 1, _TASKS).astype(int))
    part = table.filter(pc.is_in(table["task_id"], chosen)).sort_by(
        [("task_id", "ascending")]
    )
    found: set[int] = set()
    for _, log in groupby(batch.log_events(part), key=lambda event: event.task_id):
        events = list(log)
        plain = [event for event in events if not event.is_outcome]
        told = [event for event in events if event.is_outcome]
        honest, leaking = _signals(plain), _signals([*plain[:1], *told, *plain[1:]])
        same = np.isclose(honest, leaking, rtol=0, atol=0, equal_nan=True)
        found |= set(np.flatnonzero(~same).tolist())
    return tuple(NAMES[i] for i in sorted(found))


def _signals(events: list[AgentEvent]) -> NDArray[np.float64]:
    state = TaskState()
    for event in events:
        state.advance(event)
    return state.read()


def made_again(
    bundle: ModelBundle,
    data: Snapshots,
    labels: Mapping[str, Label],
    progress: Callable[[str], None] = lambda _: None,
) -> bool | None:
    """Return whether the same tasks and seed give the same model; None: not the same.

    Parameters
    ----------
    bundle : ModelBundle
        The model. Its facts tell the fingerprint of what it learned from, and its
        recipe, seed included.
    data, labels
        All the labelled tasks there are; those it learned from among them.
    """
    recipe = bundle.facts.get("recipe")
    kept, _ = set_aside(data, labels)
    if recipe is None or kept.fingerprint() != bundle.facts["fingerprint"]:
        return None
    progress("growing the model again from the same tasks")
    again = fit_bundle(kept, None, Order(rules=_no_rules, recipe=Recipe(**recipe)))
    # What was certified, and when, is no part of how it was grown.
    dated = replace(
        again,
        facts=bundle.facts,
        certificate=bundle.certificate,
        segments=bundle.segments,
        reference=bundle.reference,
    )
    return bool(dated.digest == bundle.digest)


def _no_rules(data: Snapshots) -> NDArray[np.bool_]:
    return np.zeros(len(data), dtype=bool)
