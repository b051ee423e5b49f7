"""Attributes of vendors' own that reach us in OpenTelemetry spans.

They are read after the conventions: what those told is not told again, and stays under
``extra``. A vendor's word for what a span is counts before a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from features.ingest._otel.draft import Draft, parsed, text_or_none
from features.ingest._otel.genai import answered, read_documents
from features.ingest._otel.vendor_models import (
    read_gemini,
    read_vercel,
    vercel_what,
)
from features.ingest._spans.fields import usage_of
from features.ingest._spans.observation import What
from features.ingest._talk.content import arguments_of, identifier
from features.ingest._talk.genai_messages import chat_messages
from features.ingest._talk.messages import Wire
from features.ingest._talk.vocabulary import AGENT, USER, exchange

_KINDS = {
    "generation": What.MODEL,
    "llm": What.MODEL,
    "chat_model": What.MODEL,
    "tool": What.TOOL,
    "retriever": What.RETRIEVAL,
    "reranker": What.RETRIEVAL,
    "agent": What.AGENT,
    "chain": What.AGENT,
    "span": What.AGENT,
    "workflow": What.AGENT,
    "task": What.AGENT,
    "embedding": What.OTHER,
    "evaluator": What.OTHER,
    "guardrail": What.OTHER,
    "event": What.OTHER,
    "prompt": What.OTHER,
    "parser": What.OTHER,
    "memory": What.OTHER,
}
_TYPES = (
    "langfuse.observation.type",
    "langsmith.span.kind",
    "mlflow.spanType",
    "traceloop.span.kind",
)
_TASKS = (
    "session.id",
    "langfuse.session.id",
    "langsmith.metadata.thread_id",
    "langsmith.metadata.session_id",
    "langsmith.metadata.conversation_id",
    "traceloop.association.properties.session_id",
    "traceloop.association.properties.thread_id",
    "traceloop.association.properties.conversation_id",
    "ai.telemetry.metadata.sessionId",
    "ai.telemetry.metadata.conversationId",
    "mlflow.trace.session",
    "gcp.vertex.agent.session_id",
)
_USERS = (
    "user.id",
    "enduser.id",
    "langfuse.user.id",
    "langsmith.metadata.user_id",
    "traceloop.association.properties.user_id",
    "ai.telemetry.metadata.userId",
    "mlflow.trace.user",
)
_MODELS = ("langfuse.observation.model.name", "mlflow.llm.model", "ai.model.id")
_UNNAMED = "unknown_service"  # what the SDKs call a process that nobody named


class _Values(NamedTuple):
    """Where a vendor puts what a span was given and what it gave."""

    given: str
    answered: str


_VALUES = (
    _Values("langfuse.observation.input", "langfuse.observation.output"),
    _Values("mlflow.spanInputs", "mlflow.spanOutputs"),
    _Values("traceloop.entity.input", "traceloop.entity.output"),
    _Values("tool_arguments", "tool_response"),  # pydantic_ai
    _Values("gcp.vertex.agent.tool_call_args", "gcp.vertex.agent.tool_response"),
    _Values("gen_ai.prompt", "gen_ai.completion"),  # langsmith, of any span
    _Values("langfuse.trace.input", "langfuse.trace.output"),
    _Values("input.value", "output.value"),
)


def _word(value: Any) -> Any:
    """Return `value`, taken out of the JSON that some vendors put words in."""
    if isinstance(value, str) and value[:1] == value[-1:] == '"':
        return value[1:-1]
    return value


def read_kind(draft: Draft) -> None:
    """Say what a span did by its vendor's word for it."""
    if draft.what is None:
        kind = _word(draft.peek(*_TYPES))
        draft.what = _KINDS.get(kind.lower()) if isinstance(kind, str) else None
    if draft.what is None:
        draft.what = vercel_what(draft.peek("ai.operationId"))


def read(draft: Draft) -> None:
    """Read what the vendors' attributes tell of a span."""
    read_vercel(draft)
    read_gemini(draft)
    _read_pydantic(draft)
    _read_values(draft)
    _read_usage(draft)
    if draft.peek("langfuse.observation.level") == "ERROR" and draft.error is None:
        message = text_or_none(draft.peek("langfuse.observation.status_message"))
        draft.error = {"type": "error", "message": message or ""}


def read_names(draft: Draft) -> None:
    """Read which task, user, model and agent a span is of."""
    draft.is_task(*_TASKS)
    draft.fact("group", identifier(draft.take(*_USERS)))
    draft.fact("model", text_or_none(_word(draft.peek(*_MODELS))))
    service = draft.span.resource.get("service.name")
    # Only a root may say so: inner spans end first, before one that names the agent.
    if not draft.span.parent_id and isinstance(service, str):
        draft.fact("agent_id", None if service.startswith(_UNNAMED) else service)
    draft.fact("agent_version", identifier(draft.span.resource.get("service.version")))


def _read_pydantic(draft: Draft) -> None:
    """Read the run of an agent, which lists all messages at its end."""
    name = "pydantic_ai.all_messages"
    if draft.what is What.AGENT and not draft.inputs and name in draft.left:
        draft.inputs = chat_messages(draft.take(name), USER)
        if not draft.outputs and (result := draft.take("final_result")) is not None:
            draft.outputs = [{"role": AGENT, "content": result}]
            spoken = draft.inputs and draft.inputs[-1]
            if isinstance(spoken, dict) and spoken.get("role") == AGENT:
                draft.outputs = [draft.inputs.pop()]


# --- input and output of any span -------------------------------------------

_READERS: Mapping[What, Callable[[Draft, Any, Any], None]]


def _read_values(draft: Draft) -> None:
    for names in _VALUES:
        if names.given not in draft.left and names.answered not in draft.left:
            continue
        read = _READERS.get(draft.what or What.AGENT)
        if read is None:
            return
        draft.what = draft.what or What.AGENT
        read(draft, names.given, names.answered)


def _read_exchange(draft: Draft, given: str, answered_: str) -> None:
    """Read messages; a side that was told by a convention is left as it is."""
    asked = None if draft.inputs else draft.take(given)
    answer = None if draft.outputs else draft.take(answered_)
    found = exchange(parsed(asked), parsed(answer))
    draft.inputs = draft.inputs or found.inputs
    draft.outputs = draft.outputs or found.outputs
    for side, name in (("inputs", given), ("outputs", answered_)):
        if side in found.rest:
            draft.left[name] = found.rest[side]
    if draft.what is What.MODEL and not draft.usage:
        draft.usage = usage_of(found.usage)


def _read_call(draft: Draft, given: str, answered_: str) -> None:
    draft.called(arguments=arguments_of(draft.take_call("arguments", given)))
    answered(draft, _word(draft.take_call("text", answered_)))


def _read_found(draft: Draft, _: str, answered_: str) -> None:
    if draft.documents is None:
        read_documents(draft, draft.take(answered_))


_READERS = {
    What.MODEL: _read_exchange,
    What.AGENT: _read_exchange,
    What.TOOL: _read_call,
    What.RETRIEVAL: _read_found,
}


# --- usage ------------------------------------------------------------------

_USAGE = ("langfuse.observation.usage_details", "mlflow.chat.tokenUsage")
_COST = ("langfuse.observation.cost_details", "mlflow.llm.cost")


def _read_usage(draft: Draft) -> None:
    name = next((n for n in _USAGE if n in draft.left), None)
    words = parsed(draft.peek(name)) if name else None
    if isinstance(words, dict) and "tokens_in" not in draft.usage:
        told = usage_of(words)
        draft.take(str(name))
        draft.spent(
            {str(name): words},
            tokens_in=told.get("tokens_in"),
            tokens_out=told.get("tokens_out"),
        )
    _read_cost(draft)


def _read_cost(draft: Draft) -> None:
    name = next((n for n in _COST if n in draft.left), None)
    words = parsed(draft.peek(name)) if name else None
    if isinstance(words, dict) and "cost" not in draft.usage:
        draft.take(str(name))
        draft.spent({str(name): words}, cost=_total(words))


def _total(words: Wire) -> Any:
    return words.get("total", words.get("total_cost"))
