from __future__ import annotations

from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from escalon import terminal
from escalon.cli import app
from features.batch import write_events
from training.simulate import World


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """Return an events table of thirty simulated tasks."""
    path = tmp_path / "events.parquet"
    write_events(World(seed=1).log(30), path)
    return path


def features(*words: str | Path) -> Result:
    """Return what `escalon features` with these words ends in."""
    return CliRunner().invoke(app, ["features", *map(str, words)])


def test_a_second_run_says_how_many_tasks_it_kept(events: Path, tmp_path: Path) -> None:
    """First all are computed; then only what the log has grown by."""
    out = tmp_path / "signals.parquet"
    first = features(events, "--out", out, "--jobs", "1", "--json")
    assert first.exit_code == 0, first.output
    found = orjson.loads(first.stdout)
    assert (found["tasks_computed"], found["tasks_kept"]) == (30, 0)
    assert found["rows"] == pq.ParquetFile(out).metadata.num_rows

    write_events(World(seed=1).log(40), events)
    second = features(events, "--out", out)
    assert second.exit_code == 0, second.output
    told = " ".join(second.stdout.split())
    assert "tasks computed 10 tasks kept 30" in told

    full = features(events, "--out", out, "--full", "--json")
    assert orjson.loads(full.stdout)["tasks_computed"] == 40


def test_a_file_of_another_schema_is_computed_anew_saying_so(
    events: Path, tmp_path: Path
) -> None:
    """What stands at OUT and is no table of these signals is replaced, and told."""
    out = tmp_path / "signals.parquet"
    out.write_text("something else")
    done = features(events, "--out", out)
    assert done.exit_code == 0, done.output
    assert "it is no Parquet file" in done.stdout
    assert pq.ParquetFile(out).metadata.num_rows > 0


def test_an_unknown_engine_is_the_users_mistake(events: Path) -> None:
    """Another word than local or spark ends with code 2 and the words there are."""
    done = features(events, "--engine", "abacus")
    assert done.exit_code == 2
    assert "local, spark" in done.stderr


def test_a_missing_table_is_the_users_mistake(tmp_path: Path) -> None:
    """A file that is not there ends with code 2 and how to make one."""
    done = features(tmp_path / "none.parquet", "--out", tmp_path / "s.parquet")
    assert done.exit_code == 2
    assert "escalon ingest" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_progress_off_a_terminal_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It tells how many of how many, the rate and the time left."""
    clock = iter([0.0, 0.0, 6.0, 6.0, 7.0, 12.0, 12.0])
    monkeypatch.setattr(terminal.time, "monotonic", lambda: next(clock))
    with terminal.counting("reading") as tell:
        tell(600, None)
        tell(700, 1400)
        tell(1200, 2400)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "  reading: 600 events, 100/s",
        "  reading: 1,200 of 2,400 events, 100/s, 12 s left",
    ]
