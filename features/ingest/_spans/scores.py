"""Scores of Langfuse as judgements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from features.ingest._files.records import need
from features.ingest._files.sources import RecordError
from features.ingest._spans.observation import (
    Evaluation,
    Observation,
    What,
)
from features.ingest._talk.content import identifier, text_of, time_of
from features.ingest._talk.messages import Wire, taken, without_null

_PEOPLE = "ANNOTATION"
_TRACE = ("traceId", "trace_id")
_SPAN = ("observationId", "observation_id")
_SESSION = ("sessionId", "session_id")
_KIND = ("dataType", "data_type")
_WORDS = ("stringValue", "string_value")
_AUTHOR = ("authorUserId", "author_user_id", "queueId", "queue_id")
_KNOWN = {"id", "name", "value", "comment", "timestamp"}
_PLACES = {*_TRACE, *_SPAN, *_SESSION, "subject"}


def is_score(record: Mapping[str, Any]) -> bool:
    """Return whether `record` is a score: it says what of, and what it comes to."""
    if "startTime" in record or "start_time" in record or "name" not in record:
        return False
    says = "value" in record or any(name in record for name in _WORDS)
    return says and bool(_PLACES & record.keys())


def score(row: Any, trace_id: str | None = None) -> Observation:
    """Return a score as the judgement it is.

    Parameters
    ----------
    row : Any
        The score.
    trace_id : str or None
        Of the trace that it came with, if it names none.

    Raises
    ------
    RecordError
        If it has no name, or is of no trace, session or observation.
    """
    name = need(row, "score", "name", what="what was judged")
    trace_id, session, span_id = _subject(row, trace_id)
    place = trace_id or session
    if place is None:
        raise RecordError(
            field="score.traceId",
            expected="a trace or a session that it is of",
            found="neither",
        )
    value, label = _said(row)
    known_at = taken(row, ("timestamp", "createdAt", "created_at"))
    judged = Evaluation(
        name=name,
        key=f"score.{identifier(row.get('id')) or f'{span_id}.{name}'}",
        score=value,
        label=label,
        text=text_of(row.get("comment")) or None,
        by=identifier(taken(row, _AUTHOR)) or identifier(row.get("source")),
        is_human=row.get("source") == _PEOPLE,
        at=time_of(known_at),
        about=span_id,
        extra=without_null({k: v for k, v in row.items() if k not in _KNOWN}),
    )
    return Observation(
        trace_id=place,
        span_id=judged.key,
        task_id=session,
        what=What.JUDGEMENT,
        evaluations=(judged,),
    )


def _subject(row: Wire, trace_id: str | None) -> tuple[str | None, ...]:
    """Return the ids of trace, session and observation that a score is of."""
    subject = row.get("subject")
    if isinstance(subject, dict):
        kind, named = subject.get("kind"), identifier(subject.get("id"))
        if kind == "session":
            return trace_id, named, None
        if kind == "observation":
            return identifier(subject.get("traceId")) or trace_id, None, named
        return named if kind == "trace" else trace_id, None, None
    return (
        identifier(taken(row, _TRACE)) or trace_id,
        identifier(taken(row, _SESSION)),
        identifier(taken(row, _SPAN)),
    )


def _said(row: Wire) -> tuple[float | bool | None, str | None]:
    """Return the number or truth value of a score, and its words."""
    value, words = row.get("value"), taken(row, _WORDS)
    label = words if isinstance(words, str) else None
    if isinstance(value, str):
        return None, label or value
    if not isinstance(value, bool | int | float):
        return None, label
    kind = taken(row, _KIND)
    if kind == "BOOLEAN":
        return bool(value), label
    return None if kind in ("CATEGORICAL", "TEXT") and label else value, label
