"""A stand-in for anybody's agent traced by LangSmith, and nothing of ours.

``langsmith_agent.py sent|listed PATH`` plays a conversation of two turns against a
receiver on the loopback interface and writes what the client sent it, request by
request, or the runs as `Client.list_runs` returns them, with the feedback.
"""

from __future__ import annotations

import email.parser
import email.policy
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

Json = dict[str, Any]

os.environ["LANGSMITH_TRACING"] = "true"
os.environ["LANGSMITH_DISABLE_RUN_COMPRESSION"] = "true"

from langsmith import Client, traceable  # noqa: E402 - reads the environment at import
from langsmith.run_helpers import get_current_run_tree, tracing_context  # noqa: E402
from langsmith.schemas import Run  # noqa: E402


class Receiver(BaseHTTPRequestHandler):
    """Takes what the client sends, each request as its rows."""

    requests: list[Json] = []  # noqa: RUF012 - one server, one process

    def do_GET(self) -> None:
        """Say what the service can do."""
        limits = {
            "use_multipart_endpoint": True,
            "scale_up_qsize_trigger": 1000,
            "scale_up_nthreads_limit": 1,
            "scale_down_nempty_trigger": 4,
            "size_limit": 100,
            "size_limit_bytes": 2**20,
        }
        self.answer({"version": "1", "batch_ingest_config": limits})

    def do_POST(self) -> None:
        """Take one request."""
        body = self.rfile.read(int(self.headers["content-length"]))
        kind = self.headers["content-type"]
        if kind.startswith("multipart"):
            self.requests.append(rows_of(kind, body))
        elif self.path.endswith("/feedback"):
            self.requests.append({"feedback": [json.loads(body)]})
        self.answer({})

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


def rows_of(kind: str, body: bytes) -> Json:
    """Return the rows of a multipart request: one part each, one for each big field."""
    head = f"content-type: {kind}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    rows: dict[str, dict[str, Json]] = {}
    for part in message.iter_parts():
        name = str(part.get_param("name", header="content-disposition"))
        operation, row_id, *inner = name.split(".")
        value = json.loads(bytes(part.get_payload(decode=True)))
        row = rows.setdefault(operation, {}).setdefault(row_id, {})
        row.update({inner[0]: value} if inner else value)
    return {operation: list(found.values()) for operation, found in rows.items()}


def langchain(kind: str, **fields: Any) -> Json:
    """Return a message as LangChain serialises it."""
    place = ["langchain", "schema", "messages", f"{kind}Message"]
    return {"lc": 1, "type": "constructor", "id": place, "kwargs": fields}


METADATA = {"ls_model_name": "scripted", "escalation.self.confidence": 0.8}


@traceable(run_type="llm", name="ChatScripted", metadata=METADATA)
def chat(messages: list[list[Json]], answer: Json) -> Json:
    """Answer as a LangChain chat model does."""
    del messages
    run = get_current_run_tree()
    if run is not None:
        run.set(
            usage_metadata={"input_tokens": 11, "output_tokens": 3, "total_tokens": 14}
        )
    generation = {"text": "", "message": answer, "generation_info": {"shelf": "é"}}
    return {"generations": [[generation]], "llm_output": None, "type": "LLMResult"}


@traceable(run_type="tool")
def lookup_order(order: int) -> Json:
    """Look an order up."""
    return {"order": order, "status": "lost"}


@traceable(run_type="tool")
def refund_order(order: int) -> str:
    """Refund an order."""
    msg = f"ledger is closed for {order}"
    raise RuntimeError(msg)


@traceable(run_type="retriever")
def search(query: str) -> list[Json]:
    """Find what is written of `query`."""
    found = {"page_content": f"{query}: 30 days", "type": "Document"}
    return [{**found, "metadata": {"score": 0.9}}]


def call(call_id: str, tool: str) -> Json:
    """Return a message that calls a tool."""
    called = {"name": tool, "args": {"order": 7}, "id": call_id, "type": "tool_call"}
    return langchain("AI", content="", tool_calls=[called], additional_kwargs={})


@traceable(run_type="chain", name="support")
def answer(history: list[Json], said: str) -> list[Json]:
    """Play one turn; return what was said so far."""
    history = [*history, langchain("Human", content=said)]
    if len(history) == 2:
        search("refunds")
        history.append(call("c1", "lookup_order"))
        chat([history[:-1]], history[-1])
        text = json.dumps(lookup_order(7))
        history.append(langchain("Tool", content=text, tool_call_id="c1"))
        history.append(langchain("AI", content="It is lost."))
        chat([history[:-1]], history[-1])
        return history
    history.append(call("c2", "refund_order"))
    chat([history[:-1]], history[-1])
    text = ""
    try:
        refund_order(7)
    except RuntimeError as error:
        text = repr(error)
    failed = {"status": "error", "tool_call_id": "c2"}
    history.append(langchain("Tool", content=text, **failed))
    history.append(langchain("AI", content="I could not."))
    chat([history[:-1]], history[-1])
    return history


def play(client: Client) -> list[Any]:
    """Play both turns; return the runs that are their roots."""
    metadata = {"thread_id": "thread-1", "user_id": "customer-1", "shop": "north"}
    history = [langchain("System", content="Be kind.")]
    roots: list[Any] = []
    with tracing_context(client=client, metadata=metadata, enabled=True):
        for said in ("Where is order 7?", "Then refund it."):
            extra: Any = {"on_end": roots.append}
            history = answer(history, said, langsmith_extra=extra)
    return roots


def assess(client: Client, roots: list[Any]) -> None:
    """Have a judge and the application judge the turns."""
    first, last = roots
    place = {"run_id": first.id, "trace_id": first.trace_id}
    client.create_feedback(
        key="polite", score=0.9, feedback_source_type="model", **place
    )
    place = {"run_id": last.id, "trace_id": last.trace_id}
    client.create_feedback(key="needed_human", score=1, comment="money", **place)


def listed(requests: list[Json]) -> list[str]:
    """Return the runs as the client lists them: each row a `Run`."""
    rows: dict[str, Json] = {}
    lines = []
    for request in requests:
        for row in [*request.get("post", []), *request.get("patch", [])]:
            rows[row["id"]] = rows.get(row["id"], {}) | row
        lines += [json.dumps(row) for row in request.get("feedback", [])]
    return [Run(**row).model_dump_json() for row in rows.values()] + lines


def main(shape: str, path: Path) -> None:
    """Play, assess and write."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    client = Client(api_url=address, api_key="none")
    roots = play(client)
    assess(client, roots)
    client.flush()
    server.shutdown()
    sent = Receiver.requests
    feedback = [row for r in sent for row in r.pop("feedback", [])]
    lines = [json.dumps(r) for r in sent if r] + [json.dumps(f) for f in feedback]
    if shape == "listed":
        lines = listed([*sent, {"feedback": feedback}])
    path.write_text("\n".join(lines))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
