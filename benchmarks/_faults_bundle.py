"""A model as it is served, trained on simulated tasks."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path

from escalon.rules import fired
from features import batch
from serving.engine.models import DirectoryModel
from serving.policy.rules import Policy
from training.bundle import ModelBundle
from training.simulate import World
from training.train import Order, train

_TASKS = 1_000


@contextlib.contextmanager
def bundle() -> Iterator[DirectoryModel]:
    """Yield the source of a model that was trained, written and read again."""
    with tempfile.TemporaryDirectory(prefix="escalon-faults-") as name:
        _trained().save(Path(name) / "model")
        yield DirectoryModel(Path(name) / "model", every=3_600.0)


@functools.cache
def _trained() -> ModelBundle:
    events = batch.events_table(World(seed=1).log(_TASKS))
    return train(events, Order(rules=fired(Policy.default()))).bundle
