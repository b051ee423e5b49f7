"""What one span of a trace tells, whatever SDK wrote it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from features.ingest._talk.messages import Wire

# Ends the id of a `task_started` that only adds to what the first one said.
LATER = ".facts"


class What(StrEnum):
    """What a span did."""

    MODEL = "model"  # asked a model: messages in, a message out
    TOOL = "tool"
    RETRIEVAL = "retrieval"
    AGENT = "agent"  # a whole run or turn, around other spans
    OTHER = "other"  # anything else; kept, read by no signal
    JUDGEMENT = "judgement"  # nothing: a judgement of others came alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A judgement of a span or a trace: a score, a feedback, an assessment.

    Attributes
    ----------
    name : str
        What was judged, in the words of whoever judges.
    score : float, bool or None
        As it came; what a number means is the judge's own.
    label : str or None
        The answer in a word, such as ``"pass"``.
    text : str or None
        Why.
    by : str or None
        Who judged.
    is_human : bool
        Whether people did: their judgement is an outcome, never a signal.
    at : datetime or None
        When it was known. Without it nobody knows which steps it came before.
    about : str or None
        Id of the span judged; None: the whole task.
    key : str
        Tells this judgement from others of its task, the same at every reading.
    extra : Mapping
        What we have no name for, verbatim.
    """

    name: str
    key: str
    score: float | bool | None = None
    label: str | None = None
    text: str | None = None
    by: str | None = None
    is_human: bool = False
    at: datetime | None = None
    about: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One span, in the words of `AgentEvent` and of chat messages.

    Attributes
    ----------
    trace_id, span_id : str
        Unique together with `piece`; `span_id` and `piece` name the events.
    piece : str
        Which piece of the span this is, where its log tells it in several: empty for
        the span itself, ``".log"`` for what log records say of it. A span's answer
        told by two pieces is one answer.
    task_id : str or None
        The task, where the span says so; else its trace's other spans or the trace.
    what : What
        What the span did.
    name : str
        What its log calls it.
    started, ended : datetime or None
        UTC.
    facts : Mapping
        Of `task_started`, as far as this span knows them: domain, channel, locale,
        agent_id, agent_version, model, group, account.
    system : str or None
        The agent's instructions.
    inputs, outputs : Sequence
        Chat messages (`role`, `content` as text or parts, `tool_calls`, …), oldest
        first: of a model, what it was given (the conversation so far) and what it
        answered; of an agent, its request and its answer.
    tool : Mapping
        Of a tool span: tool, call_id, arguments, text, error, latency_ms.
    documents : Sequence of Mapping or None
        Of a retrieval span.
    usage : Mapping
        tokens_in, tokens_out, cost; the log's own words under extra.
    confidence : Mapping or None
        value and source, of the answer.
    interpretations : int, list or None
        Readings of the request, of the answer.
    error : Mapping or None
        type and message, where the span failed.
    evaluations : Sequence of Evaluation
        Judgements that came with it, of it or of others.
    extra : Mapping
        Everything else the span says, verbatim.
    """

    trace_id: str
    span_id: str
    piece: str = ""
    task_id: str | None = None
    what: What
    name: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    facts: Wire = field(default_factory=dict)
    system: str | None = None
    inputs: Sequence[Any] = ()
    outputs: Sequence[Any] = ()
    tool: Wire = field(default_factory=dict)
    documents: Sequence[Mapping[str, Any]] | None = None
    usage: Wire = field(default_factory=dict)
    confidence: Wire | None = None
    interpretations: int | list[Any] | None = None
    error: Wire | None = None
    evaluations: Sequence[Evaluation] = ()
    extra: Wire = field(default_factory=dict)
