"""Model calls as the Vercel AI SDK and Google's Agent Development Kit tell them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from features.ingest._otel.draft import (
    Draft,
    number_of,
    parsed,
    text_or_none,
)
from features.ingest._otel.genai import answered
from features.ingest._spans.observation import What
from features.ingest._talk.content import arguments_of, confidence_of, identifier
from features.ingest._talk.genai_messages import chat_messages, instructions_of
from features.ingest._talk.messages import Wire, taken, without_null

_Part = Callable[[Mapping[str, Any]], Any]

# --- Vercel -----------------------------------------------------------------

_VERCEL_MODEL = (".doGenerate", ".doStream")
_VERCEL_RUNS = ("ai.generateText", "ai.streamText", "ai.generateObject")


def vercel_what(operation: Any) -> What | None:
    """Return what a span of the AI SDK did, by its operation."""
    if not isinstance(operation, str) or not operation.startswith("ai."):
        return None
    if operation.endswith(_VERCEL_MODEL):
        return What.MODEL
    if operation == "ai.toolCall":
        return What.TOOL
    return What.AGENT if operation.startswith(_VERCEL_RUNS) else What.OTHER


def read_vercel(draft: Draft) -> None:
    """Read ``ai.*``: prompt, response, tool call, usage."""
    if not draft.has("ai."):
        return
    if draft.what is What.TOOL:
        draft.called(
            tool=text_or_none(draft.take_call("tool", "ai.toolCall.name")),
            call_id=identifier(draft.take_call("call_id", "ai.toolCall.id")),
            arguments=arguments_of(draft.take_call("arguments", "ai.toolCall.args")),
        )
        answered(draft, draft.take_call("text", "ai.toolCall.result"))
        return
    if not draft.inputs:
        draft.inputs = _vercel_input(draft)
    if not draft.outputs:
        draft.outputs = _vercel_output(draft)
    _vercel_usage(draft)


def _vercel_input(draft: Draft) -> list[Any]:
    listed = parsed(draft.take("ai.prompt.messages"))
    if listed is None:
        prompt = parsed(draft.take("ai.prompt"))
        if not isinstance(prompt, dict):
            return [{"role": "user", "content": prompt}] if prompt else []
        draft.system = draft.system or text_or_none(prompt.get("system"))
        listed = prompt.get("messages") or prompt.get("prompt")
    messages = listed if isinstance(listed, list) else [listed]
    return [m for message in messages for m in _vercel_message(message)]


def _vercel_message(message: Any) -> list[Any]:
    if not isinstance(message, dict):
        return [{"role": "user", "content": message}] if message is not None else []
    content = message.get("content")
    if not isinstance(content, list):
        return chat_messages([message], "user")
    parts = [_vercel_part(part) for part in content]
    rest = {k: v for k, v in message.items() if k != "content"}
    return chat_messages([rest | {"parts": parts}], "user")


def _vercel_part(part: Any) -> Any:
    """Return a part in the words of the GenAI conventions; another as it is."""
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "tool-call":
        known = {"type": "tool_call", "id": part.get("toolCallId")}
        known |= {
            "name": part.get("toolName"),
            "arguments": taken(part, ("input", "args")),
        }
        return known | _unread(part, {"toolCallId", "toolName", "input", "args"})
    if kind == "tool-result":
        result = taken(part, ("output", "result"))
        known = {"type": "tool_call_response", "id": part.get("toolCallId")}
        return (
            known
            | {"response": result}
            | _unread(part, {"toolCallId", "toolName", "output", "result"})
        )
    return part


def _unread(part: Mapping[str, Any], read: set[str]) -> Wire:
    return {k: v for k, v in part.items() if k not in read and k != "type"}


def _vercel_output(draft: Draft) -> list[Any]:
    text = draft.take("ai.response.text", "ai.response.object")
    calls = parsed(draft.take("ai.response.toolCalls"))
    said = without_null(
        {
            "content": text,
            "reasoning": draft.take("ai.response.reasoning"),
            "tool_calls": [_vercel_call(call) for call in calls]
            if isinstance(calls, list)
            else None,
        }
    )
    if not said:
        return []
    finish = without_null({"finish_reason": draft.peek("ai.response.finishReason")})
    return [{"role": "assistant"} | said | finish]


def _vercel_call(call: Any) -> Any:
    if not isinstance(call, dict):
        return call
    arguments = taken(call, ("input", "args"))
    function = {"name": call.get("toolName"), "arguments": arguments}
    return without_null(
        {"id": call.get("toolCallId"), "function": without_null(function)}
    )


def _vercel_usage(draft: Draft) -> None:
    words = draft.take_all("ai.usage.") if "tokens_in" not in draft.usage else {}

    def first(*names: str) -> Any:
        return taken(words, [f"ai.usage.{name}" for name in names])

    draft.spent(
        words,
        tokens_in=first("inputTokens", "promptTokens"),
        tokens_out=first("outputTokens", "completionTokens"),
    )


# --- Gemini, as the Agent Development Kit logs it ---------------------------

_ADK = "gcp.vertex.agent."


def read_gemini(draft: Draft) -> None:
    """Read ``gcp.vertex.agent.llm_request`` and ``llm_response``."""
    asked, told = _ADK + "llm_request", _ADK + "llm_response"
    if asked not in draft.left and told not in draft.left:
        return
    draft.what = draft.what or What.MODEL
    request, response = parsed(draft.peek(asked)), parsed(draft.peek(told))
    if isinstance(request, dict):
        _gemini_request(draft, request, asked)
    if isinstance(response, dict):
        _gemini_response(draft, response, told)


def _gemini_request(draft: Draft, request: Wire, name: str) -> None:
    config = request.get("config")
    config = config if isinstance(config, dict) else {}
    given = taken(config, ("system_instruction", "systemInstruction"))
    draft.system = draft.system or instructions_of(given)
    contents = request.get("contents")
    if not draft.inputs and isinstance(contents, list):
        draft.inputs = [m for c in contents for m in _gemini_message(c, "user")]
        draft.left[name] = {k: v for k, v in request.items() if k != "contents"}


def _gemini_response(draft: Draft, response: Wire, name: str) -> None:
    if not draft.outputs and isinstance(response.get("content"), dict):
        draft.outputs = _gemini_message(response["content"], "model")
        draft.left[name] = {k: v for k, v in response.items() if k != "content"}
    words = taken(response, ("usage_metadata", "usageMetadata"))
    if isinstance(words, dict) and "tokens_in" not in draft.usage:
        out = taken(words, ("candidates_token_count", "candidatesTokenCount"))
        given = taken(words, ("prompt_token_count", "promptTokenCount"))
        draft.spent(words, tokens_in=given, tokens_out=out)
    mean = number_of(taken(response, ("avg_logprobs", "avgLogprobs")))
    if draft.confidence is None and mean is not None:
        draft.confidence = confidence_of([mean])


def _gemini_message(content: Any, role: str) -> list[Any]:
    parts = content.get("parts") if isinstance(content, dict) else None
    if not isinstance(parts, list):
        return []
    read = [_gemini_part(part) for part in parts]
    return chat_messages([{**content, "parts": read}], role)


def _gemini_part(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    call = taken(part, ("function_call", "functionCall"))
    answer = taken(part, ("function_response", "functionResponse"))
    if isinstance(call, dict):
        known = {"id": call.get("id"), "name": call.get("name")}
        arguments = {"arguments": call.get("args")}
        rest = _unread(part, {"function_call", "functionCall"})
        return {"type": "tool_call"} | known | arguments | rest
    if isinstance(answer, dict):
        said = {"id": answer.get("id"), "response": answer.get("response")}
        rest = _unread(part, {"function_response", "functionResponse"})
        return {"type": "tool_call_response"} | said | rest
    if part.get("thought") is True and isinstance(text := part.get("text"), str):
        return {"type": "reasoning", "content": text} | _unread(
            part, {"text", "thought"}
        )
    return part
