"""MLflow traces: what ``Trace.to_json`` gives, of schema 3 and of older ones.

A session is a task. Assessments of a trace become judgements; those of people, and
what they expected, are outcomes. One that a later one overrides is kept, and not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from features.events import AgentEvent
from features.ingest._files.intake import Intake
from features.ingest._files.records import check_depth, each, first_of, objects, records
from features.ingest._files.sources import RecordError
from features.ingest._spans.assessments import assessed, overridden
from features.ingest._spans.mlflow_spans import REQUEST, observed
from features.ingest._spans.observation import Observation, What
from features.ingest._spans.own import own
from features.ingest._spans.traces import traced
from features.ingest._talk.content import arguments_of, identifier, time_of
from features.ingest._talk.messages import Wire, taken, without_null
from features.ingest._talk.vocabulary import told

LOOKS_FOR = (
    "an object with `info` and `data`, whose `spans` say `mlflow.traceRequestId`"
)


def fits(value: Any) -> bool:
    """Return whether `value` looks like a trace."""
    record = first_of(value)
    info = record.get("info")
    if isinstance(info, dict) and "data" in record:
        return "trace_id" in info or "request_id" in info
    first = first_of(record.get("spans"))
    attributes = first.get("attributes")
    return isinstance(attributes, dict) and REQUEST in attributes


def events(intake: Intake) -> Iterator[AgentEvent]:
    """Yield the events of the file, task by task."""
    return traced(intake, each(intake, _placed(intake), _translated))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A trace without its spans, or one of its spans."""

    trace: _Trace | None
    raw: Any
    is_span: bool


def _placed(intake: Intake) -> Iterator[tuple[int, _Part]]:
    for line, record in records(intake):
        trace, spans = _opened(record)
        yield line, _Part(trace=trace, raw=record, is_span=False)
        if trace is not None:
            for span in spans:
                yield line, _Part(trace=trace, raw=span, is_span=True)


def _translated(part: _Part) -> Iterator[Observation]:
    """Yield what a trace or a span tells.

    Raises
    ------
    RecordError
        If it is malformed or nested too deeply.
    """
    if part.trace is None:
        raise RecordError(
            field="trace",
            expected="an object with `info`, its `trace_id`, and `data`",
            found=type(part.raw).__name__,
        )
    if part.is_span:
        yield observed(part.trace.trace_id, part.raw)
    else:
        yield _whole(part.trace)


# --- the trace --------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trace:
    """What is said of a trace as a whole."""

    trace_id: str
    info: Wire
    metadata: Wire
    beside: Wire
    has_spans: bool


def _opened(record: Any) -> tuple[_Trace | None, list[Any]]:
    """Return the trace and its spans; None where `record` is none."""
    fields = record if isinstance(record, dict) else {}
    if isinstance(fields.get("trace"), str):  # a row of `search_traces`
        whole = arguments_of(fields["trace"])
        fields = whole if isinstance(whole, dict) else {}
    info = fields.get("info")
    data = arguments_of(fields.get("data")) if isinstance(info, dict) else fields
    if not isinstance(data, dict):
        data = {}
    found = data.get("spans")
    spans = found if isinstance(found, list) else []
    info = info if isinstance(info, dict) else {}
    trace_id = identifier(taken(info, ("trace_id", "request_id"))) or _named(spans)
    if trace_id is None:
        return None, []
    beside = {k: v for k, v in fields.items() if k not in {"info", "data", "spans"}}
    aside = (
        {k: v for k, v in data.items() if k != "spans"} if data is not fields else {}
    )
    trace = _Trace(
        trace_id=trace_id,
        info=info,
        metadata=_pairs(info, "tags")
        | _pairs(info, "request_metadata")
        | _pairs(info, "trace_metadata"),
        beside=without_null(beside | {"data": aside or None}),
        has_spans=bool(spans),
    )
    return trace, spans


def _named(spans: list[Any]) -> str | None:
    attributes = first_of(spans).get("attributes")
    named = attributes.get(REQUEST) if isinstance(attributes, dict) else None
    return identifier(arguments_of(named))


def _pairs(info: Wire, name: str) -> Wire:
    """Return metadata or tags, which older schemas tell as a list."""
    found = info.get(name)
    if isinstance(found, dict):
        return found
    return {
        pair["key"]: pair.get("value")
        for pair in objects(found)
        if isinstance(pair.get("key"), str)
    }


def _facts(metadata: Mapping[str, Any]) -> Wire:
    facts = {
        "group": identifier(metadata.get("mlflow.trace.user")),
        "agent_version": identifier(metadata.get("mlflow.modelId")),
    }
    return without_null(facts)


_READ = {"trace_id", "request_id", "assessments"}


def _whole(trace: _Trace) -> Observation:
    """Return what is said of the trace as a whole; of one without spans, all there is.

    Raises
    ------
    RecordError
        If it is nested too deeply.
    """
    check_depth([trace.info, trace.beside], "info")
    info = trace.info
    started = time_of(taken(info, ("request_time", "timestamp_ms")))
    ended = _ended(started, info)
    told_own = own(trace.metadata, trace.trace_id, ended)
    is_all = not trace.has_spans
    asked = arguments_of(info.get("request_preview")) if is_all else None
    answer = arguments_of(info.get("response_preview")) if is_all else None
    extra = {k: v for k, v in info.items() if k not in _READ}
    extra["assessments"] = overridden(info.get("assessments")) or None
    return Observation(
        trace_id=trace.trace_id,
        span_id=trace.trace_id,
        task_id=told_own.task_id
        or identifier(trace.metadata.get("mlflow.trace.session")),
        what=What.AGENT if is_all else What.OTHER,
        name=str(trace.metadata.get("mlflow.traceName") or ""),
        started=started,
        ended=ended,
        facts=_facts(trace.metadata) | told_own.facts,
        inputs=told(asked, "user").messages,
        outputs=told(answer, "assistant").messages,
        confidence=told_own.confidence,
        interpretations=told_own.interpretations,
        evaluations=(*told_own.evaluations, *assessed(info.get("assessments"))),
        extra=without_null(extra | trace.beside),
    )


def _ended(started: datetime | None, info: Wire) -> datetime | None:
    spent = taken(
        info, ("execution_duration_ms", "execution_time_ms", "execution_duration")
    )
    if isinstance(spent, str):  # seconds, as protobuf writes a duration
        try:
            spent = float(spent.removesuffix("s")) * 1e3
        except ValueError:
            return None
    if started is None or isinstance(spent, bool) or not isinstance(spent, int | float):
        return None
    try:
        return started + timedelta(milliseconds=spent)
    except (OverflowError, ValueError):
        return None
