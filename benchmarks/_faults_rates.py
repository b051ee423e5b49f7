"""Durable decisions per second: calls of `Engine.observe` side by side, each answered.

Beside it stands a floor: one row a call, committed in the same groups by the same
writer. What a decision costs over it is what deciding and accounting for it cost.
"""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from _faults_stores import fresh

from serving.engine import Engine
from serving.engine.models import ModelSource, NoModel
from serving.policy.rules import Policy
from serving.store.transaction import Store, Transaction

_CALLERS = 32
_STEPS = 10  # of each task
_WARM = 200
_PUT = """
INSERT INTO idempotency
  (scope, key, fingerprint, status, body, created_at, expires_at)
VALUES (:scope, :key, :fingerprint, 200, :body, :at, :at)
"""
_WORDS = (
    "Where is my parcel {n}? It was to come on Monday.",
    "I look into order {n} for you.",
    "The tracking page says nothing since Tuesday, order {n}.",
    "Parcel {n} has left the depot and comes tomorrow.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How many a second, over repeats.

    Attributes
    ----------
    floor : float
        Bare rows a second on the same store, in the same run.
    """

    rates: tuple[float, ...]
    floor: float

    @property
    def median(self) -> float:
        """The middle of the repeats."""
        return statistics.median(self.rates)


def rate(
    kind: str, server: str, n: int, *, repeats: int, model: ModelSource | None = None
) -> Rate:
    """Return how many decisions a second are durable on one store, `n` a repeat."""
    with fresh(kind, server) as place:
        store = place.open()
        engine = _engine(store, model or NoModel())

        def task() -> None:
            _task(engine, uuid.uuid4().hex)

        _at_once(_WARM, task)
        rates = [_at_once(n, task) for _ in range(repeats)]
        floors = [_at_once(n, partial(_rows, store)) for _ in range(repeats)]
        store.close()
    return Rate(rates=tuple(rates), floor=statistics.median(floors))


def _engine(store: Store, model: ModelSource) -> Engine:
    return Engine(
        store, Policy.default(), model, lambda: datetime.now(UTC), b"a secret of faults"
    )


def _at_once(n: int, work: Callable[[], None]) -> float:
    """Have `work` (ten calls each) done by many callers at once; return calls a s."""
    each = max(1, n // _STEPS // _CALLERS)

    def caller(_: int) -> None:
        for _ in range(each):
            work()

    with ThreadPoolExecutor(_CALLERS) as pool:
        began = time.perf_counter()
        for _ in pool.map(caller, range(_CALLERS)):
            pass
        return each * _CALLERS * _STEPS / (time.perf_counter() - began)


def _task(engine: Engine, task_id: str) -> None:
    """Bring events, one a call, and have each decided on; begin anew once handed over.

    Raises
    ------
    RuntimeError
        If one was not decided on.
    """
    for step in range(_STEPS):
        answer = engine.observe(task_id, [_event(task_id, step)])
        if answer["decision"] is None:
            msg = f"expected a decision on step {step} of {task_id}, found none"
            raise RuntimeError(msg)
        if answer["handoff"] is not None:
            task_id = uuid.uuid4().hex


def _event(task_id: str, step: int) -> dict[str, Any]:
    return {
        "event_id": f"e{step}",
        "at": datetime.now(UTC).isoformat(),
        "kind": ("user_message", "agent_message")[step % 2],
        "text": _WORDS[step % len(_WORDS)].format(n=f"{task_id}/{step}"),
    }


def _rows(store: Store) -> None:
    """Put one row a call, committed like a decision."""
    for _ in range(_STEPS):
        row = {
            "scope": "floor",
            "key": uuid.uuid4().hex,
            "fingerprint": "0" * 64,
            "body": b"{}",
            "at": datetime.now(UTC).isoformat(),
        }
        store.submit(partial(_put, row=row)).result()


def _put(tx: Transaction, *, row: Mapping[str, Any]) -> int:
    return tx.run(_PUT, **row)
