"""Logs with a task per record, told as a list of messages: records, facts, outcomes.

A record is an object with ``messages``, or a bare list of messages; a line holds one
record or a list of them, and a whole file may be one JSON array of records (or of the
messages of one task). Facts and outcomes stand beside ``messages`` or under
``metadata``. Every other field is kept verbatim under ``extra`` of `task_started`,
where no signal looks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from features.events import AgentEvent, ContractError, EventKind
from features.ingest._files.intake import Intake
from features.ingest._files.sources import MAX_WEIGHT, Line, RecordError
from features.ingest._files.weight import size_of
from features.ingest._talk.content import identifier, time_of
from features.ingest._talk.messages import Item, Wire, without_null
from features.ingest._talk.tasks import TaskRecord, task_events

_IDS = ("task_id", "conversation_id", "id")
_TIMES = ("created", "created_at", "timestamp")
_NEEDED = ("needed_human", "need_human", "needed", "verdict")
_GROUPS = ("group", "group_key", "customer", "customer_id", "user", "user_id")
_FACTS = ("domain", "channel", "locale", "agent_id", "agent_version", "model")
_LONGEST_ANSWER = 100  # characters; what is longer is none, and is not copied
_ANSWERS = {"true": "yes", "false": "no"}


def list_events(intake: Intake, said: Callable[[Wire], Any]) -> Iterator[AgentEvent]:
    """Yield the events of the file, task by task, in file order.

    Parameters
    ----------
    intake : Intake
        The file.
    said : Callable
        Takes the messages of a record out of its fields, as chat messages.
    """
    for line, index, value in _records(intake):
        place = f"{intake.source.path.name}:{line}"
        try:
            name = place if index is None else f"{place}.{index}"
            record = _record(value, name, said)
        except ContractError as error:
            intake.refuse(line, error)
        else:
            yield from task_events(intake, line, record)


# --- records of a file ------------------------------------------------------

_Placed = tuple[int, int | None, Any]  # line, place in a list of records, record


def is_message(value: Any) -> bool:
    """Return whether `value` is a message and not a record of its own."""
    return isinstance(value, dict) and "role" in value and "messages" not in value


def _records(intake: Intake) -> Iterator[_Placed]:
    if intake.source.is_array:
        yield from _array_records(intake)
        return
    for line, value in intake.records():
        if isinstance(value, list) and value and not is_message(value[0]):
            yield from ((line, index, item) for index, item in enumerate(value))
        else:
            yield line, None, value


def _array_records(intake: Intake) -> Iterator[_Placed]:
    place = Line(intake.source.number, intake.source.offset)
    messages, size = [], 0
    for index, (line, value) in enumerate(intake.records()):
        if not is_message(value):
            yield line, index, value
            continue
        size += size_of(value)
        if size > MAX_WEIGHT:
            error = RecordError(
                field="messages",
                expected=f"the messages of one task in {MAX_WEIGHT} bytes of memory",
                found="more",
                advice="; put each task on a line of its own",
            )
            intake.refuse(place, error)
            return
        messages.append(value)
    if messages:
        yield place, None, messages


# --- one record -------------------------------------------------------------


def _record(value: Any, place: str, said: Callable[[Wire], Any]) -> TaskRecord:
    """Return the task that `value` tells, named `place` where it has no id.

    Raises
    ------
    ContractError
        If it is neither an object nor a list, or has no messages.
    """
    if isinstance(value, list):
        value = {"messages": value}
    if not isinstance(value, dict):
        raise ContractError(
            field="record",
            expected="an object with `messages`, or a list of messages",
            found=type(value).__name__,
        )
    aside = value.get("metadata")
    left = dict(aside if isinstance(aside, dict) else {}) | value
    if isinstance(aside, dict):
        del left["metadata"]
    messages = _checked(said(left))
    return TaskRecord(
        task_id=_pop_identifier(left, _IDS) or place,
        messages=messages,
        created=next(filter(None, (time_of(left.get(n)) for n in _TIMES)), None),
        outcomes=list(pop_outcomes(left)),
        facts=_pop_facts(left) | without_null({"extra": without_null(left) or None}),
    )


def _checked(messages: Any) -> list[Any]:
    """Return `messages`.

    Raises
    ------
    ContractError
        If they are not a list with something in it.
    """
    if not isinstance(messages, list) or not messages:
        raise ContractError(
            field="messages",
            expected="a list of at least one message",
            found="an empty list" if messages == [] else type(messages).__name__,
        )
    return messages


def _pop_identifier(left: Wire, names: Iterable[str]) -> str | None:
    """Take the first id under `names`; an object it is part of stays behind."""
    for name in names:
        found = identifier(left.get(name))
        if found is not None:
            if not isinstance(left[name], dict):
                del left[name]
            return found
    return None


def _pop_facts(left: Wire) -> Wire:
    """Take the facts of the task; a whole number given as a name becomes text."""
    given = {name: left.pop(name, None) for name in _FACTS}
    facts = {
        n: v if isinstance(v, dict) else identifier(v) or v for n, v in given.items()
    }
    facts["group"] = _pop_identifier(left, _GROUPS)
    account = left.pop("account", None)
    if isinstance(account, dict):
        account = account | without_null({"id": identifier(account)})
    elif account is not None:
        account = {"id": identifier(account) or account}
    return without_null(facts | {"account": account})


def pop_outcomes(left: Wire) -> Iterator[Item]:
    """Take the verdict and the complaint out of a record; yield them as events."""
    given = [left.pop(name, None) for name in _NEEDED]
    verdicts = [_verdict(value) for value in given if value is not None]
    if verdicts:
        # Two that differ make an answer that the contract refuses and shows.
        needed = " and ".join(sorted({body["needed"] for body in verdicts}))
        yield "verdict", EventKind.VERDICT, verdicts[0] | {"needed": needed}
    complaint = left.pop("complaint", None)
    if isinstance(complaint, dict):
        yield "complaint", EventKind.COMPLAINT, complaint
    elif complaint not in (None, False):
        body = {} if complaint is True else {"text": complaint}
        yield "complaint", EventKind.COMPLAINT, body


def _verdict(given: Any) -> Wire:
    rest = dict(given) if isinstance(given, dict) else {"needed": given}
    needed = rest.get("needed")
    word = str(needed) if isinstance(needed, bool | str) else type(needed).__name__
    if len(word) <= _LONGEST_ANSWER:
        word = word.strip().lower()
    return {"source": "log"} | rest | {"needed": _ANSWERS.get(word, word)}
