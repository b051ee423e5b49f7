"""PostgreSQL: the store of several processes, on as many hosts as one likes.

Each has a writer of its own, see `serving.store.writer`. Every transaction that writes
begins by taking one lock, so over all of them use cases run one at a time and see what
those before them wrote: a sequence without gaps, such as the audit log, can be had in
no other way. Commits are shared by groups, as in SQLite, and are as durable.

A connection that was lost is made again by whoever needs it next. What was under way
then is answered with an error; where nobody can know whether it was kept, that too is
said, and the same call again finds out.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from typing import TypeVar

import psycopg

from serving.safely import Failure, attempt
from serving.store.pg_connections import (
    Connection,
    check_promises,
    check_version,
    connect,
    connected,
    create,
    is_empty,
    spoken,
)
from serving.store.pg_session import Reading, Session
from serving.store.transaction import Reader, StoreBusyError, UseCase
from serving.store.writer import GroupWriter
from serving.where import PostgresAddress

__all__ = ["PostgresStore", "read_only"]

T = TypeVar("T")

_READER = """
SET statement_timeout = '60s';
SET idle_in_transaction_session_timeout = '300s';
"""
_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_READERS = 12
_IDLE = 4
_TURN = 5.0


class PostgresStore:
    """A `Store` in a PostgreSQL database, for as many processes as one likes.

    Parameters
    ----------
    address : PostgresAddress
        Of a database that has this schema, or nothing yet: then it is made.
    group : int
        Most use cases in one commit.
    gather : float
        Longest time, in s, for which a commit takes in more of them. It never waits
        for what may come; other processes wait for it.

    Raises
    ------
    StoreError
        If the database cannot be reached, or refuses.
    StoreVersionError
        If it holds something else, or a store of another version.
    """

    def __init__(
        self, address: PostgresAddress, *, group: int = 64, gather: float = 0.02
    ) -> None:
        self._address = address
        self._session = _prepared(address)
        self._idle: deque[Connection] = deque()
        self._turns = threading.BoundedSemaphore(_READERS)
        self._writer = GroupWriter(
            self._session, group=group, gather=gather, name=str(address)
        )

    @property
    def is_open(self) -> bool:
        """Whether use cases are still taken."""
        return self._writer.is_open

    def submit(self, use_case: UseCase[T]) -> Future[T]:
        """Return a future of what `use_case` returns, done once it is durable.

        Raises
        ------
        StoreClosedError
            If the store is closed.
        """
        return self._writer.submit(use_case)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Reader]:
        """Yield a reader; everything read through it is of one moment.

        Raises
        ------
        StoreError
            If the store cannot be read.
        """
        self._writer.check_open()
        if not self._turns.acquire(timeout=_TURN):
            msg = f"{_READERS} readers are busy, and none ended within {_TURN:.0f} s"
            raise StoreBusyError(msg)
        try:
            with spoken(), self._snapshot() as connection:
                yield Reading(connection)
        finally:
            self._turns.release()

    def close(self) -> None:
        """Finish what waits, then hang up. Closing twice is harmless."""
        self._writer.close()
        while self._idle:
            self._idle.pop().close()
        self._session.close()

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        connection = self._begun()
        try:
            yield connection
        finally:
            ended = attempt(lambda: connection.execute("ROLLBACK"))
            is_wanted = len(self._idle) < _IDLE and self.is_open
            if is_wanted and not isinstance(ended, Failure):
                self._idle.append(connection)
            else:
                connection.close()

    def _begun(self) -> Connection:
        """Return a connection in a snapshot: an idle one, if that still lives."""
        while self._idle:
            connection = self._idle.pop()
            try:
                connection.execute(_SNAPSHOT)
            except psycopg.OperationalError:
                connection.close()
            else:
                return connection
        connection = connect(self._address, _READER)
        connection.execute(_SNAPSHOT)
        return connection


@contextlib.contextmanager
def read_only(address: PostgresAddress) -> Iterator[Reader]:
    """Yield a reader of the store at `address`, for as long and as much as one likes.

    Raises
    ------
    StoreError
        If it cannot be reached or read.
    StoreVersionError
        If it is no store of this version.
    """
    with connected(address) as connection:
        connection.execute(_SNAPSHOT)
        check_version(connection, address)
        yield Reading(connection)


def _prepared(address: PostgresAddress) -> Session:
    """Return a session on a database that has our schema."""
    with spoken(), contextlib.ExitStack() as opening:
        session = Session(address)
        opening.callback(session.close)
        check_promises(session.connection, address)
        # Under the lock: of several that start at once, one makes the schema.
        session.begin()
        if is_empty(session.connection):
            create(session.connection)
        check_version(session.connection, address)
        session.connection.execute("COMMIT")
        opening.pop_all()
    return session
