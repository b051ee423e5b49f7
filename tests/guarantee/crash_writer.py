"""A service that is about to be killed: `test_kill.py` runs it, and kills it.

Started once, it imports everything; for each line on its standard input, a number, it
forks a process that opens the store and works on it from several threads until it is
killed. Each line it appends to the file of answers names something the engine answered
before: what was promised to somebody.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from serving.engine import Engine
from serving.engine.models import NoModel
from serving.policy.rules import Policy
from serving.store.sqlite import SqliteStore

THREADS = 6
ANA = "general-1"


class Work:
    """What one thread does: tasks, each request sent twice, each answer noted."""

    def __init__(self, engine: Engine, notes: int, name: str) -> None:
        self.engine = engine
        self.notes = notes
        self.name = name

    def note(self, *words: str) -> None:
        """Note what was answered, in one write, so that no line is torn."""
        os.write(self.notes, (" ".join(words) + "\n").encode())

    def send(self, task_id: str, event_id: str, **fields: Any) -> dict[str, Any]:
        """Send one event twice; note it; return the answer, which is the same."""
        event = {"event_id": event_id, "at": datetime.now(UTC).isoformat(), **fields}
        first = self.engine.observe(task_id, [event])
        self.note("event", task_id, event_id)
        if self.engine.observe(task_id, [event]) != first:
            self.note("changed", task_id, event_id)
        return first

    def run_task(self, task_id: str) -> None:
        """Begin a task, ask for a human, and let one close it."""
        self.send(task_id, "e0", kind="task_started", agent_id="bot")
        self.send(task_id, "e1", kind="agent_message", text=f"Hello {task_id}")
        answer = self.send(
            task_id, "e2", kind="user_message", text="I want to talk to a human"
        )
        handoff = answer["handoff"]["handoff_id"]
        self.note("handoff", task_id, handoff)
        self.engine.claim(handoff, by=ANA)
        self.note("claimed", task_id, handoff)
        self.engine.resolve(handoff, by=ANA, needed="yes")
        self.note("resolved", task_id, handoff)

    def run(self) -> None:
        """Work until killed."""
        for n in count():
            self.run_task(f"{self.name}-{n}")


def work(store: Path, answers: Path, name: str) -> None:
    """Open the store as a service does, and work from several threads."""
    engine = Engine(
        SqliteStore(store),
        Policy.default(),
        NoModel(),
        lambda: datetime.now(UTC),
        b"a secret of the test",
    )
    notes = os.open(answers, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(1, b"open\n")
    for thread in range(THREADS):
        job = Work(engine, notes, f"{name}-{thread}")
        threading.Thread(target=job.run, daemon=True).start()
    threading.Event().wait(random.uniform(30, 40))  # noqa: S311 - an orphan ends itself
    os._exit(3)


def main() -> None:
    """Fork one worker for each line of standard input; say its id, then wait for it."""
    store, answers = Path(sys.argv[1]), Path(sys.argv[2])
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            work(store, answers, line.strip())
        os.write(1, f"{child}\n".encode())
        _, status = os.waitpid(child, 0)
        os.write(1, f"ended {os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    main()
