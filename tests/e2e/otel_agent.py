"""A stand-in for anybody's agent: plain OpenTelemetry, and nothing of ours.

It plays the conversations of a script and tells them as the GenAI conventions have it:
a span for the run, one for each call of the model with the whole history as input, and
one for each tool. ``otel_agent.py SCRIPT [--endpoint URL] [--file PATH] [--labels]``
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SimpleSpanProcessor,
)
from opentelemetry.trace import Status, StatusCode, Tracer

Json = dict[str, Any]


class Agent:
    """Plays one conversation."""

    def __init__(self, tracer: Tracer, script: Json) -> None:
        self.tracer = tracer
        self.script = script
        self.history: list[Json] = []
        self.common = {
            "gen_ai.conversation.id": script["id"],
            "user.id": script["user"],
        }

    def run(self, *, labelled: bool) -> None:
        """Play it all, and tell how it was judged."""
        name = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "support"}
        with self.tracer.start_as_current_span(
            "invoke_agent support", attributes={**self.common, **name}
        ) as span:
            for step in self.script["steps"]:
                self.step(step)
            if labelled:
                judged = {
                    "gen_ai.evaluation.name": "needed_human",
                    "gen_ai.evaluation.score.label": self.script["needed"],
                }
                span.add_event("gen_ai.evaluation.result", judged)

    def step(self, step: Json) -> None:
        """Play one step: the user speaks, the model answers, a tool is called."""
        if "user" in step:
            self.hear("user", [{"type": "text", "content": step["user"]}])
        elif "agent" in step:
            parts = [{"type": "text", "content": step["agent"]}]
            self.model(parts, step.get("confidence"))
        else:
            call = {k: step[k] for k in ("id", "name", "arguments")}
            self.model([{"type": "tool_call", **call}])
            self.tool(step)

    def hear(self, role: str, parts: list[Json]) -> None:
        """Add one message to the history."""
        self.history.append({"role": role, "parts": parts})

    def model(self, parts: list[Json], confidence: float | None = None) -> None:
        """Tell one call of the model."""
        answer = {"role": "assistant", "parts": parts, "finish_reason": "stop"}
        told = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "some-model",
            "gen_ai.usage.input_tokens": 100 + len(self.history),
            "gen_ai.usage.output_tokens": 20,
            "gen_ai.input.messages": json.dumps(self.history),
            "gen_ai.output.messages": json.dumps([answer]),
        }
        if confidence is not None:
            told["escalation.self.confidence"] = confidence
        with self.tracer.start_as_current_span("chat", attributes=self.common | told):
            self.hear("assistant", parts)

    def tool(self, step: Json) -> None:
        """Tell one call of a tool."""
        told = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": step["name"],
            "gen_ai.tool.call.id": step["id"],
            "gen_ai.tool.call.arguments": json.dumps(step["arguments"]),
            "gen_ai.tool.call.result": step["result"],
        }
        with self.tracer.start_as_current_span(
            f"execute_tool {step['name']}", attributes=self.common | told
        ) as span:
            if step["failed"]:
                span.set_attribute("error.type", "ToolError")
                span.set_status(Status(StatusCode.ERROR, step["result"]))
        answer = {"type": "tool_call_response", "id": step["id"]}
        self.hear("tool", [answer | {"response": step["result"]}])


def main() -> None:
    """Play every conversation of the script."""
    parser = argparse.ArgumentParser()
    parser.add_argument("script", type=Path)
    parser.add_argument("--endpoint")
    parser.add_argument("--file", type=Path)
    parser.add_argument("--labels", action="store_true")
    given = parser.parse_args()
    resource = Resource.create({"service.name": "shop", "service.version": "7"})
    provider = TracerProvider(resource=resource)
    if given.endpoint:
        exporter = OTLPSpanExporter(endpoint=given.endpoint)
        provider.add_span_processor(BatchSpanProcessor(exporter))
    if given.file:
        lines = given.file.open("w")
        console = ConsoleSpanExporter(
            out=lines, formatter=lambda span: span.to_json(indent=None) + "\n"
        )
        provider.add_span_processor(SimpleSpanProcessor(console))
    tracer = provider.get_tracer("shop.agent")
    for script in json.loads(given.script.read_text()):
        Agent(tracer, script).run(labelled=given.labels)
    provider.shutdown()


if __name__ == "__main__":
    main()
