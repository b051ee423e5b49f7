"""Chat-completions and Responses logs: a task per record, see `_talk.lists`.

The answer of the last call adds its messages to the end: ``choices``, or ``output``,
beside ``messages`` (or ``input``) or under ``response``. A record without an id is
named by its file and line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from features.events import AgentEvent
from features.ingest._files.intake import Intake
from features.ingest._talk.lists import list_events
from features.ingest._talk.messages import Wire, without_null
from features.ingest._talk.responses import messages_of_items

LOOKS_FOR = "an object with a list `messages`, or a list (of messages, or of such)"


def fits(value: Any) -> bool:
    """Return whether `value` looks like a record of this format."""
    if isinstance(value, list):
        return True
    return isinstance(value, dict) and (
        isinstance(value.get("messages"), list)
        or (_is_answer(value.get("response")) and "input" in value)
        or (value.get("object") == "response" and isinstance(value.get("output"), list))
    )


def events(intake: Intake) -> Iterator[AgentEvent]:
    """Yield the events of the file, task by task, in file order."""
    yield from list_events(intake, _pop_messages)


def _is_answer(value: Any) -> bool:
    return isinstance(value, dict) and (
        isinstance(value.get("choices"), list) or isinstance(value.get("output"), list)
    )


def _pop_messages(left: Wire) -> Any:
    """Take the messages, those of the answer at the end."""
    given = left.get("response")
    answer = dict(left.pop("response")) if _is_answer(given) else left
    said = left.pop("messages", None)
    if said is None and isinstance(answer.get("output"), list):
        said = [*_pop_input(left), *_pop_output(answer)]
    elif isinstance(said, list):
        said = [*said, *_pop_choice(answer)]
    if answer is not left:
        left["response"] = answer
    return said


def _pop_input(left: Wire) -> Iterator[Any]:
    """Take what a Responses call was given."""
    told, given = left.get("instructions"), left.get("input")
    if isinstance(told, str):
        del left["instructions"]
        yield {"role": "system", "content": told}
    if isinstance(given, str):
        del left["input"]
        yield {"role": "user", "content": given}
    elif isinstance(given, list):
        yield from _items(left.pop("input"))


def _pop_output(answer: Wire) -> list[Any]:
    """Take what a Responses call answered, with what it spent."""
    said = _items(answer.pop("output"))
    if said and isinstance(said[-1], dict):
        spent = {"usage": answer.pop("usage", None), "status": answer.get("status")}
        said[-1] = said[-1] | without_null(spent)
    return said


def _items(items: list[Any]) -> list[Any]:
    """Return Responses items as messages; what is no object is left to be refused."""
    sound = [item for item in items if isinstance(item, dict)]
    others = [item for item in items if not isinstance(item, dict)]
    return [*messages_of_items(sound, _spoken), *others]


def _spoken(item: Wire) -> list[Wire]:
    """Return a message; the log-probabilities of its parts speak for the whole."""
    content = item.get("content")
    parts = [p for p in content if isinstance(p, dict)] if type(content) is list else []
    given = [p["logprobs"] for p in parts if isinstance(p.get("logprobs"), list)]
    told = [token for tokens in given for token in tokens]
    return [item | ({"logprobs": {"content": told}} if told else {})]


def _pop_choice(answer: Wire) -> Iterator[Wire]:
    """Take the message in ``choices``, if there is exactly one."""
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
    if not isinstance(first, dict) or not isinstance(first.get("message"), dict):
        return
    del answer["choices"]
    beside = {k: v for k, v in first.items() if k != "message"}
    beside["usage"] = answer.pop("usage", None)
    yield without_null(beside) | without_null(first["message"])
