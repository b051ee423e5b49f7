"""Spans anywhere in a log are gathered into whole tasks, in bounded memory."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.events import AgentEvent
from features.ingest import Refusal
from features.ingest._files.intake import Intake
from features.ingest._files.sources import Source
from features.ingest._spans import traces as _traces
from features.ingest._spans.observation import (
    Evaluation,
    Observation,
    What,
)
from features.ingest._spans.traces import Traces, traced

T0 = datetime(2026, 3, 1, 9, tzinfo=UTC)


def span(
    trace: str,
    number: int,
    *,
    task: str | None = None,
    evaluations: Sequence[Evaluation] = (),
) -> Observation:
    return Observation(
        trace_id=trace,
        span_id=f"{trace}.{number}",
        task_id=task,
        what=What.MODEL,
        started=T0 + timedelta(minutes=number),
        ended=T0 + timedelta(minutes=number, seconds=1),
        inputs=[{"role": "user", "content": f"ask {number}"}],
        outputs=[{"role": "assistant", "content": f"answer {number}"}],
        evaluations=evaluations,
    )


def intake(name: str = "log", traces: Traces | None = None) -> Intake:
    def never(refusal: Refusal) -> None:
        raise AssertionError(refusal)

    source = Source(Path(name), io.BytesIO())
    return Intake(source=source, on_refused=never, traces=traces)


def landed(spans: Iterable[Observation]) -> list[AgentEvent]:
    return list(traced(intake(), enumerate(spans, start=1)))


def texts(events: Iterable[AgentEvent], task_id: str) -> list[str]:
    spoken = {"user_message", "agent_message"}
    return [e.text for e in events if e.task_id == task_id and e.kind in spoken]


def test_spans_are_put_in_the_order_they_ended() -> None:
    """Exporters send late and out of order; the log is in order all the same."""
    events = landed([span("t", 2), span("t", 1), span("t", 3)])
    said = texts(events, "t")
    assert said == [f"{what} {n}" for n in (1, 2, 3) for what in ("ask", "answer")]


def test_trace_belongs_to_the_task_that_any_of_its_spans_names() -> None:
    """Only one span may know the session; its trace's other spans follow it."""
    spans = [span("t", 1), span("t", 2, task="session"), span("u", 3, task="session")]
    assert {event.task_id for event in landed(spans)} == {"session"}


def test_trace_without_a_task_is_one() -> None:
    """A trace nobody names is a task of its own."""
    assert {e.task_id for e in landed([span("t", 1), span("u", 1)])} == {"t", "u"}


def test_tasks_are_put_together_across_files() -> None:
    """A session whose spans are in two files is one task, told once both are read."""
    traces = Traces()
    for number, name in enumerate(("one", "two"), start=1):
        told = [(1, span(f"t{number}", number, task="s"))]
        assert list(traced(intake(name, traces), told)) == []
    events = list(traces.events())
    assert texts(events, "s") == ["ask 1", "answer 1", "ask 2", "answer 2"]
    assert [e.kind for e in events].count("task_started") == 1


def test_judgement_stands_where_it_was_known() -> None:
    """A score given between two steps is between them in the log."""
    score = Evaluation(name="q", key="e", score=1.0, at=T0 + timedelta(minutes=1.5))
    events = landed([span("t", 1), span("t", 2), span("t", 3, evaluations=[score])])
    kinds = [str(e.kind) for e in events]
    assert kinds.index("verifier") == 3


@given(order=st.permutations(range(12)))
def test_spilling_to_disk_changes_nothing(order: list[int]) -> None:
    """Tasks that outgrow memory come out the same, whatever the order of spans."""
    spans = [span(f"t{n % 4}", n, task=f"s{n % 3}") for n in order]
    in_memory = landed(spans)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_traces, "_IN_MEMORY", 10)
        spilled = landed(spans)

    def by_task(events: Sequence[AgentEvent]) -> dict[str, list[AgentEvent]]:
        return {f"s{n}": [e for e in events if e.task_id == f"s{n}"] for n in range(3)}

    assert by_task(spilled) == by_task(in_memory)
    assert len(spilled) == 3 + 24
