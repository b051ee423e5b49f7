"""Tests of the worker: its rounds over a real engine, and how it begins and ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from serving.channels.config import Channels, ChannelsError
from serving.policy.rules import Policy
from serving.server import preflight
from serving.settings import Settings
from serving.store.sqlite import SqliteStore
from serving.store.transaction import StoreBusyError
from serving.worker import at_work
from serving.working import work


@pytest.fixture
def office(make_desk: Any) -> Any:
    """Make a desk whose queues tell the tray."""
    default = Policy.default()
    queues = [{**q.model_dump(), "notify": ["tray"]} for q in default.queues]
    return make_desk(default.model_copy(update={"queues": queues}))


def until(claim: Callable[[], bool]) -> None:
    """Wait until `claim` holds."""
    end = time.monotonic() + 20
    while not claim():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_worker_delivers_by_itself(office: Any, tmp_path: Path) -> None:
    """Without anybody calling, and within a second or two."""
    tray = tmp_path / "tray.jsonl"
    channels = Channels.parse(f"tray: {{kind: file, path: '{tray}'}}")
    with at_work(office.engine, channels, monitor_seconds=0):
        handoff_id = office.hand_over()
        until(lambda: tray.exists() and handoff_id in tray.read_text(encoding="utf-8"))


def test_a_worker_says_that_it_lives(office: Any) -> None:
    """Its row names its rounds; when it ends as it should the row goes."""
    with at_work(office.engine, Channels(), monitor_seconds=0) as name:
        until(lambda: office.count("worker") == 1)
        with office.store.reading() as reader:
            row = reader.one("SELECT * FROM worker")
        assert row["worker_id"] == name
        assert "outbox" in orjson.loads(bytes(row["rounds"]))
    assert office.count("worker") == 0


def settings(tmp_path: Path, **given: Any) -> Settings:
    """Return settings over a store of the test's own."""
    return Settings.load(store=tmp_path / "own.db", monitor_seconds=0, **given)


def test_the_process_works_until_it_is_told_to_stop(tmp_path: Path) -> None:
    """It opens the store, does its rounds, and lets go of everything."""
    stop = threading.Event()
    thread = threading.Thread(
        target=lambda: work(settings(tmp_path), stop=stop), daemon=True
    )
    thread.start()
    until((tmp_path / "own.db").exists)
    time.sleep(0.2)
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
    SqliteStore(tmp_path / "own.db").close()


def test_a_file_in_use_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """A service on a file does the rounds itself; the message says so."""
    store = SqliteStore(tmp_path / "own.db")
    with pytest.raises(StoreBusyError, match="use PostgreSQL"):
        work(settings(tmp_path), stop=threading.Event())
    store.close()


def notifying(tmp_path: Path) -> Path:
    """Write a policy whose queues notify a channel."""
    default = Policy.default().model_dump(mode="json")
    queues = [{**queue, "notify": ["fax"]} for queue in default["queues"]]
    path = tmp_path / "policy.yaml"
    path.write_bytes(orjson.dumps({**default, "queues": queues}))
    return path


def test_nothing_starts_with_a_channel_missing(tmp_path: Path, free_port: int) -> None:
    """Neither service nor worker: the sentence names queue, channel and file."""
    given = settings(tmp_path, policy=notifying(tmp_path), port=free_port)
    with pytest.raises(ChannelsError, match="notifies 'fax'"):
        preflight(given)
    with pytest.raises(ChannelsError, match="ESCALATION_CHANNELS"):
        work(given, stop=threading.Event())
