from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from features.ingest._otel.conventions import observed
from features.ingest._otel.spans import Span
from features.ingest._spans.observation import Observation, What

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def tell(attributes: Mapping[str, Any], **more: Any) -> Observation:
    """Return what a span with these attributes tells; lists and objects as JSON."""
    packed = {
        name: json.dumps(value) if isinstance(value, dict | list) else value
        for name, value in attributes.items()
    }
    span = {"trace_id": "t", "span_id": "s", "parent_id": "p", "started": T0}
    ended = {"ended": T0 + timedelta(seconds=1)}
    return observed(Span(attributes=packed, **(span | ended | more)))


HI = [{"role": "user", "content": "hi"}]
HO = [{"role": "assistant", "content": "ho"}]


# --- one exchange in every vendor's words -----------------------------------

EXCHANGES: dict[str, dict[str, Any]] = {
    "langfuse": {
        "langfuse.observation.type": "generation",
        "langfuse.observation.input": HI,
        "langfuse.observation.output": HO[0],
        "langfuse.observation.model.name": "m",
        "langfuse.observation.usage_details": {"input": 3, "output": 4},
        "langfuse.observation.cost_details": {"total": 0.5},
        "langfuse.session.id": "c-1",
        "langfuse.user.id": "ann",
    },
    "mlflow": {
        "mlflow.spanType": '"CHAT_MODEL"',
        "mlflow.spanInputs": {"messages": HI},
        "mlflow.spanOutputs": {
            "object": "chat.completion",
            "choices": [{"message": HO[0]}],
        },
        "mlflow.llm.model": '"m"',
        "mlflow.chat.tokenUsage": {"input_tokens": 3, "output_tokens": 4},
        "mlflow.llm.cost": {"total_cost": 0.5},
        "mlflow.trace.session": "c-1",
        "mlflow.trace.user": "ann",
    },
    "traceloop": {
        "gen_ai.operation.name": "chat",
        "gen_ai.response.model": "m",
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": "hi",
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": "ho",
        "gen_ai.usage.prompt_tokens": 3,
        "gen_ai.usage.completion_tokens": 4,
        "gen_ai.usage.cost": 0.5,
        "traceloop.association.properties.session_id": "c-1",
        "traceloop.association.properties.user_id": "ann",
    },
    "langsmith": {
        "langsmith.span.kind": "llm",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.prompt": {"messages": HI},
        "gen_ai.completion": {"messages": HO},
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.usage.total_cost": 0.5,
        "langsmith.metadata.thread_id": "c-1",
        "langsmith.metadata.user_id": "ann",
    },
    "vercel": {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.model.id": "m",
        "ai.prompt.messages": [
            {"role": "user", "content": [{"type": "text", "text": "hi"}]}
        ],
        "ai.response.text": "ho",
        "ai.usage.promptTokens": 3,
        "ai.usage.completionTokens": 4,
        "ai.telemetry.metadata.sessionId": "c-1",
        "ai.telemetry.metadata.userId": "ann",
    },
    "adk": {
        "gcp.vertex.agent.llm_request": {
            "model": "m",
            "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        },
        "gcp.vertex.agent.llm_response": {
            "content": {"role": "model", "parts": [{"text": "ho"}]},
            "usage_metadata": {"prompt_token_count": 3, "candidates_token_count": 4},
        },
        "gen_ai.request.model": "m",
        "gcp.vertex.agent.session_id": "c-1",
        "user.id": "ann",
    },
}
COSTLESS = {"vercel", "adk"}


@pytest.mark.parametrize("vendor", EXCHANGES)
def test_exchange_in_the_words_of_each_vendor(vendor: str) -> None:
    """Messages, tokens, cost, model, task and user are found wherever they stand."""
    told = tell(EXCHANGES[vendor] | {"acme": 1})
    assert told.what is What.MODEL
    assert told.inputs == HI
    assert told.outputs == HO
    assert told.task_id == "c-1"
    assert told.facts == {"model": "m", "group": "ann"}
    assert (told.usage["tokens_in"], told.usage["tokens_out"]) == (3, 4)
    assert told.usage.get("cost") == (None if vendor in COSTLESS else 0.5)
    assert told.extra["acme"] == 1


CALLS: dict[str, dict[str, Any]] = {
    "langfuse": {
        "langfuse.observation.type": "tool",
        "langfuse.observation.input": {"n": 1},
        "langfuse.observation.output": {"isError": True},
    },
    "mlflow": {
        "mlflow.spanType": '"TOOL"',
        "mlflow.spanInputs": {"n": 1},
        "mlflow.spanOutputs": {"isError": True},
    },
    "traceloop": {
        "traceloop.span.kind": "tool",
        "traceloop.entity.input": {"n": 1},
        "traceloop.entity.output": {"isError": True},
    },
    "langsmith": {
        "langsmith.span.kind": "tool",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.prompt": {"n": 1},
        "gen_ai.completion": {"isError": True},
    },
    "vercel": {
        "ai.operationId": "ai.toolCall",
        "ai.toolCall.name": "look",
        "ai.toolCall.id": "c1",
        "ai.toolCall.args": {"n": 1},
        "ai.toolCall.result": {"isError": True},
    },
    "adk": {
        "gen_ai.operation.name": "execute_tool",
        "gcp.vertex.agent.tool_call_args": {"n": 1},
        "gcp.vertex.agent.tool_response": {"isError": True},
    },
    "pydantic": {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "look",
        "tool_arguments": {"n": 1},
        "tool_response": {"isError": True},
    },
}


@pytest.mark.parametrize("vendor", CALLS)
def test_tool_call_in_the_words_of_each_vendor(vendor: str) -> None:
    """Arguments are parsed, the result is its text, and an error in it counts."""
    told = tell(CALLS[vendor], name="look")
    assert told.what is What.TOOL
    assert told.tool["arguments"] == {"n": 1}
    assert json.loads(told.tool["text"]) == {"isError": True}
    assert told.tool["error"] is True
    assert told.tool["latency_ms"] == 1000.0
    assert not [name for name in told.extra if name.endswith(("put", "Inputs", "args"))]


def test_call_told_by_a_convention_is_not_told_again() -> None:
    """A vendor's words for arguments and result stay where the standard has its own."""
    standard = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.call.arguments": '{"n": 1}',
        "gen_ai.tool.call.result": "here",
    }
    other = {
        "tool_arguments": "x",
        "tool_response": "y",
        "ai.toolCall.args": "z",
        "ai.toolCall.result": "z",
    }
    told = tell(standard | other)
    assert (told.tool["arguments"], told.tool["text"]) == ({"n": 1}, "here")
    assert {name: told.extra.get(name) for name in other} == other


@pytest.mark.parametrize(
    ("attributes", "what"),
    [
        ({"langfuse.observation.type": "span"}, What.AGENT),
        ({"langfuse.observation.type": "event"}, What.OTHER),
        ({"langfuse.observation.type": "odd"}, What.OTHER),
        ({"langsmith.span.kind": "retriever"}, What.RETRIEVAL),
        ({"langsmith.span.kind": "parser"}, What.OTHER),
        ({"mlflow.spanType": '"RERANKER"'}, What.RETRIEVAL),
        ({"traceloop.span.kind": "workflow"}, What.AGENT),
        ({"ai.operationId": "ai.streamText"}, What.AGENT),
        ({"ai.operationId": "ai.streamText.doStream"}, What.MODEL),
        ({"ai.operationId": "ai.embed"}, What.OTHER),
        ({"ai.operationId": 4}, What.OTHER),
    ],
)
def test_vendor_says_what_a_span_did(attributes: dict[str, Any], what: What) -> None:
    """A vendor's word for a span counts where no convention has one."""
    assert tell(attributes).what is what


def test_retriever_tells_documents() -> None:
    """Documents are found in a vendor's output, and not twice."""
    told = tell(
        {
            "langsmith.span.kind": "retriever",
            "gen_ai.operation.name": "embeddings",
            "gen_ai.completion": [{"page_content": "a"}],
            "output.value": [{"page_content": "b"}],
        }
    )
    assert told.documents == [{"page_content": "a"}]
    assert told.extra["output.value"] == '[{"page_content": "b"}]'


def test_run_tells_what_it_was_asked_and_answered() -> None:
    """Values of a span of no known kind are its request and its answer."""
    told = tell({"input.value": "hi", "output.value": {"answer": "ho", "k": 1}})
    assert told.what is What.AGENT
    assert told.inputs == HI
    assert told.outputs == HO
    assert told.extra == {"output.value": {"k": 1}}
    event = tell(
        {"langfuse.observation.type": "event", "langfuse.observation.input": "x"}
    )
    assert event.extra["langfuse.observation.input"] == "x"


def test_model_usage_inside_an_answer_counts() -> None:
    """Where a vendor copies the raw answer, its usage is read."""
    told = tell(
        {
            "traceloop.span.kind": "llm",
            "traceloop.entity.output": {
                "object": "chat.completion",
                "choices": [{"message": HO[0]}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 4},
            },
        }
    )
    assert told.outputs == HO
    assert told.usage["tokens_in"] == 3


def test_level_error_of_langfuse_is_an_error() -> None:
    """Level and status message say that it failed where the span does not."""
    level = {"langfuse.observation.level": "ERROR"}
    assert tell(level).error == {"type": "error", "message": ""}
    told = tell(level | {"langfuse.observation.status_message": "boom"})
    assert told.error == {"type": "error", "message": "boom"}
    told = tell(level, failed=True, status="bang")
    assert told.error == {"type": "error", "message": "bang"}
    assert tell({"langfuse.observation.level": "WARNING"}).error is None
    tool = tell(level | {"langfuse.observation.type": "tool"})
    assert tool.tool["error"] == {"type": "error", "message": ""}


# --- Vercel -----------------------------------------------------------------


def test_messages_of_the_ai_sdk() -> None:
    """Calls, results and reasoning are lifted; what they say more is kept whole."""
    parts = [
        {"type": "reasoning", "text": "hm"},
        {
            "type": "tool-call",
            "toolCallId": "c1",
            "toolName": "look",
            "input": {"n": 1},
        },
    ]
    result = {
        "type": "tool-result",
        "toolCallId": "c1",
        "toolName": "look",
        "output": {"type": "json", "value": 1},
        "providerOptions": {"b": 2},
    }
    signed = {"type": "text", "text": "x", "providerOptions": {"a": 1}}
    told = tell(
        {
            "ai.operationId": "ai.generateText.doGenerate",
            "ai.prompt.messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": [signed, {"type": "file", "data": "Zg"}]},
                {"role": "assistant", "content": parts},
                {"role": "tool", "content": [result]},
                "odd",
            ],
            "ai.response.reasoning": "ah",
            "ai.response.toolCalls": [
                {"toolCallId": "c2", "toolName": "look", "args": '{"n": 2}'},
                "odd",
            ],
            "ai.response.finishReason": "tool-calls",
        }
    )
    call = {"id": "c1", "function": {"name": "look", "arguments": {"n": 1}}}
    assert told.inputs == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [signed, {"type": "file", "data": "Zg"}]},
        {"role": "assistant", "tool_calls": [call], "reasoning": "hm"},
        {
            "role": "tool",
            "tool_call_id": "c1",
            "content": {"type": "json", "value": 1},
            "parts": [
                {
                    "type": "tool_call_response",
                    "id": "c1",
                    "response": {"type": "json", "value": 1},
                    "providerOptions": {"b": 2},
                }
            ],
        },
        {"role": "user", "content": "odd"},
    ]
    asked = {"id": "c2", "function": {"name": "look", "arguments": '{"n": 2}'}}
    assert told.outputs == [
        {
            "role": "assistant",
            "reasoning": "ah",
            "tool_calls": [asked, "odd"],
            "finish_reason": "tool-calls",
        }
    ]


@pytest.mark.parametrize(
    ("prompt", "inputs", "system"),
    [
        ({"system": "Be kind.", "prompt": "hi"}, HI, "Be kind."),
        ({"messages": HI}, HI, None),
        ({}, [], None),
        ("hi", HI, None),
        (None, [], None),
    ],
)
def test_prompt_of_a_run_of_the_ai_sdk(prompt: Any, inputs: Any, system: Any) -> None:
    """The outer span has one prompt: a text or messages, with the system beside."""
    told = tell({"ai.operationId": "ai.generateText", "ai.prompt": prompt})
    assert told.inputs == inputs
    assert told.system == system
    assert told.outputs == []


# --- Google's Agent Development Kit -----------------------------------------


def test_contents_of_gemini() -> None:
    """Function calls and answers, thoughts, inline data and instructions are read."""
    call = {"function_call": {"id": "f1", "name": "look", "args": {"n": 1}}}
    answer = {"functionResponse": {"id": "f1", "response": {"at": 1}}}
    thought = {"text": "hm", "thought": True, "thought_signature": "Zm9v"}
    data = {"inline_data": {"mime_type": "image/png", "data": "Zg"}}
    told = tell(
        {
            "gcp.vertex.agent.llm_request": {
                "config": {"system_instruction": {"parts": [{"text": "Be kind."}]}},
                "contents": [
                    {"role": "user", "parts": [{"text": "hi"}, data, "odd"]},
                    {"role": "model", "parts": [call]},
                    {"role": "user", "parts": [answer]},
                    {"role": "user"},
                ],
            },
            "gcp.vertex.agent.llm_response": {
                "content": {"role": "model", "parts": [thought, {"text": "ho"}]},
                "avg_logprobs": 0.0,
                "finish_reason": "STOP",
            },
        }
    )
    assert told.what is What.MODEL
    assert told.system == "Be kind."
    hi = {"text": "hi"}
    function = {"name": "look", "arguments": {"n": 1}}
    assert told.inputs == [
        {"role": "user", "content": [hi, data, "odd"]},
        {"role": "assistant", "tool_calls": [{"id": "f1", "function": function}]},
        {"role": "tool", "tool_call_id": "f1", "content": {"at": 1}},
    ]
    (said,) = told.outputs
    assert (said["content"], said["reasoning"]) == ("ho", "hm")
    assert said["parts"][0]["thought_signature"] == "Zm9v"
    assert told.confidence == {"value": 1.0, "source": "logprob"}
    assert told.extra["gcp.vertex.agent.llm_response"] == {
        "avg_logprobs": 0.0,
        "finish_reason": "STOP",
    }
    odd = {"gcp.vertex.agent.llm_request": "x", "gcp.vertex.agent.llm_response": "y"}
    assert tell(odd).extra == odd
    assert tell({"gcp.vertex.agent.llm_request": {"config": 3}}).inputs == []


# --- pydantic_ai ------------------------------------------------------------


def test_run_of_pydantic_lists_all_messages() -> None:
    """Its last message is the answer; the result stands for one that is not there."""
    listed = [
        {"role": "user", "parts": [{"type": "text", "content": "hi"}]},
        {"role": "assistant", "parts": [{"type": "text", "content": "ho"}]},
    ]
    run = {"gen_ai.operation.name": "invoke_agent", "final_result": "ho"}
    told = tell(run | {"pydantic_ai.all_messages": listed})
    assert (told.inputs, told.outputs) == (HI, HO)
    told = tell(run | {"pydantic_ai.all_messages": listed[:1]})
    assert (told.inputs, told.outputs) == (HI, HO)
    del run["final_result"]
    told = tell(run | {"pydantic_ai.all_messages": listed})
    assert (told.inputs, told.outputs) == (HI + HO, [])


@pytest.mark.parametrize(
    "prefix", ["", "langfuse.observation.metadata.", "langsmith.metadata."]
)
def test_our_own_attributes_are_read_as_metadata_too(prefix: str) -> None:
    """Vendors' SDKs put what their users say of a span below a prefix of theirs."""
    told = observed(
        Span(
            trace_id="t",
            span_id="s",
            attributes={prefix + "escalation.self.confidence": 0.25},
        )
    )
    assert told.confidence == {"value": 0.25, "source": "verbalized"}
