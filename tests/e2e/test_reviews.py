"""A review in a real service: drawn, due, judged over HTTP, and seen in the figures."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.server import start
from serving.settings import Settings
from serving.store.verify import verify_store

pytestmark = pytest.mark.slow

PATIENCE = 60.0
SHORT = {
    "uniform: 0.02": "uniform: 1.0",
    "second_rater: 0.2": "second_rater: 0.0",
    "complaint_window: 3 d": "complaint_window: 1 s",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Write a policy under which every task is drawn, and due a second after its end."""
    text = files("serving.policy").joinpath("default.yaml").read_text(encoding="utf-8")
    for old, new in SHORT.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "policy.yaml").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def client(home: Path) -> Iterator[httpx.Client]:
    """Call a service under that policy."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    settings = Settings.load(
        store=home / "store.db",
        model=home / "model",
        policy=home / "policy.yaml",
        port=port,
    )
    with start(settings) as server, httpx.Client(base_url=server.url) as client:
        yield client


def ok(answer: httpx.Response) -> Any:
    """Return the JSON of an answer that must be good."""
    assert answer.status_code == 200, answer.text
    return answer.json()


def shown(client: httpx.Client) -> list[Any]:
    """Return what is due once something is."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if found := ok(client.get("/v1/reviews", params={"by": "rea"}))["reviews"]:
            return list(found)
        time.sleep(0.2)
    pytest.fail("nothing became due")


def figures(store: Path) -> Any:
    """Return what `escalon kpis` prints of a store that a service has open."""
    words = [sys.executable, "-m", "escalon", "kpis", "--store", str(store), "--json"]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_drawn_task_becomes_a_label_and_a_figure(
    home: Path, client: httpx.Client
) -> None:
    """Over HTTP and on the command line the same is known, and the log stays sound."""
    event = {"event_id": "e1", "at": "2026-11-24T12:00:00Z", "kind": "user_message"}
    ended = event | {"event_id": "e2", "kind": "completed"}
    body = [event | {"text": "Where is my parcel?"}, ended]
    told = ok(client.post("/v1/tasks/order-1/events", json=body))
    assert told["decision"]["action"] == "CONTINUE"
    (item,) = shown(client)
    assert item["request"] == "Where is my parcel?"
    verdict = {"by": "rea", "needed": "yes", "rubric_version": "1"}
    for _ in range(2):
        ok(client.post("/v1/reviews/order-1", json=verdict))
    known = ok(client.get("/v1/kpis"))
    assert known["miss_rate"]["value"] == pytest.approx(1.0)
    assert figures(home / "store.db")["miss_rate"]["n"] == known["miss_rate"]["n"] == 1
    assert verify_store(home / "store.db").is_sound
