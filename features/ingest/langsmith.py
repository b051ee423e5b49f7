"""LangSmith runs and feedback, one row a line, and batches as its client sends them.

The conversation a run's metadata names (session, thread) is its task; the `session_id`
of a row is a project, and no task. Only runs of models count tokens: a chain repeats
the sum of those within. Feedback without a run's trace is of the run it names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from features.events import AgentEvent
from features.ingest._files.intake import Intake
from features.ingest._files.records import check_depth, each, first_of, need, records
from features.ingest._otel.draft import parsed
from features.ingest._spans.feedback import average, feedback
from features.ingest._spans.fields import (
    documents_of,
    spent_ms,
    tool_of,
    usage_of,
)
from features.ingest._spans.merging import PIECE, Merger
from features.ingest._spans.observation import Observation, What
from features.ingest._spans.own import number_of, own
from features.ingest._spans.traces import traced
from features.ingest._talk.content import identifier, text_of, time_of
from features.ingest._talk.messages import Wire, taken, without_null
from features.ingest._talk.vocabulary import exchange

LOOKS_FOR = "an object with `id` and `run_type` (a run), or `key` and `run_id`"

_KINDS = {
    "llm": What.MODEL,
    "tool": What.TOOL,
    "retriever": What.RETRIEVAL,
}
_TASKS = ("session_id", "thread_id", "conversation_id")
_USERS = ("user_id", "user")
_VERSIONS = ("revision_id", "agent_version", "version")
_MODELS = ("ls_model_name", "model_name", "model")


def fits(value: Any) -> bool:
    """Return whether `value` looks like a run, feedback, or a batch of runs."""
    record = first_of(value)
    if "run_type" in record or _is_feedback(record):
        return True
    rows = [first_of(record.get(name)) for name in ("post", "patch")]
    return any("dotted_order" in row or "run_type" in row for row in rows)


def _is_feedback(record: Mapping[str, Any]) -> bool:
    return "key" in record and ("run_id" in record or "feedback_source" in record)


def events(intake: Intake) -> Iterator[AgentEvent]:
    """Yield the events of the file, task by task."""
    merger = Merger(place=("trace_id", "run_type", "dotted_order"), ends=("end_time",))
    return traced(intake, each(intake, _placed(intake, merger), _translated))


def _placed(intake: Intake, merger: Merger) -> Iterator[tuple[int, Any]]:
    """Yield (line, row); a run that was sent at its start and at its end is one."""
    for line, record in records(intake):
        for row in _rows(record):
            run_id = identifier(row.get("id")) if isinstance(row, dict) else None
            if run_id is None or _is_feedback(row):
                yield line, row
            else:
                yield from merger.add(line, run_id, row)
    yield from merger.rest()


def _rows(record: Any) -> list[Any]:
    if not isinstance(record, dict) or "run_type" in record or "id" in record:
        return [record]
    sent = [record.get(name) for name in ("post", "patch")]
    rows = [row for rows in sent if isinstance(rows, list) for row in rows]
    return rows or [record]


def _translated(row: Any) -> Iterator[Observation]:
    """Yield what a row tells.

    Raises
    ------
    RecordError
        If it is neither a run nor feedback, lacks an id or is nested too deeply.
    """
    check_depth(row, "run")
    if isinstance(row, dict) and _is_feedback(row):
        yield feedback(row)
    else:
        yield _Run.of(row).observation()


# --- runs -------------------------------------------------------------------

_READ = {
    PIECE,
    "dotted_order",
    "end_time",
    "error",
    "feedback_stats",
    "id",
    "inputs",
    "name",
    "outputs",
    "run_type",
    "start_time",
    "trace_id",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """A run whose fields are told apart."""

    row: Wire
    run_id: str
    what: What
    metadata: Wire
    started: datetime | None
    ended: datetime | None
    given: Any
    answered: Any
    error: Wire | None
    extra: Wire = field(default_factory=dict)

    @classmethod
    def of(cls, row: Any) -> _Run:
        """Return the run that `row` is.

        Raises
        ------
        RecordError
            If it has no id or no type.
        """
        run_id = need(row, "run", "id", what="the id of the run")
        kind = need(row, "run", "run_type", what="llm, chain, tool, retriever or so")
        extra = row.get("extra")
        metadata = extra.get("metadata") if isinstance(extra, dict) else None
        told = row.get("error")
        ended = time_of(row.get("end_time"))
        return cls(
            row=row,
            run_id=run_id,
            what=_KINDS.get(kind, What.AGENT if _is_root(row) else What.OTHER),
            metadata=metadata if isinstance(metadata, dict) else {},
            started=time_of(row.get("start_time")) or _ordered_at(row) or ended,
            ended=ended,
            given=parsed(row.get("inputs")),
            answered=parsed(row.get("outputs")),
            error=_error(told) if told else None,
        )

    def observation(self) -> Observation:
        """Return what the run tells."""
        row, run_id = self.row, self.run_id
        ours = own(self.metadata, run_id, self.ended or self.started)
        told = self._told()
        facts = {
            "group": identifier(taken(self.metadata, _USERS)),
            "agent_version": identifier(taken(self.metadata, _VERSIONS)),
            "model": self._model(),
        }
        return Observation(
            trace_id=identifier(row.get("trace_id")) or _root_of(row) or run_id,
            span_id=run_id,
            piece=row.get(PIECE, ""),
            task_id=ours.task_id or identifier(taken(self.metadata, _TASKS)),
            what=self.what,
            name=str(row.get("name") or ""),
            started=self.started,
            ended=self.ended,
            facts=without_null(facts) | ours.facts,
            confidence=ours.confidence,
            interpretations=ours.interpretations,
            evaluations=(*ours.evaluations, *average(row, run_id)),
            error=self.error,
            extra=self._extra() | told.pop("extra", {}),
            **told,
        )

    def _told(self) -> Wire:
        """Return the fields that the run's type tells."""
        match self.what:
            case What.MODEL:
                said = exchange(self.given, self.answered)
                usage = self._usage() or usage_of(self.metadata.get("usage_metadata"))
                return {
                    "inputs": said.inputs,
                    "outputs": said.outputs,
                    "usage": usage or usage_of(said.usage),
                    "extra": said.rest,
                }
            case What.TOOL:
                name = str(self.row.get("name") or "")
                tool = tool_of(name, self.given, self.answered, self.error)
                return {"tool": tool | spent_ms(self.started, self.ended)}
            case What.RETRIEVAL:
                documents = documents_of(self.answered)
                return {"documents": documents, "extra": {"inputs": self.given}}
            case What.AGENT:
                said = exchange(self.given, self.answered)
                told = {"inputs": said.inputs, "outputs": said.outputs}
                return {**told, "extra": said.rest}
            case _:
                beside = {"inputs": self.given, "outputs": self.answered}
                return {"extra": without_null(beside)}

    def _usage(self) -> Wire:
        names = {
            "prompt_tokens": "tokens_in",
            "completion_tokens": "tokens_out",
            "total_cost": "cost",
        }
        row = self.row
        usage = {ours: number_of(row.get(name)) for name, ours in names.items()}
        usage = without_null(usage)
        counted = {k: v for k, v in row.items() if _is_counted(k) and v is not None}
        return usage | {"extra": counted} if usage else {}

    def _model(self) -> str | None:
        extra = self.row.get("extra")
        asked = extra.get("invocation_params") if isinstance(extra, dict) else None
        params = asked if isinstance(asked, dict) else {}
        found = taken(self.metadata, _MODELS) or taken(params, _MODELS)
        return identifier(found) if self.what is What.MODEL else None

    def _extra(self) -> Wire:
        counts = self.what is What.MODEL
        return without_null(
            {
                k: v
                for k, v in self.row.items()
                if k not in _READ
                and v not in ([], {})
                and not (counts and _is_counted(k))
            }
        )


def _is_counted(name: str) -> bool:
    return name.startswith(("prompt_", "completion_", "total_")) and name.endswith(
        ("_tokens", "_cost", "_details")
    )


def _is_root(row: Wire) -> bool:
    order = row.get("dotted_order")
    nested = isinstance(order, str) and "." in order
    return row.get("parent_run_id") is None and not nested


def _root_of(row: Wire) -> str | None:
    """Return the id of the trace, the outermost run of the dotted order."""
    order = row.get("dotted_order")
    if not isinstance(order, str):
        return None
    return order.partition(".")[0].partition("Z")[2] or None


def _ordered_at(row: Wire) -> datetime | None:
    """Return the start of the run, as the last part of its dotted order tells it."""
    order = row.get("dotted_order")
    if not isinstance(order, str):
        return None
    stamp = order.rpartition(".")[2].partition("Z")[0]
    seconds, fraction = stamp[:15], stamp[15:]
    return time_of(f"{seconds}.{fraction or 0}+00:00")


def _error(told: Any) -> Wire:
    """Return the error of a run, whose type stands before its words."""
    text = text_of(told)
    kind, _, words = text.partition("(")
    named = kind if words and kind.isidentifier() else "error"
    return {"type": named, "message": text}
