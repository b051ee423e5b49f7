"""What happened, step by step, out of a package: one list from four."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

from serving.policy.sufficiency import hash_of

Package = Mapping[str, Any]
_SHORT = 60


class Voice(StrEnum):
    """Who is speaking: decides the frame, and the order of what is of one moment."""

    USER = "user"
    PERSON = "person"
    THOUGHT = "thought"
    TOOL = "tool"
    RECORD = "record"
    AGENT = "agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that came with a message: named here, saved on demand, never opened.

    Attributes
    ----------
    name, media_type, digest : str
        As the log has them; empty if it does not.
    is_named : bool
        Whether `digest` is a SHA-256 (hex), by which the bytes can be asked for.
    """

    name: str
    media_type: str
    digest: str
    is_named: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that happened.

    Attributes
    ----------
    anchor : str
        Of the page, to jump to.
    at : str
        When, RFC 3339 in UTC.
    title : str
        Kind of a record or thought; name of a tool, or of a person who wrote.
    text : str
        What was said; what the tool answered.
    fields : tuple of (str, str)
        Other fields, each as a name and what it holds.
    number, times : int
        Of an attempt: its place among all, and among those with the same call.
    same : int
        Of an attempt: how many had the same call.
    arguments, error : str
        Of an attempt, as JSON or text; empty if there are none.
    outcome : str
        Of an attempt: succeeded, failed, unanswered.
    """

    voice: Voice
    anchor: str
    at: str
    title: str = ""
    text: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    attachments: tuple[Attachment, ...] = ()
    number: int = 0
    times: int = 0
    same: int = 0
    is_write: bool = False
    arguments: str = ""
    error: str = ""
    outcome: str = ""

    @property
    def notes(self) -> tuple[tuple[str, str], ...]:
        """The fields that are short enough to stand in the open."""
        return tuple(f for f in self.fields if _is_short(f[1]))

    @property
    def folded(self) -> tuple[tuple[str, str], ...]:
        """The other fields."""
        return tuple(f for f in self.fields if not _is_short(f[1]))

    @property
    def failed(self) -> bool:
        """Whether it is an attempt that failed."""
        return self.outcome == "failed"


@dataclass(frozen=True, slots=True)
class Timeline:
    """The steps of a task, and which of them to look at first."""

    steps: tuple[Step, ...]
    done: tuple[Step, ...] = field(default=())

    @property
    def last_failure(self) -> str | None:
        """Anchor of the last attempt that failed; None if none did."""
        failed = (step.anchor for step in reversed(self.steps) if step.failed)
        return next(failed, None)

    @classmethod
    def of(cls, package: Package) -> Timeline:
        """Return what happened according to `package`.

        The package keeps messages, attempts, thoughts and records apart, each in log
        order. They are merged by time without reordering any of the four.
        """
        attempts = list(_attempts(package))
        steps = _merged(
            list(_turns(package)), attempts, list(_thoughts(package)), _records(package)
        )
        done = tuple(
            step for step in attempts if step.is_write and step.outcome == "succeeded"
        )
        return cls(tuple(steps), done)


def _merged(*lists: Iterable[Step]) -> Iterator[Step]:
    heads = [list(reversed(list(steps))) for steps in lists]
    while waiting := [steps for steps in heads if steps]:
        yield min(waiting, key=lambda steps: _when(steps[-1])).pop()


def _when(step: Step) -> tuple[datetime, int]:
    return datetime.fromisoformat(step.at), list(Voice).index(step.voice)


def _turns(package: Package) -> Iterator[Step]:
    for place, turn in enumerate(package["conversation"], 1):
        voice, rest = Voice(turn["speaker"]), dict(turn["rest"])
        yield Step(
            voice=voice,
            anchor=f"message-{place}",
            at=turn["at"],
            title=as_text(rest.pop("by", None)) if voice is Voice.PERSON else "",
            text=turn["text"],
            attachments=_attached(turn["attachments"]),
            fields=_fields(rest, empty=("text", "attachments")),
        )


def _attempts(package: Package) -> Iterator[Step]:
    attempts: Sequence[Mapping[str, Any]] = package["attempts"]
    same = Counter(_call(attempt) for attempt in attempts)
    for attempt in attempts:
        yield Step(
            voice=Voice.TOOL,
            anchor=f"attempt-{attempt['number']}",
            at=attempt["at"],
            title=attempt["tool"],
            text=attempt["result"] or "",
            number=attempt["number"],
            times=attempt["repetition"],
            same=same[_call(attempt)],
            is_write=attempt["is_write"],
            arguments=as_text(attempt["arguments"]),
            error=_error(attempt["error"]),
            outcome=attempt["outcome"],
            fields=tuple(_of_attempt(attempt)),
        )


def _of_attempt(attempt: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the other fields of call and result; those of schema 1 were one list."""
    rest, answer = attempt["rest"], attempt.get("result_rest", {})
    for one in rest if isinstance(rest, list) else [rest]:
        yield from _fields(one, empty=("arguments", "call_id", "is_write"))
    # What ties a result to its call is known from where it stands.
    known = {name: attempt.get(name) for name in ("tool", "call_id")}
    new = {k: v for k, v in answer.items() if k not in known or v != known[k]}
    yield from _fields(new, empty=("text", "error"))


def _thoughts(package: Package) -> Iterator[Step]:
    for place, thought in enumerate(package["reasoning"], 1):
        content = thought["content"]
        rest = dict(content) if isinstance(content, Mapping) else {"text": content}
        yield Step(
            voice=Voice.THOUGHT,
            anchor=f"thought-{place}",
            at=thought["at"],
            title=thought["kind"],
            text=as_text(rest.pop("text", None)),
            fields=_fields(rest),
        )


def _records(package: Package) -> Iterator[Step]:
    told = ("task_id", "event_id", "at", "kind", "text", "attachments")
    for place, event in enumerate(package["record"], 1):
        text = event.get("text")
        yield Step(
            voice=Voice.RECORD,
            anchor=f"record-{place}",
            at=event["at"],
            title=event["kind"],
            text=text if isinstance(text, str) else "",
            attachments=_attached(event.get("attachments")),
            fields=_fields({k: v for k, v in event.items() if k not in told}),
        )


# --- any JSON, as text ---------------------------------------------------------


def as_text(value: Any) -> str:
    """Return any JSON value as a person reads it: text bare, the long indented."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    short = orjson.dumps(value).decode()
    if len(short) <= _SHORT:
        return short
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _is_short(text: str) -> bool:
    return len(text) <= _SHORT and "\n" not in text


def _call(attempt: Mapping[str, Any]) -> bytes:
    return orjson.dumps(
        [attempt["tool"], attempt["arguments"]], option=orjson.OPT_SORT_KEYS
    )


def _error(error: Any) -> str:
    if error in (None, True, False):
        return ""
    if isinstance(error, Mapping) and set(error) == {"type"}:
        return as_text(error["type"])
    return as_text(error)


def _fields(rest: Any, empty: Sequence[str] = ()) -> tuple[tuple[str, str], ...]:
    """Return fields as text; those named in `empty` only where they hold something."""
    if not isinstance(rest, Mapping):
        return ()
    return tuple(
        (str(name), as_text(value))
        for name, value in rest.items()
        if value or name not in empty
    )


def _attached(attachments: Any) -> tuple[Attachment, ...]:
    listed = attachments if isinstance(attachments, list) else []
    return tuple(
        Attachment(
            name=as_text(one.get("name")),
            media_type=as_text(one.get("media_type")),
            digest=as_text(one.get("sha256")),
            is_named=hash_of(one) is not None,
        )
        for one in listed
        if isinstance(one, Mapping)
    )
