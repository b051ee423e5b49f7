"""Sufficiency: what a package must hold before it is sent, and what it lacks.

Nothing here stops a handover. What is lacking is listed, counted, and mended where it
can be: a person who gets a poor package still gets the task.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from features.events import AgentEvent, EventKind
from serving.policy.context import Attached, Reason
from serving.policy.trigger import Firing
from serving.policy.words import is_tautology

_HASH = re.compile(r"[0-9a-f]{64}")
_MENDED_WITH = 3
# How programs mark a text that they cut, at its very end.
_CUT_MARKS = re.compile(
    r"(?:\[|<|\(|\u2026|\.\.\.)\s*(?:\w+\s)?(?:truncated|cut off|output omitted)"
    r"[^\])>\n]{0,40}[\])>]?\s*$",
    re.IGNORECASE,
)
_TAIL = 80


class PackagePart(StrEnum):
    """A part of a package, as a receiver can miss it and as a check can."""

    REQUEST = "request"
    CONVERSATION = "conversation"
    ATTEMPTS = "attempts"
    REASONING = "reasoning"
    GUESS = "guess"
    WHY = "why"
    DECISION = "decision"
    ATTACHMENT = "attachment"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that should be in a package and is not.

    Attributes
    ----------
    part : PackagePart
        Which part is the poorer for it.
    says : str
        What is not there, and why.
    """

    part: PackagePart
    says: str


def lacks(
    parts: Mapping[str, Any], asked: Sequence[str], events: Sequence[AgentEvent]
) -> Iterator[Lack]:
    """Yield what a package lacks.

    Parameters
    ----------
    parts : Mapping
        Fields of the package by name: request, conversation, record, attempts,
        reasoning, best_guess, reasons, why, attachments.
    asked : sequence of str
        What must be decided, as far as log and policy say.
    events : sequence of AgentEvent
        The log it is made of.
    """
    yield from _absent(parts, events)
    yield from _reasonless(parts["why"])
    yield from _undecided(asked)
    yield from _unnamed(events)
    yield from _unsent(parts["attachments"])
    yield from _cut_before(events)


def mended(why: Sequence[Firing], reasons: Sequence[Reason]) -> tuple[Firing, ...]:
    """Return `why`, each firing that gives no reason with the words of the signals.

    What was said stays: the signals that raised the risk most follow it.
    """
    raising = [
        reason.says
        for reason in reasons
        if reason.contribution > 0 and reason.value is not None
    ]
    if not raising:
        return tuple(why)
    known = "; ".join(raising[:_MENDED_WITH])
    return tuple(
        replace(one, says=f"{one.says} (what the signals say: {known})".strip())
        if is_tautology(one.says)
        else one
        for one in why
    )


# --- attachments -------------------------------------------------------------


def named_in(events: Iterable[AgentEvent]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each file that an event names, with the id of the event."""
    for event in events:
        attachments = event.body.get("attachments")
        if isinstance(attachments, list):
            yield from ((event.event_id, one) for one in attachments)


def hash_of(attachment: object) -> str | None:
    """Return the SHA-256 (hex) by which an event names a file; None: by none."""
    digest = attachment.get("sha256") if isinstance(attachment, Mapping) else None
    is_hash = isinstance(digest, str) and _HASH.fullmatch(digest) is not None
    return digest if is_hash else None


def attached(
    events: Iterable[AgentEvent], stored: Mapping[str, int]
) -> Iterator[Attached]:
    """Yield every file that an event names by its hash.

    Parameters
    ----------
    events : iterable of AgentEvent
        Of a task.
    stored : Mapping of str to int
        Size in bytes, by hash, of those that are kept here.
    """
    for event_id, one in named_in(events):
        if (digest := hash_of(one)) is not None:
            size = one.get("size")
            yield Attached(
                event_id=event_id,
                sha256=digest,
                name=_text(one.get("name")),
                media_type=_text(one.get("media_type")),
                size=size if type(size) is int else None,
                stored=stored.get(digest),
            )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


# --- what is checked ---------------------------------------------------------


def _absent(parts: Mapping[str, Any], events: Sequence[AgentEvent]) -> Iterator[Lack]:
    part = PackagePart
    if not parts["request"]:
        says = "original request: the log holds no text of the user"
        yield Lack(part.REQUEST, says)
    if not parts["conversation"]:
        yield Lack(part.CONVERSATION, "conversation: the log holds no message")
    calls = (EventKind.TOOL_CALL, EventKind.TOOL_RESULT)
    if not parts["attempts"] and any(event.kind in calls for event in events):
        yield Lack(part.ATTEMPTS, "attempts: tools were called and none is listed")
    if not parts["reasoning"]:
        yield Lack(part.REASONING, "reasoning: the agent logged none")
    if not parts["best_guess"]:
        says = "best guess: the agent logged no plan and no message"
        yield Lack(part.GUESS, says)
    if not parts["reasons"]:
        says = "contributions of the signals: the model did not give any"
        yield Lack(part.OTHER, says)


def _reasonless(why: Sequence[Firing]) -> Iterator[Lack]:
    if not why:
        yield Lack(PackagePart.WHY, "why it escalated: no trigger fired")
    for firing in why:
        if is_tautology(firing.says):
            yield Lack(
                PackagePart.WHY,
                f"why it escalated: {firing.trigger!r} only says {firing.says!r}, "
                "which is no reason",
            )


def _undecided(asked: Sequence[str]) -> Iterator[Lack]:
    if not asked:
        says = "what to decide: neither the log nor the policy asks anything"
        yield Lack(PackagePart.DECISION, says)
    for question in asked:
        if is_tautology(question):
            says = f"what to decide: {question!r} asks nothing about this task"
            yield Lack(PackagePart.DECISION, says)


def _unnamed(events: Sequence[AgentEvent]) -> Iterator[Lack]:
    for event_id, one in named_in(events):
        if hash_of(one) is None:
            yield Lack(
                PackagePart.ATTACHMENT,
                f"content hash (sha256) of an attachment of event {event_id!r}: it "
                "cannot be told from another",
            )


def _unsent(attachments: Sequence[Attached]) -> Iterator[Lack]:
    for one in attachments:
        called = f"attachment {one.name or one.sha256!r} of event {one.event_id!r}"
        if one.stored is None:
            says = f"{called}: it was named and never sent"
            yield Lack(PackagePart.ATTACHMENT, says)
        elif one.size is not None and one.size != one.stored:
            says = f"{called}: {one.size} bytes were named, {one.stored} are kept"
            yield Lack(PackagePart.ATTACHMENT, says)


_PART_OF: Mapping[str, PackagePart] = {
    EventKind.TASK_STARTED: PackagePart.REQUEST,
    EventKind.PLAN: PackagePart.REASONING,
    EventKind.TOOL_CALL: PackagePart.ATTEMPTS,
    EventKind.TOOL_RESULT: PackagePart.ATTEMPTS,
    EventKind.USER_MESSAGE: PackagePart.CONVERSATION,
    EventKind.AGENT_MESSAGE: PackagePart.CONVERSATION,
}


def _cut_before(events: Sequence[AgentEvent]) -> Iterator[Lack]:
    """Yield the texts that were cut before they came here."""
    for event in events:
        is_marked = _CUT_MARKS.search(event.text[-_TAIL:]) is not None
        if is_marked or event.body.get("truncated") is True:
            part = _PART_OF.get(event.kind, PackagePart.OTHER)
            says = f"the end of event {event.event_id!r}: whoever sent it had cut it"
            yield Lack(part, says)
