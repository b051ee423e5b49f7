"""A stand-in for anybody's agents on the OpenAI Agents SDK, and nothing of ours.

Two agents, tools, a handoff and a guardrail, against a model on the loopback interface
that answers from a script. ``openai_support_desk.py chat|responses PATH`` writes what
the SDK's own exporter posts (chat) or a lossless processor's lines (responses).
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from agents import (
    Agent,
    GuardrailFunctionOutput,
    InputGuardrail,
    InputGuardrailTripwireTriggered,
    Model,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    function_tool,
    set_trace_processors,
)
from agents.tracing import Span, Trace, TracingProcessor
from agents.tracing.processors import BackendSpanExporter, BatchTraceProcessor
from openai import AsyncOpenAI

Json = dict[str, Any]

SCRIPT: list[Json] = [
    {"thought": "Look first.", "calls": [("c1", "lookup_order", '{"order": 7}')]},
    {"calls": [("c2", "transfer_to_billing", "{}")]},
    {"text": "Trying.", "calls": [("c3", "refund_order", '{"order": 7}')]},
    {"text": "I could not refund it."},
]


class Provider(BaseHTTPRequestHandler):
    """Answers model calls from the script; keeps exports that are posted."""

    steps: Iterator[Json] = iter(SCRIPT)
    exports: list[bytes] = []  # noqa: RUF012 - one server, one process

    def do_POST(self) -> None:
        """Answer one request."""
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/traces":
            self.exports.append(body)
            answer: Json = {}
        elif self.path.endswith("/responses"):
            asked = json.loads(body)
            answer = as_response(next(self.steps))
            answer["instructions"] = asked.get("instructions")  # as the provider does
        else:
            answer = as_completion(next(self.steps))
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def as_completion(step: Json) -> Json:
    """Return a step as a chat completion."""
    calls = [
        {"id": i, "type": "function", "function": {"name": n, "arguments": a}}
        for i, n, a in step.get("calls", ())
    ]
    message = {"role": "assistant", "content": step.get("text")}
    if calls:
        message["tool_calls"] = calls
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
    }


def as_response(step: Json) -> Json:
    """Return a step as a response: reasoning, words and calls are items."""
    output: list[Json] = []
    if "thought" in step:
        summary = [{"type": "summary_text", "text": step["thought"]}]
        sealed = {"encrypted_content": "c2VhbGVk"}
        output.append({"type": "reasoning", "id": "rs", "summary": summary, **sealed})
    if "text" in step:
        token = {"token": "x", "logprob": -0.25, "bytes": [120], "top_logprobs": []}
        part = {"type": "output_text", "text": step["text"], "annotations": []}
        said = {"role": "assistant", "status": "completed"}
        content = [part | {"logprobs": [token]}]
        output.append({"type": "message", "id": "msg", "content": content, **said})
    output += [
        {
            "type": "function_call",
            "id": f"f{i}",
            "call_id": i,
            "name": n,
            "arguments": a,
        }
        for i, n, a in step.get("calls", ())
    ]
    none = {"cached_tokens": 0, "cache_write_tokens": 0}
    return {
        "id": "resp",
        "object": "response",
        "created_at": 1,
        "model": "scripted",
        "output": output,
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 11,
            "output_tokens": 3,
            "total_tokens": 14,
            "input_tokens_details": none,
            "output_tokens_details": {"reasoning_tokens": 0},
        },
    }


class Lossless(TracingProcessor):
    """Keeps each object as it ends, with the content of model spans."""

    def __init__(self) -> None:
        self.lines: list[Json] = []

    def on_trace_start(self, trace: Trace) -> None:
        """Wait for its end."""

    def on_trace_end(self, trace: Trace) -> None:
        """Keep the trace, after its spans."""
        self.lines.append(trace.export() or {})

    def on_span_start(self, span: Span[Any]) -> None:
        """Wait for its end."""

    def on_span_end(self, span: Span[Any]) -> None:
        """Keep the span, and what its own export leaves out."""
        line = span.export() or {}
        response = getattr(span.span_data, "response", None)
        if response is not None:
            line["span_data"]["response"] = response.model_dump(mode="json")
            line["span_data"]["input"] = span.span_data.input
        self.lines.append(line)

    def shutdown(self) -> None:
        """Do nothing."""

    def force_flush(self) -> None:
        """Do nothing."""


@function_tool
def lookup_order(order: int) -> dict[str, Any]:
    """Look an order up."""
    return {"order": order, "status": "lost"}


@function_tool
def refund_order(order: int) -> str:
    """Refund an order."""
    msg = f"ledger is closed for {order}"
    raise RuntimeError(msg)


def no_threats(_: Any, __: Any, said: Any) -> GuardrailFunctionOutput:
    """Trip where the user threatens."""
    tripped = "sue" in json.dumps(said)
    return GuardrailFunctionOutput(output_info=None, tripwire_triggered=tripped)


def agents_of(model: Model) -> Agent[None]:
    """Return the agent that is asked first."""
    billing = Agent[None](
        name="billing", instructions="Refund.", model=model, tools=[refund_order]
    )
    guard = InputGuardrail[None](no_threats, name="no_threats", run_in_parallel=False)
    return Agent[None](
        name="triage",
        instructions="Sort.",
        model=model,
        tools=[lookup_order],
        handoffs=[billing],
        input_guardrails=[guard],
    )


async def talk(model: Model) -> None:
    """Play one conversation of two turns."""
    desk = agents_of(model)
    config = RunConfig(
        workflow_name="support",
        group_id="conversation-1",
        trace_metadata={"escalation.task.domain": "retail", "shop": "north"},
    )
    result = await Runner.run(desk, "Where is order 7?", run_config=config)
    said = result.to_input_list()
    said.append({"role": "user", "content": "Then I sue you."})
    try:
        await Runner.run(desk, said, run_config=config)
    except InputGuardrailTripwireTriggered:
        return
    msg = "expected the guardrail to trip"
    raise AssertionError(msg)


def main(vocabulary: str, path: Path) -> None:
    """Play the conversation and write its traces to `path`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    client = AsyncOpenAI(api_key="none", base_url=address)
    if vocabulary == "responses":
        lossless = Lossless()
        set_trace_processors([lossless])
        asyncio.run(talk(OpenAIResponsesModel("scripted", client)))
        path.write_text("\n".join(map(json.dumps, lossless.lines)))
    else:
        exporter = BackendSpanExporter(api_key="none", endpoint=f"{address}/traces")
        processor = BatchTraceProcessor(exporter)
        set_trace_processors([processor])
        asyncio.run(talk(OpenAIChatCompletionsModel("scripted", client)))
        processor.shutdown()
        path.write_bytes(b"\n".join(Provider.exports))
    server.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
