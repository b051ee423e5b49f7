"""One observation of Langfuse, in camel case or snake case, as an `Observation`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from features.ingest._files.records import need
from features.ingest._files.sources import RecordError
from features.ingest._otel.draft import parsed
from features.ingest._spans.fields import (
    documents_of,
    spent_ms,
    tool_of,
)
from features.ingest._spans.merging import PIECE
from features.ingest._spans.observation import Observation, What
from features.ingest._spans.own import number_of, own
from features.ingest._talk.content import identifier, text_of, time_of
from features.ingest._talk.messages import Wire, taken, without_null
from features.ingest._talk.vocabulary import exchange

_KINDS = {
    "GENERATION": What.MODEL,
    "TOOL": What.TOOL,
    "RETRIEVER": What.RETRIEVAL,
}
_RUNS = frozenset({"AGENT", "CHAIN", "SPAN"})  # outermost, the whole of a trace
_UPPER = re.compile(r"(?<=[a-z])(?=[A-Z])")
_READ = {
    *("id", "name", "type", "traceId", "startTime", "endTime", "input", "output"),
    *("userId", "sessionId", "usageDetails", "costDetails", "usage", PIECE),
}
_MODELS = ("model", "providedModelName", "provided_model_name")


def _snake(name: str) -> str:
    return _UPPER.sub("_", name).lower()


_NAMES = _READ | {_snake(name) for name in _READ}


def field(row: Mapping[str, Any], name: str) -> Any:
    """Return the value under `name`, in camel case, or under its snake case."""
    return taken(row, (name, _snake(name)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """What a trace or an observation says of its task."""

    task_id: str | None
    facts: Wire
    metadata: Wire


def whose(row: Wire) -> Whose:
    """Return the task that `row` is of, and facts of it."""
    metadata = parsed(row.get("metadata"))
    fields = metadata if isinstance(metadata, dict) else {}
    inner = fields.get("attributes")  # of spans that came as OpenTelemetry's
    fields = (inner if isinstance(inner, dict) else {}) | fields
    ours = own(fields, "", None)
    facts = {
        "group": identifier(field(row, "userId")),
        "agent_version": identifier(taken(row, ("release", "version"))),
    }
    return Whose(
        task_id=ours.task_id or identifier(field(row, "sessionId")),
        facts=without_null(facts) | ours.facts,
        metadata=fields,
    )


def observed(
    row: Any, trace_id: str | None, task_id: str | None, facts: Wire
) -> Observation:
    """Return what an observation tells.

    Parameters
    ----------
    row : Any
        The observation.
    trace_id, task_id : str or None
        As the trace that holds it says.
    facts : dict
        The same; those of the trace come first.

    Raises
    ------
    RecordError
        If it has no id, no type or no trace.
    """
    span_id = need(row, "observation", "id", what="an id")
    kind = need(row, "observation", "type", what="GENERATION, SPAN, TOOL or so")
    trace_id = identifier(field(row, "traceId")) or trace_id
    if trace_id is None:
        raise RecordError(
            field="observation.traceId", expected="the id of a trace", found="nothing"
        )
    told = whose(row)
    started, ended = time_of(field(row, "startTime")), time_of(field(row, "endTime"))
    ours = own(told.metadata, span_id, ended or started)
    fields = _told(row, kind, started, ended)
    return Observation(
        trace_id=trace_id,
        span_id=span_id,
        piece=row.get(PIECE, ""),
        task_id=task_id or told.task_id,
        name=str(row.get("name") or ""),
        started=started,
        ended=ended,
        facts=told.facts | fields.pop("facts", {}) | facts,
        confidence=ours.confidence,
        interpretations=ours.interpretations,
        evaluations=ours.evaluations,
        error=_error(row),
        extra=_extra(row) | fields.pop("extra", {}),
        **fields,
    )


def _told(
    row: Wire, kind: str, started: datetime | None, ended: datetime | None
) -> Wire:
    """Return the fields that the observation's type tells."""
    what = _what(row, kind)
    given, answered = parsed(row.get("input")), parsed(row.get("output"))
    match what:
        case What.MODEL | What.AGENT:
            said = exchange(given, answered)
            told: Wire = {"inputs": said.inputs, "outputs": said.outputs}
            told["extra"] = said.rest
        case What.TOOL:
            tool = tool_of(str(row.get("name") or ""), given, answered, _error(row))
            told = {"tool": tool | spent_ms(started, ended)}
        case What.RETRIEVAL:
            told = {"documents": documents_of(answered)}
            told["extra"] = without_null({"input": given})
        case _:
            beside = {"type": kind, "input": given, "output": answered}
            told = {"extra": without_null(beside)}
    facts = {"facts": without_null({"model": identifier(taken(row, _MODELS))})}
    return {"what": what, "usage": _usage(row)} | facts | told


def _what(row: Wire, kind: str) -> What:
    """Return what an observation did; the outermost of a trace is its whole run."""
    parent = field(row, "parentObservationId")
    is_root = parent is None or field(row, "isRootObservation") is True
    if kind in _RUNS and is_root:
        return What.AGENT
    return _KINDS.get(kind, What.OTHER)


def _error(row: Wire) -> Wire | None:
    if row.get("level") != "ERROR":
        return None
    words = text_of(field(row, "statusMessage")) or None
    return without_null({"type": "error", "message": words})


def _extra(row: Wire) -> Wire:
    return {k: v for k, v in row.items() if k not in _NAMES and v not in (None, [], {})}


# --- usage ------------------------------------------------------------------

_COSTS = ("totalCost", "calculatedTotalCost")


def _usage(row: Wire) -> Wire:
    """Return tokens and cost: all kinds of input, cached or not, are tokens in."""
    details = parsed(field(row, "usageDetails") or row.get("usage"))
    costs = parsed(field(row, "costDetails"))
    details = details if isinstance(details, dict) else {}
    costs = costs if isinstance(costs, dict) else {}
    tokens = {k: n for k, v in details.items() if (n := _amount(v)) is not None}
    usage = {
        "tokens_in": _sum(tokens, ("input", "prompt")) or _old(row, "promptTokens"),
        "tokens_out": _sum(tokens, ("output", "completion"))
        or _old(row, "completionTokens"),
        "cost": _cost(row, costs, details),
    }
    usage = without_null(usage)
    beside = without_null(
        {"usageDetails": details or None, "costDetails": costs or None}
    )
    return usage | {"extra": beside} if usage else {}


def _amount(value: Any) -> float | None:
    number = number_of(value)
    if isinstance(number, bool) or not isinstance(number, int | float):
        return None
    return number


def _sum(tokens: Mapping[str, float], words: tuple[str, ...]) -> float | None:
    """Return the sum of what counts tokens of one side, and no money."""
    of_side = {k: v for k, v in tokens.items() if any(w in k.lower() for w in words)}
    counted = [v for k, v in of_side.items() if not k.lower().endswith("cost")]
    return sum(counted) if counted else None


def _old(row: Wire, name: str) -> float | None:
    return _amount(field(row, name)) or None


def _cost(row: Wire, costs: Wire, details: Wire) -> float | None:
    total = _amount(costs.get("total"))
    if total is None and costs:
        amounts = [n for v in costs.values() if (n := _amount(v)) is not None]
        return sum(amounts) if amounts else None
    found = [total, *(_amount(field(row, n)) for n in _COSTS)]
    found.append(_amount(details.get("totalCost")))
    return next((n for n in found if n is not None), None)
