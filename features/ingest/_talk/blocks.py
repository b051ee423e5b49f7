"""Messages whose content is made of blocks, as chat messages.

In the Messages API a turn is a list of blocks: text, calls of tools, their results,
thinking, attachments. Here each becomes what `MessageReader` reads. A turn is cut where
a result stands in it, so that what was said after a result comes after it. Every block
stays, byte for byte, in the `content` of the message it went to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from features.ingest._talk.content import identifier
from features.ingest._talk.messages import Wire, without_null

_CALL = "tool_use"  # also server_tool_use, mcp_tool_use
_RESULT = "tool_result"  # also web_search_tool_result and its like
_THOUGHT = ("thinking", "redacted_thinking")
_OF_RESULT = frozenset({"type", "tool_use_id", "content"})


def _kind(block: Any) -> str:
    """Return the `type` of a block, empty where it has none."""
    kind = block.get("type") if isinstance(block, dict) else None
    return kind if isinstance(kind, str) else ""


def has_blocks(message: Any) -> bool:
    """Return whether `message` has a block that chat messages have no word for."""
    content = message.get("content") if isinstance(message, dict) else None
    return isinstance(content, list) and any(
        kind.endswith((_CALL, _RESULT)) or kind in _THOUGHT
        for kind in map(_kind, content)
    )


def chat_messages(message: Any) -> list[Any]:
    """Return the chat messages that `message` amounts to; itself if it has no blocks.

    Results become messages of role ``tool``, calls `tool_calls`, thinking `reasoning`.
    Other fields of the message (usage, stop_reason, …) go with its last part.
    """
    if not has_blocks(message):
        return [message]
    parts = list(_parts(message))
    beside = {k: v for k, v in message.items() if k not in {"content", "role"}}
    last = next((p for p in reversed(parts) if p["role"] != "tool"), parts[-1])
    calls = _other_calls(beside.pop("tool_calls", None), parts)
    last |= beside
    if calls:
        last["tool_calls"] = [*last.get("tool_calls", ()), *calls]
    return parts


def _parts(message: Wire) -> Iterator[Wire]:
    blocks: list[Any] = []
    for block in message["content"]:
        if not _kind(block).endswith(_RESULT):
            blocks.append(block)
            continue
        if blocks:
            yield _turn(message.get("role"), blocks)
        blocks = []
        yield _result(block)
    if blocks:
        yield _turn(message.get("role"), blocks)


def _turn(role: Any, blocks: list[Any]) -> Wire:
    calls = [_call(block) for block in blocks if _kind(block).endswith(_CALL)]
    thoughts = [
        text if isinstance(text := block.get("thinking"), str) else ""
        for block in blocks
        if _kind(block) in _THOUGHT
    ]
    return {"role": role} | without_null(
        {
            "content": blocks,
            "tool_calls": calls or None,
            "reasoning": "\n".join(thoughts) if thoughts else None,
        }
    )


def _call(block: Wire) -> Wire:
    function = {"name": block.get("name"), "arguments": block.get("input")}
    return {"id": block.get("id"), "function": function}


def _result(block: Wire) -> Wire:
    """Return a result as a message; what is special to its kind stays in `extra`."""
    beside = {k: v for k, v in block.items() if k not in _OF_RESULT}
    content = block.get("content")
    if _kind(block) != _RESULT:
        beside["type"] = block["type"]
    if isinstance(content, dict) and (error := _error(content)):
        beside["error"] = error
    call_id = block.get("tool_use_id")
    return beside | {"role": "tool", "tool_call_id": call_id, "content": content}


def _error(content: Mapping[str, Any]) -> Wire:
    """Return the error that a server's tool tells in its result; empty if none."""
    if _kind(content).endswith("_error"):
        return {"type": str(content.get("error_code"))}
    code = content.get("return_code")
    is_bad = type(code) is int and code != 0
    return {"type": "exit", "message": str(code)} if is_bad else {}


def _other_calls(calls: Any, parts: list[Wire]) -> Any:
    """Return the calls that some SDKs repeat beside the blocks, if not yet told."""
    if not isinstance(calls, list):
        return calls
    told = {identifier(call) for part in parts for call in part.get("tool_calls", ())}
    return [c for c in calls if not isinstance(c, dict) or identifier(c) not in told]
