"""`escalon monitor`: a store in, a table of alarms out, and an exit code."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from escalon.cli import app
from serving.engine import Engine
from serving.engine.models import NoModel
from serving.policy.rules import Policy
from serving.store.sqlite import SqliteStore

LONG_AGO = datetime.now(UTC) - timedelta(days=30)
SECRET = b"a secret of at least thirty-two bytes"


def filled(path: Path, *, asks: int) -> Path:
    """Return a store of 300 tasks, of which the last `asks` ask for a human."""
    clock = [LONG_AGO]
    store = SqliteStore(path)
    engine = Engine(store, Policy.default(), NoModel(), lambda: clock[0], SECRET)
    for i in range(300):
        clock[0] += timedelta(minutes=10)
        text = "I want a human" if i >= 300 - asks else "Where is my parcel?"
        at = clock[0].isoformat()
        started = {
            "event_id": "a",
            "at": at,
            "kind": "task_started",
            "domain": "retail",
        }
        started["agent_version"] = "2"
        said = {"event_id": "b", "at": at, "kind": "user_message", "text": text}
        engine.observe(f"t{i}", [started, said])
    store.close()
    return path


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store in which nothing has changed."""
    return filled(tmp_path_factory.mktemp("quiet") / "escalon.db", asks=0)


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store in which, of a sudden, every user asks for a human."""
    return filled(tmp_path_factory.mktemp("changed") / "escalon.db", asks=200)


def run(store: Path, *words: str) -> Any:
    """Run the verb over a store in windows of 100 tasks."""
    asked = ["monitor", "--store", str(store), "--window", "100", *words]
    return CliRunner().invoke(app, asked)


def test_a_quiet_store_is_exit_code_0(quiet: Path) -> None:
    """And says so."""
    found = run(quiet)
    assert found.exit_code == 0, found.output
    assert "300 tasks" in found.stdout
    assert "no alarm" in found.stdout


def test_alarms_are_exit_code_1(changed: Path) -> None:
    """With what was found, in words."""
    found = run(changed)
    assert found.exit_code == 1, found.output
    assert "escalations_up" in found.stdout
    assert "agent_version=2" in found.stdout
    assert "watched 300 of 300 tasks" in found.stderr


def test_json_holds_all_of_it(changed: Path) -> None:
    """The same alarms each time, with evidence."""
    first, second = run(changed, "--json"), run(changed, "--json")
    said = orjson.loads(first.stdout)
    assert said["tasks"] == 300
    assert said["alarms"] == orjson.loads(second.stdout)["alarms"]
    (spike,) = (a for a in said["alarms"] if a["code"] == "escalations_up")
    assert spike["withdraws"] is None
    assert spike["evidence"]["total"] >= spike["evidence"]["alarm_at"]


def test_labels_that_have_not_matured_are_left_out(changed: Path) -> None:
    """With a longer wait there is nothing to look at yet."""
    found = run(changed, "--maturity", "60", "--json")
    assert found.exit_code == 0
    assert orjson.loads(found.stdout)["tasks"] == 0


def test_only_tasks_since_a_time_are_looked_at(changed: Path) -> None:
    """A time without a zone is UTC."""
    since = (LONG_AGO + timedelta(minutes=10 * 290)).strftime("%Y-%m-%dT%H:%M:%S")
    found = run(changed, "--since", since, "--json")
    assert orjson.loads(found.stdout)["tasks"] in {10, 11}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--window", "10"), "--window must be at least 50"),
        (("--model", "nowhere"), "is not a bundle"),
        (("--policy", "nowhere.yaml"), "cannot be read"),
    ],
)
def test_a_mistake_is_exit_code_2(
    quiet: Path, words: tuple[str, ...], says: str
) -> None:
    """In one line that says what to do."""
    found = run(quiet, *words)
    assert found.exit_code == 2
    assert says in found.stderr


def test_a_store_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    """Nothing is made in its place."""
    found = run(tmp_path / "none.db")
    assert found.exit_code == 2
    assert not (tmp_path / "none.db").exists()
