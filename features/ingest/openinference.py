"""OpenInference spans as Phoenix exports them.

A record is a span: of the API (``context``, ``span_kind``, ``attributes`` nested or by
dotted name) or a row of a table of spans (``context.trace_id``,
``attributes.llm.model_name``, …), one per line, in an array, or under ``data``. Its
annotations stand in it, or are records of their own that name span and trace.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from features.events import AgentEvent
from features.ingest._files.intake import MAX_EVENT_SIZE, Intake
from features.ingest._files.records import check_depth, each
from features.ingest._otel.conventions import observed
from features.ingest._otel.draft import Draft, parsed, text_or_none
from features.ingest._otel.openinference import KIND, evaluation_of
from features.ingest._otel.otlp_values import (
    as_list,
    as_object,
    as_text,
    either,
)
from features.ingest._otel.spans import (
    Link,
    MalformedSpanError,
    Moment,
    Span,
)
from features.ingest._spans.observation import (
    Evaluation,
    Observation,
    What,
)
from features.ingest._spans.traces import traced
from features.ingest._talk.content import identifier, time_of
from features.ingest._talk.messages import Wire

LOOKS_FOR = (
    "an object with `context` and `span_kind`, or `context.span_id` and `span_kind`"
)

_CONTEXT, _ATTRIBUTES = "context.", "attributes."
_ANNOTATIONS = ("annotations", "span_annotations")
_VERBATIM = ("metadata", "llm.prompt_template.variables")


def fits(value: Any) -> bool:
    """Return whether `value` looks like a span of this format, or a list of such."""
    first = value[0] if isinstance(value, list) and value else value
    if not isinstance(first, dict):
        return False
    if isinstance(first.get("data"), list):
        return bool(first["data"]) and fits(first["data"][0])
    context = first.get("context")
    is_placed = isinstance(context, dict) or _CONTEXT + "span_id" in first
    return is_placed and "span_kind" in first


def events(intake: Intake) -> Iterator[AgentEvent]:
    """Yield the events of the file's spans, gathered by task."""
    yield from traced(intake, each(intake, _spans(intake), _observations))


def _spans(intake: Intake) -> Iterator[tuple[int, Any]]:
    for line, value in intake.records():
        for record in value if isinstance(value, list) else [value]:
            page = record.get("data") if isinstance(record, dict) else None
            if isinstance(page, list):
                yield from ((line, item) for item in page)
            else:
                yield line, record


# --- one record -------------------------------------------------------------


def _observations(record: Any) -> Iterator[Observation]:
    fields = as_object(record, "record")
    if "result" in fields and "span_id" in fields:
        yield _annotation(fields)
        return
    span = _span(fields)
    judged = [
        _judgement(item, span, index) for index, item in enumerate(_annotations(fields))
    ]
    told = observed(span)
    yield told
    if judged:
        yield _judged(span, judged)


def _judged(span: Span, judged: list[Evaluation]) -> Observation:
    return Observation(
        trace_id=span.trace_id,
        span_id=span.span_id,
        piece=".judged",
        what=What.OTHER,
        ended=span.ended,
        evaluations=judged,
    )


def _span(fields: Mapping[str, Any]) -> Span:
    context = _below(fields, "context", _CONTEXT)
    attributes = flat(_below(fields, "attributes", _ATTRIBUTES))
    kind = fields.get("span_kind")
    if KIND not in attributes and isinstance(kind, str):
        attributes[KIND] = kind
    return Span(
        trace_id=_id(context.get("trace_id"), "context.trace_id"),
        span_id=_id(context.get("span_id"), "context.span_id"),
        parent_id=as_text(fields.get("parent_id")),
        name=as_text(fields.get("name")),
        started=time_of(fields.get("start_time")),
        ended=time_of(fields.get("end_time")),
        attributes=attributes,
        events=[_event(item) for item in as_list(fields.get("events"), "events")],
        links=[_link(item) for item in as_list(fields.get("links"), "links")],
        failed=fields.get("status_code") == "ERROR",
        status=as_text(fields.get("status_message")),
    )


def _id(value: Any, place: str) -> str:
    found = identifier(value)
    if found is None:
        raise MalformedSpanError(place=place, expected="an id", found=value)
    return found.removeprefix("0x")


def _below(fields: Mapping[str, Any], name: str, prefix: str) -> Wire:
    """Return the object under `name`, or the columns that make it up."""
    inner = fields.get(name)
    if inner is not None:
        return dict(as_object(inner, name))
    cut = len(prefix)
    return {
        k[cut:]: v for k, v in fields.items() if k.startswith(prefix) and v is not None
    }


def _event(raw: Any) -> Moment:
    fields = as_object(raw, "events")
    given = fields.get("attributes")
    return Moment(
        name=as_text(fields.get("name")),
        at=time_of(fields.get("timestamp")),
        attributes=dict(as_object(given, "events.attributes")) if given else {},
    )


def _link(raw: Any) -> Link:
    fields = as_object(raw, "links")
    context = _below(fields, "context", _CONTEXT) or fields
    return Link(
        trace_id=_id(context.get("trace_id"), "links.trace_id"),
        span_id=_id(context.get("span_id"), "links.span_id"),
    )


def flat(attributes: Mapping[str, Any]) -> Wire:
    """Return nested attributes by dotted name, as the convention has them.

    A list of plain values is a value, and so is what users put under ``metadata``.

    Raises
    ------
    MalformedSpanError
        If the names become larger than one event may be.
    """
    found: Wire = {}
    size = 0
    left = list(attributes.items())[::-1]
    while left:
        name, value = left.pop()
        inner = _items(name, value)
        if inner is None:
            found[name] = value
            continue
        below = [(f"{name}.{key}", item) for key, item in inner]
        size += sum(len(key) for key, _ in below)
        if size > MAX_EVENT_SIZE:
            expected = f"names of at most {MAX_EVENT_SIZE} characters"
            raise MalformedSpanError(
                place="attributes", expected=expected, found="more"
            )
        left.extend(below[::-1])
    return found


def _items(name: str, value: Any) -> list[tuple[str, Any]] | None:
    if name in _VERBATIM or not value:
        return None
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return [(str(index), item) for index, item in enumerate(value)]
    return None


# --- annotations ------------------------------------------------------------


def _annotations(fields: Mapping[str, Any]) -> list[Any]:
    return as_list(either(fields, *_ANNOTATIONS), "annotations")


def _judgement(raw: Any, span: Span, index: int) -> Evaluation:
    """Return the judgement that an annotation of Phoenix is."""
    fields = dict(as_object(raw, "annotations"))
    result = parsed(fields.pop("result", None))
    given = fields | (result if isinstance(result, dict) else {})
    at = time_of(given.get("updated_at") or given.get("created_at"))
    named = identifier(given.get("id")) or f"{given.get('name')}.{index}"
    judged_at = Span(trace_id=span.trace_id, span_id=span.span_id, ended=at)
    key = f"{span.span_id}.annotation.{named}"
    return evaluation_of(given, Draft.of(judged_at), "", key)


def _annotation(fields: Mapping[str, Any]) -> Observation:
    """Return a judgement that is a record of its own."""
    check_depth(fields, "annotation")
    span = Span(
        trace_id=_id(fields.get("trace_id"), "trace_id"),
        span_id=_id(fields.get("span_id"), "span_id"),
    )
    judged = _judgement(fields, span, 0)
    name = text_or_none(fields.get("name")) or "annotation"
    return Observation(
        trace_id=span.trace_id,
        span_id=span.span_id,
        piece=f".{name}.{judged.key}",
        what=What.OTHER,
        ended=judged.at,
        evaluations=[judged],
    )
