"""What a span of OpenTelemetry tells, by the conventions that its attributes follow.

From the most specific on: what a convention tells is not told again by a more general
one, and all that none has read stays under ``extra`` as it came.
"""

from __future__ import annotations

from features.ingest._otel import dialects, genai, openinference
from features.ingest._otel.draft import Draft, text_or_none
from features.ingest._otel.spans import Span
from features.ingest._spans.observation import Observation, What
from features.ingest._spans.own import own
from features.ingest._talk.content import reads_as_error
from features.ingest._talk.messages import without_null

_EXCEPTIONS = frozenset(
    {
        "exception",
        "gen_ai.client.operation.exception",
        "gen_ai.execute_tool.exception",
    }
)


def observed(span: Span) -> Observation:
    """Return what `span` tells."""
    draft = Draft.of(span)
    _read_own(draft)
    _read_error(draft)
    openinference.read(draft)
    dialects.read_kind(draft)
    genai.read(draft)
    genai.guess_what(draft)
    dialects.read(draft)
    dialects.read_names(draft)
    if draft.what is What.TOOL:
        _settle_tool(draft)
    return draft.observation()


# Below these, vendors' SDKs put what their users said of a span.
_METADATA = (
    "langfuse.observation.metadata.",
    "langfuse.trace.metadata.",
    "langsmith.metadata.",
)


def _read_own(draft: Draft) -> None:
    below = {
        name.removeprefix(prefix): value
        for name, value in draft.left.items()
        for prefix in _METADATA
        if name.startswith(f"{prefix}escalation.")
    }
    said = {**below, **draft.left} if below else draft.left
    ours = own(said, draft.span.span_id, draft.span.ended)
    draft.task_id = ours.task_id
    draft.facts |= ours.facts
    draft.confidence = ours.confidence
    draft.interpretations = ours.interpretations
    draft.evaluations += ours.evaluations


def _read_error(draft: Draft) -> None:
    """Read why a span failed; an exception that it lived through is no failure."""
    kind = draft.peek("error.type")
    if not draft.span.failed and kind is None:
        return
    raised = [m.attributes for m in draft.moments if m.name in _EXCEPTIONS]
    last = raised[-1] if raised else {}
    message = draft.span.status or last.get("exception.message")
    draft.error = without_null(
        {
            "type": text_or_none(kind)
            or text_or_none(last.get("exception.type"))
            or "error",
            "message": text_or_none(message),
        }
    )


def _settle_tool(draft: Draft) -> None:
    """Say whether the tool failed: by its span, or by its own words in a success."""
    text = draft.tool.get("text", "")
    draft.tool["error"] = draft.error or reads_as_error(text)
    draft.called(latency_ms=draft.milliseconds)
