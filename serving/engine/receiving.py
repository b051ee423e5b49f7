"""Receiving: spans of instrumented agents, as steps of the tasks they belong to."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from features.ingest.live import Conversation, Observation, events_of
from serving.engine import Engine
from serving.problems import Problem, ProblemType

T = TypeVar("T")

_TASKS = 1_000  # conversations held; others are read from the log again
_TRACES = 100_000  # of which it is remembered which task they belong to
_LOCKS = 64
_AT_ONCE = 500  # events of one call of the engine


@dataclass(slots=True)
class Receipt:
    """What became of the spans of one export request.

    Attributes
    ----------
    rejected : int
        Spans of which something was not kept.
    says : list of str
        Why, and what an agent that lost its task has to do.
    """

    rejected: int = 0
    says: list[str] = field(default_factory=list)

    def reject(self, why: str, *, spans: int = 1) -> None:
        """Count spans that were rejected."""
        self.rejected += spans
        self.says.append(why)


class Receiver:
    """Turns spans into steps. Safe to call from many threads.

    A span may name its task; else it belongs to the task that its trace's spans have
    named, else its trace is the task. What was said is known from the task's log, so
    nothing is lost or doubled by a restart or by an exporter that sends again.

    Parameters
    ----------
    engine : Engine
        Decides, and keeps the log.
    on_answer : callable
        Told of each answer to a step.
    """

    def __init__(
        self, engine: Engine, on_answer: Callable[[Mapping[str, Any]], None]
    ) -> None:
        self._engine = engine
        self._on_answer = on_answer
        self._conversations: OrderedDict[str, Conversation] = OrderedDict()
        self._tasks: OrderedDict[str, str] = OrderedDict()  # trace -> task
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    def take(self, told: Iterable[Observation]) -> Receipt:
        """Append what is new in `told` to the logs of its tasks, and decide on each.

        Raises
        ------
        StoreError
            If the store failed. What it kept is not kept again when it is sent again.
        """
        spans, receipt = list(told), Receipt()
        for span in spans:
            if span.task_id is not None:
                _remember(self._tasks, span.trace_id, span.task_id, most=_TRACES)
        by_task: dict[str, list[Observation]] = {}
        for span in spans:
            named = span.task_id or self._tasks.get(span.trace_id)
            by_task.setdefault(named or span.trace_id, []).append(span)
        for task_id, mine in by_task.items():
            with self._locks[hash(task_id) % _LOCKS]:
                self._step(task_id, mine, receipt)
        return receipt

    def _step(self, task_id: str, spans: list[Observation], receipt: Receipt) -> None:
        conversation = self._conversations.pop(task_id, None)
        if conversation is None:
            conversation = Conversation(task_id).resume(self._engine.log(task_id))
        conversation.refuse = lambda why, _: receipt.reject(str(why), spans=0)
        wires = list(events_of(conversation, spans))
        is_kept = all(
            self._observe(task_id, wires[first : first + _AT_ONCE], receipt)
            for first in range(0, len(wires), _AT_ONCE)
        )
        if is_kept:
            # Kept only now: what a failed step left in it was never said.
            _remember(self._conversations, task_id, conversation, most=_TASKS)

    def _observe(self, task_id: str, wires: Sequence[Any], receipt: Receipt) -> bool:
        """Return whether all of `wires` were kept."""
        try:
            # An exporter gets the answer, not the agent: it was not told by it.
            self._on_answer(self._engine.observe(task_id, wires, hears=False))
        except Problem as problem:
            refused = problem.extra.get("refused") or ()
            receipt.reject(problem.detail, spans=len(refused) or 1)
            if problem.kind is ProblemType.MALFORMED_EVENT:
                self._on_answer(problem.extra)
            return False
        return True


def _remember(held: OrderedDict[str, T], key: str, value: T, *, most: int) -> None:
    # Taken out first: between two steps another thread may drop the oldest.
    held.pop(key, None)
    held[key] = value
    while len(held) > most:
        held.popitem(last=False)
