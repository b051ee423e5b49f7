from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import ingest
from features.events import AgentEvent
from features.ingest import chat, jsonl, tau
from features.ingest._files.intake import Intake
from features.ingest._files.sources import Source

ADAPTERS = pytest.mark.parametrize("adapter", [jsonl, chat, tau])

KEYS = [
    *(
        "task_id",
        "event_id",
        "at",
        "kind",
        "text",
        "tool",
        "id",
        "run_id",
        "need_human",
    ),
    *("messages", "role", "content", "tool_calls", "function_call", "function", "name"),
    *("arguments", "tool_call_id", "tool_name", "error", "status", "is_error", "type"),
    *("logprobs", "logprob", "token_logprobs", "usage", "cost", "created", "timestamp"),
    *("metadata", "choices", "message", "verdict", "needed", "complaint", "account"),
    *("group", "user", "domain", "model", "reasoning", "refusal", "requestor", "value"),
    *("confidence", "score", "attachments", "agent_model", "success", "image_url"),
]
WORDS = [
    *("user", "assistant", "tool", "function", "system", "subtask_checker", "verdict"),
    *(
        "text",
        "image_url",
        "check_for_stop",
        "###STOP###",
        "error",
        '{"error": 1}',
        "yes",
    ),
    *("2026-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00", "{", '# var_1 = "Error', ""),
]

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(WORDS)
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=6
        )
    ),
    max_leaves=20,
)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(WORDS[:7]) | values},
    optional={key: values for key in KEYS if key != "role"},
)
records = st.fixed_dictionaries(
    {"messages": st.lists(messages | values, max_size=4) | values},
    optional={key: values for key in KEYS if key != "messages"},
)


def take(adapter: Any, log: bytes) -> tuple[list[AgentEvent], list[ingest.Refusal]]:
    refused: list[ingest.Refusal] = []
    source = Source(Path("log"), io.BytesIO(log))
    source.begin()
    events = list(adapter.events(Intake(source=source, on_refused=refused.append)))
    return events, refused


@ADAPTERS
@given(lines=st.lists(values | messages | records, max_size=4))
def test_any_json_lands_or_is_refused(adapter: Any, lines: list[Any]) -> None:
    """No JSON line crashes an adapter, and all that lands can be written back."""
    log = b"\n".join(json.dumps(line).encode() for line in lines)
    events, refused = take(adapter, log)
    assert (
        len({(e.task_id, e.event_id) for e in events}) == len(events)
        or adapter is jsonl
    )
    for event in events:
        orjson.dumps(event.to_json())
    assert all(1 <= refusal.line <= len(lines) and refusal.error for refusal in refused)


@ADAPTERS
@given(
    log=st.binary(max_size=60) | st.text('[]{},"\\\n :1ae', max_size=60).map(str.encode)
)
def test_any_bytes_are_events_or_refusals(adapter: Any, log: bytes) -> None:
    """Bytes that are no JSON at all are refused line by line, never raised."""
    events, refused = take(adapter, log)
    assert (
        events
        or refused
        or not log.removeprefix(b"\xef\xbb\xbf").strip(b" []\n\t\r\x0b\x0c,")
    )


@ADAPTERS
@pytest.mark.parametrize("depth", [120, 300, 900, 1020, 5000])
def test_deep_nesting_anywhere_is_refused(adapter: Any, depth: int) -> None:
    """Nesting at every field of a record and of a message is refused, never raised."""
    deep = "[" * depth + "1" + "]" * depth
    wide = '{"x":' * depth + "1" + "}" * depth
    for key in KEYS:
        for hole in (deep, wide):
            inner = f'{{"role": "assistant", "{key}": {hole}}}'
            fields = f'"id": "i", "run_id": "r", "need_human": true, "{key}": {hole}'
            record = f'{{{fields}, "messages": [{inner}, {inner}]}}'
            twin = f'{{"id": "j", "run_id": "s", "messages": [{{"role": "tool", "{key}": {hole}}}]}}'
            for event in take(adapter, f"{record}\n{twin}".encode())[0]:
                orjson.dumps(event.to_json())
