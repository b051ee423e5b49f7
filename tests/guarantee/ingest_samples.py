"""A small valid record of each format of `features.ingest`, told apart by a number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

NANOSECONDS = 1_767_225_600_000_000_000


def _jsonl(n: int) -> Any:
    return {
        "task_id": f"task-{n}",
        "event_id": "1",
        "at": "2026-01-01T00:00:00Z",
        "kind": "agent_message",
        "text": "Hello",
        "confidence": {"value": 0.5, "source": "logprob"},
        "attachments": [{"type": "image"}],
    }


def _attributes(**given: Any) -> list[dict[str, Any]]:
    return [
        {"key": key.replace("__", "."), "value": {"stringValue": value}}
        for key, value in given.items()
    ]


def _otlp(n: int) -> Any:
    span = {
        "traceId": f"{n:032x}",
        "spanId": f"{n:016x}",
        "name": "chat m",
        "kind": 3,
        "startTimeUnixNano": str(NANOSECONDS),
        "endTimeUnixNano": str(NANOSECONDS + 10**9),
        "attributes": [
            *_attributes(
                gen_ai__operation__name="chat",
                gen_ai__conversation__id=f"task-{n}",
                gen_ai__input__messages='[{"role":"user","parts":[{"type":"text","content":"hi"}]}]',
                gen_ai__output__messages='[{"role":"assistant","parts":[{"type":"text","content":"ho"}]}]',
            ),
            {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "3"}},
        ],
        "events": [{"timeUnixNano": str(NANOSECONDS), "name": "e", "attributes": []}],
        "status": {"code": 1},
    }
    scope = {"scope": {"name": "s", "version": "1"}, "spans": [span]}
    resource = {"attributes": _attributes(service__name="desk")}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}


def _openinference(n: int) -> Any:
    return {
        "name": "llm",
        "context": {"trace_id": f"{n:032x}", "span_id": f"{n:016x}"},
        "span_kind": "LLM",
        "parent_id": None,
        "start_time": "2026-01-01T00:00:00Z",
        "end_time": "2026-01-01T00:00:01Z",
        "status_code": "OK",
        "attributes": {
            "openinference.span.kind": "LLM",
            "session.id": f"task-{n}",
            "llm.input_messages.0.message.role": "user",
            "llm.input_messages.0.message.content": "hi",
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.content": "ho",
            "llm.token_count.prompt": 3,
        },
        "events": [],
    }


def _langfuse(n: int) -> Any:
    generation = {
        "id": f"g{n}",
        "traceId": f"task-{n}",
        "type": "GENERATION",
        "name": "answer",
        "startTime": "2026-01-01T00:00:00Z",
        "endTime": "2026-01-01T00:00:01Z",
        "input": [{"role": "user", "content": "hi"}],
        "output": {"role": "assistant", "content": "ho"},
        "usageDetails": {"input": 3, "output": 1},
        "metadata": {"k": "v"},
        "level": "DEFAULT",
    }
    score = {"id": f"s{n}", "traceId": f"task-{n}", "name": "ok", "value": 1}
    return {
        "id": f"task-{n}",
        "timestamp": "2026-01-01T00:00:00Z",
        "name": "desk",
        "sessionId": f"session-{n}",
        "observations": [generation],
        "scores": [score],
    }


def _langsmith(n: int) -> Any:
    name = f"{n:08x}-0000-4000-8000-000000000000"
    return {
        "id": name,
        "trace_id": name,
        "name": "chat",
        "run_type": "llm",
        "start_time": "2026-01-01T00:00:00",
        "end_time": "2026-01-01T00:00:01",
        "dotted_order": f"20260101T000000000000Z{name}",
        "inputs": {"messages": [{"role": "user", "content": "hi"}]},
        "outputs": {
            "choices": [{"message": {"role": "assistant", "content": "ho"}}],
            "usage_metadata": {"input_tokens": 3, "output_tokens": 1},
        },
        "extra": {"metadata": {"session_id": f"task-{n}"}},
        "error": None,
        "tags": ["a"],
    }


def _openai_agents(n: int) -> Any:
    trace = {
        "object": "trace",
        "id": f"trace_{n:032x}",
        "workflow_name": "desk",
        "group_id": f"task-{n}",
        "metadata": {"k": "v"},
    }
    span = {
        "object": "trace.span",
        "id": f"span_{n:024x}",
        "trace_id": trace["id"],
        "parent_id": None,
        "started_at": "2026-01-01T00:00:00+00:00",
        "ended_at": "2026-01-01T00:00:01+00:00",
        "span_data": {
            "type": "generation",
            "input": [{"role": "user", "content": "hi"}],
            "output": [{"role": "assistant", "content": "ho"}],
            "model": "m",
            "usage": {"input_tokens": 3, "output_tokens": 1},
        },
        "error": None,
    }
    return {"data": [trace, span]}


def _mlflow(n: int) -> Any:
    attributes = {
        "mlflow.traceRequestId": f'"tr-{n}"',
        "mlflow.spanType": '"CHAT_MODEL"',
        "mlflow.spanInputs": '{"messages": [{"role": "user", "content": "hi"}]}',
        "mlflow.spanOutputs": '{"choices": [{"message": {"role": "assistant", "content": "ho"}}]}',
    }
    span = {
        "trace_id": f"{n:032x}",
        "span_id": f"{n:016x}",
        "parent_span_id": None,
        "name": "chat",
        "start_time_unix_nano": NANOSECONDS,
        "end_time_unix_nano": NANOSECONDS + 10**9,
        "events": [],
        "status": {"code": "OK", "message": ""},
        "attributes": attributes,
    }
    info = {
        "trace_id": f"tr-{n}",
        "request_time": "2026-01-01T00:00:00Z",
        "state": "OK",
        "trace_metadata": {"mlflow.trace.session": f"task-{n}"},
        "tags": {},
        "assessments": [],
    }
    return {"info": info, "data": {"spans": [span]}}


def _tau(n: int) -> Any:
    return {
        "run_id": f"task-{n}",
        "need_human": False,
        "domain": "retail",
        "messages": [
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"name": "get_order", "arguments": {"n": 1}}],
            },
            {"role": "tool", "content": "ok", "tool_name": "get_order", "error": False},
        ],
    }


def _swe_agent(n: int) -> Any:
    return {
        "instance_id": f"task-{n}",
        "trajectory": [
            {
                "thought": "look",
                "action": "ls -a",
                "observation": "a.py",
                "response": "look",
                "state": {"working_dir": "/"},
                "execution_time": 0.5,
            }
        ],
        "history": [
            {"role": "system", "content": "be good"},
            {"role": "user", "content": "fix it"},
        ],
        "info": {"exit_status": "submitted", "model_stats": {"instance_cost": 0.1}},
        "environment": "main",
    }


def _anthropic(n: int) -> Any:
    ask = {"type": "tool_use", "id": "t1", "name": "get_order", "input": {"n": 1}}
    answer = {
        "type": "tool_result",
        "tool_use_id": "t1",
        "content": [{"type": "text", "text": "ok"}],
        "is_error": False,
    }
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    return {
        "id": f"task-{n}",
        "system": [{"type": "text", "text": "be kind"}],
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [thought, ask]},
            {"role": "user", "content": [answer]},
        ],
        "response": {
            "id": "msg",
            "type": "message",
            "role": "assistant",
            "content": [{"type": "text", "text": "done"}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 3, "output_tokens": 1},
        },
    }


def _chat(n: int) -> Any:
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "get_order", "arguments": '{"n": 1}'},
    }
    return {
        "id": f"task-{n}",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "ok"},
        ],
        "choices": [
            {
                "message": {"role": "assistant", "content": "done"},
                "logprobs": {"content": [{"token": "d", "logprob": -0.1}]},
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
        "metadata": {"user": {"id": "u"}},
        "verdict": {"needed": "no"},
    }


SAMPLES: Mapping[str, Callable[[int], Any]] = {
    "jsonl": _jsonl,
    "otlp": _otlp,
    "openinference": _openinference,
    "langfuse": _langfuse,
    "langsmith": _langsmith,
    "openai-agents": _openai_agents,
    "mlflow": _mlflow,
    "tau": _tau,
    "swe-agent": _swe_agent,
    "anthropic": _anthropic,
    "chat": _chat,
}
