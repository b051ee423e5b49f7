"""Assessments of MLflow as judgements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from features.ingest._files.records import objects
from features.ingest._spans.observation import Evaluation
from features.ingest._talk.content import arguments_of, identifier, text_of, time_of
from features.ingest._talk.messages import Wire, taken, without_null

_KNOWN = {"assessment_name", "name", "rationale", "span_id"}


def assessed(assessments: Any) -> list[Evaluation]:
    """Return the judgements that `assessments` tell, but for those overridden."""
    return [_judgement(raw) for raw in objects(assessments) if _is_valid(raw)]


def overridden(assessments: Any) -> list[Wire]:
    """Return the assessments in whose place a later one stands, verbatim."""
    return [raw for raw in objects(assessments) if not _is_valid(raw)]


def _is_valid(raw: Wire) -> bool:
    return raw.get("valid") is not False


def _judgement(raw: Wire) -> Evaluation:
    source = raw.get("source")
    by = source if isinstance(source, dict) else {}
    kind, value = _value(raw)
    name = str(taken(raw, ("assessment_name", "name")) or kind)
    key = identifier(raw.get("assessment_id")) or f"{name}.{by.get('source_id')}"
    # What is expected of an answer is known to those who know the answer.
    is_human = by.get("source_type") == "HUMAN" or kind != "feedback"
    is_score = isinstance(value, bool | int | float)
    return Evaluation(
        name=name,
        key=f"assessment.{key}",
        score=value if is_score else None,
        label=value if isinstance(value, str) else None,
        text=text_of(raw.get("rationale")) or None,
        by=identifier(by.get("source_id")),
        is_human=is_human,
        at=time_of(_known_at(raw)),
        about=identifier(raw.get("span_id")),
        extra=without_null({k: v for k, v in raw.items() if k not in _KNOWN}),
    )


def _known_at(raw: Mapping[str, Any]) -> Any:
    names = ("last_update_time", "create_time", "last_update_time_ms", "create_time_ms")
    return taken(raw, names)


def _value(raw: Wire) -> tuple[str, Any]:
    """Return the kind of an assessment and what it says."""
    for kind in ("feedback", "expectation"):
        found = raw.get(kind)
        if isinstance(found, dict):
            packed = found.get("serialized_value")
            inner = packed.get("value") if isinstance(packed, dict) else None
            return kind, found.get("value", arguments_of(inner))
    issue = raw.get("issue")
    return "issue", issue.get("issue_name") if isinstance(issue, dict) else None
