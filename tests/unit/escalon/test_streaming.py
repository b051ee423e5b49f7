"""`escalon evaluate --stream`: tasks as they came, and labels once they were known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from escalon.cli import app
from escalon.streaming import DelayError, as_they_came
from features.batch import events_table, write_events
from features.events import AgentEvent, EventKind
from features.signals import NAMES
from training.simulate import World

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
RATE, N_OF_TYPE = (
    NAMES.index(name) for name in ("history_type_rate", "history_type_n")
)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rates be known from the first label on: what is asked here is when."""
    monkeypatch.setattr("features.history._SETTLED", 0.0)


def log(n: int, *, made_up: bool = False) -> Iterator[AgentEvent]:
    """Yield tasks an hour apart, each needed and labelled half an hour after."""
    mark = {"at_synthetic": True} if made_up else {}
    for i in range(n):
        task, at = f"t{i:03}", BEGAN + i * HOUR
        start = {"domain": "d", "agent_version": "v", "task_type": "refund"}
        verdict = {"needed": "yes", "by": "anna"}
        for event_id, after, kind, body in (
            ("start", 0, EventKind.TASK_STARTED, start),
            ("ask", 1, EventKind.USER_MESSAGE, {"text": "please refund it"}),
            ("verdict", 1800, EventKind.VERDICT, verdict),
        ):
            yield AgentEvent(
                task_id=task,
                event_id=event_id,
                at=at + timedelta(seconds=after),
                kind=kind,
                body=body | mark,
            )


@pytest.fixture(scope="module")
def told() -> pa.Table:
    """Return a log that tells its times."""
    return events_table(log(12))


def known_at_start(table: pa.Table, delay: str) -> list[float]:
    """Return how many labels each task's history rests on, in order of their start."""
    come = as_they_came(table, delay, seed=0)
    first = come.data.starts[np.argsort(come.timeline.began)]
    return come.data.x[first, N_OF_TYPE].tolist()


@pytest.mark.usefixtures("settled")
def test_history_and_timeline_wait_for_the_same_number_of_tasks(told: pa.Table) -> None:
    """After three further tasks a label is in the history, and may be learned from."""
    come = as_they_came(told, "3", seed=0)
    began, known = come.timeline.began, come.timeline.known
    order = np.argsort(began)
    assert known_at_start(told, "3") == [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert [(known <= began[i]).sum() for i in order] == known_at_start(told, "3")
    assert come.data.task_ids[come.data.starts][order].tolist() == [
        f"t{i:03}" for i in range(12)
    ]


@pytest.mark.usefixtures("settled")
def test_history_and_timeline_wait_for_the_same_time(told: pa.Table) -> None:
    """With a delay in hours a label counts so long after it was given."""
    come = as_they_came(told, "2h", seed=0)
    assert known_at_start(told, "0s") == list(range(12))
    assert known_at_start(told, "2h") == [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    order = np.argsort(come.timeline.began)
    found = [(come.timeline.known <= come.timeline.began[i]).sum() for i in order]
    assert found == known_at_start(told, "2h")


@pytest.mark.usefixtures("settled")
def test_without_times_tasks_come_in_the_order_of_a_seed() -> None:
    """The order is drawn, the same for the same seed, and history follows it."""
    table = events_table(log(40, made_up=True))
    drawn = [as_they_came(table, "2", seed=s).timeline.began for s in (0, 0, 1)]
    assert drawn[0].tolist() == drawn[1].tolist() != drawn[2].tolist()
    assert known_at_start(table, "2")[:5] == [0, 0, 0, 1, 2]


@pytest.mark.usefixtures("settled")
def test_tasks_without_a_label_come_and_count_in_the_delay() -> None:
    """A task that nobody labelled still passes, and teaches nobody."""
    events = [
        event
        for event in log(12)
        if not (event.kind == EventKind.VERDICT and int(event.task_id[1:]) % 2)
    ]
    come = as_they_came(events_table(events), "1", seed=0)
    assert sorted(come.timeline.began.tolist()) == [0, 2, 4, 6, 8, 10]
    assert known_at_start(events_table(events), "1") == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("delay", ["", "-3", "soon", "3 weeks", "1.5"])
def test_what_is_no_delay_is_refused(told: pa.Table, delay: str) -> None:
    """A delay is a number of tasks or a time, and the message shows both."""
    with pytest.raises(DelayError, match="number of tasks, or a time like 30m"):
        as_they_came(told, delay, seed=0)


def test_a_time_needs_a_log_that_tells_times() -> None:
    """Where times are made up, the delay can only be in tasks."""
    table = events_table(log(12, made_up=True))
    with pytest.raises(DelayError, match="such as --delay 50"):
        as_they_came(table, "12h", seed=0)


def ran(*words: str | Path) -> Any:
    return CliRunner().invoke(app, ["evaluate", *map(str, words)])


def test_a_wrong_delay_is_the_callers_mistake(tmp_path: Path) -> None:
    """One line on standard error, code 2, and no report."""
    write_events(log(12), tmp_path / "e.parquet")
    target = tmp_path / "report.json"
    done = ran(
        "--events", tmp_path / "e.parquet", "--stream", "--delay", "x", "--out", target
    )
    assert done.exit_code == 2
    assert "found 'x'" in done.stderr
    assert not target.exists()


def test_labels_of_one_kind_cannot_grow_a_model(tmp_path: Path) -> None:
    """Where all known tasks needed a human, what it takes is said."""
    write_events(log(12), tmp_path / "e.parquet")
    done = ran("--events", tmp_path / "e.parquet", "--stream", "--delay", "1")
    assert done.exit_code == 2
    assert "some that did and some that did not" in done.stderr


def test_a_named_model_is_not_grown_anew(tmp_path: Path) -> None:
    """--model and --refit contradict each other."""
    write_events(log(12), tmp_path / "e.parquet")
    done = ran(
        "--events",
        tmp_path / "e.parquet",
        "--stream",
        "--model",
        "champion",
        "--refit",
        "5",
    )
    assert done.exit_code == 2
    assert "one or the other" in done.stderr


@pytest.mark.slow
def test_models_grown_as_labels_come_in_are_judged_at_steps(tmp_path: Path) -> None:
    """Two models are grown on the way, and the report stands beside the table's."""
    write_events(World(seed=2).log(160), tmp_path / "e.parquet")
    target = tmp_path / "report.json"
    done = ran(
        "--events",
        tmp_path / "e.parquet",
        "--stream",
        "--delay",
        "10",
        "--refit",
        "40",
        "--out",
        target,
    )
    assert done.exit_code == 0, done.output
    report = json.loads(target.read_text())
    assert (report["models_grown"], report["n_tasks"]) == (2, 160)
    assert report["n_scored"] == 80
    assert {"4", "end"} <= report["steps"].keys()
    end = report["steps"]["end"]
    assert end["n_tasks"] == 80
    assert 0.5 < end["model"]["auroc"]["value"] <= 1
    assert end["table"]["auroc"]["value"] < end["model"]["auroc"]["value"]
    assert "auroc within a version and domain" in done.stdout


def test_what_was_labelled_for_how_it_went_is_learned_from_but_not_judged(
    tmp_path: Path,
) -> None:
    """A task labelled by its handover stays out of the figures."""
    events = [
        replace(e, body={**e.body, "source": "resolution"})
        if e.kind == EventKind.VERDICT and int(e.task_id[1:]) % 2
        else e
        for e in log(120)
    ]
    write_events(events, tmp_path / "e.parquet")
    come = as_they_came(events_table(events), "1", seed=0)
    assert come.data.n_tasks == 120
    assert sum(label.is_selected for label in come.labels.values()) == 60
