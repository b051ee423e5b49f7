from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openai
import pytest

from features.events import AgentEvent
from features.ingest import Refusal, detect, read

CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "cancel_order", "arguments": '{"n": 17}'},
}
COMPLETIONS = [
    {
        "finish_reason": "tool_calls",
        "message": {"role": "assistant", "content": None, "tool_calls": [CALL]},
    },
    {
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": "Cancelled."},
        "logprobs": {
            "content": [
                {"token": t, "logprob": -0.5, "bytes": None, "top_logprobs": []}
                for t in ("Can", "celled.")
            ],
            "refusal": None,
        },
    },
]
CHAT_USAGE = {"prompt_tokens": 20, "completion_tokens": 4, "total_tokens": 24}
ITEMS = [
    [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Cancel it."}],
            "encrypted_content": "gAAAAABo",
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": "cancel_order",
            "arguments": '{"n": 17}',
            "status": "completed",
        },
    ],
    [
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [
                {
                    "type": "output_text",
                    "text": "Cancelled.",
                    "annotations": [],
                    "logprobs": [
                        {
                            "token": "Cancelled.",
                            "bytes": [],
                            "logprob": -0.5,
                            "top_logprobs": [],
                        }
                    ],
                }
            ],
        }
    ],
]
USAGE = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 4,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 24,
}


def answered(path: str, asked: dict[str, Any], turn: int) -> dict[str, Any]:
    """Return what the API says to the call `turn`."""
    if path.endswith("/chat/completions"):
        return {
            "id": f"chatcmpl-{turn}",
            "object": "chat.completion",
            "created": 1767225600,
            "model": asked["model"],
            "choices": [{"index": 0, "logprobs": None} | COMPLETIONS[turn]],
            "usage": CHAT_USAGE,
        }
    return {
        "id": f"resp_{turn}",
        "object": "response",
        "created_at": 1767225600,
        "model": asked["model"],
        "status": "completed",
        "output": ITEMS[turn],
        "usage": USAGE,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }


@contextmanager
def client() -> Iterator[openai.OpenAI]:
    """Return the real client, talking to a scripted server on loopback."""
    turns = iter(range(len(ITEMS)))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            body = json.dumps(answered(self.path, asked, next(turns))).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/v1"
        with openai.OpenAI(base_url=address, api_key="none", max_retries=0) as one:
            yield one
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def land(path: Path, record: Any) -> list[AgentEvent]:
    path.write_text(json.dumps(record))
    refused: list[Refusal] = []
    events = list(read("auto", [path], on_refused=refused.append))
    assert refused == []
    assert detect(path) == "chat"
    return events


@pytest.fixture(scope="module")
def completions() -> dict[str, Any]:
    """Return the log of a loop over chat completions: request and last answer."""
    messages: list[Any] = [{"role": "user", "content": "Cancel order 17."}]
    with client() as api:
        first = api.chat.completions.create(model="m-1", messages=messages)
        message = first.choices[0].message
        messages.append(message.model_dump(mode="json"))
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": "Error: gone"}
            for call in message.tool_calls or ()
        ]
        last = api.chat.completions.create(model="m-1", messages=messages)
    return {"messages": messages, "response": last.model_dump(mode="json")}


@pytest.fixture(scope="module")
def responses() -> dict[str, Any]:
    """Return the log of a loop over responses: request and last answer."""
    items: list[Any] = [{"role": "user", "content": "Cancel order 17."}]
    with client() as api:
        first = api.responses.create(model="m-1", input=items)
        for item in first.output:
            items.append(item.model_dump(mode="json"))
            if item.type == "function_call":
                items.append(
                    {
                        "type": "function_call_output",
                        "call_id": item.call_id,
                        "output": "Error: gone",
                    }
                )
        last = api.responses.create(model="m-1", input=items)
    told = {"input": items, "instructions": "Be kind."}
    return told | {"response": last.model_dump(mode="json")}


def sure_of(event: AgentEvent) -> float:
    sure = event.body["confidence"]
    assert sure["source"] == "logprob"
    return float(sure["value"])


def test_chat_completions_of_the_real_client_land(
    completions: dict[str, Any], tmp_path: Path
) -> None:
    """The loop's calls and results, and the answer with its log-probabilities."""
    events = land(tmp_path / "log", completions)
    assert [str(e.kind) for e in events] == [
        "task_started",
        "user_message",
        "tool_call",
        "tool_result",
        "agent_message",
        "usage",
    ]
    call, result, said, spent = events[2:]
    assert call.body["arguments"] == {"n": 17}
    assert (result.body["tool"], result.body["error"]) == ("cancel_order", True)
    assert said.body["text"] == "Cancelled."
    assert said.body["extra"]["finish_reason"] == "stop"
    assert math.isclose(sure_of(said), math.exp(-0.5))
    assert spent.body["tokens_in"] == 20


def test_responses_of_the_real_client_land(
    responses: dict[str, Any], tmp_path: Path
) -> None:
    """Items are a plan, a call, its result and an answer; secrets stay sealed."""
    events = land(tmp_path / "log", responses)
    assert [str(e.kind) for e in events] == [
        "task_started",
        "user_message",
        "plan",
        "tool_call",
        "tool_result",
        "agent_message",
        "usage",
    ]
    plan, call, result, said, spent = events[2:]
    assert events[0].body["system"] == "Be kind."
    assert plan.body["text"] == "Cancel it."
    assert "gAAAAABo" in json.dumps([plan.to_json(), call.to_json()])
    assert (call.body["call_id"], call.body["arguments"]) == ("call_1", {"n": 17})
    assert (result.body["tool"], result.body["error"]) == ("cancel_order", True)
    assert said.body["text"] == "Cancelled."
    assert math.isclose(sure_of(said), math.exp(-0.5))
    assert (spent.body["tokens_in"], spent.body["tokens_out"]) == (20, 4)


def test_response_alone_is_a_record(responses: dict[str, Any], tmp_path: Path) -> None:
    """A stored response object, without its request, is the agent's answer."""
    events = land(tmp_path / "log", responses["response"])
    assert [str(e.kind) for e in events] == ["task_started", "agent_message", "usage"]
    assert events[0].task_id == "resp_1"
