"""Several replicas of the service over one PostgreSQL, one of them killed under load."""
# ruff: noqa: S310 - our own server, on this machine

from __future__ import annotations

import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.server import Server, start
from serving.settings import Settings
from serving.store.opening import reading
from serving.store.verify import verify_store
from serving.where import where_of

pytestmark = pytest.mark.slow

CLIENTS = 4
PATIENCE = 60.0


@pytest.fixture
def settings(postgres_url: str, tmp_path: Path, another_port: int) -> Settings:
    """Two replicas behind one address, over one database."""
    return Settings.load(
        store=postgres_url,
        home=tmp_path / "home",
        model=tmp_path / "no-model",
        attachments=tmp_path / "files",
        secret="a secret that all replicas share",  # noqa: S106
        port=another_port,
        workers=2,
        console=False,
        monitor_seconds=0,
    )


@pytest.fixture
def server(settings: Settings) -> Iterator[Server]:
    """Start them."""
    with start(settings) as server:
        yield server


def replicas(server: Server) -> set[int]:
    """Return the processes that serve: those below the supervisor that listen."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            command = status.with_name("cmdline").read_bytes()
        except OSError:
            continue  # it has ended meanwhile
        if parent == server.process.pid and b"service_loader" not in command:
            is_replica = b"service" in command and b"--worker-id" in command
            found |= {int(status.parent.name)} if is_replica else set()
    return found


def call(url: str, body: Any) -> dict[str, Any]:
    """Send one call again and again, the same to the byte, until it is answered."""
    request = urllib.request.Request(
        url,
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    until = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
        except OSError:
            pass  # the replica is gone with the answer: nobody knows, so ask again
        assert time.monotonic() < until
        time.sleep(0.05)


def serve_tasks(
    url: str, name: str, stop: threading.Event, told: dict[str, str]
) -> None:
    """Hand tasks over, and write down what was answered."""
    n = 0
    while not stop.is_set():
        task = f"{name}-{n}"
        event = {
            "event_id": f"{task}-e",
            "at": "2026-11-24T12:00:00Z",
            "kind": "user_message",
            "text": "Where is my parcel?",
        }
        call(f"{url}/v1/tasks/{task}/events", {"events": [event]})
        wish = {"by": "user", "reason": "wants a person"}
        answer = call(f"{url}/v1/tasks/{task}/escalate", wish)
        told[task] = answer["handoff"]["handoff_id"]
        n += 1


def test_a_killed_replica_loses_nothing(server: Server, settings: Settings) -> None:
    """Every answer holds, no task is handed over twice, and the replica comes back."""
    before = replicas(server)
    assert len(before) == 2
    stop = threading.Event()
    told: dict[str, str] = {}
    clients = [
        threading.Thread(
            target=serve_tasks, args=(server.url, f"c{n}", stop, told), daemon=True
        )
        for n in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    time.sleep(3)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    at_the_kill = len(told)
    time.sleep(2)
    after = wait_for_two(server)
    time.sleep(2)
    stop.set()
    for client in clients:
        client.join(PATIENCE)
        assert not client.is_alive()
    assert victim not in after
    assert len(told) > at_the_kill > 10
    where = where_of(settings.store)
    with reading(where) as reader:
        rows = [
            (r["task_id"], r["handoff_id"]) for r in reader.all("SELECT * FROM handoff")
        ]
    assert dict(rows) == told
    assert len(rows) == len(told)
    assert verify_store(where).problems == ()


def wait_for_two(server: Server) -> set[int]:
    """Return the replicas, once there are two again."""
    until = time.monotonic() + PATIENCE
    while len(found := replicas(server)) < 2:
        assert time.monotonic() < until
        time.sleep(0.2)
    return found
