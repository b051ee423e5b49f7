"""From logs to a human's queue and back to a label, with real processes throughout."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from features import batch
from serving.server import Server, start
from serving.settings import Settings
from serving.store.log import read_log
from training.labels import Evidence, labels_of
from training.simulate import World

pytestmark = pytest.mark.slow

NOW = "2026-03-01T09:00:00Z"


def escalon(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user would, in an empty folder."""
    command = [sys.executable, "-m", "escalon", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@dataclass(frozen=True)
class Running:
    """A service with a trained model, and what made it."""

    home: Path
    server: Server
    client: httpx.Client
    trained: dict[str, Any]


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, free_port: int
) -> Iterator[Running]:
    """Yield a service started on a model trained from a simulated log."""
    home = tmp_path_factory.mktemp("home")
    made = escalon("simulate", "--tasks", "800", "--out", "events.parquet", cwd=home)
    assert made.returncode == 0, made.stderr
    trained = escalon("train", "--events", "events.parquet", "--json", cwd=home)
    assert trained.returncode == 0, trained.stderr
    # What the gates say of so small a log is not the matter here.
    anyway = ("--no-refit", "--force-with-reason", "a small simulated log")
    promoted = escalon("promote", "1", "--into", "model", *anyway, cwd=home)
    assert promoted.returncode == 0, promoted.stderr
    server = start(
        Settings.load(store=home / "escalon.db", model=home / "model", port=free_port)
    )
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield Running(home, server, client, json.loads(trained.stdout))
    server.stop()


def line(kind: str, event_id: str, **body: Any) -> dict[str, Any]:
    """Return one event of a task's log as an agent sends it."""
    return {"event_id": event_id, "at": NOW, "kind": kind, **body}


def hand_over(running: Running, task_id: str) -> dict[str, Any]:
    """Play a task until the user asks for a human, and return that answer."""
    steps = [
        line("task_started", "1", domain="billing", agent_version="9.9", group=task_id),
        line("user_message", "2", text="My invoice is wrong, please correct it."),
        line(
            "agent_message",
            "3",
            text="I have looked into it.",
            confidence={"value": 0.9},
        ),
        line("user_message", "4", text="No. I want to talk to a human, please."),
    ]
    for step in steps:
        answer = running.client.post(
            f"/v1/tasks/{task_id}/events", json={"events": [step]}
        )
        assert answer.status_code == 200, answer.text
        if answer.json()["handoff"] is not None:
            return answer.json()
    raise AssertionError(answer.text)


def member(running: Running, handoff_id: str) -> str:
    """Return somebody who may claim the handoff."""
    queue = running.client.get(f"/v1/handoffs/{handoff_id}").json()["queue"]
    queues = running.client.get("/v1/queues").json()["queues"]
    return str(next(q["members"][0] for q in queues if q["queue"] == queue))


def test_training_prints_model_metrics_and_certificate(running: Running) -> None:
    """`escalon train` names the version, its metrics with intervals, its certificate."""
    assert running.trained["model"] == "models:/escalon/1"
    auroc = running.trained["metrics"]["end_of_task.auroc"]
    assert auroc["low"] < auroc["value"] < auroc["high"]
    assert auroc["value"] > 0.7
    assert running.trained["certificate"]["reason"]


def test_the_model_decides(running: Running) -> None:
    """A step is answered with a risk of the promoted version, not by rules alone."""
    answer = hand_over(running, "decides")
    assert answer["decision"]["source"] == "model"
    assert 0 < answer["decision"]["risk"] < 1
    assert "user_asks_for_human" in {
        r["trigger"] for r in answer["decision"]["reasons"]
    }


def test_a_person_follows_one_task_from_event_to_label(running: Running) -> None:
    """What a human resolves over HTTP is a label in the next training."""
    handed = hand_over(running, "followed")
    handoff_id = handed["handoff"]["handoff_id"]
    late = running.client.post(
        "/v1/tasks/followed/events",
        json={"epoch": 1, "events": [line("agent_message", "5", text="One moment.")]},
    )
    assert late.status_code == 409
    assert late.json()["owner"]["kind"] == "queue"

    case = running.client.get(f"/v1/handoffs/{handoff_id}").json()
    assert "I want to talk to a human" in json.dumps(case["package"])
    by = member(running, handoff_id)
    for verb, body in (
        ("claim", {"by": by}),
        (
            "resolve",
            {"by": by, "needed": "no", "note": "a copy was enough", "minutes": 3},
        ),
    ):
        done = running.client.post(f"/v1/handoffs/{handoff_id}/{verb}", json=body)
        assert done.status_code == 200, done.text
    assert running.client.get("/v1/tasks/followed").json()["owner"]["kind"] == "nobody"

    table = batch.events_table(read_log(running.home / "escalon.db"))
    label = labels_of(table)["followed"]
    assert not label.needed
    assert label.evidence is Evidence.VERDICT

    again = escalon(
        "train", "--events", "events.parquet", "--store", "escalon.db", "--json",
        cwd=running.home,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    retrained = json.loads(again.stdout)
    assert retrained["model"] == "models:/escalon/2"
    assert sum(retrained["label_sources"].values()) == (
        sum(running.trained["label_sources"].values()) + 1
    )


def test_evaluate_writes_the_report(running: Running) -> None:
    """`escalon evaluate` measures a registered model on other tasks, with baselines."""
    fresh = running.home / "fresh.parquet"
    batch.write_events(World(seed=99).log(400), fresh)
    done = escalon(
        "evaluate", "--model", "models:/escalon/1", "--events", "fresh.parquet",
        "--out", "report.json", cwd=running.home,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads((running.home / "report.json").read_text())
    assert report["n_tasks"] == 400
    for scope in ("every_step", "end_of_task"):
        for name in ("auroc", "auprc", "brier", "log_loss", "ece_debiased", "smece"):
            found = report[scope][name]
            assert found["low"] <= found["value"] <= found["high"], (scope, name)
    assert {"always", "never", "rules_only", "confidence_only"} <= set(
        report["baselines"]
    )
    model = report["end_of_task"]["auroc"]["value"]
    rules = report["baselines"]["rules_only"]["end_of_task"]["auroc"]["value"]
    assert model > rules


def test_the_audit_log_of_the_running_service_is_sound(running: Running) -> None:
    """`escalon audit verify` proves the log while the service runs."""
    hand_over(running, "audited")
    found = escalon(
        "audit", "verify", "--store", "escalon.db", "--json", cwd=running.home
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert json.loads(found.stdout)["sound"] is True


def test_a_broken_bundle_is_told_and_never_used(
    running: Running, another_port: int
) -> None:
    """The last good model goes on; a service that never had one lets rules decide."""
    broken = running.home / "broken"
    shutil.copytree(running.home / "model", broken)
    settings = Settings.load(
        store=running.home / "second.db", model=broken, port=another_port
    )
    booster = broken / "booster.txt"
    whole = booster.read_bytes()
    with start(settings) as server, httpx.Client(base_url=server.url) as client:
        second = replace(running, server=server, client=client)
        assert hand_over(second, "whole")["decision"]["source"] == "model"
        booster.write_bytes(whole[: len(whole) // 2])
        time.sleep(1.2)  # the directory is looked at once a second
        assert hand_over(second, "last-good")["decision"]["source"] == "model"
        assert "booster.txt" in client.get("/readyz").text
    with start(settings) as server, httpx.Client(base_url=server.url) as client:
        second = replace(running, server=server, client=client)
        decision = hand_over(second, "never-had-one")["decision"]
        assert (decision["source"], decision["risk"]) == ("rules", None)
        assert "booster.txt" in client.get("/readyz").text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["train", "--events", "none.parquet"], "escalon ingest"),
        (
            ["evaluate", "--model", "models:/escalon/77", "--events", "events.parquet"],
            "77",
        ),
        (["audit", "verify", "--store", "none.db"], "none.db"),
        (["audit", "verify", "--store", "escalon.db", "--expect", "x"], "SIZE:ROOT"),
        (["policy", "check", "none.yaml"], "none.yaml"),
        (["ingest", "none.jsonl"], "none.jsonl"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(
    running: Running, words: list[str], says: str
) -> None:
    """A mistake on the command line says what to do, without a traceback."""
    done = escalon(*words, cwd=running.home)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_too_few_labels_say_how_many_more(tmp_path: Path) -> None:
    """Training on a handful of tasks is refused with the number still needed."""
    batch.write_events(World(seed=3).log(20), tmp_path / "few.parquet")
    done = escalon("train", "--events", "few.parquet", cwd=tmp_path)
    assert done.returncode == 2
    assert "have 20 of 60 labelled tasks, 40 more are needed" in done.stderr
