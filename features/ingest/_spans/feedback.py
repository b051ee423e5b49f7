"""Feedback of LangSmith as judgements."""

from __future__ import annotations

from collections.abc import Iterator

from features.ingest._files.records import need
from features.ingest._spans.observation import (
    Evaluation,
    Observation,
    What,
)
from features.ingest._talk.content import identifier, text_of, time_of
from features.ingest._talk.messages import Wire, taken, without_null

_PEOPLE = "app"  # a person in the web interface; `api` may be anybody


def feedback(row: Wire) -> Observation:
    """Return a judgement that came as a row of its own.

    Raises
    ------
    RecordError
        If it has no key, or is of no run.
    """
    name = need(row, "feedback", "key", what="what was judged")
    run_id = identifier(row.get("run_id"))
    trace_id = identifier(row.get("trace_id")) or run_id
    if trace_id is None:
        need(row, "feedback", "run_id", what="the run it is of")
    source = row.get("feedback_source")
    by = source if isinstance(source, dict) else {}
    score, value = row.get("score"), row.get("value")
    if score is None and isinstance(value, bool | int | float):
        score, value = value, None
    key = identifier(row.get("id")) or f"{run_id}.{name}"
    known = {"id", "key", "run_id", "trace_id", "score", "comment", "created_at"}
    judged = Evaluation(
        name=name,
        key=f"feedback.{key}",
        score=score if isinstance(score, bool | int | float) else None,
        label=value if isinstance(value, str) else None,
        text=text_of(row.get("comment")) or None,
        by=identifier(by.get("user_id")) or identifier(by.get("type")),
        is_human=by.get("type") == _PEOPLE,
        at=time_of(taken(row, ("modified_at", "created_at"))),
        about=run_id,
        extra=without_null({k: v for k, v in row.items() if k not in known}),
    )
    return Observation(
        trace_id=trace_id or "",
        span_id=judged.key,
        what=What.JUDGEMENT,
        evaluations=(judged,),
    )


def average(row: Wire, run_id: str) -> Iterator[Evaluation]:
    """Yield what a run itself tells of its feedback: averages, of no known time."""
    stats = row.get("feedback_stats")
    for name, told in (stats if isinstance(stats, dict) else {}).items():
        fields = told if isinstance(told, dict) else {}
        mean = fields.get("avg")
        yield Evaluation(
            name=name,
            key=f"{run_id}.stats.{name}",
            score=mean if isinstance(mean, bool | int | float) else None,
            about=run_id,
            extra={"stats": told},
        )
