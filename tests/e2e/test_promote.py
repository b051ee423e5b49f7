"""The way to champion: gates on a real registry, refusals, overrides, comparisons."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from escalon.cli import app
from features.batch import write_events
from training.registry import Registry
from training.simulate import World

pytestmark = [
    pytest.mark.slow,
    # MLflow's own query, at SQLAlchemy 2.1.
    pytest.mark.filterwarnings(
        "ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"
    ),
    # MLflow's import of its own agent types.
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType"),
]
ROOT = Path(__file__).parents[2]
LENIENT = """
# What a small simulated log cannot show, or shows of old days.
gaming_auroc_most: 1
gaming_misses_most: 1
ece_every_step: 0.2
ece_stage: 0.3
ece_end: 0.3
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """A folder with two logs and a registry of two versions."""

    path: Path

    def ran(self, *words: str) -> Any:
        """Return what a command of the CLI came to, in this folder."""
        where = (
            [] if words[0] == "simulate" else ["--mlruns", str(self.path / "mlruns")]
        )
        return CliRunner().invoke(app, [*words, *where])

    def at(self, name: str) -> str:
        """Return the path of a file in this folder."""
        return str(self.path / name)

    @property
    def registry(self) -> Registry:
        """The registry of this folder."""
        return Registry(self.path / "mlruns")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Return a folder with versions 1 and 2, trained on the same log, none promoted."""
    path = tmp_path_factory.mktemp("promote")
    write_events(World(seed=5).log(500), path / "events.parquet")
    write_events(World(seed=6).log(300), path / "later.parquet")
    (path / "gates.yaml").write_text(LENIENT, encoding="utf-8")
    made = Home(path=path)
    for seed in ("0", "1"):
        done = made.ran(
            *("train", "--events", made.at("events.parquet"), "--alpha", "0.3"),
            *("--seed", seed),
        )
        assert done.exit_code == 0, done.output
    return made


def promoted(home: Home, version: str, *more: str) -> tuple[int, dict[str, Any], str]:
    """Return exit code, gates.json and what was said of a promotion."""
    done = home.ran(
        *("promote", version, "--into", home.at("model"), "--json", *more),
        *("--gates", home.at("gates.yaml")),
    )
    told = json.loads(done.stdout) if done.stdout.startswith("{") else {}
    return done.exit_code, told, done.output


def test_the_whole_way_of_a_champion(home: Home) -> None:
    """Refused while a gate is red, forced with a reason, then replaced by a rival."""
    (home.path / "strict.yaml").write_text("least_tasks: 100000\n", encoding="utf-8")
    strict = ("promote", "1", "--into", home.at("model"), "--no-refit")
    refused = home.ran(*strict, "--gates", home.at("strict.yaml"))
    assert refused.exit_code == 1
    assert "not promoted" in refused.stdout
    assert "docs/reference/gates/ESC013.md" in refused.stdout
    assert home.registry.champion() is None
    assert not (home.path / "model").exists()
    kept = home.registry.kept(home.registry.find("1"), "gates.json")
    assert kept is not None
    assert kept["verdict"] == "refused"

    forced = home.ran(
        *strict, "--gates", home.at("strict.yaml"), "--force-with-reason", "a drill"
    )
    assert forced.exit_code == 0, forced.output
    assert "a drill" in forced.stdout
    assert home.registry.champion() == home.registry.find("1")
    assert (home.path / "model" / "manifest.json").is_file()
    kept = home.registry.kept(home.registry.find("1"), "gates.json")
    assert kept is not None
    assert kept["verdict"] == "promoted against the gates"
    assert kept["override"]["reason"] == "a drill"

    code, told, said = promoted(home, "2")
    assert code == 0, said
    assert told["champion"] == "models:/escalon/1"
    gates = {gate["code"]: gate for gate in told["gates"]}
    assert told["override"] is None
    assert gates["ESC014"]["passed"], "the same seed and data give the same model"
    assert gates["ESC007"]["evidence"]["n_tasks"] > 0
    assert home.registry.champion() == home.registry.find("2")


def test_later_tasks_can_judge(home: Home) -> None:
    """Tasks of other customers test the certificate, which the training's cannot."""
    _, told, said = promoted(
        home, "1", "--events", home.at("later.parquet"), "--no-refit"
    )
    gates = {gate["code"]: gate for gate in told["gates"]}
    assert gates["ESC006"]["evidence"]["tests"], said
    assert gates["ESC013"]["evidence"]["have"]["tasks"] > 250


def test_tasks_that_are_gone_are_asked_for(home: Home) -> None:
    """Where the training's tasks are not at hand others must be given."""
    moved = home.path / "events.parquet"
    moved.rename(home.path / "elsewhere.parquet")
    try:
        code, _, said = promoted(home, "1")
    finally:
        (home.path / "elsewhere.parquet").rename(moved)
    assert code == 2
    assert "is gone" in said
    assert "--events" in said


def test_limits_that_are_none_are_the_users_mistake(home: Home) -> None:
    """A document with a name that is no limit: code 2, one line, what was meant."""
    (home.path / "wrong.yaml").write_text("least_task: 3\n", encoding="utf-8")
    done = home.ran("promote", "1", "--gates", home.at("wrong.yaml"))
    assert done.exit_code == 2
    assert "did you mean 'least_tasks'" in done.output


def test_two_versions_are_compared_on_tasks_neither_knows(home: Home) -> None:
    """Added and removed escalations come with figures, intervals and examples."""
    done = home.ran(
        *("compare", "--challenger", "models:/escalon/2"),
        *("--champion", "models:/escalon/1", "--events", home.at("later.parquet")),
        *("--out", home.at("comparison.json"), "--json"),
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["schema"] == "escalon.comparison/1"
    assert told["n_tasks"] == told["n_labelled"] > 250
    change = told["difference"]["escalation_rate"]["value"]
    counts = told["added"]["n"] - told["removed"]["n"]
    assert change == pytest.approx(counts / told["n_tasks"])
    assert json.loads((home.path / "comparison.json").read_text()) == told


def test_only_a_promotion_moves_the_champion() -> None:
    """No other module of the packages calls the registry's `promote`."""
    callers = {
        path.name
        for package in ("escalon", "features", "training", "serving")
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"egistry(\([^)]*\))?\.promote\(", path.read_text("utf-8"))
    }
    assert callers == {"promoting.py"}
