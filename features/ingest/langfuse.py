"""Langfuse: exported traces, observations and scores, and batches of its ingestion.

A session is a task. A trace may hold its observations and scores, or stand beside them
as its API lists them and as exports to storage give them, in camel case or snake case.
A batch tells an observation at its start and again at its end; `sdk-log` is of no
trace and passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from features.events import AgentEvent
from features.ingest._files.intake import Intake
from features.ingest._files.records import (
    check_depth,
    each,
    first_of,
    need,
    objects,
    records,
)
from features.ingest._files.sources import RecordError
from features.ingest._otel.draft import parsed
from features.ingest._spans.langfuse_rows import field, observed, whose
from features.ingest._spans.merging import PIECE, Merger
from features.ingest._spans.observation import Observation, What
from features.ingest._spans.own import own
from features.ingest._spans.scores import is_score, score
from features.ingest._spans.traces import traced
from features.ingest._talk.content import identifier, time_of
from features.ingest._talk.messages import Wire, without_null
from features.ingest._talk.vocabulary import exchange

LOOKS_FOR = (
    "a trace (`id` and `observations` or `timestamp`), an observation (`id`, `type`, "
    "`traceId`), a score (`name`, `value`, `traceId`), or a `batch` of their events"
)

_TRACE, _SPAN, _SCORE = "trace", "observation", "score"
_EVENTS = {
    "score-create": _SCORE,
    "trace-create": _TRACE,
    "span-create": "SPAN",
    "span-update": "SPAN",
    "generation-create": "GENERATION",
    "generation-update": "GENERATION",
    "event-create": "EVENT",
    "observation-create": _SPAN,
    "observation-update": _SPAN,
}
_TYPES = {"AGENT", "TOOL", "CHAIN", "RETRIEVER", "EVALUATOR", "EMBEDDING", "GUARDRAIL"}
_OF_TRACE = {"sessionId", "session_id", "userId", "user_id", "release", "environment"}


def fits(value: Any) -> bool:
    """Return whether `value` looks like any of these records."""
    record = first_of(value)
    batch = first_of(record.get("batch"))
    if "body" in batch and "type" in batch:
        return True
    return _kind(record if "id" in record else first_of(record.get("data"))) is not None


def _kind(record: Mapping[str, Any]) -> str | None:
    if is_score(record):
        return _SCORE
    if "id" not in record or "run_type" in record or "object" in record:
        return None
    if field(record, "startTime") is not None and "type" in record:
        return _SPAN
    is_whole = isinstance(record.get("observations"), list)
    is_listed = "timestamp" in record and bool(_OF_TRACE & record.keys())
    return _TRACE if is_whole or is_listed else None


def events(intake: Intake) -> Iterator[AgentEvent]:
    """Yield the events of the file, task by task."""
    return traced(intake, each(intake, _placed(intake), _translated))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A record, what it is, and what its trace says of it."""

    kind: str | None
    raw: Any = None
    trace_id: str | None = None
    facts: Wire | None = None
    task_id: str | None = None
    ended: datetime | None = None


def _translated(row: _Row) -> Iterator[Observation]:
    """Yield what a record tells.

    Raises
    ------
    RecordError
        If it is none that we know, lacks an id or is nested too deeply.
    """
    check_depth(row.raw, "record")
    if row.kind == _TRACE:
        yield _trace(row)
    elif row.kind == _SPAN:
        yield observed(row.raw, row.trace_id, row.task_id, row.facts or {})
    elif row.kind == _SCORE:
        yield score(row.raw, row.trace_id)
    else:
        raise RecordError(
            field="record", expected=LOOKS_FOR, found=type(row.raw).__name__
        )


# --- records ----------------------------------------------------------------


def _placed(intake: Intake) -> Iterator[tuple[int, _Row]]:
    traces = Merger(place=(), ends=("id",))
    spans = Merger(place=("traceId", "type", "startTime"), ends=("endTime",))
    for line, record in records(intake):
        fields = record if isinstance(record, dict) else {}
        if isinstance(fields.get("batch"), list):
            for item in fields["batch"]:
                yield from _sent(line, item, traces, spans)
        else:
            yield from ((line, row) for row in _rows(record, fields))
    yield from ((line, _Row(kind=_SPAN, raw=body)) for line, body in spans.rest())


def _rows(record: Any, fields: Wire) -> Iterator[_Row]:
    """Yield a record and, of a trace or a page of a list, what is in it."""
    page = fields.get("data")  # of a list of the API
    if isinstance(page, list) and "id" not in fields:
        for item in page:
            yield from _rows(item, item if isinstance(item, dict) else {})
        return
    kind = _kind(fields)
    if kind != _TRACE:
        yield _Row(kind=kind, raw=record)
        return
    inside = {n: objects(fields.get(n)) for n in ("observations", "scores")}
    ends = [time_of(field(span, "endTime")) for span in inside["observations"]]
    told = whose(fields)
    trace = _Row(
        kind=kind,
        raw=fields | dict.fromkeys(inside),
        ended=max(filter(None, ends), default=None),
    )
    yield trace
    trace_id = identifier(fields.get("id"))
    place = _Row(kind=None, trace_id=trace_id, facts=told.facts, task_id=told.task_id)
    yield from (replace(place, kind=_SPAN, raw=s) for s in inside["observations"])
    yield from (replace(place, kind=_SCORE, raw=s) for s in inside["scores"])


def _sent(
    line: int, item: Any, traces: Merger, spans: Merger
) -> Iterator[tuple[int, _Row]]:
    """Yield what an event of a batch completes."""
    sent = item if isinstance(item, dict) else {}
    kind, body = str(sent.get("type")), sent.get("body")
    known = _EVENTS.get(kind)
    if known is None or not isinstance(body, dict):
        if kind != "sdk-log":
            yield line, _Row(kind=None, raw=item)
        return
    name = identifier(body.get("id")) or identifier(sent.get("id")) or f"line{line}"
    at = {"id": name, "timestamp": sent.get("timestamp")}
    if known == _SCORE:
        yield line, _Row(kind=known, raw=at | without_null(body))
    elif known == _TRACE:
        for _, whole in traces.add(line, name, at | without_null(body)):
            yield line, _Row(kind=known, raw=whole)
    else:
        for begun, whole in spans.add(line, name, _span(kind, known, at, body)):
            yield begun, _Row(kind=_SPAN, raw=whole)


def _span(kind: str, known: str, at: Wire, body: Wire) -> Wire:
    """Return the observation that an event of a batch tells of."""
    fields = {"id": at["id"]} | without_null(body)
    if known != _SPAN:
        fields = {"type": known} | fields
    if not kind.endswith("-update"):
        fields = {"startTime": at["timestamp"]} | fields
    if fields.get("type") == "EVENT":  # a moment: it ends as it begins
        fields = {"endTime": fields.get("startTime")} | fields
    return fields


# --- a trace ----------------------------------------------------------------

_READ = {
    *("id", "input", "output", "name", "timestamp", "userId", "user_id"),
    *("sessionId", "session_id", "observations", "scores", PIECE),
}


def _trace(row: _Row) -> Observation:
    """Return what is said of a trace as a whole.

    Its input and output are told where it says when it ended: only then do they have
    a place among those of its observations. Else they are kept.

    Raises
    ------
    RecordError
        If it has no id.
    """
    raw = row.raw
    trace_id = need(raw, "trace", "id", what="the id of the trace")
    told = whose(raw)
    started = time_of(raw.get("timestamp"))
    ended = row.ended or _after(started, raw.get("latency"))
    given, answered = parsed(raw.get("input")), parsed(raw.get("output"))
    said = exchange(given, answered)
    kept = {"input": given, "output": answered} if ended is None else said.rest
    ours = own(told.metadata, trace_id, ended)
    return Observation(
        trace_id=trace_id,
        span_id=trace_id,
        # An observation may have the id of its trace.
        piece=".trace" + raw.get(PIECE, ""),
        task_id=told.task_id,
        what=What.AGENT,
        name=str(raw.get("name") or ""),
        started=started,
        ended=ended,
        facts=told.facts,
        inputs=said.inputs if ended else (),
        outputs=said.outputs if ended else (),
        confidence=ours.confidence,
        interpretations=ours.interpretations,
        evaluations=ours.evaluations,
        extra=without_null({k: v for k, v in raw.items() if k not in _READ} | kept),
    )


def _after(started: datetime | None, seconds: Any) -> datetime | None:
    is_known = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if started is None or not is_known or not 0 <= seconds < _LONGEST:
        return None
    return started + timedelta(seconds=seconds)


_LONGEST = 1e8  # seconds, three years
