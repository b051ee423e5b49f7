"""One conversation, told in each format that `features.ingest` reads.

Traces tell it as their SDKs do: each call of the model with all that came before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from features.events import AgentEvent, EventKind
from training.simulate import World

_SEED = 4
Json = dict[str, Any]
Write = Callable[[Path, int], None]


class _Call(NamedTuple):
    """One call of the model: what it was given, what it answered, when."""

    given: list[Json]
    answer: Json
    at: datetime


class _Task:
    """A task's events as chat messages, and as calls of a model."""

    def __init__(self, task_id: str, events: Sequence[AgentEvent]) -> None:
        self.task_id = task_id
        self.trace_id = hashlib.md5(task_id.encode()).hexdigest()  # noqa: S324 - an id
        self.began = events[0].at
        self.messages = list(_messages(events))

    def calls(self) -> Iterator[_Call]:
        for place, message in enumerate(self.messages):
            if message["role"] == "assistant":
                at = self.began + timedelta(seconds=place)
                yield _Call(self.messages[:place], message, at)

    def span_id(self, place: int) -> str:
        return f"{self.trace_id[:8]}{place:08x}"


def _messages(events: Sequence[AgentEvent]) -> Iterator[Json]:
    asked = ""
    for event in events:
        body = event.body
        match event.kind:
            case EventKind.USER_MESSAGE:
                yield {"role": "user", "content": event.text}
            case EventKind.AGENT_MESSAGE:
                yield {"role": "assistant", "content": event.text}
            case EventKind.TOOL_CALL:
                arguments = orjson.dumps(body.get("arguments") or {}).decode()
                call = {"name": body["tool"], "arguments": arguments}
                calls = [{"id": event.event_id, "type": "function", "function": call}]
                yield {"role": "assistant", "content": None, "tool_calls": calls}
                asked = event.event_id
            case EventKind.TOOL_RESULT:
                yield {"role": "tool", "tool_call_id": asked, "content": event.text}
            case _:
                pass


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()


def _called(message: Json) -> list[Json]:
    return [call["function"] | {"id": call["id"]} for call in _calls_of(message)]


def _calls_of(message: Json) -> list[Json]:
    return message.get("tool_calls") or []


# --- one record per task -----------------------------------------------------


def _chat(task: _Task) -> list[Json]:
    return [{"id": task.task_id, "model": "m", "messages": task.messages}]


def _tau(task: _Task) -> list[Json]:
    messages = [
        {
            "role": message["role"],
            "content": message["content"],
            "tool_calls": [
                {"name": c["name"], "arguments": orjson.loads(c["arguments"])}
                for c in _called(message)
            ]
            or None,
            "timestamp": None,
        }
        for message in task.messages
    ]
    told = {"need_human": False, "reward": 1.0, "messages": messages}
    return [{"run_id": task.task_id} | told]


def _block_turn(message: Json) -> Json:
    if message["role"] == "tool":
        told = {"tool_use_id": message["tool_call_id"], "content": message["content"]}
        return {"role": "user", "content": [{"type": "tool_result"} | told]}
    blocks = [{"type": "text", "text": message["content"]}] * bool(message["content"])
    blocks += [
        {"type": "tool_use", "id": c["id"], "name": c["name"]}
        | {"input": orjson.loads(c["arguments"])}
        for c in _called(message)
    ]
    return {"role": message["role"], "content": blocks}


def _anthropic(task: _Task) -> list[Json]:
    turns = [_block_turn(message) for message in task.messages]
    return [{"id": task.task_id, "model": "m", "messages": turns}]


def _swe_agent(task: _Task) -> list[Json]:
    steps = [
        {
            "thought": "",
            "action": " ".join(c["name"] for c in _called(message)) or "wait",
            "response": message["content"] or "",
            "observation": after["content"] or "",
        }
        for message, after in zip(task.messages, task.messages[1:], strict=False)
        if message["role"] == "assistant"
    ]
    info = {"exit_status": "submitted"}
    return [{"instance_id": task.task_id, "trajectory": steps, "info": info}]


# --- one record per span -----------------------------------------------------


def _parts(message: Json) -> Json:
    if message["role"] == "tool":
        told = {"id": message["tool_call_id"], "response": message["content"]}
        return {"role": "tool", "parts": [{"type": "tool_call_response"} | told]}
    parts = [{"type": "text", "content": message["content"]}] * bool(message["content"])
    parts += [{"type": "tool_call"} | call for call in _called(message)]
    return {"role": message["role"], "parts": parts}


def _nanoseconds(at: datetime) -> str:
    return str(int(at.timestamp() * 1e9))


def _otlp(task: _Task) -> list[Json]:
    spans = [
        {
            "traceId": task.trace_id,
            "spanId": task.span_id(place),
            "name": "chat m",
            "startTimeUnixNano": _nanoseconds(call.at),
            "endTimeUnixNano": _nanoseconds(call.at + timedelta(milliseconds=900)),
            "attributes": [
                {"key": key, "value": {"stringValue": value}}
                for key, value in {
                    "gen_ai.operation.name": "chat",
                    "gen_ai.conversation.id": task.task_id,
                    "gen_ai.input.messages": _text([_parts(m) for m in call.given]),
                    "gen_ai.output.messages": _text([_parts(call.answer)]),
                }.items()
            ],
        }
        for place, call in enumerate(task.calls())
    ]
    return [{"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}]


def _flattened(name: str, messages: Sequence[Json]) -> Json:
    flat: Json = {}
    for place, message in enumerate(messages):
        head = f"{name}.{place}.message"
        flat |= {f"{head}.{k}": message[k] for k in ("role", "content") if message[k]}
        if "tool_call_id" in message:
            flat[f"{head}.tool_call_id"] = message["tool_call_id"]
        for index, call in enumerate(_called(message)):
            below = f"{head}.tool_calls.{index}.tool_call"
            flat[f"{below}.id"] = call["id"]
            flat[f"{below}.function.name"] = call["name"]
            flat[f"{below}.function.arguments"] = call["arguments"]
    return flat


def _openinference(task: _Task) -> list[Json]:
    return [
        {
            "name": "llm",
            "context": {"trace_id": task.trace_id, "span_id": task.span_id(place)},
            "span_kind": "LLM",
            "parent_id": None,
            "start_time": call.at.isoformat(),
            "end_time": call.at.isoformat(),
            "status_code": "OK",
            "attributes": {
                "openinference.span.kind": "LLM",
                "session.id": task.task_id,
                **_flattened("llm.input_messages", call.given),
                **_flattened("llm.output_messages", [call.answer]),
            },
        }
        for place, call in enumerate(task.calls())
    ]


def _langfuse(task: _Task) -> list[Json]:
    observations = [
        {
            "id": task.span_id(place),
            "traceId": task.trace_id,
            "type": "GENERATION",
            "startTime": call.at.isoformat(),
            "endTime": call.at.isoformat(),
            "input": call.given,
            "output": call.answer,
        }
        for place, call in enumerate(task.calls())
    ]
    head = {"id": task.trace_id, "sessionId": task.task_id}
    return [head | {"timestamp": task.began.isoformat(), "observations": observations}]


def _langsmith(task: _Task) -> list[Json]:
    return [
        {
            "id": task.span_id(place),
            "trace_id": task.trace_id,
            "run_type": "llm",
            "start_time": call.at.isoformat(),
            "end_time": call.at.isoformat(),
            "inputs": {"messages": call.given},
            "outputs": {"choices": [{"message": call.answer}]},
            "extra": {"metadata": {"thread_id": task.task_id}},
        }
        for place, call in enumerate(task.calls())
    ]


def _openai_agents(task: _Task) -> list[Json]:
    trace = {"object": "trace", "id": task.trace_id, "group_id": task.task_id}
    spans = [
        {
            "object": "trace.span",
            "id": task.span_id(place),
            "trace_id": task.trace_id,
            "started_at": call.at.isoformat(),
            "ended_at": call.at.isoformat(),
            "span_data": {
                "type": "generation",
                "input": call.given,
                "output": [call.answer],
            },
            "error": None,
        }
        for place, call in enumerate(task.calls())
    ]
    return [{"data": [trace, *spans]}]


def _mlflow(task: _Task) -> list[Json]:
    spans = [
        {
            "trace_id": task.trace_id,
            "span_id": task.span_id(place),
            "parent_span_id": None,
            "name": "chat",
            "start_time_unix_nano": int(_nanoseconds(call.at)),
            "end_time_unix_nano": int(_nanoseconds(call.at)),
            "status": {"code": "OK"},
            "attributes": {
                "mlflow.traceRequestId": _text(task.trace_id),
                "mlflow.spanType": _text("CHAT_MODEL"),
                "mlflow.spanInputs": _text({"messages": call.given}),
                "mlflow.spanOutputs": _text({"choices": [{"message": call.answer}]}),
            },
        }
        for place, call in enumerate(task.calls())
    ]
    metadata = {"mlflow.trace.session": task.task_id}
    info = {"trace_id": task.trace_id, "trace_metadata": metadata}
    return [{"info": info, "data": {"spans": spans}}]


# --- files -------------------------------------------------------------------


def _jsonl(path: Path, n: int) -> None:
    with path.open("wb") as file:
        for event in World(seed=_SEED).log(n):
            file.write(orjson.dumps(event.to_json()) + b"\n")


def _lines(records: Callable[[_Task], list[Json]]) -> Write:
    """Return a writer of a format's records, one per line, of so many tasks."""

    def write(path: Path, n: int) -> None:
        with path.open("wb") as file:
            for task in World(seed=_SEED).tasks(n):
                for record in records(_Task(task.task_id, task.events)):
                    file.write(orjson.dumps(record) + b"\n")

    return write


# A format without an entry is left out of the figures.
SAMPLES: Mapping[str, Write] = {
    "jsonl": _jsonl,
    "chat": _lines(_chat),
    "tau": _lines(_tau),
    "anthropic": _lines(_anthropic),
    "swe-agent": _lines(_swe_agent),
    "otlp": _lines(_otlp),
    "openinference": _lines(_openinference),
    "langfuse": _lines(_langfuse),
    "langsmith": _lines(_langsmith),
    "openai-agents": _lines(_openai_agents),
    "mlflow": _lines(_mlflow),
}
