"""The registry: logged, promoted, fetched, and served by MLflow's own server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from mlflow import MlflowClient
from numpy.typing import NDArray

from features.batch import events_table
from features.signals import NAMES, SIGNALS
from training.bundle import BundleError, ModelBundle
from training.dataset import Snapshots, snapshots
from training.labels import labels_of
from training.model import Recipe
from training.registry import CHALLENGER, CHAMPION, Registry, RegistryError, Version
from training.simulate import World
from training.train import Order, Trained, summary, train

pytestmark = [
    pytest.mark.slow,
    # MLflow's own query, at SQLAlchemy 2.1.
    pytest.mark.filterwarnings(
        "ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"
    ),
    # MLflow's import of its own agent types.
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType"),
]

START_WITHIN = 60.0
GREEN: dict[str, Any] = {"verdict": "promoted", "gates": []}
RED: dict[str, Any] = {
    "verdict": "refused",
    "override": None,
    "gates": [{"code": "ESC009", "passed": False}, {"code": "ESC001", "passed": True}],
}


def no_rules(data: Snapshots) -> NDArray[np.bool_]:
    """Return that no hard rule fires."""
    return np.zeros(len(data), dtype=bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """A registry with two versions, the first of them promoted."""

    registry: Registry
    root: Path
    trained: Trained
    order: Order
    first: Version
    second: Version
    x: NDArray[np.float64]

    @property
    def client(self) -> MlflowClient:
        """MLflow's own client of the registry."""
        uri = self.registry.tracking_uri
        return MlflowClient(tracking_uri=uri, registry_uri=uri)

    @property
    def bundle(self) -> ModelBundle:
        """The bundle that was promoted."""
        return self.trained.bundle


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    """Return a registry in a new folder, with versions 1 (promoted) and 2."""
    log = events_table(World(seed=7).log(400))
    order = Order(rules=no_rules, recipe=Recipe(rounds=20, rate=0.1))
    trained = train(log, order)
    other = replace(
        trained,
        bundle=replace(
            trained.bundle, facts={**trained.bundle.facts, "version": "second"}
        ),
    )
    root = tmp_path_factory.mktemp("registry") / "new" / "mlruns"
    registry = Registry(root)
    first = registry.log(trained, order)
    assert registry.promote(first.number, GREEN) == first
    second = registry.log(other, order)
    x = snapshots(log, labels_of(log)).x[::97]
    return Logged(
        registry=registry,
        root=root,
        trained=trained,
        order=order,
        first=first,
        second=second,
        x=x,
    )


# --- versions ----------------------------------------------------------------


def test_versions_are_numbered_and_aliased(logged: Logged) -> None:
    """The newest version is challenger; the champion is whoever was promoted."""
    registry = logged.registry
    assert (logged.first.number, logged.second.number) == ("1", "2")
    assert logged.first.uri == "models:/escalon/1"
    assert registry.find(CHALLENGER) == registry.find("2") == logged.second
    assert registry.find(CHAMPION) == registry.find("1") == logged.first
    assert logged.first.run_id != logged.second.run_id


def test_a_challenger_can_be_promoted_and_taken_back(logged: Logged) -> None:
    """Promoting moves the one alias, by alias or by number, and nothing else."""
    registry = logged.registry
    assert registry.promote(CHALLENGER, GREEN) == logged.second
    assert registry.find(CHAMPION) == logged.second
    assert registry.promote("1", GREEN) == logged.first
    assert registry.find(CHAMPION) == logged.first
    assert registry.find(CHALLENGER) == logged.second


@pytest.mark.parametrize("version", ["9", "nobody"])
def test_a_version_that_is_not_there_is_refused(logged: Logged, version: str) -> None:
    """Neither number nor alias is invented; the error names the registry."""
    with pytest.raises(RegistryError, match=r"mlflow\.db"):
        logged.registry.promote(version, GREEN)
    with pytest.raises(RegistryError, match=r"mlflow\.db"):
        logged.registry.find(version)


def test_a_registry_is_a_folder(logged: Logged) -> None:
    """All that was logged lies under one folder, the database beside the artifacts."""
    assert (logged.root / "mlflow.db").is_file()
    assert list(logged.root.rglob("booster.txt"))
    assert not list(logged.root.rglob("*.pkl"))
    again = Registry(logged.root)
    assert again.find(CHAMPION) == logged.first


def test_what_the_gates_said_stays_with_the_version(logged: Logged) -> None:
    """gates.json and tags are kept with the run; a refusal moves no alias."""
    registry = logged.registry
    registry.keep_gates("2", RED)
    assert registry.champion() == logged.first
    assert registry.kept(logged.second, "gates.json") == RED
    tags = logged.client.get_run(logged.second.run_id).data.tags
    assert (tags["gates"], tags["gates_red"]) == ("refused", "ESC009")
    assert registry.kept(logged.second, "nothing.json") is None


def test_a_new_registry_has_no_champion(tmp_path: Path) -> None:
    """Before anything is promoted there is none, and asking is no error."""
    assert Registry(tmp_path / "mlruns").champion() is None


def test_a_run_keeps_who_it_learned_from_and_the_price_of_lies(logged: Logged) -> None:
    """parts.json and gaming.json are artifacts of the training."""
    assert logged.registry.kept(logged.first, "parts.json") == (
        logged.trained.parts.to_json()
    )
    gaming = logged.registry.kept(logged.first, "gaming.json")
    assert gaming == logged.trained.gaming.to_json()


# --- what a run says ---------------------------------------------------------


def test_a_run_names_recipe_levels_and_counts(logged: Logged) -> None:
    """Parameters and tags tell how, on what and with which promise it was made."""
    data = logged.client.get_run(logged.first.run_id).data
    recipe = logged.order.recipe
    expected = {
        "rounds": recipe.rounds,
        "seed": recipe.seed,
        "learning_rate": recipe.rate,
        "alpha": 0.1,
        "delta": 0.1,
        "calibrator": logged.bundle.calibrator.kind,
        "n_tasks": logged.trained.n_tasks,
    }
    assert {name: data.params[name] for name in expected} == {
        name: str(value) for name, value in expected.items()
    }
    assert data.tags["data_fingerprint"] == logged.trained.fingerprint
    assert data.tags["bundle"] == logged.bundle.digest
    assert data.tags["certificate"] == logged.bundle.certificate.reason


def test_a_run_has_the_figures_of_the_summary(logged: Logged) -> None:
    """Every figure of the summary is a metric, its interval beside it."""
    metrics = logged.client.get_run(logged.first.run_id).data.metrics
    for name, value in summary(logged.trained).items():
        if isinstance(value, dict):
            for part, suffix in (("value", ""), ("low", ".low"), ("high", ".high")):
                if value[part] is not None:
                    assert metrics[name + suffix] == pytest.approx(value[part])
        else:
            assert metrics[name] == pytest.approx(value)


def test_a_run_has_plots_report_and_card(logged: Logged, tmp_path: Path) -> None:
    """Artifacts hold pictures, the whole report, and the card's page of that version."""
    run_id = logged.second.run_id
    client = logged.client
    plots = client.list_artifacts(run_id, "plots")
    assert len(plots) >= 3
    assert all(p.path.endswith(".png") and p.file_size > 5_000 for p in plots)
    assert "report.json" in {p.path for p in client.list_artifacts(run_id)}
    page = logged.registry.card_of(logged.second, tmp_path)
    assert page.is_file()
    text = page.read_text()
    assert "<html" in text
    assert "escalon" in text


# --- fetching ----------------------------------------------------------------


@pytest.mark.parametrize("uri", ["models:/escalon/1", "models:/escalon@champion"])
def test_a_fetched_bundle_is_the_one_logged(
    logged: Logged, tmp_path: Path, uri: str
) -> None:
    """By number or alias the bundle comes back whole, with the same risks to the bit."""
    into = logged.registry.fetch(uri, tmp_path / "model")
    found = ModelBundle.load(into)
    assert found == logged.bundle
    np.testing.assert_array_equal(found.risks(logged.x), logged.bundle.risks(logged.x))


def test_fetching_replaces_what_was_there(logged: Logged, tmp_path: Path) -> None:
    """The directory holds the new bundle and nothing of the old."""
    into = tmp_path / "model"
    logged.registry.fetch("models:/escalon/1", into)
    (into / "stray").write_text("x")
    logged.registry.fetch(f"models:/escalon@{CHALLENGER}", into)
    assert ModelBundle.load(into).version == "second"
    assert not (into / "stray").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_bundles_own_directory_can_be_fetched(logged: Logged, tmp_path: Path) -> None:
    """A path to a bundle is as good as a name in the registry."""
    logged.bundle.save(tmp_path / "here")
    into = logged.registry.fetch(str(tmp_path / "here"), tmp_path / "there")
    assert ModelBundle.load(into) == logged.bundle


def test_a_broken_bundle_replaces_nothing(logged: Logged, tmp_path: Path) -> None:
    """What is not a sound bundle is refused, and the old one stays."""
    into = logged.registry.fetch("models:/escalon/1", tmp_path / "model")
    logged.bundle.save(tmp_path / "broken")
    with (tmp_path / "broken" / "booster.txt").open("a") as file:
        file.write("x")
    with pytest.raises(BundleError, match=r"booster\.txt"):
        logged.registry.fetch(str(tmp_path / "broken"), into)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match="holds no bundle"):
        logged.registry.fetch(str(tmp_path / "empty"), into)
    assert ModelBundle.load(into) == logged.bundle


@pytest.mark.parametrize(
    "uri", ["models:/escalon/9", "models:/escalon@nobody", "models:/other/1", "nowhere"]
)
def test_what_the_registry_does_not_hold_is_refused(
    logged: Logged, tmp_path: Path, uri: str
) -> None:
    """A name that leads nowhere is one clear error, and makes no directory."""
    with pytest.raises(RegistryError):
        logged.registry.fetch(uri, tmp_path / "model")
    assert not (tmp_path / "model").exists()


# --- MLflow's own ways to the same numbers -----------------------------------


def test_pyfunc_gives_the_same_risks(logged: Logged) -> None:
    """MLflow's loader runs the model to the numbers that the bundle gives."""
    risk = logged.registry.risks("models:/escalon@champion", logged.x)
    np.testing.assert_array_equal(risk, logged.bundle.risks(logged.x))


@pytest.fixture(scope="module")
def served(logged: Logged, free_port: int) -> Iterator[str]:
    """Yield the address of `mlflow models serve` for the champion."""
    bin_dir = str(Path(sys.executable).parent)
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": logged.registry.tracking_uri,
        "PATH": os.pathsep.join([bin_dir, os.environ.get("PATH", "")]),
    }
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri"]
    command += [f"models:/escalon@{CHAMPION}", "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(free_port), "--workers", "1"]
    output = logged.root / "serve.log"
    with output.open("wb") as file:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{free_port}"
        wait_for(url, process, output)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes], output: Path) -> None:
    """Return once the server answers; fail with what it wrote if it does not."""
    deadline = time.monotonic() + START_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/ping", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    pytest.fail(f"no answer to /ping: {output.read_text()[-2000:]}")


def test_mlflows_server_gives_the_same_risks(logged: Logged, served: str) -> None:
    """A real `mlflow models serve` answers with the numbers of the bundle."""
    assert httpx.get(f"{served}/ping", timeout=10).status_code == 200
    unknown = np.isnan(logged.x)
    assert unknown.any()
    rows = np.where(unknown, None, logged.x.astype(object)).tolist()
    answer = httpx.post(
        f"{served}/invocations",
        json={"dataframe_split": {"columns": list(NAMES), "data": rows}},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    risk = [row["risk"] for row in answer.json()["predictions"]]
    np.testing.assert_array_equal(risk, logged.bundle.risks(logged.x))


def test_absent_columns_are_unknown_signals(logged: Logged, served: str) -> None:
    """A caller may send the signals it has, in any order; the rest are unknown."""
    known = ["tool_errors", "steps", "confidence_last"]
    answer = httpx.post(
        f"{served}/invocations",
        json={"dataframe_split": {"columns": known, "data": [[2.0, 7.0, 0.4]]}},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    row = np.full((1, len(SIGNALS)), np.nan)
    row[0, [NAMES.index(name) for name in known]] = [2.0, 7.0, 0.4]
    risk = [row["risk"] for row in answer.json()["predictions"]]
    np.testing.assert_array_equal(risk, logged.bundle.risks(row))


def test_a_row_of_words_is_refused_by_the_server(served: str) -> None:
    """What is no signal is the caller's mistake, told as one."""
    answer = httpx.post(
        f"{served}/invocations",
        json={"dataframe_split": {"columns": ["steps"], "data": [["many"]]}},
        timeout=30,
    )
    assert answer.status_code == 400
