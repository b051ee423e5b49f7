"""What contracts share: an agent played by a stand-in, and a desk over each store."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from features.events import AgentEvent
from features.ingest import Refusal, detect, read
from serving.where import Where, where_of
from tests.contract.desks import StoreDesk

# No SDK may reach beyond the loopback interface, or ask who runs it.
OFFLINE = {
    "DO_NOT_TRACK": "1",
    "LANGSMITH_TRACING": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "OPENAI_AGENTS_DISABLE_TRACING": "0",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "127.0.0.1,localhost",
}

_SPOKEN = ("user_message", "agent_message", "plan", "tool_call", "tool_result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """What a file gave."""

    format: str
    events: list[AgentEvent]
    refusals: list[Refusal]

    def of(self, kind: str) -> list[AgentEvent]:
        """Return the events of one kind, in order."""
        return [event for event in self.events if event.kind == kind]

    def one(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Return the body of the one event of a kind with these fields."""
        (body,) = (
            dict(event.body)
            for event in self.of(kind)
            if fields.items() <= event.body.items()
        )
        return body

    def conversation(self, task_id: str) -> list[tuple[str, str]]:
        """Return what was said and done in a task: kind, and text or tool."""
        return [
            (str(e.kind), e.body["tool"] if e.kind == "tool_call" else e.text)
            for e in self.events
            if e.task_id == task_id and e.kind in _SPOKEN
        ]

    def facts(self) -> dict[str, Any]:
        """Return all facts of the tasks, as they became known."""
        return {k: v for e in self.of("task_started") for k, v in e.body.items()}


@pytest.fixture(scope="session")
def landed() -> Callable[[Path], Landed]:
    """Read a file whose format is not told."""

    def reading(path: Path) -> Landed:
        refusals: list[Refusal] = []
        events = list(read("auto", [path], on_refused=refusals.append))
        return Landed(format=detect(path), events=events, refusals=refusals)

    return reading


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Run a script of this folder in a process of its own; return what it wrote."""

    def playing(script: str, *arguments: str) -> Path:
        folder = tmp_path_factory.mktemp(script.removesuffix(".py"))
        path = folder / "log.jsonl"
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name(script)), *arguments, path],
            cwd=folder,
            env=os.environ | OFFLINE,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return path

    return playing


# --- stores ------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Where:
    """Return a place of each kind, with nothing there."""
    if request.param == "postgres":
        return where_of(request.getfixturevalue("postgres_url"))
    return tmp_path / "store.db"


@pytest.fixture
def desk(where: Where) -> Iterator[StoreDesk]:
    """Make a desk over a store of each kind."""
    desk = StoreDesk(where)
    yield desk
    desk.close()
