from __future__ import annotations

import gzip
import itertools
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Take = Callable[..., Any]
N_RUNS = 200


@pytest.fixture
def runs(shared_data: Path) -> list[dict[str, Any]]:
    """Return the first real runs."""
    with gzip.open(shared_data / "tau_runs.jsonl.gz") as stream:
        return [json.loads(line) for line in itertools.islice(stream, N_RUNS)]


def test_real_runs_land_whole(take: Take, runs: list[dict[str, Any]]) -> None:
    """Every message and call of a real run is an event, with one verdict each."""
    landed = take("auto", *runs)
    assert landed.refusals == []

    said = [m for run in runs for m in run["messages"]]
    calls = sum(len(m["tool_calls"] or ()) for m in said)
    by_role = Counter(m["role"] for m in said if m["content"] or not m["tool_calls"])
    kinds = Counter(landed.kinds())
    assert kinds["task_started"] == kinds["completed"] == kinds["verdict"] == N_RUNS
    assert kinds["user_message"] == by_role["user"]
    assert kinds["agent_message"] == by_role["assistant"]
    assert kinds["plan"] == by_role["subtask_checker"] + by_role["subtask_creator"]
    results = kinds["tool_call"] + kinds["tool_result"] + kinds["harness"]
    assert results == calls + by_role["tool"]
    assert (
        kinds.total()
        == len(landed.events)
        == sum(by_role.values()) + calls + 3 * N_RUNS
    )

    verdicts = [e.body["needed"] for e in landed.events if e.kind == "verdict"]
    assert verdicts == ["yes" if run["need_human"] else "no" for run in runs]


def test_real_runs_tell_their_ending_in_outcomes_alone(
    take: Take, runs: list[dict[str, Any]]
) -> None:
    """Neither a field nor a marker of the ending stands where a signal may look."""
    ending = {"reward", "success", "termination_reason", "agent_transferred"}
    ending |= {"expected_actions_include_transfer", "need_human", "needed"}
    for event in take("tau", *runs).events:
        if not event.is_outcome:
            assert not ending & {*event.body, *event.body.get("extra", {})}
            assert "###STOP###" not in event.text
            assert "###TRANSFER###" not in event.text
