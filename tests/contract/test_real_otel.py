"""Traces that real SDKs make, in every form that they leave them in."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import orjson
import pytest

from features import ingest
from features.events import AgentEvent, parse
from features.ingest.live import Conversation, events_of, observations

SCRIPT = Path(__file__).with_name("otel_agent.py")
AGENTS = [
    *("plain", "openinference", "genai-legacy"),
    *("genai-latest-spans", "genai-latest-events", "genai-latest-both"),
]
WITH_IMAGE = ["openinference", "genai-legacy"]
SAID = [
    ("user_message", "Where *is* it?\n\n| a | b |\n|---|---|"),
    ("tool_call", {"n": 1, "deep": {"a": [1, 2.5], "é": None}}),
    ("tool_result", '{"at": "depot"}'),
    ("agent_message", "It is at the **depot**."),
    ("user_message", "Cancel it."),
    ("tool_call", {"n": 1}),
    ("tool_result", '{"isError": true, "content": "locked"}'),
]
IMAGE = "https://example.com/a.png"
FORMS = ["console", "json", "protobuf", "prefixed", "received"]


class Collector(BaseHTTPRequestHandler):
    """Takes what the exporters send, as a receiver of OTLP/HTTP does."""

    taken: ClassVar[dict[str, list[bytes]]] = {}

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """Keep the body, under the agent that the path names."""
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        Collector.taken.setdefault(self.path.split("/")[1], []).append(body)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()


class Run(NamedTuple):
    """What one agent left behind, and what it sent."""

    folder: Path
    received: list[bytes]

    def events(self, form: str) -> list[AgentEvent]:
        """Return the log that we read of it, refusing nothing."""
        if form == "received":
            return list(self._live())
        names = {
            "console": ("console.txt", "records.txt"),
            "json": ("traces.json", "logs.json"),
            "protobuf": ("traces.pb", "logs.pb"),
            "prefixed": ("export.pb",),
        }[form]
        files = [self.folder / name for name in names]
        refused: list[ingest.Refusal] = []
        found = [path for path in files if path.exists()]
        events = list(ingest.read("auto", found, on_refused=refused.append))
        assert refused == []
        return events

    def _live(self) -> Iterator[AgentEvent]:
        told = [
            observation
            for body in self.received
            for observation in observations(body, is_protobuf=True)
        ]
        conversation = Conversation("s-1")
        for wire in events_of(conversation, told):  # type: ignore[arg-type]
            yield parse(wire)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Run all agents at once, with a collector for them."""
    folder = tmp_path_factory.mktemp("agents")
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        collector = f"http://127.0.0.1:{server.server_port}"
        command = [sys.executable, str(SCRIPT), str(folder), collector, *AGENTS]
        subprocess.run(command, check=True, timeout=120)
        server.shutdown()
    made = {name: Run(folder / name, Collector.taken[name]) for name in AGENTS}
    for run in made.values():
        prefixed = (len(b).to_bytes(4, "big") + b for b in run.received)
        (run.folder / "export.pb").write_bytes(b"".join(prefixed))
    return made


def said(events: list[AgentEvent]) -> list[tuple[str, Any]]:
    """Return what was said and done, in order."""
    kinds = {kind for kind, _ in SAID} | {"plan"}
    return [
        (str(e.kind), e.body["arguments"] if e.kind == "tool_call" else e.text)
        for e in events
        if e.kind in kinds
    ]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("which", AGENTS)
def test_log_is_the_conversation_once_and_in_order(
    runs: dict[str, Run], which: str, form: str
) -> None:
    """Whatever told it, and however it was exported, a task's log is the same."""
    events = runs[which].events(form)
    assert said(events) == SAID
    assert {event.task_id for event in events} == {"s-1"}
    assert len({event.event_id for event in events}) == len(events)
    calls = [e.body for e in events if e.kind in {"tool_call", "tool_result"}]
    assert [c["call_id"] for c in calls] == ["c1", "c1", "c2", "c2"]
    assert [c.get("error") for c in calls] == [None, False, None, True]
    assert [e.body["tokens_in"] for e in events if e.kind == "usage"] == [10, 11, 12]
    assert [e.body["tokens_out"] for e in events if e.kind == "usage"] == [5, 5, 5]


def facts(events: list[AgentEvent]) -> dict[str, Any]:
    """Return the facts of the task, wherever they are told."""
    starts = [dict(e.body) for e in events if e.kind == "task_started"]
    return {k: v for start in starts for k, v in start.items()}


@pytest.mark.parametrize("which", AGENTS)
def test_facts_finish_and_failure_are_told(runs: dict[str, Run], which: str) -> None:
    """System, model, agent, why each answer ended and the failed call land."""
    events = runs[which].events("protobuf")
    known = facts(events)
    assert known["system"] == "Be kind."
    assert known["model"] == "gpt-x-1"
    assert known["text"] == SAID[0][1]
    assert known["agent_id"] == ("helper" if which == "plain" else "shop")
    assert known["agent_version"] == "7"
    ends = [e.body.get("extra", {}).get("finish_reason") for e in events]
    assert [end for end in ends if end] == ["tool_calls", "stop", "tool_calls"]
    failed = [e.body["extra"] for e in events if e.kind == "span"]
    (error,) = [extra["error"] for extra in failed if "error" in extra]
    assert error["type"].endswith("NotFoundError")
    assert "no such model" in error["message"]


@pytest.mark.parametrize("which", WITH_IMAGE)
def test_attachment_lands_with_its_part(runs: dict[str, Run], which: str) -> None:
    """A picture stays a part of the content, and is an attachment."""
    second = [e for e in runs[which].events("json") if e.kind == "user_message"][1]
    (attached,) = second.body["attachments"]
    assert attached in second.body["content"]
    assert IMAGE in orjson.dumps(attached).decode()


def test_logprobs_in_an_answer_are_its_confidence(runs: dict[str, Run]) -> None:
    """What OpenInference keeps of the raw answer gives the confidence of its event."""
    events = runs["openinference"].events("protobuf")
    sure = [e.body["confidence"] for e in events if "confidence" in e.body]
    assert [s["source"] for s in sure] == ["logprob"] * 3
    assert sure[0]["value"] == pytest.approx(0.60653066)


def test_unknown_attributes_stay_as_they_came(runs: dict[str, Run]) -> None:
    """What no convention reads is under extra: of the standard and of others."""
    plain = runs["plain"].events("protobuf")
    answer = next(e for e in plain if e.kind == "agent_message").body["extra"]["span"]
    assert answer["acme.shelf"] == "b-7"
    assert answer["gen_ai.response.finish_reasons"] == ["stop"]
    legacy = runs["genai-legacy"].events("protobuf")
    usage = next(e for e in legacy if e.kind == "usage").body["extra"]["span"]
    assert usage["gen_ai.request.temperature"] == 0.5
    assert usage["gen_ai.system"] == "openai"


def test_hand_made_spans_tell_user_evaluation_and_totals_once(
    runs: dict[str, Run],
) -> None:
    """With nothing but the standard's names: user, tool spans, a judgement, one total."""
    events = runs["plain"].events("protobuf")
    assert facts(events)["group"] == "ann"
    (judged,) = [e.body for e in events if e.kind == "verifier"]
    assert (judged["verifier"], judged["score"], judged["label"], judged["text"]) == (
        *("helpful", 0.25, "low"),
        "not cancelled",
    )
    assert all(e.body["latency_ms"] >= 0 for e in events if e.kind == "tool_result")
    assert 1000 not in [e.body["tokens_in"] for e in events if e.kind == "usage"]
