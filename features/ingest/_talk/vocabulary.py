"""What a model or an agent was given and answered, in any vocabulary, as messages.

Understood are chat completions, the items of the Responses API, blocks of the Messages
API, parts of the GenAI conventions, LangChain messages, and what holds them: lists,
`messages`, `choices`, `generations`, the fields of a chain. Anything else is the
message itself, verbatim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from features.ingest._talk import blocks, genai_messages, langchain
from features.ingest._talk.messages import SYSTEM_ROLES, Wire, taken
from features.ingest._talk.responses import is_item, messages_of_items

USER, AGENT = "user", "assistant"

_DEPTH = 6  # of containers in containers; deeper, a value is taken as it is
_HOLDERS = ("messages", "generations", "choices", "output", "input", "message")
# Answers of OpenAI, which may hold no message.
_ANSWERS = {
    "response": "output",
    "chat.completion": "choices",
    "text_completion": "choices",
}
_WORDS = {
    USER: ("input", "question", "query", "prompt", "request", "text", "content"),
    AGENT: (
        "output",
        "answer",
        "response",
        "completion",
        "result",
        "final_output",
        "text",
        "content",
    ),
}
_CANDIDATES = ("generations", "choices")
_SYSTEM = ("instructions", "system")


@dataclass(frozen=True, slots=True)
class Told:
    """Messages, oldest first, and what stood beside them, verbatim."""

    messages: list[Wire] = field(default_factory=list)
    rest: Wire = field(default_factory=dict)


class Exchange(NamedTuple):
    """What a span was given and answered, as fields of an `Observation`."""

    inputs: list[Wire]
    outputs: list[Wire]
    rest: Wire  # what stood beside the messages, under `inputs` and `outputs`
    usage: Any  # as the model's answer tells it


def exchange(given: Any, answered: Any) -> Exchange:
    """Return the messages of a span's input and output.

    An answer that repeats what was given, as that of a graph does, is cut down to what
    is new.
    """
    asked, answer = told(given, USER), told(answered, AGENT)
    outputs = answer.messages
    if asked.messages and outputs[: len(asked.messages)] == asked.messages:
        outputs = outputs[len(asked.messages) :]
    usage = [m.pop("usage") for m in outputs if "usage" in m]
    for message in asked.messages:
        message.pop("usage", None)
    rest = {"inputs": asked.rest, "outputs": answer.rest}
    return Exchange(
        inputs=asked.messages,
        outputs=outputs,
        rest={name: value for name, value in rest.items() if value},
        usage=_usage(answer.rest, usage, outputs),
    )


def _usage(rest: Wire, usage: Sequence[Any], outputs: Sequence[Wire]) -> Any:
    output = rest.get("llm_output")
    told_by = output if isinstance(output, dict) else {}
    return (
        taken(rest, ("usage", "usage_metadata"))
        or taken(told_by, ("token_usage", "usage"))
        or next(iter(usage), None)
        or next((m["usage_metadata"] for m in outputs if "usage_metadata" in m), None)
    )


def told(value: Any, role: str, depth: int = _DEPTH) -> Told:
    """Return the messages that `value` holds.

    Parameters
    ----------
    value : Any
        A span's input or output, decoded.
    role : str
        Who says what has no role of its own.
    depth : int
        Containers still looked into.
    """
    if value is None or value in ("", [], {}):
        return Told()
    if is_said(value):
        return Told(_messages([value]))
    if isinstance(value, list):
        return _list(value, role, depth)
    if isinstance(value, dict) and depth:
        return _object(value, role, depth)
    return Told([{"role": role, "content": value}])


def is_said(value: Any) -> bool:
    """Return whether `value` is a message or an item of some vocabulary."""
    if not isinstance(value, dict):
        return False
    return _has_role(value) or langchain.role_of(value) is not None or is_item(value)


def said(value: Any) -> list[Wire]:
    """Return the chat messages that `value` is; none if it is no message."""
    return _messages([value]) if is_said(value) else []


def _has_role(value: Wire) -> bool:
    return isinstance(value.get("role"), str) and langchain.role_of(value) is None


def _messages(values: Sequence[Wire]) -> list[Wire]:
    return messages_of_items(values, _said)


def _said(value: Wire) -> list[Wire]:
    role = langchain.role_of(value)
    if role is not None:
        value = langchain.message_of(value, role)
    elif isinstance(value.get("parts"), list):
        return genai_messages.chat_messages([value], str(value["role"]))
    return [_sure(message) for message in blocks.chat_messages(dict(value))]


def _sure(message: Wire) -> Wire:
    """Return `message` with the log-probabilities of its parts as its own."""
    content = message.get("content")
    if not isinstance(content, list) or message.get("logprobs"):
        return message
    parts = [part["logprobs"] for part in content if _has_logprobs(part)]
    if not parts:
        return message
    return {**message, "logprobs": [item for part in parts for item in part]}


def _has_logprobs(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("logprobs"), list)


# --- containers -------------------------------------------------------------


def _list(values: list[Any], role: str, depth: int) -> Told:
    if all(map(is_said, values)):
        return Told(_messages(values))
    if depth and all(map(_is_pair, values)):
        return Told([{"role": _role(who), "content": what} for who, what in values])
    if depth and len(values) == 1:  # a batch of one, an array of answers
        return told(values[0], role, depth - 1)
    return Told([{"role": role, "content": values}])


def _is_pair(value: Any) -> bool:
    """Return whether `value` is a message as (role, text)."""
    if not isinstance(value, list) or [type(v) for v in value] != [str, str]:
        return False
    return _role(value[0]) in {USER, AGENT, *SYSTEM_ROLES}


def _role(who: str) -> str:
    return {"human": USER, "ai": AGENT}.get(who, who)


def _object(value: Wire, role: str, depth: int) -> Told:
    """Return the messages of the first field that holds any, or the words of one."""
    answer = _ANSWERS.get(str(value.get("object")))
    holder = answer or next((n for n in _HOLDERS if _holds(n, value.get(n))), None)
    if holder is None and any(value.get(name) == [] for name in _HOLDERS):
        return Told([], value)  # a list of messages, with none in it
    if holder is None:
        return _plain(value, role)
    rest = {k: v for k, v in value.items() if k != holder}
    if holder in _CANDIDATES:
        found = _candidates(value.get(holder), rest, holder)
    else:
        inner = told(value.get(holder), role, depth - 1)
        found = Told(inner.messages, inner.rest | rest)
    return _with_system(found) if role == USER else found


def _holds(name: str, value: Any) -> bool:
    """Return whether messages are in `value`, at its first place."""
    for _ in range(_DEPTH):
        if not isinstance(value, list) or _is_pair(value) or not value:
            break
        value = value[0]
    if _is_pair(value):
        return True
    if is_said(value) or name not in _CANDIDATES or not isinstance(value, dict):
        return is_said(value)
    return "message" in value or "text" in value


def _candidates(values: Any, rest: Wire, name: str) -> Told:
    """Return the first answer of the first prompt; keep the others verbatim."""
    first, others = values, []
    while isinstance(first, list) and first:
        others += first[1:]
        first = first[0]
    if others:
        rest = {**rest, name: values}
    if not isinstance(first, dict) or not is_said(first.get("message")):
        return _text_candidate(first, rest)
    beside = {k: v for k, v in first.items() if k not in {"message", "text"}}
    beside["logprobs"] = _logprobs(first)
    said = _said(first["message"])
    said[-1] = {k: v for k, v in beside.items() if v is not None} | said[-1]
    return Told(said, rest)


def _text_candidate(first: Any, rest: Wire) -> Told:
    """Return an answer that is a text, as of models before there was chat."""
    if is_said(first):
        return Told(_messages([first]), rest)
    if not isinstance(first, dict) or not isinstance(first.get("text"), str):
        return Told([{"role": AGENT, "content": first}] if first else [], rest)
    beside = {k: v for k, v in first.items() if k != "text"}
    message = {"role": AGENT, "content": first["text"], "logprobs": _logprobs(first)}
    return Told([beside | message], rest)


def _logprobs(candidate: Mapping[str, Any]) -> Any:
    about = candidate.get("generation_info")
    inner = about.get("logprobs") if isinstance(about, dict) else None
    return candidate.get("logprobs") or inner


def _with_system(found: Told) -> Told:
    """Return `found` with instructions that stood beside as its first message."""
    name = next((n for n in _SYSTEM if found.rest.get(n)), None)
    if name is None or not isinstance(found.rest[name], str | list):
        return found
    rest = {k: v for k, v in found.rest.items() if k != name}
    system = {"role": "system", "content": found.rest[name]}
    return Told([system, *found.messages], rest)


def _plain(value: Wire, role: str) -> Told:
    """Return the one field that says something, else all of `value`, as a message."""
    words = next((n for n in _WORDS[role] if isinstance(value.get(n), str)), None)
    if words is None and len(value) == 1:
        name, only = next(iter(value.items()))
        words = name if isinstance(only, str) else None
    if words is None:
        return Told([{"role": role, "content": value}])
    rest = {k: v for k, v in value.items() if k != words}
    return Told([{"role": role, "content": value[words]}], rest)
