"""Packages are lossless: through intake, store, API, console and a channel's view."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.api.app import make_api
from serving.console.pages import make_console
from serving.engine import Engine
from serving.engine.models import NoModel
from serving.policy.rules import Policy
from serving.policy.unpacking import events_in
from serving.policy.view import full, whole
from serving.store.sqlite import SqliteStore
from serving.store.verify import verify_store

with warnings.catch_warnings():
    # The test client would rather have another HTTP library, and says so.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
BASE = "http://127.0.0.1:3000"
OURS = {"origin": BASE, "sec-fetch-site": "same-origin"}
# A minute of it in CI; ESCALON_PACKAGES=1000 for the whole of it.
PACKAGES = int(os.environ.get("ESCALON_PACKAGES", "60"))

# Whatever a person or program may write: astral, bidirectional, control, combining.
TEXT = st.text(max_size=60) | st.sampled_from(
    [
        "",
        " \t\r\n ",
        "\u202eevil\u2066\u200b\ufeff",
        "\x00\x07\x1b[31m",
        "😀\U0010fffd e\u0301",
        '</script>"\\\u2028\u2029',
        "é" * 1_000,
    ]
)
NUMBER = (
    st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0, -0.0, 1e308, 5e-324, 2**53 + 1])
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4)
    ),
    max_leaves=8,
)
FILE = st.fixed_dictionaries(
    {},
    optional={
        "sha256": st.sampled_from(["ab" * 32, "not a hash", ""]),
        "name": TEXT,
        "media_type": TEXT,
        "size": st.integers(0, 2**40),
        "parts": JSON,
    },
)
FILES = st.lists(FILE, max_size=3)
MORE = {"reasoning": JSON, "parts": st.lists(JSON, max_size=2), "x-own": JSON}


def line(kind: str, required: Any = None, **optional: Any) -> Any:
    """Return a strategy for events of `kind`, with parts that nobody knows."""
    fields = {"kind": st.just(kind), **(required or {})}
    return st.fixed_dictionaries(fields, optional={**MORE, **optional})


CALL_ID = st.sampled_from(["c1", "c2", ""]) | st.none()
LINE = st.one_of(
    line("task_started", text=TEXT, domain=TEXT, account=st.none()),
    line("user_message", text=TEXT | st.none(), attachments=FILES | st.none()),
    line("agent_message", text=TEXT, interpretations=st.lists(JSON, max_size=2)),
    line("plan", text=TEXT, thinking=JSON),
    line(
        "tool_call",
        {"tool": st.sampled_from(["a", "b"])},
        arguments=JSON,
        call_id=CALL_ID,
        is_write=st.booleans() | st.none(),
        text=TEXT,
    ),
    line(
        "tool_result",
        tool=st.sampled_from(["a", "b", ""]) | st.none(),
        call_id=CALL_ID,
        text=TEXT | st.none(),
        error=st.booleans() | st.none() | st.just({"type": "timeout", "more": [1]}),
        arguments=JSON,
        is_write=st.booleans(),
    ),
    line("artifact", text=TEXT, attachments=FILES),
    line("usage", tokens_in=st.integers(0, 10)),
    line("x_own", text=JSON, attachments=JSON, tool=JSON),
)


class Service:
    """An engine with its surface and its console."""

    def __init__(self, home: Path) -> None:
        self.path = home / "store.db"
        self.store = SqliteStore(self.path)
        policy, model = Policy.default(), NoModel()
        self.engine = Engine(self.store, policy, model, lambda: NOON, b"s" * 32)
        self.api = TestClient(make_api(self.engine, max_body_bytes=2**24))
        console = make_console(self.engine, key=b"k" * 32, clock=lambda: NOON)
        self.console = TestClient(console, base_url=BASE, follow_redirects=False)
        who = {"who": "general-1", "next": "/console"}
        self.console.post("/console/sign-in", data=who, headers=OURS)
        self.tasks = 0

    def handed_over(self, lines: list[dict[str, Any]]) -> tuple[str, list[Any]]:
        """Send a log over HTTP and ask for a person; return the handoff, and the log."""
        self.tasks += 1
        task_id = f"t{self.tasks}"
        events = [
            {
                "task_id": task_id,
                "event_id": f"e{n}",
                "at": (NOON + timedelta(seconds=n)).isoformat(),
                **one,
            }
            for n, one in enumerate(lines)
        ]
        sent = self.api.post(
            f"/v1/tasks/{task_id}/events", content=orjson.dumps(events)
        )
        assert sent.status_code == 200, sent.text
        answer = sent.json()
        if answer["handoff"] is None:
            wish = {"by": "user", "reason": "wants a person"}
            answer = self.api.post(f"/v1/tasks/{task_id}/escalate", json=wish).json()
        return answer["handoff"]["handoff_id"], events


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Make one service for all the examples, and prove its log at the end."""
    made = Service(tmp_path_factory.mktemp("packages"))
    yield made
    made.store.close()
    report = verify_store(made.path)
    assert report.is_sound, report.problems


def check_lossless(service: Service, lines: list[dict[str, Any]]) -> None:
    """Hold what comes out on every way against what went in."""
    handoff_id, sent = service.handed_over(lines)
    stored = service.api.get(f"/v1/handoffs/{handoff_id}/package")
    answered = service.api.get(f"/v1/handoffs/{handoff_id}").json()
    saved = service.console.get(f"/console/handoffs/{handoff_id}/package.json")
    assert saved.content == stored.content
    digest = hashlib.sha256(stored.content).hexdigest()
    assert digest == answered["package_sha256"]
    assert saved.headers["etag"] == stored.headers["etag"] == f'"{digest}"'
    assert orjson.dumps(answered["package"], option=orjson.OPT_SORT_KEYS) == (
        stored.content
    )
    # As a channel sends it, and another program reads and writes it.
    assert whole(json.loads(json.dumps(full(stored.content)))) == stored.content
    # Not by the way out for logs that cannot be packed: sorted, part by part.
    assert "everything sorted" not in str(answered["package"]["missing"])
    ours = ("history", "handoff")
    unpacked = [e for e in events_in(answered["package"]) if e["kind"] not in ours]
    for event, came in zip(unpacked, sent, strict=True):
        at = datetime.fromisoformat(came["at"])
        assert datetime.fromisoformat(event.pop("at")) == at
        wanted = {key: value for key, value in came.items() if key != "at"}
        # As bytes: 1 and 1.0, and 0.0 and -0.0, are not the same.
        assert orjson.dumps(event, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
            wanted, option=orjson.OPT_SORT_KEYS
        )


@settings(
    max_examples=PACKAGES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(LINE, min_size=1, max_size=8))
def test_packages_are_byte_equal_on_every_way(
    service: Service, lines: list[dict[str, Any]]
) -> None:
    """The log can be had back from the package, event for event and byte for byte."""
    check_lossless(service, lines)


def test_a_text_of_a_megabyte_is_whole(service: Service) -> None:
    """Long texts, a deep part and a wide one are not cut anywhere."""
    deep: Any = "end"
    for _ in range(190):
        deep = [deep]
    text = "\U0001f4e6 päckchen\n" * 90_000
    assert len(text.encode()) > 2**20
    lines = [
        {"kind": "user_message", "text": text, "x-deep": deep},
        {"kind": "tool_call", "tool": "get", "arguments": {"text": text}},
        {"kind": "tool_result", "text": text},
        {"kind": "plan", "steps": [{"n": n} for n in range(5_000)]},
    ]
    check_lossless(service, lines)


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (b'{"x": "\\ud800"}', "no low surrogate"),
        (b'{"x": 1e400}', "number is infinity"),
        (b'{"x": 18446744073709551616}', "at most 64 bits"),
        (b'{"x": -9223372036854775809}', "at most 64 bits"),
        (b'{"x": NaN}', "expected JSON"),
    ],
)
def test_what_would_be_kept_as_something_else_is_refused(
    service: Service, sent: bytes, says: str
) -> None:
    """Before anything is stored, with what was expected and found."""
    head = b'{"event_id": "e", "at": "2026-11-24T12:00:00Z", "kind": "x_own", "y": '
    answer = service.api.post("/v1/tasks/refused/events", content=head + sent + b"}")
    assert answer.status_code == 400
    assert says in answer.json()["detail"]
    assert service.api.get("/v1/tasks/refused").status_code == 404


def test_a_part_nested_too_deep_is_refused(service: Service) -> None:
    """It could be stored, but not be packed, answered and sent any more."""
    deep = b"[" * 200 + b"]" * 200
    head = b'{"event_id": "e", "at": "2026-11-24T12:00:00Z", "kind": "x_own", "y": '
    answer = service.api.post("/v1/tasks/refused/events", content=head + deep + b"}")
    assert answer.status_code == 422
    assert "at most 200 levels" in answer.json()["detail"]
