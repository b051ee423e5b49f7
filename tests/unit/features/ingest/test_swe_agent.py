from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from features.ingest import Refusal, detect, read

Take = Callable[..., Any]

STEPS: list[dict[str, Any]] = [
    {
        "thought": "Look around.",
        "action": "ls -F\n",
        "observation": "src/\n",
        "response": "Look around.\n```\nls -F\n```",
        "state": {"working_dir": "/repo"},
        "execution_time": 0.25,
        "query": [{"role": "user", "content": "everything so far"}],
    },
    {
        "thought": "Run it.",
        "action": "python src/run.py && rm -rf build",
        "observation": "Traceback (most recent call last):\n  …\nKeyError: 1",
        "response": "Run it.",
        "extra_info": {"n": 1},
    },
    {
        "thought": "",
        "action": "submit",
        "observation": "diff --git",
        "exit_status": "submitted",
        "submission": "diff --git",
    },
]
HISTORY = [
    {"role": "system", "content": "You fix bugs.", "message_type": "system_prompt"},
    {"role": "user", "content": "A demonstration", "is_demo": True},
    {"role": "user", "content": [{"type": "text", "text": "Fix the KeyError."}]},
    {"role": "assistant", "content": "Look around."},
    {"role": "user", "content": "src/"},
]
RUN = {
    "trajectory": STEPS,
    "history": HISTORY,
    "info": {"exit_status": "submitted", "submission": "diff --git", "model_stats": {}},
    "environment": "swe_main",
    "resolved": True,
}
ENDING = ("exit_status", "submission", "resolved")


def land(path: Path, run: Any) -> tuple[list[Any], list[Refusal]]:
    path.write_text(run if isinstance(run, str) else json.dumps(run, indent=2))
    refused: list[Refusal] = []
    return list(read("auto", [path], on_refused=refused.append)), refused


def test_file_is_one_task_named_by_it(tmp_path: Path) -> None:
    """Thoughts are plans, actions calls, observations results; the ending is last."""
    events, refused = land(tmp_path / "astropy__astropy-1.traj", RUN)
    assert refused == []
    assert [(e.event_id, str(e.kind)) for e in events] == [
        ("start", "task_started"),
        ("m1", "user_message"),
        ("m2.plan", "plan"),
        ("m2.call0", "tool_call"),
        ("m3", "tool_result"),
        ("m4.plan", "plan"),
        ("m4.call0", "tool_call"),
        ("m5", "tool_result"),
        ("m6.call0", "tool_call"),
        ("m7", "tool_result"),
        ("completed", "completed"),
    ]
    assert {e.task_id for e in events} == {"astropy__astropy-1"}
    body = {e.event_id: e.body for e in events}
    assert body["start"]["text"] == "Fix the KeyError."
    assert body["start"]["system"] == "You fix bugs."
    assert body["start"]["extra"] == {"environment": "swe_main"}
    assert body["m2.plan"]["extra"]["response"] == STEPS[0]["response"]
    call, result = body["m2.call0"], body["m3"]
    assert (call["tool"], call["is_write"]) == ("ls", False)
    assert call["arguments"] == {"command": "ls -F\n"}
    assert (result["call_id"], result["tool"]) == (call["call_id"], "ls")
    assert (result["text"], result["error"]) == ("src/\n", False)
    assert result["latency_ms"] == 250
    assert result["extra"]["state"] == {"working_dir": "/repo"}
    assert (body["m4.call0"]["is_write"], body["m5"]["error"]) == (True, True)
    assert body["m6.call0"]["is_write"] is True


def test_ending_is_told_by_the_outcome_alone(tmp_path: Path) -> None:
    """No event before the last has a field that tells how the run ended."""
    events, _ = land(tmp_path / "a.traj", RUN)
    told = events[-1].body["extra"]
    assert (told["info"], told["resolved"]) == (RUN["info"], True)
    assert told["last"] == {"exit_status": "submitted", "submission": "diff --git"}
    for event in events[:-1]:
        assert not set(ENDING) & {*event.body, *event.body.get("extra", {})}


def test_instance_names_the_task_and_several_runs_are_several(tmp_path: Path) -> None:
    """A run that says its instance is named by it; others by their place."""
    runs = [RUN | {"instance_id": "x-1"}, RUN, RUN]
    for text in (json.dumps(runs, indent=1), "\n".join(map(json.dumps, runs))):
        events, refused = land(tmp_path / "all.jsonl", text)
        assert refused == []
        names = list(dict.fromkeys(e.task_id for e in events))
        assert names[0] == "x-1"
        assert len(names) == 3
        assert all(name.startswith("all.jsonl:") for name in names[1:])


MINI = {
    "trajectory_format": "mini-swe-agent-1.1",
    "instance_id": "i-1",
    "info": {
        "exit_status": "Submitted",
        "config": {"model": {"model_name": "m-1"}},
    },
    "messages": [
        {"role": "system", "content": "Be good."},
        {"role": "user", "content": "Fix it."},
        {
            "role": "assistant",
            "content": "Look first.\n\n```bash\ncat a.py\n```",
            "extra": {"cost": 0.5, "timestamp": 1767225600.5},
        },
        {
            "role": "user",
            "content": "<returncode>1</returncode>\n<output>\ncat: a.py\n</output>",
        },
        {
            "role": "assistant",
            "content": "Now with a tool.",
            "tool_calls": [
                {
                    "id": "c1",
                    "function": {
                        "name": "bash",
                        "arguments": '{"command": "git commit -m x"}',
                    },
                }
            ],
        },
        {
            "role": "tool",
            "tool_call_id": "c1",
            "content": "<returncode>0</returncode>\nerror: none",
        },
        {"role": "exit", "content": "patch", "extra": {"submission": "patch"}},
    ],
}


def test_fenced_commands_and_tool_calls_are_actions(tmp_path: Path) -> None:
    """Both generations of the smaller agent's files land, with costs and times."""
    events, refused = land(tmp_path / "i.traj.json", MINI)
    assert refused == []
    body = {e.event_id: e.body for e in events}
    assert {e.task_id for e in events} == {"i-1"}
    assert body["start"]["model"] == "m-1"
    assert body["m2.plan"]["text"] == "Look first."
    assert (body["m2.call0"]["tool"], body["m2.call0"]["is_write"]) == ("cat", False)
    assert body["m2.call0"]["arguments"] == {"command": "cat a.py"}
    assert body["m2.usage"]["cost"] == 0.5
    assert (body["m3"]["tool"], body["m3"]["error"]) == ("cat", True)
    assert (body["m4.call0"]["tool"], body["m4.call0"]["is_write"]) == ("git", True)
    assert body["m4"]["text"] == "Now with a tool."
    assert (body["m5"]["call_id"], body["m5"]["error"]) == ("c1", False)
    assert next(e for e in events if e.event_id == "m2.plan").at.year == 2026
    assert events[-1].body["extra"]["last"]["content"] == "patch"


def test_turns_of_role_and_text_are_a_run(tmp_path: Path) -> None:
    """Published runs tell turns; what became of them stays at the end."""
    run = {
        "instance_id": "n-1",
        "model_name": "m-1",
        "target": False,
        "exit_status": "submitted",
        "trajectory": [
            {"role": "system", "system_prompt": "Be good.", "text": None},
            {"role": "user", "text": "Fix it."},
            {"role": "ai", "text": "Edit.\n```\nedit 1:2\nx\nend_of_edit\n```"},
            {"role": "user", "text": "bash: edit: command not found"},
            {"role": "ai", "text": "I give up."},
        ],
    }
    events, refused = land(tmp_path / "n.jsonl", run)
    assert refused == []
    body = {e.event_id: e.body for e in events}
    assert body["start"]["system"] == "Be good."
    assert body["m2.call0"]["tool"] == "edit"
    assert body["m3"]["error"] is True
    assert body["m4"]["text"] == "I give up."
    assert body["completed"]["extra"]["target"] is False


def test_step_without_action_is_said(tmp_path: Path) -> None:
    """A step that asks for nothing is the agent's word, its answer the harness's."""
    step = {"action": "", "thought": "t", "response": "Hm.", "observation": "Say more"}
    events, refused = land(tmp_path / "a.traj", {"trajectory": [step, 7], "info": {}})
    kinds = [str(e.kind) for e in events]
    assert kinds == ["task_started", "agent_message", "message", "completed"]
    assert [r.line for r in refused] == [1]


@pytest.mark.parametrize("run", [{"trajectory": []}, {"info": {}}, [], 7, None])
def test_what_is_no_run_is_refused(take: Take, run: Any) -> None:
    """A record without steps is told by its place."""
    landed = take("swe-agent", run, RUN)
    assert "completed" in landed.kinds()
    assert len(landed.refusals) == (0 if run == [] else 1)


def test_format_is_told_by_steps(tmp_path: Path) -> None:
    """A run is recognised by what its steps have, however it is laid out."""
    path = tmp_path / "x"
    for run in (RUN, MINI, [RUN], {"trajectory": [{"role": "ai", "text": "x"}]}):
        for indent in (None, 2):
            path.write_text(json.dumps(run, indent=indent))
            assert detect(path) == "swe-agent"
