"""Items of the OpenAI Responses API as chat messages.

The model's answer comes in pieces there: its reasoning, its words and each call are
items of their own. Pieces of one answer become one message again. What an item says
beyond that stands under ``items`` of its message, verbatim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from features.ingest._talk.messages import Wire, taken

Said = Callable[[Wire], list[Wire]]

_CALL, _OUTPUT, _THOUGHT = "_call", "_call_output", "reasoning"
_OTHERS = frozenset(
    {
        "compaction",
        "item_reference",
        "mcp_approval_request",
        "mcp_approval_response",
        "mcp_list_tools",
    }
)
_ASKED = ("arguments", "input", "action", "operation", "queries", "code")
_ANSWERED = ("output", "outputs", "results", "result", "error")
_FAILED = ("failed", "incomplete")


def is_item(value: Any) -> bool:
    """Return whether `value` is an item that is no message."""
    if not isinstance(value, dict) or not isinstance(kind := value.get("type"), str):
        return False
    if kind == _THOUGHT:
        return isinstance(taken(value, ("summary", "content")), list)
    is_call = kind.endswith(_CALL) and ("call_id" in value or "id" in value)
    return is_call or kind.endswith(_OUTPUT) or kind in _OTHERS


@dataclass(slots=True)
class _Turn:
    """One answer of the model, as far as its items were read."""

    message: Wire = field(default_factory=dict)
    calls: list[Wire] = field(default_factory=list)
    items: list[Wire] = field(default_factory=list)

    def takes(self, item: Mapping[str, Any]) -> bool:
        """Return whether `item` belongs to this answer: calls may follow words."""
        if str(item.get("type")).endswith(_CALL):
            return True
        return not self.calls and "role" not in self.message

    def whole(self) -> list[Wire]:
        """Return the message of this answer, if there is one."""
        if not (self.message or self.calls or self.items):
            return []
        whole: Wire = {"role": "assistant", "content": None} | self.message
        if self.calls:
            whole["tool_calls"] = [*(whole.get("tool_calls") or ()), *self.calls]
        if self.items:
            whole["items"] = self.items
        return [whole]


def messages_of_items(items: Iterable[Wire], said: Said) -> list[Wire]:
    """Return the chat messages that `items`, oldest first, tell.

    Parameters
    ----------
    items : Iterable of dict
        Responses items and messages.
    said : Callable
        Makes chat messages of what has a role.
    """
    return list(_messages(items, said))


def _messages(items: Iterable[Wire], said: Said) -> Iterator[Wire]:
    turn = _Turn()
    for item in items:
        is_agents = is_item(item) or item.get("role") == "assistant"
        if is_agents and not turn.takes(item):
            yield from turn.whole()
            turn = _Turn()
        after = _add(turn, item, said)
        if after:
            yield from turn.whole()
            turn = _Turn()
            yield from after
    yield from turn.whole()


def _add(turn: _Turn, item: Wire, said: Said) -> list[Wire]:
    """Add `item` to the answer; return the messages it makes beside it."""
    kind = str(item.get("type"))
    if not is_item(item):
        return _add_message(turn, item, said)
    if kind == _THOUGHT:
        parts = taken(item, ("content", "summary")) or item.get("summary")
        before = turn.message.get("reasoning") or []
        turn.message["reasoning"] = [*before, *(parts or ())]
        turn.items.append(item)
    elif kind.endswith(_OUTPUT):
        return [_output(item)]
    elif kind.endswith(_CALL):
        return _add_call(turn, item)
    else:
        return [{"role": kind, "content": [item]}]
    return []


def _add_message(turn: _Turn, item: Wire, said: Said) -> list[Wire]:
    messages = said(item)
    if item.get("role") != "assistant" or len(messages) != 1:
        return messages
    turn.message = turn.message | messages[0]
    return []


def _add_call(turn: _Turn, item: Wire) -> list[Wire]:
    """Add a call; return its result where a hosted tool tells it at once."""
    name = item.get("name") or str(item["type"]).removesuffix(_CALL)
    call_id = taken(item, ("call_id", "id"))
    asked = next((n for n in _ASKED if n in item), "")
    answered = next((n for n in _ANSWERED if item.get(n) is not None), "")
    function = {"name": name, "arguments": item.get(asked)}
    turn.calls.append({"id": call_id, "function": function})
    known = {"name", "call_id", asked, answered}
    turn.items.append({k: v for k, v in item.items() if k not in known})
    if not answered and item.get("status") not in _FAILED:
        return []
    result = {"tool_call_id": call_id, "content": item.get(answered)}
    return [{"role": "tool"} | result | _failed(item)]


def _failed(item: Mapping[str, Any]) -> Wire:
    error = item.get("error") or item.get("status") in _FAILED
    return {"error": error} if error else {}


def _output(item: Wire) -> Wire:
    rest = {k: v for k, v in item.items() if k not in {"output", "call_id", "error"}}
    call_id = taken(item, ("call_id", "id"))
    result = {"tool_call_id": call_id, "content": item.get("output")}
    return rest | {"role": "tool"} | result | _failed(item)
