from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from features.batch import EventsTableError, write_events
from features.events import AgentEvent
from features.ingest import Account, Refusal, read
from features.quality import Refused, survey
from features.quality.refused import KEPT

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def event(task: str, n: int, kind: str, at: str, **body: Any) -> AgentEvent:
    when = datetime.fromisoformat(at)
    return AgentEvent(task_id=task, event_id=str(n), at=when, kind=kind, body=body)


def surveyed(path: Path, *events: AgentEvent) -> dict[str, Any]:
    write_events(list(events), path / "events.parquet")
    return survey(path / "events.parquet", now=NOW)


def test_counts_are_of_tasks_and_events(tmp_path: Path) -> None:
    """Kinds are counted in events and in tasks; one that is not ours is marked."""
    found = surveyed(
        tmp_path,
        event("a", 1, "task_started", "2025-01-01T00:00:00+00:00"),
        event("a", 2, "user_message", "2025-01-01T00:00:01+00:00", text="hi"),
        event("a", 3, "user_message", "2025-01-01T00:00:02+00:00", text="hi"),
        event("b", 1, "mood", "2025-01-01T00:00:00+00:00", colour="blue"),
    )
    assert (found["events"], found["tasks"]) == (4, 2)
    kinds = {one["kind"]: one for one in found["kinds"]}
    assert kinds["user_message"] == {
        "kind": "user_message",
        "events": 2,
        "tasks": 1,
        "known": True,
    }
    assert kinds["mood"]["known"] is False
    assert found["tasks_without_user_message"] == 1
    assert found["tasks_without_start"] == 1


def test_clock_problems_are_counted(tmp_path: Path) -> None:
    """Made-up times are apart; backwards, gaps and the future are found per task."""
    found = surveyed(
        tmp_path,
        event("a", 1, "plan", "2025-01-05T00:00:00+00:00"),
        event("a", 2, "plan", "2025-01-04T00:00:00+00:00"),
        event("a", 3, "plan", "2025-01-04T00:00:00+00:00"),
        event("a", 4, "plan", "2025-01-09T00:00:00+00:00"),
        event("b", 1, "plan", "2027-01-01T00:00:00+00:00"),
        event("c", 1, "plan", "2000-01-01T00:00:00+00:00", at_synthetic=True),
        event("c", 2, "plan", "2024-01-01T00:00:00+00:00"),
    )
    assert found["clock"] == {
        "synthetic": 1,
        "backwards": 1,
        "tasks_backwards": 1,
        "future": 1,
        "gaps": 1,
        "gap_days": 1,
        "first": "2024-01-01T00:00:00+00:00",
        "last": "2027-01-01T00:00:00+00:00",
    }


def test_calls_and_results_are_matched_by_id(tmp_path: Path) -> None:
    """Within its task each result takes one call of its id that came before it."""
    at = "2025-01-01T00:00:00+00:00"
    found = surveyed(
        tmp_path,
        event("a", 0, "tool_result", at, call_id="x"),
        event("a", 1, "tool_call", at, tool="t", call_id="x"),
        event("a", 2, "tool_call", at, tool="t", call_id="y"),
        event("a", 3, "tool_result", at, call_id="y"),
        event("a", 4, "tool_result", at, call_id="y"),
        event("b", 1, "tool_call", at, tool="t", call_id="y"),
    )
    assert found["calls"] == {
        "calls": 3,
        "results": 3,
        "without_result": 2,
        "without_call": 2,
    }


def test_fields_without_a_name_are_told_by_kind(tmp_path: Path) -> None:
    """What the contract and we know is not told; the rest is, under extra too."""
    at = "2025-01-01T00:00:00+00:00"
    found = surveyed(
        tmp_path,
        event("a", 1, "agent_message", at, text="x", content=[], mood="odd"),
        event("a", 2, "agent_message", at, text="x", extra={"finish": 1}, mood="odd"),
    )
    assert found["unknown_fields"] == [
        {"field": "agent_message: mood", "events": 2},
        {"field": "agent_message: extra.finish", "events": 1},
    ]


def test_missing_is_a_share_of_tasks(tmp_path: Path) -> None:
    """A source or a group counts as known in a task where it is known once."""
    at = "2025-01-01T00:00:00+00:00"
    sure = {"value": 0.5, "source": "verbalized"}
    found = surveyed(
        tmp_path,
        event("a", 1, "agent_message", at, text="x"),
        event("a", 2, "agent_message", at, text="x", confidence=sure),
        *(event(t, 1, "agent_message", at, text="x") for t in "bcd"),
    )["missing"]
    assert found["by_source"]["confidence"] == 0.75
    assert found["by_source"]["agent_words"] == 0
    assert found["by_source"]["verifier"] == 1
    assert found["by_group"]["confidence"] == 0.75
    assert found["by_group"]["verifier"] == 1


def test_table_of_nothing_and_no_table(tmp_path: Path) -> None:
    """An empty table misses everything; another file is told apart."""
    found = surveyed(tmp_path)
    assert (found["events"], found["tasks"]) == (0, 0)
    assert set(found["missing"]["by_group"].values()) == {1.0}
    (tmp_path / "x").write_text("x")
    with pytest.raises(EventsTableError, match="escalon ingest"):
        survey(tmp_path / "x")


# --- refusals ---------------------------------------------------------------


def refusal(n: int, **beside: Any) -> Refusal:
    told = {"field": "at", "expected": "RFC 3339", "found": repr(n)} | beside
    return Refusal(source="log", line=n, offset=10 * n, error="no", **told)


def test_refusals_are_grouped_by_field_and_expectation() -> None:
    """Names and numbers in an expectation do not make it another one."""
    refused = Refused()
    for n in range(1, 6):
        refused.add(refusal(n))
    for n in (6, 7):
        refused.add(refusal(n, field="task_id", expected=f"all of task '{n}' once"))
    refused.add(Refusal(source="log", line=9, error="expected sense"))
    reasons = refused.reasons()
    assert [(r["field"], r["n"]) for r in reasons] == [
        ("at", 5),
        ("task_id", 2),
        ("record", 1),
    ]
    assert [e["line"] for e in reasons[0]["examples"]] == [1, 2, 3]
    assert reasons[0]["examples"][0]["offset"] == 10
    assert reasons[1]["expected"] == "all of task '6' once"
    assert refused.total == 8


def test_refusals_do_not_fill_the_memory() -> None:
    """However many and however different, the first ones are kept and all counted."""
    refused = Refused()
    for n in range(KEPT + 500):
        refused.add(refusal(n, field="f" * (n % 300)))
    assert refused.total == KEPT + 500
    assert len(refused.first) == KEPT
    assert len(refused.reasons()) <= 201
    assert sum(reason["n"] for reason in refused.reasons()) == refused.total


def test_refusal_names_its_byte_field_and_finding(tmp_path: Path) -> None:
    """A refusal points at the record's first byte, in a line, an array and a gzip."""
    good = {"id": "a", "messages": [{"role": "user", "content": "hi"}]}
    bad = good | {"id": "b", "verdict": "maybe"}
    logs = {
        "lines": f"\ufeff\n\n{json.dumps(good)}\n  {json.dumps(bad)}",
        "array": "\n\n" + json.dumps([good, bad], indent=1),
        "one line": json.dumps([good, bad]) + "\n" + json.dumps(good | {"id": "c"}),
    }
    for name, text in logs.items():
        path = tmp_path / name
        path.write_bytes(text.encode())
        refused: list[Refusal] = []
        accounts: list[Account] = []
        events = list(
            read("chat", [path], on_refused=refused.append, on_source=accounts.append)
        )
        (told,) = refused
        assert (told.event_id, told.field) == ("verdict", "needed")
        assert (told.expected, told.found) == ("one of yes, no, uncertain", "'maybe'")
        assert told.offset is not None
        at = text.encode()[told.offset :].lstrip()
        assert at.startswith(b"[" if name == "one line" else b"{")
        if name != "one line":
            assert b'"b"' in at
            assert b'"a"' not in at
        (account,) = accounts
        assert (account.format, account.refused) == ("chat", 1)
        assert account.events == len(events)
        assert account.tasks == len({e.task_id for e in events})


def test_facts_that_come_late_begin_no_task(tmp_path: Path) -> None:
    """A task whose later spans say more of it is counted once."""
    path = tmp_path / "spans.jsonl"
    run = {"run_type": "llm", "trace_id": "t", "outputs": None, "inputs": {}}
    said = {"messages": [{"role": "user", "content": "hi"}]}
    runs = [run | {"id": "a"}, run | {"id": "b", "inputs": said}]
    path.write_text("\n".join(json.dumps(r) for r in runs))
    accounts: list[Account] = []
    read_all = read("langsmith", [path], on_refused=print, on_source=accounts.append)
    kinds = [event.kind for event in read_all]
    assert kinds.count("task_started") == 2
    assert accounts[0].tasks == 1
