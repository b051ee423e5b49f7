"""An agent with plain OpenTelemetry is scored as it runs, and trains a model."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from features import ingest
from features.events import AgentEvent
from serving.server import Server, start
from serving.settings import Settings
from serving.store.log import read_log
from training.simulate import World

pytestmark = pytest.mark.slow

AGENT = Path(__file__).with_name("otel_agent.py")
LABELLED = 350  # enough for a certificate, without which rules decide
Json = dict[str, Any]


def scripts(seed: int, tasks: int) -> list[Json]:
    """Return conversations of a simulated world, as an agent would live them."""
    by_task: dict[str, list[AgentEvent]] = {}
    for event in World(seed=seed).log(tasks, labelled=1.0):
        by_task.setdefault(event.task_id, []).append(event)
    return [script(task_id, events) for task_id, events in by_task.items()]


def script(task_id: str, events: list[AgentEvent]) -> Json:
    """Return one conversation: who it was with, its steps, and how it was judged."""
    started = events[0].body
    results = {e.body["call_id"]: e.body for e in events if e.kind == "tool_result"}
    steps: list[Json] = [{"user": started["text"]}]
    for event in events:
        body = event.body
        if event.kind == "user_message":
            steps.append({"user": event.text})
        elif event.kind == "agent_message":
            sure = body.get("confidence", {}).get("value")
            steps.append({"agent": event.text, "confidence": sure})
        elif event.kind == "tool_call":
            result = results[body["call_id"]]
            called = {"id": body["call_id"], "name": body["tool"]}
            told = {"result": result.get("text", ""), "failed": bool(result["error"])}
            steps.append(called | {"arguments": body["arguments"]} | told)
    verdict = next(e.body["needed"] for e in events if e.kind == "verdict")
    user = started["group"]
    return {"id": task_id, "user": user, "steps": steps, "needed": verdict}


def run(*arguments: str, cwd: Path) -> str:
    """Run a Python script to its end, and return what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def play(home: Path, played: list[Json], *options: str) -> None:
    """Let the agent play conversations."""
    path = home / "script.json"
    path.write_text(json.dumps(played))
    run(str(AGENT), str(path), *options, cwd=home)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train on spans that an agent wrote to a file; put the model to use."""
    home = tmp_path_factory.mktemp("otel")
    play(home, scripts(1, LABELLED), "--file", "spans.jsonl", "--labels")
    read = ("ingest", "spans.jsonl", "--out", "events.parquet", "--json")
    told = json.loads(run("-m", "escalon", *read, cwd=home))
    assert told["refused"] == []
    run("-m", "escalon", "train", "--events", "events.parquet", cwd=home)
    # What the gates say of so small a log is not the matter here.
    anyway = ("--no-refit", "--force-with-reason", "a small simulated log")
    run("-m", "escalon", "promote", "1", "--into", "model", *anyway, cwd=home)
    return home


@pytest.fixture(scope="module")
def server(home: Path, free_port: int) -> Iterator[Server]:
    """Serve the model that was trained on spans."""
    settings = Settings.load(
        store=home / "store.db", model=home / "model", port=free_port
    )
    with start(settings) as server:
        yield server


def log_of(events: Iterable[AgentEvent]) -> dict[str, list[Json]]:
    """Return the log of each task, in wire form.

    Containers round times differently, and the console's leaves out the scope.
    """
    log: dict[str, list[Json]] = {}
    for event in events:
        told = copy.deepcopy(event.to_json()) | {
            "at": event.at.isoformat(timespec="milliseconds")
        }
        told.pop("latency_ms", None)
        told.get("extra", {}).pop("scope", None)
        log.setdefault(event.task_id, []).append(told)
    return log


def test_running_agent_shows_up_as_scored_tasks(home: Path, server: Server) -> None:
    """Its exporter needs the address and no more; the model decides at its steps."""
    played = scripts(2, 4)
    play(home, played, "--endpoint", f"{server.url}/v1/traces")
    for told in played:
        task = httpx.get(f"{server.url}/v1/tasks/{told['id']}").json()
        assert task["decision"]["source"] == "model"
        assert 0 <= task["decision"]["risk"] <= 1


def test_file_and_receiver_make_the_same_log(home: Path, server: Server) -> None:
    """What trains is what is scored: the same spans give the same events, both ways."""
    options = ("--endpoint", f"{server.url}/v1/traces", "--file", "now.jsonl")
    play(home, [quiet("same", "Where is my parcel?")], *options)
    refused: list[Any] = []
    read = ingest.read("otlp", [home / "now.jsonl"], on_refused=refused.append)
    from_file = log_of(read)["same"]
    assert refused == []
    ours = {"handoff", "history"}  # what the service adds of its own
    stored = log_of(e for e in read_log(home / "store.db") if e.kind not in ours)
    assert stored["same"] == from_file
    said = [(e["kind"], e.get("text")) for e in from_file if e["kind"] in SPOKEN]
    assert said == [
        ("user_message", "Where is my parcel?"),
        ("agent_message", "It comes today."),
        ("user_message", "Thank you."),
        ("agent_message", "You are welcome."),
    ]


SPOKEN = {"user_message", "agent_message"}


def quiet(task_id: str, request: str) -> Json:
    """Return a conversation that nothing is wrong with."""
    called = {"id": "c1", "name": "find_parcel", "arguments": {"order": "5512"}}
    steps = [
        {"user": request},
        called | {"result": '{"parcel": "out for delivery"}', "failed": False},
        {"agent": "It comes today.", "confidence": 0.97},
        {"user": "Thank you."},
        {"agent": "You are welcome.", "confidence": 0.99},
    ]
    return {"id": task_id, "user": "u1", "steps": steps, "needed": "no"}
