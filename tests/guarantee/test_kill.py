"""The guarantee: what was answered survives kill -9, at any moment."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from serving.store.verify import verify_store

KILLS = 40
WRITER = Path(__file__).with_name("crash_writer.py")


class Victim:
    """The process that forks the workers, and says which to kill."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def read(self) -> str:
        """Return the next line it says."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def live_and_die(self, name: str, seconds: float) -> None:
        """Let one worker open the store, work for `seconds`, and be killed."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()
        said = {self.read(), self.read()}
        worker = int((said - {"open"}).pop())
        assert "open" in said
        time.sleep(seconds)
        os.kill(worker, signal.SIGKILL)
        assert self.read() == f"ended {-signal.SIGKILL}"


@contextmanager
def victim(store: Path, answers: Path) -> Iterator[Victim]:
    """Start the process that will lose its children; end it at last."""
    command = [sys.executable, str(WRITER), str(store), str(answers)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Victim(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=30)


def promises(answers: Path) -> dict[str, set[tuple[str, str]]]:
    """Return what was answered: pairs of task and id, by what it was."""
    found: dict[str, set[tuple[str, str]]] = {"changed": set()}
    for line in answers.read_text().splitlines():
        what, task_id, name = line.split()
        found.setdefault(what, set()).add((task_id, name))
    return found


def check(store: Path, answers: Path) -> dict[str, int]:
    """Check all promises against the store; return how many there were."""
    promised = promises(answers)
    report = verify_store(store)
    assert report.problems == ()
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        ask = connection.execute
        assert ask("PRAGMA integrity_check").fetchone() == ("ok",)
        events = ask("SELECT task_id, event_id FROM event").fetchall()
        handoffs = ask("SELECT task_id, handoff_id, status FROM handoff").fetchall()
        (packages,) = ask("SELECT count(*) FROM package").fetchone()
        (outbox,) = ask("SELECT count(*) FROM outbox").fetchone()
    assert promised["changed"] == set()
    assert promised["event"] <= set(events)
    assert len(set(events)) == len(events)
    states = {(task_id, name): status for task_id, name, status in handoffs}
    assert all(pair in states for pair in promised["handoff"])
    assert all(states[pair] != "QUEUED" for pair in promised["claimed"])
    assert all(states[pair] == "RESOLVED" for pair in promised["resolved"])
    assert len({task_id for task_id, _ in states}) == len(states) == packages == outbox
    return {what: len(pairs) for what, pairs in promised.items()}


@pytest.mark.slow
def test_every_answer_survives_kill_9(tmp_path: Path) -> None:
    """Forty workers killed at random: no answer is lost, nothing is there twice.

    The page cache outlives the process, so this says nothing of power loss; that rests
    on `synchronous=FULL`.
    """
    store, answers = tmp_path / "store.db", tmp_path / "answers.txt"
    chance = random.Random(11)  # noqa: S311 - moments to kill at, no secret
    with victim(store, answers) as process:
        for kill in range(KILLS):
            process.live_and_die(str(kill), chance.uniform(0.02, 0.5))
            if kill % 10 == 9:
                found = check(store, answers)
    assert found["event"] > 5 * KILLS
    assert found["resolved"] > KILLS
