"""OpenInference: what its flattened attributes tell of a span."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from features.ingest._otel.draft import (
    Draft,
    json_text,
    number_of,
    parsed,
    text_or_none,
)
from features.ingest._otel.genai import answered, read_documents
from features.ingest._spans.observation import Evaluation, What
from features.ingest._talk.content import arguments_of, confidence_of, identifier
from features.ingest._talk.messages import Wire, without_null
from features.ingest._talk.vocabulary import AGENT, USER, told

KIND = "openinference.span.kind"

_KINDS = {
    "LLM": What.MODEL,
    "TOOL": What.TOOL,
    "RETRIEVER": What.RETRIEVAL,
    "RERANKER": What.RETRIEVAL,
    "AGENT": What.AGENT,
    "CHAIN": What.AGENT,
}
_EVALUATOR = "EVALUATOR"
_HUMAN = "HUMAN"
_SCOPES = ("", "trace.", "session.")
_FEEDBACK = (("annotations", "annotation"), ("evaluations", "evaluation"))
_TOLD = frozenset({"role", "content", "contents", "tool_calls", "tool_call_id", "name"})
_CALLED = ("function_call_name", "function_call_arguments_json")


def read(draft: Draft) -> None:
    """Read what the convention's attributes tell of a span."""
    kind = draft.peek(KIND)
    if not isinstance(kind, str):
        return
    draft.what = draft.what or _KINDS.get(kind.upper(), What.OTHER)
    _read_facts(draft)
    _read_usage(draft)
    if draft.what is What.MODEL:
        _read_model(draft)
    elif draft.what is What.TOOL:
        _read_tool(draft)
    elif draft.what is What.RETRIEVAL:
        read_documents(draft, _documents(draft))
    elif draft.what is What.AGENT:
        read_values(draft)
    _read_feedback(draft, is_carrier=kind.upper() == _EVALUATOR)


def _read_facts(draft: Draft) -> None:
    model = draft.peek("llm.response.model_name", "llm.model_name")
    draft.fact("model", text_or_none(model))
    draft.fact("agent_id", identifier(draft.peek("agent.name")))


# --- a model's span ---------------------------------------------------------


def _read_model(draft: Draft) -> None:
    draft.inputs = draft.inputs or _messages(draft, "llm.input_messages", USER)
    draft.outputs = draft.outputs or _messages(draft, "llm.output_messages", AGENT)
    draft.inputs = draft.inputs or _texts(draft, "llm.prompts", "prompt", USER)
    draft.outputs = draft.outputs or _texts(draft, "llm.choices", "completion", AGENT)
    if draft.inputs:  # the request once more, raw: a copy of the whole conversation
        draft.take("input.value")
    raw = draft.peek("output.value")
    if draft.confidence is None and isinstance(raw, str) and '"logprobs"' in raw:
        draft.confidence = _confidence(parsed(raw))
    read_values(draft)
    reason = draft.peek("llm.finish_reason")
    if reason is not None and draft.outputs and isinstance(draft.outputs[-1], dict):
        draft.outputs[-1].setdefault("finish_reason", reason)


def _confidence(answer: Any) -> Wire | None:
    choices = answer.get("choices") if isinstance(answer, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    return confidence_of(first.get("logprobs")) if isinstance(first, dict) else None


def _messages(draft: Draft, name: str, role: str) -> list[Any]:
    listed = draft.take_nested(name)
    items = listed if isinstance(listed, list) else []
    return [_message(_inside(item, "message"), role) for item in items]


def _inside(value: Any, name: str) -> Any:
    """Return the object that each item of a flattened list is wrapped in."""
    inner = value.get(name) if isinstance(value, dict) else None
    return value if inner is None else inner


def _message(given: Any, role: str) -> Any:
    """Return a chat message of what stands below ``message.``."""
    if not isinstance(given, dict):
        return {"role": role, "content": given}
    called = {name: given.get(name) for name in _CALLED}
    rest = {k: v for k, v in given.items() if k not in _TOLD and k not in _CALLED}
    calls = given.get("tool_calls")
    message = {
        "role": text_or_none(given.get("role")) or role,
        "content": given.get("content"),
        "tool_calls": [_call(c) for c in calls] if isinstance(calls, list) else None,
        "function_call": _function(called),
        "tool_call_id": identifier(given.get("tool_call_id")),
        "name": given.get("name"),
    }
    contents = given.get("contents")
    if isinstance(contents, list):
        message |= _contents([_inside(item, "message_content") for item in contents])
    return without_null(rest | message)


def _call(raw: Any) -> Any:
    call = _inside(raw, "tool_call")
    function = call.get("function") if isinstance(call, dict) else None
    return call if isinstance(function, dict) else raw


def _function(called: Mapping[str, Any]) -> Wire | None:
    name, arguments = called.values()
    if name is None:
        return None
    return without_null({"name": name, "arguments": arguments})


def _contents(parts: list[Any]) -> Wire:
    """Return content and reasoning of a message's parts; all of them, where cut."""

    def kind(part: Any) -> Any:
        return part.get("type") if isinstance(part, dict) else None

    thoughts = [p for p in parts if kind(p) in ("reasoning", "thinking")]
    shown = [p for p in parts if kind(p) not in ("reasoning", "thinking", "tool_use")]
    texts = [text for p in thoughts if (text := text_or_none(p.get("text")))]
    plain = {"type", "text"}
    is_cut = any(not p.keys() <= plain for p in thoughts)
    return {
        "content": shown or None,
        "reasoning": "\n".join(texts) or None,
        "contents": parts if is_cut else None,
    }


def _texts(draft: Draft, name: str, inner: str, role: str) -> list[Any]:
    listed = draft.take_nested(name)
    items = listed if isinstance(listed, list) else []
    wrapped = [_inside(item, inner) for item in items]
    return [
        {"role": role, "content": w.get("text") if isinstance(w, dict) else w}
        for w in wrapped
    ]


# --- spans of other kinds ---------------------------------------------------


def read_values(draft: Draft) -> None:
    """Read input and output that are one value each, of any vocabulary."""
    for name, role in (("input", USER), ("output", AGENT)):
        slot = draft.inputs if name == "input" else draft.outputs
        if slot:
            continue
        value = draft.take(f"{name}.value")
        found = told(parsed(value), role)
        slot += found.messages
        if found.rest:
            draft.left[f"{name}.rest"] = found.rest


def _read_tool(draft: Draft) -> None:
    draft.called(
        tool=text_or_none(draft.take("tool.name")),
        call_id=identifier(draft.take("tool.id", "tool_call.id")),
        arguments=arguments_of(draft.take("input.value", "tool.parameters")),
    )
    answered(draft, draft.take("output.value"))


def _documents(draft: Draft) -> Any:
    names = ("retrieval.documents", "reranker.output_documents", "output.documents")
    for name in names:
        if isinstance(listed := draft.take_nested(name), list):
            return [_document(_inside(item, "document")) for item in listed]
    return draft.take("output.value")


def _document(given: Any) -> Any:
    if not isinstance(given, dict) or "metadata" not in given:
        return given
    return given | {"metadata": parsed(given["metadata"])}


def _read_usage(draft: Draft) -> None:
    words = draft.take_all("llm.token_count.") | draft.take_all("llm.cost.")
    draft.spent(
        words,
        tokens_in=words.get("llm.token_count.prompt"),
        tokens_out=words.get("llm.token_count.completion"),
        cost=words.get("llm.cost.total"),
    )


# --- feedback ---------------------------------------------------------------


def _read_feedback(draft: Draft, *, is_carrier: bool) -> None:
    """Read judgements; those on a span made to carry them are of what it links to."""
    judged: list[Evaluation] = []
    for scope in _SCOPES:
        for plural, name in _FEEDBACK:
            listed = draft.take_nested(scope + plural)
            for index, item in enumerate(listed if isinstance(listed, list) else []):
                place = f"{draft.span.span_id}.{scope}{plural}.{index}"
                found = evaluation_of(_inside(item, name), draft, scope, place)
                twins = [one for one in judged if _is_twin(one, found, scope)]
                judged += [] if twins else [found]
    if is_carrier and judged:
        judged = _carried(draft, judged)
    draft.evaluations += judged


def _is_twin(one: Evaluation, other: Evaluation, scope: str) -> bool:
    """Return whether both words of the convention tell the same judgement."""
    same_scope = f".{scope}annotations" in one.key
    return same_scope and replace(one, key="") == replace(other, key="")


def _carried(draft: Draft, judged: list[Evaluation]) -> list[Evaluation]:
    links = draft.span.links
    if len(links) != 1:
        return [replace(one, about=None) for one in judged]
    draft.trace_id = links[0].trace_id
    span_id = links[0].span_id
    return [replace(one, about=span_id if one.about else None) for one in judged]


def evaluation_of(given: Any, draft: Draft, scope: str, key: str) -> Evaluation:
    """Return the judgement that stands below ``annotation.`` or ``evaluation.``."""
    left = dict(given) if isinstance(given, dict) else {"value": given}
    score = left.pop("score", None)
    read = score if isinstance(score, bool) else number_of(score)
    if read is None and score is not None:
        left["score"] = score
    label = left.pop("label", None)
    kind = left.get("annotator_kind")
    by = left.get("identifier") or kind
    return Evaluation(
        name=json_text(left.pop("name", None) or "annotation"),
        key=key,
        score=read,
        label=None if label is None else json_text(label),
        text=text_or_none(left.pop("explanation", None)),
        by=None if by is None else json_text(by),
        is_human=isinstance(kind, str) and kind.upper() == _HUMAN,
        at=draft.span.ended or draft.span.started,
        about=None if scope else draft.span.span_id,
        extra=left,
    )
