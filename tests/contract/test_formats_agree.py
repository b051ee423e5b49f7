"""One conversation told in any format is one log: the same words, calls and answers."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from features import ingest
from features.events import AgentEvent
from features.ingest import Refusal

_WRITERS = Path(__file__).parents[2] / "benchmarks" / "_formats.py"
_TASKS = 12
_SAID = {"user_message", "agent_message"}


def _samples() -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("formats_of_benchmarks", _WRITERS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.SAMPLES)


SAMPLES = _samples()


def log_of(form: str, home: Path) -> dict[str, list[tuple[str, Any]]]:
    """Return what was said and done in each task, as a format tells it."""
    path = home / form
    SAMPLES[form](path, _TASKS)
    refused: list[Refusal] = []
    events = list(ingest.read(ingest.AUTO, [path], on_refused=refused.append))
    assert refused == []
    assert ingest.detect(path) == form
    log: dict[str, list[tuple[str, Any]]] = {}
    for event in events:
        log.setdefault(event.task_id, []).extend(_told(event))
    return log


def _told(event: AgentEvent) -> list[tuple[str, Any]]:
    kind = str(event.kind)
    if kind in _SAID:
        return [(kind, event.text)]
    if kind == "tool_call":
        return [(kind, (event.body["tool"], event.body["arguments"]))]
    if kind == "tool_result":
        return [(kind, event.text)]
    return []


def test_every_format_has_a_writer() -> None:
    """A format that is added is told here, and measured in the benchmark, too."""
    assert set(SAMPLES) == set(ingest.FORMATS)


@pytest.mark.parametrize("form", sorted(set(SAMPLES) - {"chat", "swe-agent"}))
def test_format_tells_what_chat_messages_tell(form: str, tmp_path: Path) -> None:
    """Histories repeated at every call, nested, flattened or in blocks: one log."""
    assert log_of(form, tmp_path) == log_of("chat", tmp_path)
