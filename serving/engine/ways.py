"""Ways: what every part of the engine works with, in one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

from serving.engine import keys
from serving.engine.keys import Replay
from serving.engine.memory import Waiting
from serving.engine.steps import Steps
from serving.engine.writing import Writing
from serving.policy.rules import Policy
from serving.problems import Problem
from serving.store.transaction import Reader, Store, Transaction

T = TypeVar("T")
Clock = Callable[[], datetime]
Answer = dict[str, Any]


class Do(Protocol):
    """Runs a use case in a transaction of its own, and returns once it is durable."""

    def __call__(self, use_case: Callable[[Transaction], T | Problem], /) -> T:
        """Return what `use_case` returns; raise the `Problem` if it returns one.

        A `Problem` that is returned leaves what was kept; one that is raised inside
        leaves nothing.
        """
        ...


class Written:
    """Rings whenever this process may have written. Safe from many threads."""

    def __init__(self) -> None:
        self._bells: tuple[Callable[[], None], ...] = ()

    def call(self, bell: Callable[[], None]) -> None:
        """Have `bell` called after each write; it must neither block nor raise."""
        self._bells = (*self._bells, bell)

    def ring(self) -> None:
        """Call every bell."""
        for bell in self._bells:
            bell()


class Read(Protocol):
    """Runs a view over a consistent moment of the store."""

    def __call__(self, view: Callable[[Reader], T], /) -> T:
        """Return what `view` returns."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """The engine's ways to its store, its policy, its steps, and the time.

    Attributes
    ----------
    do, read : callable
        To the store.
    policy : Policy
        In force.
    steps : Steps
        Takes a step of a task inside a transaction: how anything is handed over.
    waiting : Waiting
        What waits at the queues; told whenever a use case changes that.
    clock : callable
        Returns the time, timezone-aware.
    secret : bytes
        Of the deployment. Keys are derived from it, never used as they are.
    written : Written
        Rings after each `do`, for whoever follows what happens.
    writing : Writing
        Whether the store can be written.
    """

    do: Do
    read: Read
    policy: Policy
    steps: Steps
    waiting: Waiting
    clock: Clock
    secret: bytes
    written: Written = field(default_factory=Written)
    writing: Writing = field(default_factory=Writing)

    @classmethod
    def to(
        cls,
        store: Store,
        *,
        policy: Policy,
        steps: Steps,
        waiting: Waiting,
        clock: Clock,
        secret: bytes,
    ) -> Ways:
        """Return the ways to `store`."""
        written, writing = Written(), Writing()

        def do(use_case: Callable[[Transaction], T | Problem]) -> T:
            work = keys.once(use_case, clock())
            outcome = writing.watched(lambda: store.submit(work).result())
            written.ring()
            if isinstance(outcome, Problem | Replay):
                raise outcome
            return outcome

        def read(view: Callable[[Reader], T]) -> T:
            with store.reading() as reader:
                return view(reader)

        return cls(
            do=do,
            read=read,
            policy=policy,
            steps=steps,
            waiting=waiting,
            clock=clock,
            secret=secret,
            written=written,
            writing=writing,
        )
