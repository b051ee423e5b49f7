"""A stand-in for anybody's agent traced by Langfuse, and nothing of ours.

``langfuse_agent.py PATH`` plays a conversation of two turns against a receiver on the
loopback interface. Beside PATH it leaves the bodies of the requests, as they came:
``spans0.binpb`` and so on, ``scores0.json`` and so on. PATH gets the same observations as
pages of the service's public API, in the client's own models of it, and its scores.
"""

from __future__ import annotations

import gzip
import json
import sys
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from langfuse import Langfuse, propagate_attributes
from langfuse.api import ObservationV2, ScoreSource
from langfuse.api.scores.types import NumericScoreV3
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

Json = dict[str, Any]
SYSTEM: Json = {"role": "system", "content": "Be kind."}


class Receiver(BaseHTTPRequestHandler):
    """Keeps what the client sends."""

    spans: list[bytes] = []  # noqa: RUF012 - one server, one process
    scores: list[bytes] = []  # noqa: RUF012

    def do_GET(self) -> None:
        """Say that there is a project."""
        self.answer({"data": []})

    def do_POST(self) -> None:
        """Take one request."""
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        kept = self.spans if "otel" in self.path else self.scores
        kept.append(body)
        self.answer({"successes": [], "errors": [], "results": []})

    def answer(self, value: Json) -> None:
        """Answer with JSON."""
        text = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def chat(client: Langfuse, history: list[Json], answer: Json) -> None:
    """Answer as a model does."""
    with client.start_as_current_observation(
        as_type="generation",
        name="chat",
        model="scripted",
        input=history,
        output=answer,
        metadata={"escalation.self.confidence": 0.8, "shop.shelf": "é"},
        usage_details={"input": 8, "input_cached_tokens": 3, "output": 3},
        cost_details={"input": 0.5, "output": 0.25, "total": 0.75},
    ):
        history.append(answer)


def tool(client: Langfuse, name: str, result: Json | None) -> None:
    """Run a tool, which fails if it has no result."""
    with client.start_as_current_observation(
        as_type="tool", name=name, input={"order": 7}
    ) as span:
        if result is None:
            span.update(level="ERROR", status_message="ledger is closed for 7")
        else:
            span.update(output=result)


def call(call_id: str, name: str) -> Json:
    """Return a message that calls a tool."""
    function = {"name": name, "arguments": '{"order": 7}'}
    calls = [{"id": call_id, "type": "function", "function": function}]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def turn(client: Langfuse, history: list[Json], said: str) -> str:
    """Play one turn; return its trace."""
    with client.start_as_current_observation(
        as_type="agent", name="support", input=said
    ) as root:
        history.append({"role": "user", "content": said})
        failed = len(history) > 2
        name = "refund_order" if failed else "lookup_order"
        call_id = "c2" if failed else "c1"
        chat(client, history, call(call_id, name))
        result = None if failed else {"order": 7, "status": "lost"}
        tool(client, name, result)
        words = json.dumps(result) if result else "ledger is closed for 7"
        history.append({"role": "tool", "tool_call_id": call_id, "content": words})
        text = "I could not." if failed else "It is lost."
        chat(client, history, {"role": "assistant", "content": text})
        root.update(output=text)
        return str(root.trace_id)


def play(client: Langfuse) -> None:
    """Play both turns and have them scored."""
    history = [SYSTEM]
    with propagate_attributes(session_id="session-1", user_id="customer-1"):
        first = turn(client, history, "Where is order 7?")
        last = turn(client, history, "Then refund it.")
    client.create_score(name="polite", value=0.9, trace_id=first)
    client.create_score(
        name="needed_human",
        value=1,
        data_type="BOOLEAN",
        trace_id=last,
        comment="money",
    )
    client.flush()


# --- the service's side -----------------------------------------------------


def plain(value: Any) -> Any:
    """Return an attribute's value."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    return getattr(value, kind)


def decoded(value: Any) -> Any:
    """Return the JSON that text may be, as the service does."""
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value


def stored(span: Any) -> ObservationV2:
    """Return a span as an observation of the public API."""
    told = {item.key: plain(item.value) for item in span.attributes}
    prefix = "langfuse.observation."
    own = {n.removeprefix(prefix): v for n, v in told.items() if n.startswith(prefix)}
    metadata = {
        n.removeprefix("metadata."): decoded(v)
        for n, v in own.items()
        if n.startswith("metadata.")
    }
    return ObservationV2(
        id=span.span_id.hex(),
        trace_id=span.trace_id.hex(),
        parent_observation_id=span.parent_span_id.hex() or None,
        project_id="project",
        type=str(own["type"]).upper(),
        name=span.name,
        start_time=moment(span.start_time_unix_nano),
        end_time=moment(span.end_time_unix_nano),
        input=decoded(own.get("input")),
        output=decoded(own.get("output")),
        level=own.get("level", "DEFAULT"),
        status_message=own.get("status_message"),
        model=own.get("model.name"),
        usage_details=decoded(own.get("usage_details")),
        cost_details=decoded(own.get("cost_details")),
        metadata=metadata,
        user_id=told.get("user.id"),
        session_id=told.get("session.id"),
    )


def moment(nanos: int) -> datetime:
    """Return a time told in nanoseconds."""
    return datetime.fromtimestamp(nanos / 1e9, UTC)


def pages() -> list[str]:
    """Return what the public API would list: a page a request, scores last."""
    lines = []
    for body in Receiver.spans:
        request = ExportTraceServiceRequest.FromString(body)
        spans = [
            stored(span)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        data = [json.loads(span.model_dump_json(by_alias=True)) for span in spans]
        lines.append(json.dumps({"data": data, "meta": {}}))
    for body in Receiver.scores:
        lines += [json.dumps(listed(sent)) for sent in json.loads(body)]
    return lines


def listed(sent: Json) -> Json:
    """Return a score as the public API lists it, with what it is of."""
    now, is_persons = datetime.now(UTC), sent["name"] == "needed_human"
    source = ScoreSource("ANNOTATION" if is_persons else "EVAL")
    score = NumericScoreV3(
        id=sent["id"],
        project_id="project",
        name=sent["name"],
        value=sent["value"],
        source=source,
        timestamp=sent["timestamp"],
        environment="default",
        created_at=now,
        updated_at=now,
        comment=sent.get("comment"),
        author_user_id="reviewer" if is_persons else None,
    )
    told: Json = json.loads(score.model_dump_json(by_alias=True))
    return told | {"subject": {"kind": "trace", "id": sent["traceId"]}}


def main(path: Path) -> None:
    """Play and write."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    Thread(target=server.serve_forever, daemon=True).start()
    client = Langfuse(
        public_key="pk-none",
        secret_key="sk-none",  # noqa: S106 - of nobody
        base_url=f"http://127.0.0.1:{server.server_port}",
    )
    play(client)
    client.shutdown()
    server.shutdown()
    for name, bodies in (("spans", Receiver.spans), ("scores", Receiver.scores)):
        ending = "binpb" if name == "spans" else "json"
        for index, body in enumerate(bodies):
            path.with_name(f"{name}{index}.{ending}").write_bytes(body)
    path.write_text("\n".join(pages()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
