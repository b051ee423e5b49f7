"""The OpenTelemetry GenAI conventions: what their spans and log records tell.

Three generations are read alike: up to 1.36 (``gen_ai.system``, ``prompt_tokens``, an
event per message), 1.37 to 1.41 (messages as attributes), and the names since. What
describes a call and is no part of the task's log (temperature, response id, the tools
on offer) is left where it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from features.ingest._otel.draft import (
    Draft,
    json_text,
    number_of,
    parsed,
    text_or_none,
)
from features.ingest._otel.genai_speech import read_messages
from features.ingest._otel.spans import Moment
from features.ingest._spans.observation import Evaluation, What
from features.ingest._talk.content import arguments_of, identifier

PREFIX = "gen_ai."
EVALUATED = "gen_ai.evaluation.result"

_OPERATIONS = {
    "chat": What.MODEL,
    "generate_content": What.MODEL,
    "text_completion": What.MODEL,
    "execute_tool": What.TOOL,
    "retrieval": What.RETRIEVAL,
    "search_memory": What.RETRIEVAL,
    "invoke_agent": What.AGENT,
    "invoke_workflow": What.AGENT,
    "plan": What.AGENT,
    "embeddings": What.OTHER,
}
_OF_MODELS = ("gen_ai.request.model", "gen_ai.prompt", "gen_ai.completion")
_EVALUATION = "gen_ai.evaluation."


def read(draft: Draft) -> None:
    """Read what the conventions' attributes and events tell of a span."""
    if not draft.has(PREFIX) and not any(
        m.name.startswith(PREFIX) for m in draft.moments
    ):
        return
    _read_what(draft)
    read_facts(draft)
    if draft.what not in (What.TOOL, What.RETRIEVAL):
        read_messages(draft)
    _read_tool(draft)
    _read_documents(draft)
    _read_usage(draft)
    draft.evaluations += _evaluations(draft)


def _read_what(draft: Draft) -> None:
    operation = draft.peek("gen_ai.operation.name")
    if draft.what is None and isinstance(operation, str):
        draft.what = _OPERATIONS.get(operation)


def guess_what(draft: Draft) -> None:
    """Say what a span did that does not name its operation, by what it carries."""
    if draft.what is not None or draft.peek("gen_ai.operation.name"):
        return
    if draft.inputs or draft.outputs or draft.peek(*_OF_MODELS) is not None:
        draft.what = What.MODEL


def read_facts(draft: Draft) -> None:
    """Read which task, model and agent a span is of."""
    draft.is_task("gen_ai.conversation.id")
    model = draft.peek("gen_ai.response.model", "gen_ai.request.model")
    draft.fact("model", text_or_none(model))
    agent = draft.peek("gen_ai.agent.id", "gen_ai.agent.name")
    draft.fact("agent_id", identifier(agent))
    draft.fact("agent_version", identifier(draft.peek("gen_ai.agent.version")))


# --- tools, documents, usage ------------------------------------------------


def _read_tool(draft: Draft) -> None:
    """Read a tool's call; also of MCP, whose spans use the same names."""
    if draft.what not in (What.TOOL, None):
        return
    is_mcp = draft.peek("mcp.method.name") == "tools/call"
    if draft.what is None and not is_mcp and not draft.has("gen_ai.tool.call."):
        return
    draft.what = What.TOOL
    draft.called(
        tool=text_or_none(draft.take_call("tool", "gen_ai.tool.name")),
        call_id=identifier(draft.take_call("call_id", "gen_ai.tool.call.id")),
        arguments=arguments_of(
            draft.take_call("arguments", "gen_ai.tool.call.arguments")
        ),
    )
    answered(draft, draft.take_call("text", "gen_ai.tool.call.result"))


def answered(draft: Draft, result: Any) -> None:
    """Note a tool's result: its text, and itself where it came as an object."""
    if result is not None:
        beside = result if isinstance(result, list | dict) else None
        draft.called(text=json_text(result), content=beside)


def _read_documents(draft: Draft) -> None:
    if draft.what is not What.RETRIEVAL or draft.documents is not None:
        return
    found = draft.take("gen_ai.retrieval.documents", "gen_ai.memory.records")
    read_documents(draft, found)


def read_documents(draft: Draft, found: Any) -> None:
    """Note the documents of a retrieval; one that is text becomes an object."""
    documents = parsed(found)
    if documents is None:
        return
    listed = documents if isinstance(documents, list) else [documents]
    draft.documents = [d if isinstance(d, dict) else {"content": d} for d in listed]


def _read_usage(draft: Draft) -> None:
    if draft.usage:
        return
    words = draft.take_all("gen_ai.usage.")

    def first(*names: str) -> Any:
        found = (words.get(f"gen_ai.usage.{name}") for name in names)
        return next((value for value in found if value is not None), None)

    draft.spent(
        words,
        tokens_in=first("input_tokens", "prompt_tokens"),
        tokens_out=first("output_tokens", "completion_tokens"),
        cost=first("cost", "total_cost"),
    )


# --- evaluations ------------------------------------------------------------


def _evaluations(draft: Draft) -> list[Evaluation]:
    """Take the judgements that came as events of the span or as its attributes."""
    span_id = draft.span.span_id
    judged = [
        evaluation_of(moment, about=span_id, key=f"{span_id}.{_EVALUATION}{index}")
        for index, moment in enumerate(
            draft.take_moments(lambda m: m.name == EVALUATED)
        )
    ]
    if draft.peek(_EVALUATION + "name") is not None:
        attributes = draft.take_all(_EVALUATION)
        moment = Moment(name=EVALUATED, at=draft.span.ended, attributes=attributes)
        judged.append(evaluation_of(moment, about=span_id, key=f"{span_id}.evaluated"))
    return judged


def evaluation_of(moment: Moment, *, about: str | None, key: str) -> Evaluation:
    """Return the judgement that an event ``gen_ai.evaluation.result`` tells."""
    body = moment.body if isinstance(moment.body, Mapping) else {}
    left = dict(body) | moment.attributes
    score = left.pop(_EVALUATION + "score.value", None)
    read = score if isinstance(score, bool) else number_of(score)
    if read is None and score is not None:
        left[_EVALUATION + "score.value"] = score
    label = left.pop(_EVALUATION + "score.label", None)
    return Evaluation(
        name=json_text(left.pop(_EVALUATION + "name", None) or "evaluation"),
        key=key,
        score=read,
        label=None if label is None else json_text(label),
        text=text_or_none(left.pop(_EVALUATION + "explanation", None)),
        at=moment.at,
        about=about,
        extra=left,
    )
