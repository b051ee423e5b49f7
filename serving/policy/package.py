"""Context packager: what a human needs to take over without re-investigating."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from features.events import AgentEvent, EventKind
from features.signals import SIGNALS
from serving.policy.attempts import Attempt, Outcome, attempts_of, rest_of
from serving.policy.briefing import HOW_TO_GO_ON, may_not_know, questions
from serving.policy.context import ContextPackage, Reason, Thought, Turn
from serving.policy.sufficiency import attached, lacks, mended
from serving.policy.trigger import Decision
from serving.policy.unpacking import lost
from serving.policy.words import shown

__all__ = [
    "Attempt",
    "ContextPackage",
    "Contributed",
    "Outcome",
    "PackageError",
    "Reason",
    "Thought",
    "Turn",
    "check",
    "pack",
]


class PackageError(ValueError):
    """A package that would mislead whoever takes over; the message says how."""


class Contributed(Protocol):
    """What the packager needs to know of a signal's contribution to the score."""

    @property
    def signal(self) -> str:
        """Name of the signal."""
        ...

    @property
    def value(self) -> float:
        """Its value, NaN if unknown."""
        ...

    @property
    def contribution(self) -> float:
        """What it adds to the score, log-odds."""
        ...


_DOCS = {signal.name: signal.doc for signal in SIGNALS}
_SPEAKERS = {
    EventKind.USER_MESSAGE: "user",
    EventKind.AGENT_MESSAGE: "agent",
    EventKind.PERSON_MESSAGE: "person",
}
_THOUGHTS = ("reasoning", "thinking", "rationale")
# Usage says little to a human; what the task started with, and the rates of its
# history, stand among its facts and signals.
_BACKGROUND = frozenset({EventKind.TASK_STARTED, EventKind.USAGE, EventKind.HISTORY})
_PLACED = frozenset(
    {
        *_SPEAKERS,
        *_BACKGROUND,
        EventKind.PLAN,
        EventKind.TOOL_CALL,
        EventKind.TOOL_RESULT,
    }
)
_ROUNDING = 1e-6


# --- what happened -----------------------------------------------------------


def _turn(event: AgentEvent) -> Turn:
    attachments = event.body.get("attachments")
    return Turn(
        event_id=event.event_id,
        at=event.at,
        speaker=_SPEAKERS[EventKind(event.kind)],
        text=event.text,
        attachments=tuple(attachments or ()),
        rest=rest_of(event, {"text": event.text, "attachments": attachments}),
    )


def _conversation(events: Sequence[AgentEvent]) -> tuple[Turn, ...]:
    return tuple(_turn(event) for event in events if event.kind in _SPEAKERS)


def _started(events: Sequence[AgentEvent]) -> Mapping[str, Any]:
    """Return what is known of the task; a later `task_started` only adds."""
    started: dict[str, Any] = {}
    for event in events:
        if event.kind == EventKind.TASK_STARTED:
            started = {**event.body, **started}
    return started


def _request(events: Sequence[AgentEvent]) -> str:
    """Return the text the task started with, else the user's first message."""
    texts = (
        event.text
        for kind in (EventKind.TASK_STARTED, EventKind.USER_MESSAGE)
        for event in events
        if event.kind == kind
    )
    return next((text for text in texts if text.strip()), "")


def _thoughts(events: Sequence[AgentEvent]) -> Iterator[Thought]:
    for event in events:
        if event.kind == EventKind.PLAN:
            contents = [dict(event.body)]
        else:
            contents = [event.body[key] for key in _THOUGHTS if key in event.body]
        for content in contents:
            yield Thought(
                event_id=event.event_id, at=event.at, kind=event.kind, content=content
            )


def _best_guess(events: Sequence[AgentEvent]) -> str:
    kinds = (EventKind.PLAN, EventKind.AGENT_MESSAGE)
    texts = (event.text for event in reversed(events) if event.kind in kinds)
    return next((text for text in texts if text.strip()), "")


# --- why it escalated --------------------------------------------------------


def _reason(part: Contributed) -> Reason:
    unknown = math.isnan(part.value)
    if part.contribution == 0:
        effect = "does not move the risk"
    else:
        effect = "raises the risk" if part.contribution > 0 else "lowers the risk"
    doc = _DOCS.get(part.signal, part.signal)
    return Reason(
        signal=part.signal,
        value=None if unknown else part.value,
        contribution=part.contribution,
        says=f"{doc}: {shown(part.value)}; {effect}",
    )


def _score(
    contributions: Sequence[Contributed], base: float | None, score: float | None
) -> float | None:
    """Return what base and contributions add up to, held against `score`."""
    if base is None:
        return score
    total = base + math.fsum(part.contribution for part in contributions)
    if score is not None and abs(total - score) > _ROUNDING * max(1.0, abs(score)):
        msg = (
            f"contributions and base must add up to the score {score!r}, they come to "
            f"{total!r}; pass those that `explain` gave for the same signals"
        )
        raise PackageError(msg)
    return total if score is None else score


# --- the package -------------------------------------------------------------


def check(package: ContextPackage, events: Sequence[AgentEvent]) -> None:
    """Check that `package` holds all of `events`, each as it came, and nothing else.

    Raises
    ------
    PackageError
        If an event is not there, or not whole, or in another order.
    """
    for says in lost(package.to_json(), events):
        raise PackageError(says)


def _task_of(events: Sequence[AgentEvent]) -> str:
    tasks = sorted({event.task_id for event in events})
    if len(tasks) != 1:
        msg = (
            f"a package is of one task, got events of {len(tasks)}"
            f"{': ' + ', '.join(tasks) if tasks else ''}; pass the log of one task"
        )
        raise PackageError(msg)
    return tasks[0]


def _happened(events: Sequence[AgentEvent]) -> dict[str, Any]:
    attempts = attempts_of(events)
    return {
        "task": {k: v for k, v in _started(events).items() if k != "text"},
        "at": events[-1].at,
        "request": _request(events),
        "conversation": _conversation(events),
        "attempts": attempts,
        "reasoning": tuple(_thoughts(events)),
        "record": tuple(e.to_json() for e in events if e.kind not in _PLACED),
        "background": tuple(e.to_json() for e in events if e.kind in _BACKGROUND),
        "log": tuple(event.event_id for event in events),
        "best_guess": _best_guess(events),
        "may_not_know": may_not_know(events, attempts),
        "done": tuple(
            a for a in attempts if a.is_write and a.outcome is Outcome.SUCCEEDED
        ),
    }


def pack(
    events: Sequence[AgentEvent],
    decision: Decision,
    contributions: Sequence[Contributed],
    signals: Mapping[str, float],
    *,
    base: float | None = None,
    score: float | None = None,
    stored: Mapping[str, int] | None = None,
) -> ContextPackage:
    """Return the package of the task whose log is `events`.

    What is absent is listed in `missing`, never hidden; it does not stop a handover.

    Parameters
    ----------
    events : sequence of AgentEvent
        The task's log so far, in log order.
    decision : Decision
        Why it is handed over.
    contributions : sequence of Contributed
        What the model gave for `signals`; empty where it had no part.
    signals : Mapping of str to float
        By name; NaN is unknown.
    base, score : float, optional
        Where the contributions start, and what they must add up to; log-odds.
    stored : Mapping of str to int, optional
        Size in bytes, by hash, of the attachments that are kept; None: none is.

    Raises
    ------
    PackageError
        If the events are none or of several tasks, or the contributions do not add up.
    """
    task_id = _task_of(events)
    happened = _happened(events)
    reasons = tuple(_reason(part) for part in contributions)
    files = tuple(attached(events, stored or {}))
    asked = questions(events, happened["attempts"], decision.firings)
    parts = {**happened, "reasons": reasons, "attachments": files}
    lacking = tuple(lacks({**parts, "why": decision.firings}, asked, events))
    package = ContextPackage(
        task_id=task_id,
        **parts,
        why=mended(decision.firings, reasons),
        risk=decision.risk,
        threshold=decision.threshold,
        base=base,
        score=_score(contributions, base, score),
        to_decide=asked or (HOW_TO_GO_ON,),
        signals={k: float(v) for k, v in signals.items() if not math.isnan(v)},
        missing=tuple(lack.says for lack in lacking),
        lacking=tuple(dict.fromkeys(str(lack.part) for lack in lacking)),
    )
    check(package, events)
    return package
