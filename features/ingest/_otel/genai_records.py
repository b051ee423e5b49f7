"""What log records of the OpenTelemetry GenAI conventions tell of spans.

One record per message is what instrumentations up to 1.36 write: those of one span are
gathered until its answer comes, so that its messages can be told from the conversation
they repeat.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from features.ingest._otel.dialects import read_names
from features.ingest._otel.draft import Draft
from features.ingest._otel.genai import (
    EVALUATED,
    PREFIX,
    evaluation_of,
    read_facts,
)
from features.ingest._otel.genai_speech import (
    CHOICE,
    DETAILS,
    is_spoken,
    read_messages,
)
from features.ingest._otel.spans import Record, Span
from features.ingest._spans.observation import Observation, What

_LOG = ".log"  # the piece of a span that its log records are
_SPANS = 1000  # with an input and no answer yet, at a time


@dataclass(slots=True)
class Records:
    """Gathers log records; yields what they tell of each span."""

    _open: dict[tuple[str, str], list[Record]] = field(default_factory=dict)

    def add(self, record: Record) -> Iterator[Observation]:
        """Take one record; yield what is complete with it."""
        name = record.said.name
        if name == EVALUATED:
            yield _judged(record)
        elif name == DETAILS or not is_spoken(name):
            if name.startswith(PREFIX):
                yield _told(record)
        else:
            yield from self._said(record)

    def _said(self, record: Record) -> Iterator[Observation]:
        span = record.trace_id, record.span_id
        gathered = self._open.setdefault(span, [])
        gathered.append(record)
        if record.said.name == CHOICE:
            yield _spoken(self._open.pop(span))
        elif len(self._open) > _SPANS:
            yield _spoken(self._open.pop(next(iter(self._open))))

    def rest(self) -> Iterator[Observation]:
        """Yield what is left: inputs of spans that have no answer."""
        for gathered in self._open.values():
            yield _spoken(gathered)
        self._open.clear()


def _spoken(records: list[Record]) -> Observation:
    """Return the messages of one span."""
    first, last = records[0], records[-1]
    span = Span(
        trace_id=first.trace_id,
        span_id=first.span_id,
        parent_id=first.span_id,
        started=first.said.at,
        ended=last.said.at,
        events=[record.said for record in records],
        resource=first.resource,
    )
    draft = Draft.of(span)
    draft.what, draft.piece = What.MODEL, _LOG
    read_messages(draft)
    read_names(draft)
    return draft.observation()


def _told(record: Record) -> Observation:
    """Return what one record says of a span in attributes."""
    said = record.said
    is_details = said.name == DETAILS
    span = Span(
        trace_id=record.trace_id,
        span_id=record.span_id,
        parent_id=record.span_id,
        name=said.name,
        started=said.at,
        ended=said.at,
        attributes=said.attributes,
        resource=record.resource,
    )
    draft = Draft.of(span)
    draft.what = What.MODEL if is_details else What.OTHER
    draft.piece = _LOG if is_details else f".{said.name}"
    if is_details:  # its usage is the span's own
        read_messages(draft)
    read_facts(draft)
    read_names(draft)
    return draft.observation()


def _judged(record: Record) -> Observation:
    at = record.said.at
    when = f"{at:%Y%m%dT%H%M%S.%f}" if at else ""
    name = f"{record.said.attributes.get('gen_ai.evaluation.name')}.{when}"
    span_id = record.span_id or "trace"
    key = f"{span_id}.{EVALUATED}.{name}"
    judged = evaluation_of(record.said, about=record.span_id or None, key=key)
    return Observation(
        trace_id=record.trace_id,
        span_id=span_id,
        piece=f".judged.{name}",
        what=What.OTHER,
        started=at,
        ended=at,
        evaluations=[judged],
    )
