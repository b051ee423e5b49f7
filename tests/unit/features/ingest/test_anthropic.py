from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from features.ingest import detect

Take = Callable[..., Any]

THINKING = {"type": "thinking", "thinking": "Look it up.", "signature": "Er0BCk=="}
REDACTED = {"type": "redacted_thinking", "data": "EmwKAhgB"}
ASK = {
    "type": "tool_use",
    "id": "tu1",
    "name": "get_order",
    "input": {"n": 1},
    "caller": {"type": "direct"},
}


def result(call_id: str, content: Any, **beside: Any) -> dict[str, Any]:
    return {
        "type": "tool_result",
        "tool_use_id": call_id,
        "content": content,
    } | beside


def record(*messages: Any, **beside: Any) -> dict[str, Any]:
    return {"id": "c", "messages": list(messages), **beside}


def test_blocks_become_events_in_their_order(take: Take) -> None:
    """A turn's thinking, words, calls and results land once each, in order."""
    landed = take(
        "auto",
        record(
            {"role": "user", "content": "Where are my two orders?"},
            {
                "role": "assistant",
                "content": [
                    THINKING,
                    {"type": "text", "text": "One moment."},
                    ASK,
                    ASK | {"id": "tu2"},
                ],
            },
            {
                "role": "user",
                "content": [
                    result("tu1", "at the depot", cache_control={"type": "ephemeral"}),
                    result("tu2", [{"type": "text", "text": "lost"}], is_error=True),
                    {"type": "text", "text": "And?"},
                ],
            },
            system=[{"type": "text", "text": "Be kind."}],
        ),
    )
    assert landed.refusals == []
    assert [(e.event_id, str(e.kind)) for e in landed.events] == [
        ("start", "task_started"),
        ("m1", "user_message"),
        ("m2.plan", "plan"),
        ("m2", "agent_message"),
        ("m2.call0", "tool_call"),
        ("m2.call1", "tool_call"),
        ("m3", "tool_result"),
        ("m4", "tool_result"),
        ("m5", "user_message"),
    ]
    assert landed.body("start")["system"] == "Be kind."
    assert landed.body("m2.plan")["text"] == "Look it up."
    assert landed.body("m2")["text"] == "One moment."
    first, second = landed.body("m3"), landed.body("m4")
    assert (first["call_id"], first["tool"], first["error"]) == (
        "tu1",
        "get_order",
        False,
    )
    assert first["extra"] == {"cache_control": {"type": "ephemeral"}}
    assert (second["call_id"], second["text"], second["error"]) == ("tu2", "lost", True)
    assert landed.body("m5")["text"] == "And?"


def test_every_block_survives_as_it_came(take: Take) -> None:
    """Signatures, redacted thoughts, citations and images keep every byte."""
    cited = {"type": "text", "text": "It is.", "citations": [{"cited_text": "x\u2028"}]}
    image = {"type": "image", "source": {"type": "base64", "data": "aGk="}}
    landed = take(
        "anthropic",
        record(
            {"role": "user", "content": [image, {"type": "text", "text": "Look"}]},
            {"role": "assistant", "content": [THINKING, REDACTED, cited]},
            {"role": "assistant", "content": [REDACTED, THINKING, ASK]},
        ),
    )
    assert landed.body("m0")["content"] == [image, {"type": "text", "text": "Look"}]
    assert landed.body("m0")["attachments"] == [image]
    assert landed.body("m1")["content"] == [THINKING, REDACTED, cited]
    assert "m2" not in [e.event_id for e in landed.events]
    assert landed.body("m2.call0")["content"] == [REDACTED, THINKING, ASK]


def test_tool_that_the_server_ran_is_a_call_and_its_result(take: Take) -> None:
    """What is said after a search comes after it; a failed search is an error."""
    search = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}
    found = {
        "type": "web_search_tool_result",
        "tool_use_id": "s1",
        "content": [{"type": "web_search_result", "title": "T", "url": "http://x"}],
    }
    broken = found | {
        "content": {"type": "web_search_tool_result_error", "error_code": "too_many"}
    }
    ran = {
        "type": "bash_code_execution_tool_result",
        "tool_use_id": "s3",
        "content": {"type": "bash_code_execution_result", "return_code": 2},
    }
    said = {"type": "text", "text": "Found."}
    landed = take(
        "auto",
        record({"role": "assistant", "content": [search, found, broken, ran, said]}),
    )
    assert landed.refusals == []
    assert [str(e.kind) for e in landed.events][1:] == [
        "tool_call",
        "tool_result",
        "tool_result",
        "tool_result",
        "agent_message",
    ]
    told = [e.body for e in landed.events if e.kind == "tool_result"]
    assert [body["error"] for body in told] == [
        False,
        {"type": "too_many"},
        {"type": "exit", "message": "2"},
    ]
    assert json.loads(told[0]["text"]) == found["content"]
    assert told[0]["extra"]["type"] == "web_search_tool_result"


ANSWER = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m-1",
    "content": [{"type": "text", "text": "No."}],
    "stop_reason": "refusal",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 10,
        "cache_read_input_tokens": 200,
        "cache_creation_input_tokens": 30,
        "output_tokens": 5,
    },
}
ASKED = {"model": "m-1", "messages": [{"role": "user", "content": "Do it"}]}


@pytest.mark.parametrize(
    "log",
    [
        ASKED | {"response": ANSWER},
        {"request": ASKED, "response": ANSWER},
        ASKED | ANSWER,
    ],
    ids=["under response", "request and response", "merged"],
)
def test_answer_of_the_last_call_is_its_last_message(take: Take, log: Any) -> None:
    """The response object says why it stopped; cached tokens are tokens in."""
    landed = take("auto", log)
    assert landed.refusals == []
    assert landed.kinds() == ["task_started", "user_message", "agent_message", "usage"]
    assert landed.body("start")["model"] == "m-1"
    said, spent = landed.body("m1"), landed.body("m1.usage")
    assert said["text"] == "No."
    assert said["extra"]["stop_reason"] == "refusal"
    assert (spent["tokens_in"], spent["tokens_out"]) == (240, 5)
    assert spent["extra"] == ANSWER["usage"]


def test_call_told_by_block_and_beside_lands_once(take: Take) -> None:
    """Some SDKs repeat the blocks' calls in a field of their own."""
    beside = [{"id": "tu1", "name": "get_order"}, {"id": "tu9", "name": "other"}]
    landed = take(
        "auto", record({"role": "assistant", "content": [ASK], "tool_calls": beside})
    )
    calls = [e.body["call_id"] for e in landed.events if e.kind == "tool_call"]
    assert calls == ["tu1", "tu9"]


@pytest.mark.parametrize("blocks", [[ASK], [result("a", "b")], [THINKING], [REDACTED]])
def test_any_block_tells_the_format(tmp_path: Any, blocks: Any) -> None:
    """A list of messages with blocks is no chat-completions log."""
    path = tmp_path / "log"
    message = {"role": "assistant", "content": blocks}
    for log in (record(message), [message], [record(message)]):
        path.write_text(json.dumps(log))
        assert detect(path) == "anthropic"


# --- transcripts ------------------------------------------------------------


def turn(kind: str, content: Any, n: int, **beside: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "uuid": f"u{n}",
        "sessionId": "s-1",
        "timestamp": f"2026-01-01T00:00:{n:02d}.500Z",
        "cwd": "/repo",
        "message": {"role": kind, "content": content},
    } | beside


def test_transcript_is_read_turn_by_turn(take: Take) -> None:
    """One session is one task, with its times, its results and its cost told once."""
    usage = {"input_tokens": 3, "output_tokens": 4}
    parts = [
        {"id": "msg_1", "usage": usage, "content": [block]} for block in (THINKING, ASK)
    ]
    landed = take(
        "auto",
        {"type": "summary", "summary": "Orders", "leafUuid": "u3"},
        turn("user", "Where is it?", 0),
        *(turn("assistant", None, n + 1, message=m) for n, m in enumerate(parts)),
        turn("user", [result("tu1", "here")], 3, toolUseResult={"stdout": "here"}),
        turn("assistant", [{"type": "text", "text": "Here."}], 4),
    )
    assert landed.refusals == []
    ours = [e for e in landed.events if e.task_id == "s-1"]
    assert [(e.event_id, str(e.kind)) for e in ours] == [
        ("start", "task_started"),
        ("u0", "user_message"),
        ("u1.plan", "plan"),
        ("u2.call0", "tool_call"),
        ("u2.usage", "usage"),
        ("u3", "tool_result"),
        ("u4", "agent_message"),
    ]
    assert landed.body("start") == {"text": "Where is it?", "extra": {"cwd": "/repo"}}
    assert landed.body("u1.plan")["content"] == [THINKING]
    assert landed["u3"].at.second == 3
    assert landed.body("u3")["extra"]["line"]["toolUseResult"] == {"stdout": "here"}
    assert landed.body("u2.usage")["tokens_out"] == 4
    (note,) = (e for e in landed.events if e.kind == "note")
    assert (note.task_id, note.body["extra"]["summary"]) == ("log", "Orders")


def test_sub_agents_talk_is_reasoning(take: Take) -> None:
    """A side chain says nothing to the user and asks nothing of the agent."""
    landed = take(
        "auto",
        turn("user", "Fix it", 0),
        turn("user", "You are a searcher", 1, isSidechain=True),
        turn("assistant", "Searching", 2, isSidechain=True),
    )
    assert landed.kinds() == ["task_started", "user_message", "message", "plan"]


def test_line_read_before_is_not_read_again(take: Take) -> None:
    """A resumed session repeats its past; the past happened once."""
    line = turn("user", "Hi", 0)
    landed = take("auto", line, line)
    assert landed.kinds() == ["task_started", "user_message"]


def test_stream_of_an_sdk_ends_in_an_outcome(take: Take) -> None:
    """Without times or names the lines count; what the run came to is its outcome."""
    session = {"session_id": "s-2"}
    landed = take(
        "auto",
        {"type": "system", "subtype": "init", "model": "m-1", "tools": []} | session,
        {"type": "user", "message": {"role": "user", "content": "Hi"}} | session,
        {"type": "result", "subtype": "success", "total_cost_usd": 0.1} | session,
    )
    assert landed.kinds() == ["task_started", "user_message", "completed"]
    assert landed.body("start")["model"] == "m-1"
    assert landed.body("m2")["extra"]["total_cost_usd"] == 0.1


@pytest.mark.parametrize(
    "bad", ["[1]", '"x"', '{"type": "user", "message": {"role": 1}, "uuid": "b"}']
)
def test_bad_line_of_a_transcript_costs_itself_alone(take: Take, bad: str) -> None:
    """The lines around it land."""
    landed = take("anthropic", turn("user", "Hi", 0), bad, turn("assistant", "Ho", 1))
    assert landed.kinds() == ["task_started", "user_message", "agent_message"]
    assert [(r.line, r.offset) for r in landed.refusals] == [
        (2, len(json.dumps(turn("user", "Hi", 0))) + 1)
    ]
