"""Spans that arrive become steps: once each, in the right task, whatever happens."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from features.ingest._spans.observation import (
    Evaluation,
    Observation,
    What,
)
from serving.engine import receiving
from serving.engine.receiving import Receipt, Receiver
from serving.store.transaction import StoreError

Answers = list[Any]


def span(
    desk: Any,
    number: int,
    said: list[str],
    answer: str = "ok",
    *,
    trace: str = "t",
    **more: Any,
) -> Observation:
    """Return a model's span: the user and the agent in turn, then the answer."""
    roles = ("user", "assistant")
    at = desk.clock.now + timedelta(seconds=number)
    return Observation(
        trace_id=trace,
        span_id=f"{trace}s{number}",
        what=What.MODEL,
        started=at,
        ended=at,
        inputs=[{"role": roles[i % 2], "content": text} for i, text in enumerate(said)],
        outputs=[{"role": "assistant", "content": answer}],
        **more,
    )


@pytest.fixture
def answers() -> Answers:
    """Collect what the engine answered."""
    return []


@pytest.fixture
def receiver(desk: Any, answers: Answers) -> Receiver:
    """Receive for the engine of the desk."""
    return Receiver(desk.engine, answers.append)


def texts(desk: Any, task_id: str = "t") -> list[str]:
    """Return what was said in a task."""
    spoken = {"user_message", "agent_message"}
    return [e.text for e in desk.engine.log(task_id) if e.kind in spoken]


def test_spans_are_scored_as_steps(
    desk: Any, receiver: Receiver, answers: Answers
) -> None:
    """A task nobody announced begins with its first span and has a decision."""
    receipt = receiver.take([span(desk, 1, ["hi"], "hello")])
    assert receipt == Receipt()
    assert texts(desk) == ["hi", "hello"]
    (answer,) = answers
    assert answer["decision"]["action"] == "CONTINUE"
    assert answer["decision"]["source"] == "model"


def test_batches_go_on_where_the_last_one_ended(desk: Any, receiver: Receiver) -> None:
    """The next export repeats the history; the log does not."""
    receiver.take([span(desk, 1, ["hi"], "hello")])
    receiver.take([span(desk, 2, ["hi", "hello", "more"], "here")])
    assert texts(desk) == ["hi", "hello", "more", "here"]


def test_restart_doubles_nothing(desk: Any, receiver: Receiver) -> None:
    """A receiver that knows nothing reads the log, and old spans again add nothing."""
    first = span(desk, 1, ["hi"], "hello")
    receiver.take([first])
    fresh = Receiver(desk.engine, lambda _: None)
    fresh.take([first, span(desk, 2, ["hi", "hello", "more"], "here")])
    assert texts(desk) == ["hi", "hello", "more", "here"]


def test_trace_follows_the_span_that_names_its_task(
    desk: Any, receiver: Receiver
) -> None:
    """Spans of a trace go to the task that one of them, now or before, has named."""
    named = span(desk, 2, ["hi", "ok", "b"], task_id="session")
    receiver.take([span(desk, 1, ["hi"]), named])
    receiver.take([span(desk, 3, ["hi", "ok", "b", "ok", "c"])])
    assert texts(desk, "session") == ["hi", "ok", "b", "ok", "c", "ok"]
    assert texts(desk, "t") == []


def test_agent_that_lost_the_task_is_told_to_stop(
    desk: Any, receiver: Receiver
) -> None:
    """What the agent did without owning the task is refused; the user is heard."""
    receiver.take([span(desk, 1, ["hi"], "hello")])
    desk.engine.escalate("t", by="user", reason="wants a person")
    receipt = receiver.take([span(desk, 2, ["hi", "hello", "still there?"], "yes")])
    assert receipt.rejected == 1
    assert "stop: task 't' belongs to queue general" in receipt.says[0]
    assert texts(desk) == ["hi", "hello", "still there?"]


def test_malformed_value_costs_its_event_alone(
    desk: Any, receiver: Receiver, answers: Answers
) -> None:
    """A confidence of 7 is refused with its field; the rest is kept and decided on."""
    sure = {"value": 7, "source": "verbalized"}
    receipt = receiver.take([span(desk, 1, ["hi"], "hello", confidence=sure)])
    assert receipt.rejected == 1
    assert "`confidence.value` must be a number in [0, 1]" in receipt.says[0]
    assert texts(desk) == ["hi"]
    assert answers[0]["decision"]["action"] == "CONTINUE"


def test_agent_cannot_label_itself(desk: Any, receiver: Receiver) -> None:
    """A verdict that comes with the agent's spans is refused, and says where to."""
    verdict = Evaluation(name="needed_human", key="v", score=False, at=desk.clock.now)
    receipt = receiver.take([span(desk, 1, ["hi"], evaluations=[verdict])])
    assert receipt.rejected == 1
    assert "/v1/outcomes" in receipt.says[0]
    assert texts(desk) == ["hi", "ok"]


def test_store_that_fails_loses_nothing(
    desk: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the exporter sends again after a failure lands once."""

    def down(*_: Any, **__: Any) -> None:
        msg = "the disk is full"
        raise StoreError(msg)

    first = span(desk, 1, ["hi"], "hello")
    with monkeypatch.context() as patch:
        patch.setattr(desk.engine, "observe", down)
        with pytest.raises(StoreError):
            receiver.take([first])
    receiver.take([first])
    assert texts(desk) == ["hi", "hello"]


def test_many_tasks_of_one_export_are_kept_apart(desk: Any, receiver: Receiver) -> None:
    """An agent's process serves many users; each has a task of their own."""
    receiver.take([span(desk, n, [f"hi {n}"], trace=f"t{n}") for n in range(5)])
    assert [texts(desk, f"t{n}")[0] for n in range(5)] == [f"hi {n}" for n in range(5)]


def test_exports_at_once_are_all_kept(
    desk: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many exporters at a time, of more tasks than are remembered, lose nothing."""
    monkeypatch.setattr(receiving, "_TASKS", 2)
    monkeypatch.setattr(receiving, "_TRACES", 2)
    # Different words each time: an agent that repeats itself loses its task.
    said = ["first blue", "second green", "third grey", "last white"]
    exports = [
        [span(desk, i, [words], words[::-1], trace=f"t{n}s{i}", task_id=f"task {n}")]
        for i, words in enumerate(said)
        for n in range(6)
    ]
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(receiver.take, exports))
    assert receipts == [Receipt()] * len(exports)
    assert [len(texts(desk, f"task {n}")) for n in range(6)] == [8] * 6


def test_what_an_agent_says_after_the_handover_is_kept_as_that(
    desk: Any, receiver: Receiver
) -> None:
    """A late batch of before is in flight, though the exporter was told; later ones act.

    The exporter hears the refusal, not the agent, so what spans say of their time holds.
    """
    receiver.take([span(desk, 0, ["hi"], "hello")])
    late = [span(desk, n, ["hi"], f"before, {n}") for n in (1, 2)]
    desk.clock.turn(timedelta(seconds=10))
    told = desk.engine.escalate("t", by="user", reason="a person")
    for one in late:
        desk.clock.turn(timedelta(seconds=10))
        assert receiver.take([one]).rejected == 1
    receiver.take([span(desk, 3, ["hi"], "after")])
    kept = desk.engine.handoff(told["handoff"]["handoff_id"])["violations"]
    said = [(v["event"]["text"], v["acted"]) for v in kept if v["acted"]]
    assert said == [("after", True)]
    assert {"before, 1", "before, 2"} <= {v["event"].get("text") for v in kept}
