"""Following: what somebody who follows a task live is told next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from features.events import AgentEvent, EventKind
from serving.engine.noticing import Telling, telling
from serving.policy.audit import rfc3339
from serving.policy.rules import Policy
from serving.store import log, notices, presence, talk, tasks
from serving.store.presence import Doing, Present
from serving.store.talk import SPEAKERS, Placed
from serving.store.tasks import OwnerKind, Task
from serving.store.transaction import Reader

MOST_AT_ONCE = 100
_LIVE = (OwnerKind.QUEUE, OwnerKind.PERSON)

Json = dict[str, Any]


class Word(StrEnum):
    """What a follower can be told; the event types of the stream."""

    MESSAGE = "message"
    NOTICE = "notice"
    CLAIMED = "claimed"
    RETURNED = "returned"
    RESOLVED = "resolved"
    QUEUED = "queued"
    PRESENCE = "presence"
    TYPING = "typing"
    OVER = "over"


_WORDS = {
    **dict.fromkeys(SPEAKERS, Word.MESSAGE),
    EventKind.HANDOFF: Word.NOTICE,
    EventKind.CLAIMED: Word.CLAIMED,
    EventKind.RETURNED: Word.RETURNED,
    EventKind.RESOLVED: Word.RESOLVED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One thing that a follower is told.

    Attributes
    ----------
    place : int or None
        In the task's log, to go on from; None: of the moment, told anew to whoever
        comes back.
    """

    word: Word
    says: Json
    place: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a follower has been told.

    Attributes
    ----------
    place : int
        Of the last event of the log it need not be told again; -1: of none.
    epoch : int
        Of the ownership it last heard of.
    there, typing : tuple or None
        Who was there, and typed, when it last heard; None: it never did.
    """

    place: int
    epoch: int = 0
    there: tuple[Json, ...] | None = None
    typing: tuple[Json, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What is new to a follower.

    Attributes
    ----------
    more : bool
        Whether the log holds more that is new.
    is_over : bool
        Whether nobody is live any more, and all of that was told.
    """

    seen: Seen
    told: tuple[Told, ...] = field(default=())
    more: bool = False
    is_over: bool = False


def begin(reader: Reader, task_id: str, after: int | None) -> Seen:
    """Return where somebody begins who was told everything up to the place `after`.

    None: with the opening of the last handover. So does whoever names a place that the
    log does not have: better to tell them twice than to leave anything out.

    Raises
    ------
    Problem
        unknown-task.
    """
    tasks.get(reader, task_id)
    if after is not None and -1 <= after < log.length(reader, task_id):
        return Seen(place=after)
    opened = talk.opening(reader, task_id)
    return Seen(place=-1 if opened is None else opened - 1)


def news(
    reader: Reader, policy: Policy, task_id: str, seen: Seen, at: datetime
) -> News:
    """Return what is new to somebody who has been told what `seen` says.

    Raises
    ------
    Problem
        unknown-task.
    """
    task = tasks.get(reader, task_id)
    placed = tuple(talk.told(reader, task_id, after=seen.place, most=MOST_AT_ONCE))
    telling_now = telling(reader, policy, task, at)
    told = tuple(_placed(reader, one, telling_now) for one in placed)
    if len(placed) == MOST_AT_ONCE:
        place = placed[-1].place
        return News(seen=replace(seen, place=place), told=told, more=True)
    place = log.length(reader, task_id) - 1
    people = presence.there(reader, task_id, at)
    there, typing = _there(people), _typing(people)
    standing = tuple(_standing(task, telling_now, seen))
    of_now = tuple(_of_the_moment(seen, there, typing))
    is_over = task.owner_kind not in _LIVE
    over = (Told(word=Word.OVER, says=_owned(task)),) if is_over else ()
    return News(
        seen=Seen(place=place, epoch=task.epoch, there=there, typing=typing),
        told=(*told, *standing, *of_now, *over),
        is_over=is_over,
    )


# --- of the log ------------------------------------------------------------------


def _placed(reader: Reader, placed: Placed, now: Telling) -> Told:
    event = placed.event
    word = _WORDS[EventKind(event.kind)]
    if word is Word.MESSAGE:
        says = message(placed)
    elif word is Word.NOTICE:
        says = _notice(reader, event, now)
    else:
        says = {"handoff_id": event.body.get("handoff_id"), "by": event.body.get("by")}
    at = rfc3339(event.at)
    return Told(
        word=word, says={**says, "at": at, "place": placed.place}, place=placed.place
    )


def message(placed: Placed) -> Json:
    """Return a message as followers, the console and the API show it."""
    event = placed.event
    return {
        "message_id": event.event_id,
        "from": SPEAKERS[EventKind(event.kind)],
        "by": event.body.get("by"),
        "handoff_id": event.body.get("handoff_id"),
        "text": event.text,
        "attachments": list(event.body.get("attachments") or ()),
        "at": rfc3339(event.at),
        "place": placed.place,
    }


def during(reader: Reader, task_id: str, handoff_id: str) -> list[Json]:
    """Return the messages of a handoff's time, from its opening to its end."""
    opened = talk.opening(reader, task_id, handoff_id)
    if opened is None:
        return []
    messages = []
    for placed in talk.said(reader, task_id, after=opened):
        event = placed.event
        if event.kind in SPEAKERS:
            messages.append(message(placed))
        elif event.body.get("handoff_id") == handoff_id:
            break
    return messages


def _notice(reader: Reader, event: AgentEvent, now: Telling) -> Json:
    """Return the message of the handover that `event` tells of.

    The last one is worded for the moment; an earlier one was over before.
    """
    handoff_id = str(event.body.get("handoff_id"))
    notice = notices.find(reader, handoff_id)
    if notice is None:
        return {"handoff_id": handoff_id, "message_id": None, "message": None}
    is_last = now.notice is not None and now.notice.handoff_id == handoff_id
    return {
        "handoff_id": handoff_id,
        "message_id": notice.message_id,
        "message": now.message or notice.text if is_last else notice.text,
        "state": str(notice.state),
    }


# --- of the moment ---------------------------------------------------------------


def _standing(task: Task, now: Telling, seen: Seen) -> Iterator[Told]:
    """Yield that the task waits, to whoever has not heard of it yet."""
    if task.owner_kind is not OwnerKind.QUEUE or task.epoch == seen.epoch:
        return
    wait = None if now.wait is None else now.wait.total_seconds()
    handoff_id = None if now.notice is None else now.notice.handoff_id
    yield Told(
        word=Word.QUEUED,
        says={
            "handoff_id": handoff_id,
            "queue": task.owner_id,
            "epoch": task.epoch,
            "expected_wait_s": wait,
        },
    )


def _of_the_moment(
    seen: Seen, there: tuple[Json, ...], typing: tuple[Json, ...]
) -> Iterator[Told]:
    if there != seen.there:
        yield Told(word=Word.PRESENCE, says={"present": list(there)})
    if typing != (seen.typing or ()):
        yield Told(word=Word.TYPING, says={"typing": list(typing)})


def _there(people: tuple[Present, ...]) -> tuple[Json, ...]:
    return tuple({"who": one.who, "role": str(one.role)} for one in people)


def _typing(people: tuple[Present, ...]) -> tuple[Json, ...]:
    return _there(tuple(one for one in people if one.doing is Doing.TYPING))


def _owned(task: Task) -> Json:
    return {"owner": task.owner, "epoch": task.epoch}
