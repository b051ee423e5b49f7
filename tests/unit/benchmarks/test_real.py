"""The public data sets as events: nothing of the ending is seen before it."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.batch import events_table
from features.events import AgentEvent, EventKind
from features.signals import NAMES

Import = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def logs(benchmark: Import) -> ModuleType:
    """Return the readers."""
    return benchmark("_real_logs")


@pytest.fixture(scope="module")
def sets(benchmark: Import) -> ModuleType:
    """Return what makes snapshots of them."""
    return benchmark("_real")


def zipped(path: Path, *lines: dict[str, Any]) -> Path:
    """Write JSON lines to a gzip file and return its path."""
    with gzip.open(path, "wt") as out:
        out.writelines(json.dumps(line) + "\n" for line in lines)
    return path


def update(minute: int, group: str, state: str = "Active", **attrs: Any) -> Any:
    """Return one update of an incident."""
    told = {"assignment_group": group, "updated_by": "Updated by 7", "knowledge": False}
    return {
        "content": state,
        "timestamp": f"2016-03-01T10:{minute:02}:00",
        "attrs": told | attrs,
    }


def incident(handed_over_at: int | None = 2, **ending: Any) -> dict[str, Any]:
    """Return an incident of four updates, by default handed over at the third."""
    groups = ["Group 1"] * 4
    if handed_over_at is not None:
        groups[handed_over_at:] = ["Group 2"] * (4 - handed_over_at)
    found = {
        "case_id": "INC1",
        "need_human": handed_over_at is not None,
        "resolved_at": "2016-03-01T11:00:00",
        "closed_at": "2016-03-06T11:00:00",
        "reassignments_final": 1,
        "reopened": False,
        "made_sla": True,
        "messages": [
            update(i, group, mods=i, reassignments=int(group == "Group 2"), reopens=0)
            for i, group in enumerate(groups)
        ],
    }
    if handed_over_at is not None:
        found["escalation_index"] = handed_over_at
    return found | ending


def events_of(logs: ModuleType, name: str, source: Path) -> list[AgentEvent]:
    return list(getattr(logs, name)(source, source.parent))


def test_an_incident_ends_before_its_handover(logs: ModuleType, tmp_path: Path) -> None:
    """Neither the new group nor any count of handovers or updates is among events."""
    events = events_of(logs, "servicenow", zipped(tmp_path / "i.gz", incident()))
    assert [e.event_id for e in events] == ["start", "m0.call", "m1.call", "verdict"]
    text = json.dumps([e.to_json() for e in events])
    for hidden in ("Group 2", "reassign", "mods", "reopen", "sla", "resolved_at"):
        assert hidden not in text
    assert events[-1].body["needed"] == "yes"


def test_an_incidents_label_is_known_at_the_handover_or_resolution(
    logs: ModuleType, tmp_path: Path
) -> None:
    """A handover tells at once; that there was none is known when it is resolved."""
    both = [incident(), incident(None) | {"case_id": "INC2"}]
    events = events_of(logs, "servicenow", zipped(tmp_path / "i.gz", *both))
    known = [e.at.isoformat() for e in events if e.kind == EventKind.VERDICT]
    assert known == ["2016-03-01T10:02:00+00:00", "2016-03-01T11:00:00+00:00"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ending=st.fixed_dictionaries(
        {
            "reassignments_final": st.integers(0, 9),
            "reopened": st.booleans(),
            "made_sla": st.booleans(),
        }
    ),
    group=st.text("0123456789", min_size=1),
)
def test_what_becomes_of_an_incident_changes_no_event_before_its_verdict(
    logs: ModuleType, tmp_path: Path, ending: dict[str, Any], group: str
) -> None:
    """Other endings, and other updates from the handover on, are not seen."""
    other = incident(**ending)
    other["messages"][2:] = [update(2, f"Group {group}", "Closed", reassignments=3)]
    plain, changed = (
        events_of(logs, "servicenow", zipped(tmp_path / "i.gz", told))
        for told in (incident(), other)
    )
    assert plain == changed


def test_states_are_read_as_the_words_they_stand_for(
    logs: ModuleType, sets: ModuleType, tmp_path: Path
) -> None:
    """A question to the user, and what is done, are heard as such."""
    told = incident(None)
    for i, state in enumerate(("New", "Awaiting User Info", "Resolved", "Closed")):
        told["messages"][i]["content"] = state
    events = events_of(logs, "servicenow", zipped(tmp_path / "i.gz", told))
    rows = sets.real("servicenow", events_table(events)).rows
    asked, done = (NAMES.index(n) for n in ("agent_questions", "claims_done"))
    assert np.isnan(rows.x[:2, asked]).all()  # nothing is said while work goes on
    assert rows.x[2, asked] == 1
    assert rows.x[:, done].tolist() == [0, 0, 0, 1, 1]


def scores(path: Path, *, solved: str, n: int = 3, **fields: Any) -> Path:
    """Write the verifier scores of one run to a gzip file."""
    with gzip.open(path, "wt", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["uq_problem_idx", "judge_probability", "solved", *fields])
        for step in range(n):
            told = [values[step] for values in fields.values()]
            rows.writerow(["algebra_4", (step + 1) / (n + 1), solved, *told])
    return path


@pytest.mark.parametrize(("solved", "needed"), [("True", "no"), ("0", "yes")])
def test_a_runs_outcome_is_its_verdict_alone(
    logs: ModuleType, tmp_path: Path, solved: str, needed: str
) -> None:
    """Solved or not, the events before the verdict are the same."""
    tokens = {"generated_tokens": [4, 5, 6]}
    path = scores(tmp_path / "math.csv.gz", solved=solved, **tokens)
    *before, last = events_of(logs, "evaluator", path)
    other = scores(tmp_path / "math.csv.gz", solved="1", **tokens)
    assert before == events_of(logs, "evaluator", other)[:-1]
    assert last.body["needed"] == needed
    assert [e.event_id for e in before][:3] == ["start", "m0.usage", "m0"]
    assert before[0].body["domain"] == "algebra"


def test_a_step_shows_the_latest_call_and_no_later_one(
    logs: ModuleType, tmp_path: Path
) -> None:
    """GSM8K lists all calls so far: each step adds its own."""
    names = [str(["calculator"] * (i + 1)) for i in range(3)]
    arguments = [str([{"expr": str(j)} for j in range(i + 1)]) for i in range(3)]
    path = scores(
        tmp_path / "gsm8k.csv.gz",
        solved="True",
        tools_called=names,
        tool_arguments=arguments,
    )
    calls = [e for e in events_of(logs, "evaluator", path) if e.kind == "tool_call"]
    assert [c.body["arguments"]["expr"] for c in calls] == ["0", "1", "2"]


def test_chess_is_read_for_sixty_plies(logs: ModuleType, tmp_path: Path) -> None:
    """Games differ in length, and the reference figures stop there too."""
    path = scores(tmp_path / "chessgames.csv.gz", solved="0", n=70)
    scored = [e for e in events_of(logs, "evaluator", path) if e.kind == "verifier"]
    assert len(scored) == 60


RUN = {
    "run_id": "r1",
    "agent_model": "m",
    "agent_impl": "react",
    "domain": "ic_sql",
    "task_id": "17",
    "need_human": True,
    "messages": [
        {"role": "user", "content": "count them"},
        {
            "role": "assistant",
            "tool_calls": [{"name": "execute_sql", "arguments": {"command": "x"}}],
        },
        {"role": "tool", "tool_name": "execute_sql", "tool_result": "no such table"},
    ],
}


def test_intercode_reads_results_and_hides_the_problem(
    logs: ModuleType, tmp_path: Path
) -> None:
    """The problem is the group and not the type: its own history would tell of it."""
    events = events_of(logs, "intercode", zipped(tmp_path / "r.gz", RUN))
    start = events[0].body
    assert start["group"] == "ic_sql/17"
    assert start["agent_version"] == "m react"
    assert "17" not in start["task_type"]
    (result,) = (e for e in events if e.kind == EventKind.TOOL_RESULT)
    assert result.text == "no such table"


def test_a_row_stands_at_the_end_of_each_step(
    logs: ModuleType, sets: ModuleType, tmp_path: Path
) -> None:
    """What came before the score within a step is in the step's row; weights are 1."""
    path = scores(
        tmp_path / "math.csv.gz", solved="0", generated_tokens=["4", "5", "6"]
    )
    found = sets.real("math", events_table(events_of(logs, "evaluator", path)))
    assert found.step.tolist() == [0, 1, 2, 3, 4]  # the last is the agent's answer
    tokens, latest = (NAMES.index(n) for n in ("tokens", "verifier_last"))
    assert found.rows.x[:, tokens].tolist() == [0, 4, 9, 15, 15]
    assert found.rows.x[1:, latest].tolist() == [0.25, 0.5, 0.75, 0.75]
    assert found.rows.weight.sum() == pytest.approx(1.0)
    assert found.at(2).tolist() == [False, False, True, False, False]


def test_tasks_come_in_the_order_of_the_seed_where_no_time_is_told(
    logs: ModuleType, sets: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timeline is that order, and a label is known after `delay` further tasks."""
    monkeypatch.setattr("features.history._SETTLED", 0.0)
    runs = [RUN | {"run_id": f"r{i}"} for i in range(9)]
    table = events_table(events_of(logs, "intercode", zipped(tmp_path / "r.gz", *runs)))
    found = [sets.real("intercode", table, seed=s, delay=2) for s in (0, 0, 1)]
    began = [one.timeline().began.tolist() for one in found]
    assert began[0] == began[1] != began[2]
    assert sorted(began[0]) == list(range(9))
    line = found[0].timeline()
    assert np.array_equal(line.known, line.began + 3)
    first = found[0].rows.x[found[0].rows.starts][np.argsort(line.began)]
    known = first[:, NAMES.index("history_cell_n")].tolist()
    assert known == [0, 0, 0, 1, 2, 3, 4, 5, 6]


@pytest.fixture
def cache(shared_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return an empty folder for the events of the real sets."""
    monkeypatch.setenv("ESCALON_SHARED", str(shared_data.parent))
    monkeypatch.setenv("ESCALON_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "n_tasks", "n_needed"),
    [("math", 5_000, 2_138), ("servicenow", 14_538, 7_395)],
)
def test_real_sets_load_whole(
    sets: ModuleType, cache: Path, name: str, n_tasks: int, n_needed: int
) -> None:
    """Every task of the file is there with its label; what was read is kept."""
    found = sets.load(name)
    assert (found.rows.n_tasks, found.rows.n_needed) == (n_tasks, n_needed)
    (kept,) = cache.glob("*.parquet")
    written = kept.stat().st_mtime_ns
    again = sets.load(name)
    assert kept.stat().st_mtime_ns == written
    assert again.rows.fingerprint() == found.rows.fingerprint()


def test_a_set_that_is_not_here_is_left_out_and_says_so(
    sets: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without its file a set is None, with a line on standard error."""
    monkeypatch.setenv("ESCALON_SHARED", str(tmp_path))
    assert sets.load("tau") is None
    assert "tau is left out" in capsys.readouterr().err
