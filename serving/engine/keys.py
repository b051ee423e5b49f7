"""Keys: a call under an Idempotency-Key has its effect once, and always one answer.

The key travels with the thread that makes the call. The first transaction of the call
that gives an answer keeps it under the key, beside its effect: either both are there or
neither. What is sent again is answered from there; what was rolled back left nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import orjson

from serving.problems import Problem, ProblemType
from serving.store import idempotency
from serving.store.idempotency import Kept
from serving.store.transaction import Transaction

T = TypeVar("T")
UseCase = Callable[[Transaction], T | Problem]

# A call that is sent again so much later is another one.
LASTS = timedelta(hours=72)
# Of a handover or a closing: as long as anybody might still ask.
LASTS_OF_HANDOVERS = timedelta(days=30)

_CLOSED = frozenset({"RESOLVED", "RETURNED"})


class Replay(Exception):  # noqa: N818 - an answer, no error
    """The call was made before under its key; this is what it was answered.

    Attributes
    ----------
    kept : Kept
        Status and body.
    """

    def __init__(self, kept: Kept) -> None:
        super().__init__("the call was answered before")
        self.kept = kept


@dataclass(slots=True, kw_only=True)
class Key:
    """The key of one call.

    Attributes
    ----------
    scope : str
        Method and path.
    name : str
        What the caller sent.
    fingerprint : str
        SHA-256 (hex) of all that is asked.
    is_used : bool
        Whether an answer was kept under it in this call.
    """

    scope: str
    name: str
    fingerprint: str
    is_used: bool = False

    def once(
        self, use_case: UseCase[T], at: datetime, tx: Transaction
    ) -> T | Problem | Replay:
        """Run `use_case` unless the call was answered before; keep its answer.

        Raises
        ------
        Problem
            key-reused.
        """
        kept = idempotency.find(tx, self.scope, self.name, at)
        if kept is not None:
            self._check_same(kept)
            return Replay(kept)
        outcome = use_case(tx)
        answer = outcome.to_json() if isinstance(outcome, Problem) else outcome
        if isinstance(answer, dict):
            status = outcome.status if isinstance(outcome, Problem) else 200
            self._keep(tx, status, answer, at)
        return outcome

    def _check_same(self, kept: Kept) -> None:
        if kept.fingerprint != self.fingerprint:
            raise Problem(
                ProblemType.KEY_REUSED,
                f"the Idempotency-Key {self.name!r} was sent before with a payload of "
                f"SHA-256 {kept.fingerprint}, this one has {self.fingerprint}; send "
                "the same again, or choose a new key",
                stored_sha256=kept.fingerprint,
                sent_sha256=self.fingerprint,
            )

    def _keep(
        self, tx: Transaction, status: int, answer: dict[str, Any], at: datetime
    ) -> None:
        body = orjson.dumps(answer)
        kept = Kept(fingerprint=self.fingerprint, status=status, body=body)
        until = at + _lasts(answer)
        idempotency.keep(tx, self.scope, self.name, kept, at, until=until)
        self.is_used = True
        tx.on_rollback(partial(setattr, self, "is_used", False))


_CURRENT: ContextVar[Key | None] = ContextVar("idempotency_key", default=None)


@contextlib.contextmanager
def under(key: Key | None) -> Iterator[None]:
    """Have what this thread does inside this context be done under `key`."""
    token = _CURRENT.set(key)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def once(
    use_case: UseCase[T], at: datetime
) -> Callable[[Transaction], T | Problem | Replay]:
    """Return `use_case` as it is to run under the key of this thread, if it has one."""
    key = _CURRENT.get()
    if key is None or key.is_used:
        return use_case
    return partial(key.once, use_case, at)


def _lasts(answer: Mapping[str, Any]) -> timedelta:
    """Return for how long the answer is kept; longer where ownership changed."""
    moved = answer.get("handoff") is not None or answer.get("status") in _CLOSED
    return LASTS_OF_HANDOVERS if moved else LASTS
