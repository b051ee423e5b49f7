"""Spans as they arrive: what a receiver needs of this package.

A receiver reads an export request with `observations` and feeds each task's
`Conversation` in the order its spans end. What it then has is what `read` would have
made of the same spans in a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from features.ingest._otel.spans import MalformedSpanError
from features.ingest._spans.conversation import Conversation
from features.ingest._spans.observation import Evaluation, Observation
from features.ingest._spans.traces import in_order
from features.ingest.otlp import observations

__all__ = [
    "Conversation",
    "Evaluation",
    "MalformedSpanError",
    "Observation",
    "events_of",
    "observations",
]


def events_of(
    conversation: Conversation, told: Iterable[Observation]
) -> Iterator[dict[str, object]]:
    """Yield what the spans of one request add to a task's log, in wire form."""
    for observation, judged in in_order(told):
        if judged is None:
            yield from conversation.take(observation)
        else:
            yield from conversation.judge(judged, observation.trace_id)
