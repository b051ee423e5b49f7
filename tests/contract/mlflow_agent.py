"""A stand-in for anybody's agent traced by MLflow, and nothing of ours.

``mlflow_agent.py PATH`` plays a conversation of two turns into a store of its own, has
people and a judge assess it, and writes the traces as MLflow exports them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import AssessmentSource, Document, SpanType

Json = dict[str, Any]
SYSTEM: Json = {"role": "system", "content": "Be kind."}


@mlflow.trace(span_type=SpanType.CHAT_MODEL, name="chat")
def chat(messages: list[Json], answer: Json) -> Json:
    """Answer as a model does."""
    del messages
    span = mlflow.get_current_active_span()
    assert span is not None
    counted = {"input_tokens": 11, "output_tokens": 3, "total_tokens": 14}
    span.set_attribute("mlflow.chat.tokenUsage", counted)
    cost = {"input_cost": 0.5, "output_cost": 0.25, "total_cost": 0.75}
    span.set_attribute("mlflow.llm.cost", cost)
    span.set_attribute("mlflow.llm.model", "scripted")
    span.set_attribute("escalation.self.confidence", 0.8)
    span.set_attribute("shop.shelf", {"row": [1, None, "é"]})
    return {"choices": [{"index": 0, "message": answer, "finish_reason": "stop"}]}


@mlflow.trace(span_type=SpanType.RETRIEVER)
def search(query: str) -> list[Document]:
    """Find what is written of `query`."""
    return [Document(page_content=f"{query}: 30 days", metadata={"score": 0.9})]


@mlflow.trace(span_type=SpanType.TOOL)
def refund_order(order: int) -> str:
    """Refund an order."""
    msg = f"ledger is closed for {order}"
    raise RuntimeError(msg)


@mlflow.trace(span_type=SpanType.TOOL)
def lookup_order(order: int) -> Json:
    """Look an order up."""
    return {"order": order, "status": "lost"}


def call(call_id: str, tool: str) -> Json:
    """Return a message that calls a tool."""
    function = {"name": tool, "arguments": '{"order": 7}'}
    calls = [{"id": call_id, "type": "function", "function": function}]
    return {"role": "assistant", "content": None, "tool_calls": calls}


@mlflow.trace(span_type=SpanType.AGENT, name="support")
def answer(history: list[Json], said: str) -> list[Json]:
    """Play one turn; return what was said so far."""
    session = {"mlflow.trace.session": "session-1", "mlflow.trace.user": "customer-1"}
    mlflow.update_current_trace(metadata=session, tags={"shop": "north"})
    history = [*history, {"role": "user", "content": said}]
    if len(history) == 2:
        search("refunds")
        history.append(call("c1", "lookup_order"))
        chat(history[:-1], history[-1])
        found = lookup_order(order=7)
        history.append(
            {"role": "tool", "tool_call_id": "c1", "content": json.dumps(found)}
        )
        history.append({"role": "assistant", "content": "It is lost."})
        chat(history[:-1], history[-1])
        return history
    history.append(call("c2", "refund_order"))
    chat(history[:-1], history[-1])
    words = ""
    try:
        refund_order(order=7)
    except RuntimeError as error:
        words = str(error)
    history.append({"role": "tool", "tool_call_id": "c2", "content": words})
    history.append({"role": "assistant", "content": "I could not."})
    chat(history[:-1], history[-1])
    return history


def main(path: Path) -> None:
    """Play, assess and export."""
    mlflow.set_tracking_uri(f"sqlite:///{path.parent / 'store.db'}")
    mlflow.set_experiment("support")
    history = answer([SYSTEM], "Where is order 7?")
    first = str(mlflow.get_last_active_trace_id())
    answer(history, "Then refund it.")
    mlflow.flush_trace_async_logging()
    last = str(mlflow.get_last_active_trace_id())
    person = AssessmentSource(source_type="HUMAN", source_id="reviewer")
    judge = AssessmentSource(source_type="LLM_JUDGE", source_id="scripted")
    mlflow.log_feedback(trace_id=first, name="polite", value=0.9, source=judge)
    mlflow.log_feedback(
        trace_id=last,
        name="needed_human",
        value=True,
        source=person,
        rationale="money",
    )
    mlflow.log_expectation(
        trace_id=last, name="answer", value={"refund": True}, source=person
    )
    traces = [mlflow.get_trace(first), mlflow.get_trace(last)]
    path.write_text("\n".join(trace.to_json() for trace in traces if trace))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
