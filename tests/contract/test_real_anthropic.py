from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anthropic
import pytest

from features.events import AgentEvent
from features.ingest import Refusal, detect, read

USAGE = {
    "input_tokens": 12,
    "cache_read_input_tokens": 100,
    "cache_creation_input_tokens": 8,
    "output_tokens": 7,
}
THINKING = {"type": "thinking", "thinking": "Look it up.", "signature": "EqQBCgIYAg=="}
HIDDEN = {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix"}
ASK = {"type": "tool_use", "id": "toolu_1", "name": "get_order", "input": {"n": 17}}
ALSO = {"type": "tool_use", "id": "toolu_2", "name": "cancel_order", "input": {"n": 17}}
ANSWERS = [
    {"content": [THINKING, HIDDEN, ASK, ALSO], "stop_reason": "tool_use"},
    {
        "content": [
            {"type": "text", "text": "Order 17 is cancelled."},
            {
                "type": "server_tool_use",
                "id": "srvtoolu_1",
                "name": "web_search",
                "input": {"query": "policy"},
            },
            {
                "type": "web_search_tool_result",
                "tool_use_id": "srvtoolu_1",
                "content": [
                    {
                        "type": "web_search_result",
                        "title": "Policy",
                        "url": "https://example.org/policy",
                        "encrypted_content": "EqgfCioIARgB",
                        "page_age": None,
                    }
                ],
            },
            {
                "type": "text",
                "text": "The policy allows it.",
                "citations": [
                    {
                        "type": "web_search_result_location",
                        "url": "https://example.org/policy",
                        "title": "Policy",
                        "encrypted_index": "Eo8BCioIAhgB",
                        "cited_text": "allowed",
                    }
                ],
            },
        ],
        "stop_reason": "end_turn",
    },
]
REFUSED = {"content": [], "stop_reason": "refusal"}


@contextmanager
def served(answers: list[dict[str, Any]]) -> Iterator[str]:
    """Serve the Messages API on the loopback interface: one answer per call."""
    told = iter(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            head = {"id": "msg_1", "type": "message", "role": "assistant"}
            whole = head | {"model": asked["model"], "stop_sequence": None}
            body = json.dumps(whole | {"usage": USAGE} | next(told)).encode()
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
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def played(
    answers: list[dict[str, Any]],
) -> tuple[list[anthropic.types.MessageParam], anthropic.types.Message]:
    """Run a tool-using loop with the real client; return its messages and answer."""
    messages: list[anthropic.types.MessageParam] = [
        {"role": "user", "content": "Cancel order 17."}
    ]
    with (
        served(answers) as address,
        anthropic.Anthropic(base_url=address, api_key="none", max_retries=0) as client,
    ):
        while True:
            answer = client.messages.create(
                model="m-1", max_tokens=100, system="Be kind.", messages=messages
            )
            if answer.stop_reason != "tool_use":
                return messages, answer
            messages.append(answer.to_param())
            results: list[anthropic.types.ToolResultBlockParam] = [
                {
                    "type": "tool_result",
                    "tool_use_id": block.id,
                    "content": [{"type": "text", "text": "done"}],
                    "is_error": block.name == "get_order",
                }
                for block in answer.content
                if block.type == "tool_use"
            ]
            messages.append({"role": "user", "content": results})


def dumped(value: Any) -> Any:
    """Return SDK objects as what their own `model_dump` says of them."""
    if isinstance(value, list):
        return [dumped(item) for item in value]
    if isinstance(value, dict):
        return {key: dumped(item) for key, item in value.items()}
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def land(path: Path, record: Any) -> list[AgentEvent]:
    path.write_text(json.dumps(record))
    refused: list[Refusal] = []
    events = list(read("auto", [path], on_refused=refused.append))
    assert refused == []
    return events


@pytest.fixture(scope="module")
def run() -> tuple[list[Any], Any]:
    """Return the messages and the last answer of one real loop, dumped."""
    messages, answer = played(ANSWERS)
    return dumped(messages), dumped(answer)


def test_loop_of_the_real_client_lands_whole(
    run: tuple[list[Any], Any], tmp_path: Path
) -> None:
    """Calls, several results in one turn, a search and the answer land in order."""
    messages, answer = run
    record = {"id": "c", "system": "Be kind.", "messages": messages, "response": answer}
    path = tmp_path / "log"
    events = land(path, record)
    assert detect(path) == "anthropic"
    assert [str(e.kind) for e in events] == [
        "task_started",
        "user_message",
        "plan",
        "tool_call",
        "tool_call",
        "tool_result",
        "tool_result",
        "agent_message",
        "tool_call",
        "tool_result",
        "agent_message",
        "usage",
    ]
    calls = [e.body for e in events if e.kind == "tool_call"]
    assert [c["call_id"] for c in calls] == ["toolu_1", "toolu_2", "srvtoolu_1"]
    assert [c["is_write"] for c in calls] == [False, True, False]
    assert calls[0]["arguments"] == {"n": 17}
    results = [e.body for e in events if e.kind == "tool_result"]
    assert [r["error"] for r in results] == [True, False, False]
    assert [r["tool"] for r in results] == ["get_order", "cancel_order", "web_search"]
    assert events[-1].body["tokens_in"] == 120
    assert events[-2].body["extra"]["stop_reason"] == "end_turn"


def test_blocks_of_the_real_client_survive_byte_for_byte(
    run: tuple[list[Any], Any], tmp_path: Path
) -> None:
    """Every block that the client dumped is found again, unchanged."""
    messages, answer = run
    events = land(tmp_path / "log", {"messages": messages, "response": answer})
    kept = [block for e in events for block in e.body.get("content") or ()]
    blocks = [b for m in messages[1:] for b in m["content"]] + answer["content"]
    for block in blocks:
        if block["type"].endswith("tool_result"):
            assert all(part in kept for part in block["content"])
        else:
            assert block in kept
    assert {"thinking", "redacted_thinking"} <= {b["type"] for b in blocks}


def test_refusal_of_the_real_client_is_kept(tmp_path: Path) -> None:
    """An answer without words says why it stopped."""
    messages, answer = played([REFUSED])
    record = {"messages": dumped(messages), "response": dumped(answer)}
    events = land(tmp_path / "log", record)
    said = next(e for e in events if e.kind == "agent_message")
    assert said.body["extra"]["stop_reason"] == "refusal"
