"""Traces of the OpenAI Agents SDK: what its exporter sends, or its objects, one a line.

A group is a task. Model spans (`generation`, `response`) tell the conversation where
they have content; `function` spans tell the calls, `guardrail` spans a judgement. The
usage of a `turn` is that of its model calls, and counts where those tell none. Handoffs
are between agents: they stay `span` events, as does every span we have no word for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from features.events import AgentEvent
from features.ingest._files.intake import Intake
from features.ingest._files.records import check_depth, each, first_of, need, records
from features.ingest._files.sources import RecordError
from features.ingest._spans.fields import spent_ms, tool_of, usage_of
from features.ingest._spans.observation import (
    Evaluation,
    Observation,
    What,
)
from features.ingest._spans.own import own
from features.ingest._spans.traces import traced
from features.ingest._talk.content import (
    arguments_of,
    identifier,
    text_of,
    time_of,
)
from features.ingest._talk.messages import Wire, without_null
from features.ingest._talk.vocabulary import exchange

LOOKS_FOR = "an object with `object` trace or trace.span, or with a list `data` of such"

_TRACE, _SPAN = "trace", "trace.span"
_MODELS = ("generation", "response")


def fits(value: Any) -> bool:
    """Return whether `value` looks like a trace, a span or an export of both."""
    record = first_of(value)
    data = record.get("data")
    return _is_ours(record) or (isinstance(data, list) and _is_ours(first_of(data)))


def _is_ours(record: Mapping[str, Any]) -> bool:
    return record.get("object") in (_TRACE, _SPAN)


def events(intake: Intake) -> Iterator[AgentEvent]:
    """Yield the events of the file, task by task."""
    reader = _Reader()
    return traced(intake, each(intake, reader.placed(intake), reader.translate))


@dataclass(slots=True)
class _Reader:
    """Reads objects; lends each trace, which tells no time, that of its root span."""

    waiting: dict[str, tuple[int, Wire]] = field(default_factory=dict)
    times: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    def placed(self, intake: Intake) -> Iterator[tuple[int, Any]]:
        """Yield (line, object), a trace right before its root span if that follows."""
        for line, record in records(intake):
            for item in _export(record):
                yield from self._released(line, item)
        yield from self.waiting.values()

    def _released(self, line: int, item: Any) -> Iterator[tuple[int, Any]]:
        fields = item if isinstance(item, dict) else {}
        trace_id = identifier(fields.get("trace_id") or fields.get("id")) or ""
        if fields.get("object") == _TRACE and trace_id not in self.times:
            self.waiting[trace_id] = line, fields
            return
        if fields.get("object") == _SPAN and fields.get("parent_id") is None:
            self.times[trace_id] = fields.get("started_at"), fields.get("ended_at")
            if trace_id in self.waiting:
                yield self.waiting.pop(trace_id)
        yield line, item

    def translate(self, item: Any) -> Iterator[Observation]:
        """Yield what one object tells.

        Raises
        ------
        RecordError
            If it is neither a trace nor a span, lacks an id or is nested too deeply.
        """
        check_depth(item, "record")
        kind = need(item, "record", "object", what="`trace` or `trace.span`")
        if kind == _TRACE:
            yield self._trace(item)
        elif kind == _SPAN:
            yield _span(item)
        else:
            raise RecordError(
                field="object", expected="trace or trace.span", found=repr(kind[:60])
            )

    def _trace(self, trace: Wire) -> Observation:
        trace_id = need(trace, "trace", "id", what="an id")
        metadata = trace.get("metadata")
        told = own(metadata if isinstance(metadata, dict) else {}, trace_id, None)
        began, ended = self.times.get(trace_id, (None, None))
        known = {"object", "id", "group_id", "workflow_name"}
        return Observation(
            trace_id=trace_id,
            span_id=trace_id,
            task_id=told.task_id or identifier(trace.get("group_id")),
            what=What.OTHER,
            name=str(trace.get("workflow_name") or ""),
            started=time_of(began),
            ended=time_of(ended),
            facts=told.facts,
            evaluations=told.evaluations,
            extra=without_null({k: v for k, v in trace.items() if k not in known}),
        )


def _export(record: Any) -> list[Any]:
    """Return the objects of one export; any other record alone."""
    data = record.get("data") if isinstance(record, dict) else None
    if not isinstance(data, list) or "object" in record:
        return [record]
    spans = [_data_of(item) for item in data]
    is_counted = any(s.get("usage") for s in spans if str(s.get("type")) in _MODELS)
    return data if is_counted else [_counted(item) for item in data]


def _data_of(item: Any) -> Mapping[str, Any]:
    data = item.get("span_data") if isinstance(item, dict) else None
    return data if isinstance(data, dict) else {}


def _counted(item: Any) -> Any:
    """Return `item` with the usage of its turn as its own, where it is a turn."""
    inner = _data_of(item).get("data")
    if not isinstance(inner, dict) or inner.get("sdk_span_type") != "turn":
        return item
    data = dict(item["span_data"]) | {"usage": inner.get("usage")}
    return dict(item) | {"span_data": data}


# --- one span ---------------------------------------------------------------


def _span(span: Wire) -> Observation:
    """Return what one span tells.

    Raises
    ------
    RecordError
        If it has no id, no trace or no data.
    """
    data = span.get("span_data")
    if not isinstance(data, dict):
        raise RecordError(
            field="trace.span.span_data",
            expected="an object in `span_data`",
            found=type(data).__name__,
        )
    span_id = need(span, "trace.span", "id", what="an id")
    metadata = span.get("metadata")
    started, ended = time_of(span.get("started_at")), time_of(span.get("ended_at"))
    told = own(metadata if isinstance(metadata, dict) else {}, span_id, ended)
    rest = dict(data)
    fields = _told(rest, span, started, ended)
    judged = [*told.evaluations, *fields.pop("evaluations", ())]
    return Observation(
        trace_id=need(span, "trace.span", "trace_id", what="the id of its trace"),
        span_id=span_id,
        task_id=told.task_id,
        started=started,
        ended=ended,
        facts=told.facts | fields.pop("facts", {}),
        confidence=told.confidence,
        interpretations=told.interpretations,
        evaluations=judged,
        error=_error(span.get("error")),
        extra=_extra(span, rest) | fields.pop("extra", {}),
        **fields,
    )


_READ = {"object", "id", "trace_id", "started_at", "ended_at", "error", "span_data"}


def _extra(span: Wire, rest: Wire) -> Wire:
    """Return what of a span no field of an observation tells."""
    beside = {k: v for k, v in span.items() if k not in _READ}
    return without_null(beside | {"span_data": without_null(rest) or None})


def _error(error: Any) -> Wire | None:
    if isinstance(error, str):
        error = {"message": error}
    if not isinstance(error, dict) or not error:
        return None
    message = {"message": text_of(error.get("message"))}
    return {"type": "error"} | without_null(error) | message


def _told(
    rest: Wire, span: Wire, started: datetime | None, ended: datetime | None
) -> Wire:
    """Return the fields that the span's kind tells; take what they say from `rest`."""
    kind = rest.get("type")
    read = _KINDS.get(kind) if isinstance(kind, str) else None
    if kind == "function":
        return _function(rest, span, started, ended)
    if kind == "guardrail":
        return _guardrail(rest, span, ended)
    return read(rest) if read is not None else _other(rest)


def _other(rest: Wire) -> Wire:
    kind, name = rest.get("type"), rest.get("name")
    usage = rest.pop("usage", None)
    told = {"what": What.OTHER, "name": str(name or kind or "")}
    return told | ({"usage": usage_of(usage)} if usage else {})


def _agent(rest: Wire) -> Wire:
    del rest["type"]
    name = rest.pop("name", None)
    facts = without_null({"agent_id": identifier(name)})
    return {"what": What.AGENT, "name": str(name or ""), "facts": facts}


def _function(
    rest: Wire, span: Wire, started: datetime | None, ended: datetime | None
) -> Wire:
    del rest["type"]
    name = str(rest.pop("name", None) or "")
    error = _error(span.get("error"))
    given = arguments_of(rest.pop("input", None))
    tool = tool_of(name, given, rest.pop("output", None), error)
    return {"what": What.TOOL, "name": name, "tool": tool | spent_ms(started, ended)}


def _generation(rest: Wire) -> Wire:
    said = exchange(rest.pop("input", None), rest.pop("output", None))
    return _model(rest, said.inputs, said.outputs, said.rest, said.usage)


def _response(rest: Wire) -> Wire:
    """Return what a `response` span tells; its content is there if one kept it."""
    response = rest.pop("response", None)
    said = exchange(rest.pop("input", None), response)
    fields = response if isinstance(response, dict) else {}
    rest.setdefault("model", fields.get("model"))
    told = _model(rest, said.inputs, said.outputs, said.rest, said.usage)
    return told | {"system": text_of(fields.get("instructions")) or None}


def _model(
    rest: Wire, inputs: list[Wire], outputs: list[Wire], beside: Wire, usage: Any
) -> Wire:
    kind, model = rest.pop("type"), rest.pop("model", None)
    return {
        "what": What.MODEL,
        "name": str(kind),
        "inputs": inputs,
        "outputs": outputs,
        "usage": usage_of(rest.pop("usage", None)) or usage_of(usage),
        "facts": without_null({"model": identifier(model)}),
        "extra": beside,
    }


def _guardrail(rest: Wire, span: Wire, ended: datetime | None) -> Wire:
    """Return the judgement of a guardrail: passed, unless it was triggered."""
    name, triggered = rest.get("name"), rest.get("triggered")
    told = {"what": What.OTHER, "name": str(name or "guardrail")}
    if not isinstance(triggered, bool):
        return told
    judged = Evaluation(
        name="guardrail",
        key=f"{span.get('id')}.guardrail",
        label="fail" if triggered else "pass",
        by=identifier(name),
        at=ended,
        about=identifier(span.get("parent_id")),
    )
    return told | {"evaluations": (judged,)}


_KINDS: Mapping[str, Callable[[Wire], Wire]] = {
    "agent": _agent,
    "generation": _generation,
    "response": _response,
}
