"""`escalon db` as an operator types it: what is said, and with which exit code."""

from __future__ import annotations

import gzip
import sqlite3
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner, Result

from escalon.cli import app

WRITTEN = Path(__file__).parents[2] / "contract" / "store_v2.sql.gz"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Return the path of a store of version 2."""
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path)
    connection.executescript(gzip.decompress(WRITTEN.read_bytes()).decode())
    connection.close()
    return path


def db(*words: object) -> Result:
    """Run a verb of `escalon db`."""
    return CliRunner().invoke(app, ["db", *map(str, words)])


def versions(store: Path) -> dict[str, str]:
    """Return what `current` says."""
    said: dict[str, str] = orjson.loads(
        db("current", "--store", store, "--json").stdout
    )
    return said


def test_a_store_is_brought_forward_proved_and_backed_up(
    old: Path, tmp_path: Path
) -> None:
    """The verbs in the order in which the page tells them; the copy is the store."""
    assert versions(old) == {"current": "0002", "head": "0003"}
    assert db("upgrade", "--store", old).exit_code == 0
    assert versions(old) == {"current": "0003", "head": "0003"}
    assert db("check", "--store", old).exit_code == 0
    made = db("backup", "--store", old, tmp_path / "copy", "--json")
    noted = orjson.loads(made.stdout)
    restored = tmp_path / "restored.db"
    expect = f"{noted['size']}:{noted['root']}"
    back = db(
        "restore", tmp_path / "copy", "--store", restored, "--expect", expect, "--json"
    )
    assert back.exit_code == 0
    assert orjson.loads(back.stdout)["root"] == noted["root"]


def test_what_would_be_lost_is_named_before_it_is(old: Path) -> None:
    """Going back refuses, says what has no place there, and changes nothing."""
    db("upgrade", "--store", old)
    refused = db("downgrade", "--store", old, "--to", "0002")
    assert refused.exit_code == 2
    assert "claims that end" in refused.output
    assert versions(old)["current"] == "0003"


@pytest.mark.parametrize("verb", ["upgrade", "downgrade"])
def test_a_mistaken_version_is_one_line(old: Path, verb: str) -> None:
    """It names the versions there are, and is no traceback."""
    ran = db(verb, "--store", old, "--to", "9")
    assert ran.exit_code == 2
    assert "0002" in ran.output
    assert "Traceback" not in ran.output


def test_no_store_is_said_so(tmp_path: Path) -> None:
    """A path with nothing there is a mistake of whoever typed it."""
    ran = db("check", "--store", tmp_path / "none.db")
    assert ran.exit_code == 2
    assert "expected a store at" in ran.output.replace("\n", " ")
