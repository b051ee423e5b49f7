"""Agents in processes of their own, traced by real SDKs; they know nothing of Escalon.

Run as ``otel_agent.py FOLDER COLLECTOR NAME...`` with the names below. Each agent talks
to a model served by its process, leaves its spans and log records in FOLDER/NAME in
every form there is, and exports them to COLLECTOR/NAME, a receiver of OTLP/HTTP.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openai
from google.protobuf.json_format import MessageToJson
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import (
    BatchLogRecordProcessor,
    InMemoryLogRecordExporter,
    SimpleLogRecordProcessor,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Status, StatusCode

CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
LATEST = {"OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental"}
AGENTS: dict[str, dict[str, str]] = {
    "plain": {},
    "openinference": {},
    "genai-legacy": {CONTENT: "true"},
    "genai-latest-spans": LATEST | {CONTENT: "SPAN_ONLY"},
    "genai-latest-events": LATEST | {CONTENT: "EVENT_ONLY"},
    "genai-latest-both": LATEST | {CONTENT: "SPAN_AND_EVENT"},
}
GET = '{"n": 1, "deep": {"a": [1, 2.5], "é": null}}'
ORDER = '{"at": "depot"}'
FAILED = '{"isError": true, "content": "locked"}'
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


def call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


ANSWERS: list[dict[str, Any]] = [
    {"tool_calls": [call("c1", "get_order", GET)]},
    {"content": "It is at the **depot**."},
    {"tool_calls": [call("c2", "cancel_order", '{"n": 1}')]},
]
RESULTS = {"c1": ORDER, "c2": FAILED}


class Model(BaseHTTPRequestHandler):
    """Gives the answers above in turn, and 404 after the last."""

    given = 0

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """Answer one request."""
        self.rfile.read(int(self.headers["content-length"]))
        code, body = 404, {"error": {"message": "no such model", "type": "gone"}}
        if Model.given < len(ANSWERS):
            code, body = 200, completion(ANSWERS[Model.given], Model.given)
        Model.given += 1
        out = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(out)))
        self.end_headers()
        self.wfile.write(out)


def completion(answer: dict[str, Any], place: int) -> dict[str, Any]:
    reason = "tool_calls" if "tool_calls" in answer else "stop"
    token = {"token": "It", "logprob": -0.5, "bytes": None, "top_logprobs": []}
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": None} | answer,
        "finish_reason": reason,
        "logprobs": {"content": [token], "refusal": None},
    }
    usage = {"prompt_tokens": 10 + place, "completion_tokens": 5, "total_tokens": 15}
    head = {"id": f"r{place}", "object": "chat.completion", "created": 1}
    return head | {"model": "gpt-x-1", "choices": [choice], "usage": usage}


@contextlib.contextmanager
def served() -> Iterator[str]:
    """Serve the model on a free port; yield its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()


def turns(with_image: bool) -> Iterator[Any]:  # noqa: FBT001
    """Yield what the user says, turn by turn."""
    yield "Where *is* it?\n\n| a | b |\n|---|---|"
    text = "Cancel it."
    yield [{"type": "text", "text": text}, IMAGE] if with_image else text


def talk(client: openai.OpenAI, tracer: Any, *, with_image: bool) -> None:
    """Have the conversation; each turn is a span, and so is each call of a tool."""
    messages: list[Any] = [{"role": "system", "content": "Be kind."}]
    for said in turns(with_image):
        messages.append({"role": "user", "content": said})
        with tracer.start_as_current_span("turn", attributes={"session.id": "s-1"}):
            answer(client, tracer, messages)


def answer(client: openai.OpenAI, tracer: Any, messages: list[Any]) -> None:
    while True:
        try:
            told = client.chat.completions.create(
                model="gpt-x", messages=messages, temperature=0.5, logprobs=True
            )
        except openai.OpenAIError:
            return
        message = told.choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        if not message.tool_calls:
            return
        for asked in message.tool_calls:
            result = RESULTS[asked.id]
            with tracer.start_as_current_span("run " + asked.function.name):
                messages.append(
                    {"role": "tool", "tool_call_id": asked.id, "content": result}
                )


def talk_plain(tracer: Any, logger: Any) -> None:
    """Have the same conversation, told by hand with the attributes of the standard."""
    inputs: list[Any] = [said("system", "Be kind.")]
    answers = iter(enumerate(ANSWERS))
    for turn in turns(False):
        inputs.append(said("user", turn))
        with tracer.start_as_current_span("invoke_agent helper") as run:
            run.set_attribute("gen_ai.operation.name", "invoke_agent")
            run.set_attribute("gen_ai.agent.name", "helper")
            run.set_attribute("gen_ai.conversation.id", "s-1")
            run.set_attribute("user.id", "ann")
            run.set_attribute("gen_ai.usage.input_tokens", 1000)
            while ask(tracer, inputs, answers):
                run_tools(tracer, inputs)
    judge(tracer, logger)


def said(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def ask(tracer: Any, inputs: list[Any], answers: Any) -> bool:
    """Ask the model; return whether it wants a tool."""
    with tracer.start_as_current_span("chat gpt-x") as span:
        span.set_attribute("gen_ai.operation.name", "chat")
        span.set_attribute("gen_ai.provider.name", "openai")
        span.set_attribute("gen_ai.request.model", "gpt-x")
        span.set_attribute("gen_ai.input.messages", json.dumps(inputs))
        place, told = next(answers, (0, None))
        if told is None:
            span.set_attribute("error.type", "NotFoundError")
            span.set_status(Status(StatusCode.ERROR, "no such model"))
            return False
        calls = told.get("tool_calls", [])
        parts = [
            {
                "type": "tool_call",
                "id": c["id"],
                "name": c["function"]["name"],
                "arguments": json.loads(c["function"]["arguments"]),
            }
            for c in calls
        ] or said("assistant", told["content"])["parts"]
        reason = "tool_calls" if calls else "stop"
        output = {"role": "assistant", "parts": parts, "finish_reason": reason}
        span.set_attribute("gen_ai.output.messages", json.dumps([output]))
        span.set_attribute("gen_ai.response.model", "gpt-x-1")
        span.set_attribute("gen_ai.response.finish_reasons", [reason])
        span.set_attribute("gen_ai.usage.input_tokens", 10 + place)
        span.set_attribute("gen_ai.usage.output_tokens", 5)
        span.set_attribute("acme.shelf", "b-7")
        inputs.append({"role": "assistant", "parts": parts})
        return bool(calls)


def run_tools(tracer: Any, inputs: list[Any]) -> None:
    for part in inputs[-1]["parts"]:
        with tracer.start_as_current_span(f"execute_tool {part['name']}") as span:
            span.set_attribute("gen_ai.operation.name", "execute_tool")
            span.set_attribute("gen_ai.tool.name", part["name"])
            span.set_attribute("gen_ai.tool.call.id", part["id"])
            arguments = json.dumps(part["arguments"])
            span.set_attribute("gen_ai.tool.call.arguments", arguments)
            span.set_attribute("gen_ai.tool.call.result", RESULTS[part["id"]])
        answer_ = {"type": "tool_call_response", "id": part["id"]}
        answer_["response"] = RESULTS[part["id"]]
        inputs.append({"role": "tool", "parts": [answer_]})


def judge(tracer: Any, logger: Any) -> None:
    """Have the last turn judged, by an event with a log record of its own."""
    with tracer.start_as_current_span("judged", attributes={"session.id": "s-1"}):
        logger.emit(
            event_name="gen_ai.evaluation.result",
            attributes={
                "gen_ai.evaluation.name": "helpful",
                "gen_ai.evaluation.score.value": 0.25,
                "gen_ai.evaluation.score.label": "low",
                "gen_ai.evaluation.explanation": "not cancelled",
            },
        )


def export(folder: Path, spans: Any, records: Any) -> None:
    """Leave spans and log records in every form that files have."""
    traces = encode_spans(spans)
    (folder / "console.txt").write_text("\n".join(s.to_json() for s in spans))
    (folder / "traces.json").write_text(MessageToJson(traces))
    (folder / "traces.pb").write_bytes(traces.SerializeToString())
    logs = encode_logs(records)
    if records:
        (folder / "records.txt").write_text("\n".join(r.to_json() for r in records))
        (folder / "logs.json").write_text(MessageToJson(logs))
        (folder / "logs.pb").write_bytes(logs.SerializeToString())


def main() -> None:
    """Run the agents that the command line names, at once."""
    folder, collector, *names = sys.argv[1:]
    children = []
    for name in names:
        # A process each: SDKs patch their client, and read their switches, once.
        child = os.fork()
        if not child:
            os.environ.update(AGENTS[name])
            run(name, Path(folder) / name, f"{collector}/{name}")
            os._exit(0)
        children.append(child)
    codes = [os.waitpid(child, 0)[1] for child in children]
    sys.exit(1 if any(codes) else 0)


def run(which: str, folder: Path, collector: str) -> None:
    folder.mkdir()
    resource = Resource({"service.name": "shop", "service.version": "7"})
    spans, records = InMemorySpanExporter(), InMemoryLogRecordExporter()
    tracing = TracerProvider(resource=resource)
    logging = LoggerProvider(resource=resource)
    tracing.add_span_processor(SimpleSpanProcessor(spans))
    logging.add_log_record_processor(SimpleLogRecordProcessor(records))
    to = OTLPSpanExporter(f"{collector}/v1/traces")
    tracing.add_span_processor(BatchSpanProcessor(to))
    also = OTLPLogExporter(f"{collector}/v1/logs")
    logging.add_log_record_processor(BatchLogRecordProcessor(also))
    tracer, logger = tracing.get_tracer("shop"), logging.get_logger("shop")
    if which == "plain":
        talk_plain(tracer, logger)
    else:
        instrument(which, tracing, logging)
        with served() as address:
            client = openai.OpenAI(api_key="k", base_url=address, max_retries=0)
            talk(client, tracer, with_image="latest" not in which)
    tracing.shutdown()
    logging.shutdown()
    export(folder, spans.get_finished_spans(), records.get_finished_logs())


def instrument(which: str, tracing: Any, logging: Any) -> None:
    if which == "openinference":
        from openinference.instrumentation.openai import OpenAIInstrumentor  # noqa: PLC0415

        OpenAIInstrumentor().instrument(tracer_provider=tracing)
        return
    from opentelemetry.instrumentation import openai_v2  # noqa: PLC0415

    openai_v2.OpenAIInstrumentor().instrument(
        tracer_provider=tracing, logger_provider=logging
    )


if __name__ == "__main__":
    main()
