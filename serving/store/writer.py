"""The writer: one thread that runs use cases and commits them in groups."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any, Generic, Protocol, TypeVar

from serving import crash
from serving.crash import CrashPoint
from serving.safely import Failure, attempt
from serving.store.transaction import (
    StoreClosedError,
    Transaction,
    Undo,
    UseCase,
)

T = TypeVar("T")


class Session(Transaction, Protocol):
    """The one connection that writes."""

    undo: list[Undo]
    """What `on_rollback` is given is appended here; the writer sets it."""

    def begin(self) -> None:
        """Begin a transaction that alone may write, over all processes."""
        ...

    def commit(self) -> None:
        """Return once all that was kept is durable."""
        ...

    def roll_back(self) -> None:
        """Undo the transaction; also where the database has done so already."""
        ...

    def mark(self) -> None:
        """Mark the place to which `back` goes back."""
        ...

    def keep(self) -> None:
        """Keep what was done since `mark`."""
        ...

    def back(self) -> None:
        """Undo what was done since `mark`; raise where there is no such place."""
        ...

    def translated(self, error: Exception) -> Exception:
        """Return `error` as a `StoreError` if the database raised it."""
        ...


class _Job(Generic[T]):
    """One use case on its way: what it gave, what to undo, and who waits for it."""

    __slots__ = ("future", "outcome", "undo", "use_case")

    def __init__(self, use_case: UseCase[T]) -> None:
        self.use_case = use_case
        self.future: Future[T] = Future()
        # What was submitted cannot be withdrawn: it may be half done.
        self.future.set_running_or_notify_cancel()
        self.outcome: T | Failure
        self.undo: list[Undo] = []

    def roll_back(self, error: Exception) -> None:
        """Undo what was remembered outside the database, latest first."""
        self.outcome = Failure(error)
        while self.undo:
            self.undo.pop()()

    def answer(self) -> None:
        """Tell who waits. Only once the outcome is durable, or surely undone."""
        if isinstance(self.outcome, Failure):
            self.future.set_exception(self.outcome.error)
        else:
            self.future.set_result(self.outcome)


class GroupWriter:
    """Runs use cases one at a time on its own thread; commits up to `group` together.

    Parameters
    ----------
    session : Session
        Used by the writer's thread alone until `close` returns.
    group : int
        Most use cases in one commit.
    gather : float
        Longest time, in s, for which a commit takes in more of them. It takes what is
        there and never waits for what may come: while one group syncs to the disk the
        next one gathers by itself.
    name : str
        Of the store, for messages.
    """

    def __init__(
        self, session: Session, *, group: int, gather: float, name: str
    ) -> None:
        self._session = session
        self._group = group
        self._gather = gather
        self._name = name
        self._waiting: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._is_closed = False
        self._gate = threading.Lock()
        self._thread = threading.Thread(
            target=self._write, name="store-writer", daemon=True
        )
        self._thread.start()

    def submit(self, use_case: UseCase[T]) -> Future[T]:
        """Return a future of what `use_case` returns, done once it is durable.

        Raises
        ------
        StoreClosedError
            If the writer is closed.
        """
        job = _Job(use_case)
        with self._gate:
            self.check_open()
            self._waiting.put(job)
        return job.future

    @property
    def is_open(self) -> bool:
        """Whether use cases are still taken."""
        return not self._is_closed

    def check_open(self) -> None:
        """Return if use cases are still taken.

        Raises
        ------
        StoreClosedError
            If they are not.
        """
        if not self.is_open:
            msg = f"the store {self._name} is closed; open it again"
            raise StoreClosedError(msg)

    def close(self) -> None:
        """Finish what waits and end the thread. Closing twice is harmless."""
        with self._gate:
            if not self._is_closed:
                self._is_closed = True
                self._waiting.put(None)
        self._thread.join()

    def _write(self) -> None:
        try:
            while (job := self._waiting.get()) is not None:
                self._commit_with(job)
        finally:
            self._end()

    def _end(self) -> None:
        """Take nothing more, and leave nobody waiting, however the thread ends."""
        with self._gate:
            self._is_closed = True
        while not self._waiting.empty():
            job = self._waiting.get()
            if job is not None:
                job.roll_back(self._died())
                job.answer()

    def _died(self) -> StoreClosedError:
        return StoreClosedError(f"the writer of {self._name} ended; open it again")

    def _commit_with(self, first: _Job[Any]) -> None:
        """Commit `first`, and what else waits by then, and answer all of it."""
        group = [first]
        # Stands if the thread is ended from within, as by SystemExit.
        outcome: Failure | None = Failure(self._died())
        try:
            outcome = attempt(lambda: self._transact(group))
        finally:
            if outcome is not None:
                self._lose(group, self._session.translated(outcome.error))
            for job in group:
                job.answer()

    def _lose(self, group: list[_Job[Any]], error: Exception) -> None:
        attempt(self._session.roll_back)
        for job in group:
            job.roll_back(error)

    def _transact(self, group: list[_Job[Any]]) -> None:
        begun = attempt(self._session.begin)
        if isinstance(begun, Failure):
            # What waits would fail one after the other, each after as long a wait.
            group.extend(self._all_waiting())
            raise begun.error
        self._run(group[0])
        for job in self._more():
            group.append(job)
            self._run(job)
        crash.passing(CrashPoint.BEFORE_COMMIT)
        self._session.commit()
        crash.passing(CrashPoint.AFTER_COMMIT)

    def _all_waiting(self) -> Iterator[_Job[Any]]:
        for _ in range(self._waiting.qsize()):
            job = self._waiting.get()
            if job is None:
                self._waiting.put(None)
                return
            yield job

    def _more(self) -> Iterator[_Job[Any]]:
        """Yield what waits, while the group has room and time."""
        until = time.monotonic() + self._gather
        for _ in range(self._group - 1):
            if time.monotonic() > until or self._waiting.empty():
                return
            job = self._waiting.get()
            if job is None:
                self._waiting.put(None)
                return
            yield job

    def _run(self, job: _Job[Any]) -> None:
        """Run one use case in a savepoint; its failure undoes that much and no more."""
        self._session.undo = job.undo
        self._session.mark()
        outcome = attempt(lambda: job.use_case(self._session))
        job.outcome = outcome
        if isinstance(outcome, Failure):
            # Where the database gave up the whole transaction (disk full, I/O error)
            # there is no savepoint any more: this raises, and the group is lost.
            self._session.back()
            job.roll_back(self._session.translated(outcome.error))
        else:
            self._session.keep()
