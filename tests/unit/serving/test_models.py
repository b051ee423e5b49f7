"""Tests of where the model comes from, with real bundles on disk."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest

from features.signals import NAMES, schema_lines
from serving.engine.models import DirectoryModel, Model, NoModel
from training.bundle import (
    Calibrator,
    Certificate,
    ModelBundle,
    Scorer,
    Sureness,
)


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    """Grow two trees on noise."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, len(NAMES))), rng.integers(0, 2, 200)
    parameters = {"objective": "binary", "num_leaves": 3, "verbose": -1, "seed": 0}
    parameters |= {"num_threads": 1}
    data = lightgbm.Dataset(x, y, free_raw_data=False)
    return Scorer.alone(lightgbm.train(parameters, data, 2))


@pytest.fixture
def bundle(scorer: Scorer) -> ModelBundle:
    """Make a sound bundle."""
    return ModelBundle(
        scorer=scorer,
        calibrator=Calibrator(kind="raw", edges=(), a=(1.0,), b=(0.0,), c=(0.0,)),
        sureness=Sureness(edges=(), low=(0.2,), high=(0.4,)),
        certificate=Certificate(
            alpha=0.1,
            delta=0.1,
            n_needed=100,
            n_tasks=1_000,
            misses_allowed=5,
            method="test",
            threshold=0.99,
            escalation_rate=0.2,
            reason="for the test",
        ),
        signals=tuple(schema_lines()),
        facts={"version": "one"},
    )


def changed(bundle: ModelBundle, path: Path, version: str) -> ModelBundle:
    """Write another version of `bundle` over the one at `path`."""
    other = replace(bundle, facts={**bundle.facts, "version": version})
    other.save(path)
    # Clocks of file systems are coarse; a later second is later everywhere.
    os.utime(path / "manifest.json", (2e9, 2e9))
    return other


def version(model: Model | None) -> str | None:
    """Return the version of a model, if there is one."""
    return None if model is None else model.version


class Ticks:
    """A monotonic clock that is turned by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time, in s."""
        return self.now


def test_without_a_model_nothing_is_wrong() -> None:
    """A service that was given none has none, and no problem."""
    source = NoModel()
    assert (source.current(), source.problem) == (None, None)


def test_a_bundle_is_loaded_once(bundle: ModelBundle, tmp_path: Path) -> None:
    """The same value comes back as long as the files are the same."""
    bundle.save(tmp_path)
    source = DirectoryModel(tmp_path, every=0.0)
    first = source.current()
    assert version(first) == "one"
    assert source.current() is first
    assert source.problem is None


def test_a_new_bundle_is_taken_up(bundle: ModelBundle, tmp_path: Path) -> None:
    """What lies in the directory now decides, without a restart."""
    bundle.save(tmp_path)
    source = DirectoryModel(tmp_path, every=0.0)
    source.current()
    changed(bundle, tmp_path, "two")
    assert version(source.current()) == "two"


def test_the_directory_is_looked_at_only_so_often(
    bundle: ModelBundle, tmp_path: Path
) -> None:
    """Between two looks a decision costs no look."""
    bundle.save(tmp_path)
    ticks = Ticks()
    source = DirectoryModel(tmp_path, every=5.0, clock=ticks)
    source.current()
    changed(bundle, tmp_path, "two")
    ticks.now = 4.9
    assert version(source.current()) == "one"
    ticks.now = 5.0
    assert version(source.current()) == "two"


@pytest.mark.parametrize("spoiled", ["booster.txt", "manifest.json"])
def test_the_last_good_bundle_stays_in_force(
    bundle: ModelBundle, tmp_path: Path, spoiled: str
) -> None:
    """A spoiled file is not used; what is wrong is said until it is put right."""
    bundle.save(tmp_path)
    source = DirectoryModel(tmp_path, every=0.0)
    source.current()
    (tmp_path / spoiled).write_text("{}")
    assert version(source.current()) == "one"
    assert source.problem is not None
    assert "BundleError" in source.problem
    changed(bundle, tmp_path, "two")
    assert version(source.current()) == "two"
    assert source.problem is None


def test_a_bundle_that_goes_away_leaves_the_last_one(
    bundle: ModelBundle, tmp_path: Path
) -> None:
    """An emptied directory is a problem, and no reason to decide without a model."""
    bundle.save(tmp_path / "bundle")
    source = DirectoryModel(tmp_path / "bundle", every=0.0)
    source.current()
    shutil.rmtree(tmp_path / "bundle")
    assert version(source.current()) == "one"
    assert source.problem is not None


def test_a_directory_without_a_bundle_gives_none(tmp_path: Path) -> None:
    """There never was one: rules decide, and the problem says what is missing."""
    source = DirectoryModel(tmp_path / "nowhere", every=0.0)
    assert source.current() is None
    assert source.problem is not None
    assert "is not a bundle" in source.problem


def test_a_real_bundle_decides_and_explains(
    desk: Any, bundle: ModelBundle, tmp_path: Path
) -> None:
    """Its risk is in the answer, and its reasons in the package add up to the score."""
    bundle.save(tmp_path / "bundle")
    desk.source.model = DirectoryModel(tmp_path / "bundle").current()
    answer = desk.begin()
    assert answer["decision"]["source"] == "model"
    assert answer["decision"]["model_version"] == "one"
    assert 0 < answer["decision"]["risk"] < 1
    wish = desk.engine.escalate("t", by="user", reason="x")
    package = desk.engine.handoff(wish["handoff"]["handoff_id"])["package"]
    total = package["base"] + sum(r["contribution"] for r in package["reasons"])
    assert total == pytest.approx(package["score"], abs=1e-6)
    assert len(package["reasons"]) == len(NAMES)
