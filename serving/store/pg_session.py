"""Sessions on PostgreSQL: a connection as what reads, and as the one that writes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, LiteralString

import psycopg
from psycopg.rows import DictRow

from serving.store import dialect
from serving.store.pg_connections import (
    Connection,
    connect,
    in_our_words,
    is_lost,
    said_by,
    sql,
)
from serving.store.transaction import Row, StoreError, StoreLostError, Undo
from serving.where import PostgresAddress

# Whoever holds it writes: the same number in every process.
_LOCK = 0x45534341
LOCK = f"SELECT pg_advisory_xact_lock({_LOCK})"
_BEGIN = f"BEGIN ISOLATION LEVEL READ COMMITTED; {LOCK}"
# A process that stops in the middle of a transaction must not stop the others.
_WRITER = """
SET lock_timeout = '5s';
SET statement_timeout = '15s';
SET idle_in_transaction_session_timeout = '10s';
"""
# Weaker than `on` a commit is not on the disk when it is answered; stronger may stay.
_DURABLE = """
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') IN ('off', 'local')
"""
_TRY_AGAIN = 1.0
_FETCH = 500


class Reading:
    """A connection as `Reader`."""

    __slots__ = ("_cursors", "connection")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._cursors = 0

    def one(self, query: str, **values: Any) -> Row | None:
        """Return the first row of `query`, or None."""
        return self._execute(query, values).fetchone()

    def all(self, query: str, **values: Any) -> Iterator[Row]:
        """Yield the rows of `query`."""
        # Without a condition it is a whole table: never held in memory at once.
        if "WHERE" in query:
            return iter(self._execute(query, values))
        return self._stream(query, values)

    def _stream(self, query: str, values: Mapping[str, Any]) -> Iterator[Row]:
        self._cursors += 1
        name = f"stream_{self._cursors}"  # closed by the end of the transaction
        declared = f"DECLARE {name} NO SCROLL CURSOR FOR {query}"
        self.connection.execute(_translated(declared, values), values, prepare=False)
        fetch, n = sql(f"FETCH {_FETCH} FROM {name}"), _FETCH
        while n == _FETCH:
            rows = self.connection.execute(fetch, prepare=False).fetchall()
            n = len(rows)
            yield from rows

    def _execute(
        self, query: str, values: Mapping[str, Any]
    ) -> psycopg.Cursor[DictRow]:
        return self.connection.execute(_translated(query, values), values)


class Session(Reading):
    """The connection that writes, made again whenever it was lost."""

    __slots__ = ("_address", "_failed", "_is_marked", "_next_try", "undo")

    def __init__(self, address: PostgresAddress) -> None:
        super().__init__(_writing(address))
        self.undo: list[Undo] = []
        self._address = address
        self._is_marked = False
        self._next_try = 0.0
        self._failed: Exception | None = None

    def all(self, query: str, **values: Any) -> Iterator[Row]:
        """Yield the rows of `query`."""
        # At once: what is written meanwhile must not show in it.
        return iter(self._execute(query, values))

    def run(self, statement: str, **values: Any) -> int:
        """Run `statement`; return how many rows it changed."""
        return self._execute(statement, values).rowcount

    def many(self, statement: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Run `statement` once for each of `rows`."""
        with self.connection.cursor() as cursor:
            for nulls, alike in groupby(rows, key=dialect.nulls_of):
                cursor.executemany(sql(dialect.translated(statement, nulls)), alike)

    def on_rollback(self, undo: Undo) -> None:
        """Have `undo` called if what this use case did is rolled back."""
        self.undo.append(undo)

    def begin(self) -> None:
        """Begin a transaction that alone may write, over all processes."""
        self._is_marked = False
        if self.connection.closed:
            self._connect()
        try:
            self.connection.execute(_BEGIN)
        except psycopg.OperationalError as error:
            # Lost while nobody used it, and nothing was under way: not worth an error.
            if not is_lost(error):
                raise
            self.connection.close()
            self._connect()
            self.connection.execute(_BEGIN)

    def commit(self) -> None:
        """Return once all that was kept is durable."""
        try:
            done = self.connection.execute("COMMIT")
        except psycopg.OperationalError as error:
            msg = (
                "the database went away while it committed, and may or may not have "
                f"kept this: send the same again to find out ({said_by(error)})"
            )
            raise StoreLostError(msg) from error
        # A transaction that a use case broke and went on with ends in a rollback.
        if done.statusmessage != "COMMIT":
            msg = f"the database answered COMMIT with {done.statusmessage}"
            raise StoreError(msg)

    def roll_back(self) -> None:
        """Undo the transaction."""
        self.connection.execute("ROLLBACK")

    def mark(self) -> None:
        """Mark the place to which `back` goes back."""
        # One way to the server and back where two statements would take two.
        before = "RELEASE SAVEPOINT use_case; " if self._is_marked else ""
        self.connection.execute(sql(f"{before}SAVEPOINT use_case"))
        self._is_marked = True

    def keep(self) -> None:
        """Do nothing: the next mark, or the commit, keeps it."""

    def back(self) -> None:
        """Undo what was done since `mark`."""
        self.connection.execute("ROLLBACK TO SAVEPOINT use_case")

    def translated(self, error: Exception) -> Exception:
        """Return `error` in our words if the database raised it."""
        return in_our_words(error)

    def close(self) -> None:
        """Hang up."""
        self.connection.close()

    def _connect(self) -> None:
        if self._failed is not None and time.monotonic() < self._next_try:
            raise self._failed
        try:
            self.connection = _writing(self._address)
        except psycopg.OperationalError as error:
            self._failed, self._next_try = error, time.monotonic() + _TRY_AGAIN
            raise
        self._failed = None


def _writing(address: PostgresAddress) -> Connection:
    connection = connect(address, _WRITER)
    connection.execute(_DURABLE)
    return connection


def _translated(query: str, values: Mapping[str, Any]) -> LiteralString:
    return sql(dialect.translated(query, dialect.nulls_of(values)))
