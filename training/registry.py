"""MLflow: runs, registered versions, aliases. The only module that talks to it."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.signals import NAMES
from training import model
from training.bundle import BundleError, ModelBundle
from training.card.figures import figures
from training.train import Order, Trained, card, summary

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema

NAME = "escalon"
CHALLENGER, CHAMPION = "challenger", "champion"
GATES = "gates.json"
_EXPERIMENT = "escalon"
_PYFUNC = Path(__file__).with_name("pyfunc.py")


class RegistryError(ValueError):
    """A model that the registry does not hold, or a registry that does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A registered version of the model.

    Attributes
    ----------
    number : str
        As in ``models:/escalon/NUMBER``.
    run_id : str
        The MLflow run it was made in.
    """

    number: str
    run_id: str

    @property
    def uri(self) -> str:
        """Where MLflow finds it."""
        return f"models:/{NAME}/{self.number}"


class Registry:
    """Runs and versions in one folder: ``mlflow.db`` and artifacts under it.

    Parameters
    ----------
    root : Path
        The folder, usually ``mlruns``. Made if it is not there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._root.mkdir(parents=True, exist_ok=True)
        self.tracking_uri = f"sqlite:///{self._root / 'mlflow.db'}"

    @contextmanager
    def _connected(self) -> Iterator[MlflowClient]:
        mlflow.set_tracking_uri(self.tracking_uri)
        mlflow.set_registry_uri(self.tracking_uri)
        try:
            yield MlflowClient()
        except MlflowException as error:
            msg = f"the registry at {self.tracking_uri} answered: {error.message}"
            raise RegistryError(msg) from error

    def _experiment(self, client: MlflowClient) -> str:
        found = client.get_experiment_by_name(_EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        artifacts = (self._root / "artifacts").as_uri()
        return str(client.create_experiment(_EXPERIMENT, artifact_location=artifacts))

    def log(self, trained: Trained, order: Order) -> Version:
        """Return the new version, `challenger` from now on, that holds `trained`."""
        with self._connected() as client, TemporaryDirectory() as scratch:
            experiment = self._experiment(client)
            with mlflow.start_run(experiment_id=experiment) as run:
                _log_run(trained, order)
                logged = _log_model(trained, Path(scratch))
                number = str(logged.registered_model_version)
                page = card(
                    trained, name=NAME, version=number, directory=Path(scratch) / "card"
                )
                mlflow.log_artifacts(str(page.parent), "card")
            client.set_registered_model_alias(NAME, CHALLENGER, number)
            return Version(number=number, run_id=run.info.run_id)

    def promote(self, version: str, gates: Mapping[str, Any]) -> Version:
        """Return `version` (a number or an alias), `champion` from now on.

        Whether the gates allow it is for `escalon.promoting` to say: nobody else calls
        this.

        Parameters
        ----------
        gates : mapping
            What the release gates said; kept with the version, see `keep_gates`.
        """
        self.keep_gates(version, gates)
        with self._connected() as client:
            found = self._find(client, version)
            client.set_registered_model_alias(NAME, CHAMPION, found.number)
            return found

    def keep_gates(self, version: str, gates: Mapping[str, Any]) -> None:
        """Keep what the release gates said of a version, as gates.json and as tags."""
        red = [gate["code"] for gate in gates["gates"] if not gate["passed"]]
        override = (gates.get("override") or {}).get("reason", "")
        said = {"": gates["verdict"], "_red": " ".join(red), "_override": override}
        self.keep(version, GATES, gates)
        with self._connected() as client:
            found = self._find(client, version)
            for name, value in said.items():
                client.set_tag(found.run_id, f"gates{name}", value)

    def keep(self, version: str, name: str, content: Mapping[str, Any]) -> None:
        """Keep `content` with the run of a version, as the JSON artifact `name`."""
        with self._connected() as client:
            client.log_dict(self._find(client, version).run_id, dict(content), name)

    def kept(self, version: Version, name: str) -> dict[str, Any] | None:
        """Return a JSON artifact of a version's run; None where it has none."""
        with self._connected() as client:
            if name not in {
                held.path for held in client.list_artifacts(version.run_id)
            }:
                return None
            uri = f"runs:/{version.run_id}/{name}"
            return dict(mlflow.artifacts.load_dict(uri))

    def champion(self) -> Version | None:
        """Return the version in use; None while none was promoted."""
        with self._connected() as client:
            models = client.search_registered_models(f"name = '{NAME}'")
            known = {alias for model in models for alias in model.aliases}
            return self._find(client, CHAMPION) if CHAMPION in known else None

    def find(self, version: str) -> Version:
        """Return the registered version with a number or an alias.

        Raises
        ------
        RegistryError
            If there is none.
        """
        with self._connected() as client:
            return self._find(client, version)

    def _find(self, client: MlflowClient, version: str) -> Version:
        if version.isdigit():
            held = client.get_model_version(NAME, version)
        else:
            held = client.get_model_version_by_alias(NAME, version)
        return Version(number=str(held.version), run_id=str(held.run_id))

    def fetch(self, uri: str, into: Path) -> Path:
        """Copy the bundle of a model into the directory `into`, and return it.

        Parameters
        ----------
        uri : str
            ``models:/escalon/3``, ``models:/escalon@champion``, ``runs:/…``, or a
            bundle's own directory.

        Raises
        ------
        RegistryError
            If the registry holds no such model.
        BundleError
            If what it holds is not a sound bundle.
        """
        if Path(uri).is_dir():
            source = Path(uri)
        else:
            with self._connected():
                held = mlflow.artifacts.download_artifacts(artifact_uri=uri)
            source = Path(held)
        bundle = next((p.parent for p in source.rglob("manifest.json")), None)
        if bundle is None:
            msg = f"{uri} holds no bundle (no manifest.json below {source})"
            raise BundleError(msg)
        ModelBundle.load(bundle)  # before it replaces anything
        _replace_directory(bundle, into)
        return into

    def card_of(self, version: Version, into: Path) -> Path:
        """Copy the model card of a version into `into`; return its page."""
        with self._connected():
            held = mlflow.artifacts.download_artifacts(
                run_id=version.run_id, artifact_path="card", dst_path=str(into)
            )
        return Path(held) / "card.html"

    def risks(self, uri: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the risk of each row of `x` as MLflow's own loader computes it."""
        with self._connected():
            loaded = mlflow.pyfunc.load_model(uri)
        frame = pd.DataFrame(x, columns=list(NAMES))
        return np.asarray(loaded.predict(frame)["risk"], dtype=np.float64)


def _replace_directory(source: Path, target: Path) -> None:
    """Put a copy of `source` in the place of `target`.

    A reader sees the old one, for an instant none, then the new one; never a half.
    """
    fresh = target.with_name(target.name + ".new")
    stale = target.with_name(target.name + ".old")
    for leftover in (fresh, stale):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(source, fresh)
    if target.exists():
        target.rename(stale)
    fresh.rename(target)
    shutil.rmtree(stale, ignore_errors=True)


def _log_run(trained: Trained, order: Order) -> None:
    bundle = trained.bundle
    mlflow.log_params(
        {
            **model.describe(order.recipe),
            "alpha": order.alpha,
            "delta": order.delta,
            "calibrator": bundle.calibrator.kind,
            "n_tasks": trained.n_tasks,
            "n_unlabelled": trained.n_unlabelled,
        }
    )
    mlflow.set_tags(
        {
            "data_fingerprint": trained.fingerprint,
            "bundle": bundle.digest,
            "certificate": bundle.certificate.reason,
        }
    )
    mlflow.log_metrics(_flat(summary(trained)))
    mlflow.log_dict(trained.report.to_json(), "report.json")
    mlflow.log_dict(trained.parts.to_json(), "parts.json")
    mlflow.log_dict(trained.gaming.to_json(), "gaming.json")
    for name, figure in figures(trained.report.to_json()).items():
        mlflow.log_figure(figure, f"plots/{name}.png")


def _flat(values: Mapping[str, Any]) -> dict[str, float]:
    """Return numbers by name; an interval gives its value, low and high."""
    flat: dict[str, float] = {}
    for name, value in values.items():
        parts = value if isinstance(value, Mapping) else {"value": value}
        for part, number in parts.items():
            if number is not None:
                key = name if part == "value" else f"{name}.{part}"
                flat[key] = float(number)
    return flat


def _log_model(trained: Trained, scratch: Path) -> Any:
    directory = scratch / "bundle"
    trained.bundle.save(directory)
    signature = ModelSignature(
        inputs=Schema(
            [ColSpec(DataType.double, name, required=False) for name in NAMES]
        ),
        outputs=Schema([ColSpec(DataType.double, "risk")]),
    )
    with warnings.catch_warnings():
        # It asks for an example to check the signature by, which is typed already.
        warnings.filterwarnings("ignore", message=".*input example was not provided")
        return mlflow.pyfunc.log_model(
            name="model",
            python_model=str(_PYFUNC),
            artifacts={"bundle": str(directory)},
            signature=signature,
            registered_model_name=NAME,
            # Without it MLflow would run the model for a minute to guess.
            pip_requirements=["escalon"],
        )
