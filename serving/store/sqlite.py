"""Store: one transaction per use case; SQLite by default.

Whoever wants something durable submits a *use case*, a function over a `Transaction`,
and gets a future. One writer thread owns the one connection that writes. It takes what
waits, runs each use case in a savepoint of its own, commits them together, and answers
all of them only after the commit: what was answered is on the disk, and the sync to the
disk is shared. A use case that fails rolls back alone.

No other connection may write or checkpoint. SQLite before 3.51.3 can corrupt a database
in WAL mode when two connections do so at once; readers here are opened read-only, which
can do neither, and a second process is turned away by a lock beside the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from importlib import resources
from pathlib import Path
from typing import IO, Any, TypeVar

from serving.store.transaction import (
    ConstraintError,
    Reader,
    Row,
    Store,
    StoreBusyError,
    StoreError,
    StoreVersionError,
    Transaction,
    Undo,
    UseCase,
)
from serving.store.versions import HEAD, stamp
from serving.store.writer import GroupWriter

__all__ = ["SqliteStore", "Store", "read_only"]

T = TypeVar("T")

SCHEMA_VERSION = int(HEAD)
# "ESCA": the file of another program is not taken for ours.
APPLICATION_ID = 0x45534341

WRITER_PRAGMAS = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA foreign_keys = ON;
PRAGMA busy_timeout = 5000;
PRAGMA mmap_size = 0;
PRAGMA cell_size_check = ON;
PRAGMA trusted_schema = OFF;
PRAGMA wal_autocheckpoint = 1000;
"""
_READER_PRAGMAS = """
PRAGMA schema_version;
PRAGMA query_only = ON;
PRAGMA busy_timeout = 5000;
PRAGMA mmap_size = 0;
PRAGMA cell_size_check = ON;
PRAGMA trusted_schema = OFF;
"""


class _Session:
    """A connection as `Reader` and as `Session` of the writer."""

    __slots__ = ("_connection", "undo")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.undo: list[Undo] = []

    def one(self, query: str, **values: Any) -> Row | None:
        row: Row | None = self._connection.execute(query, values).fetchone()
        return row

    def all(self, query: str, **values: Any) -> Iterator[Row]:
        return self._connection.execute(query, values)

    def run(self, statement: str, **values: Any) -> int:
        return self._connection.execute(statement, values).rowcount

    def many(self, statement: str, rows: Iterable[Mapping[str, Any]]) -> None:
        self._connection.executemany(statement, rows)

    def on_rollback(self, undo: Undo) -> None:
        self.undo.append(undo)

    def begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def roll_back(self) -> None:
        self._connection.execute("ROLLBACK")

    def mark(self) -> None:
        self._connection.execute("SAVEPOINT use_case")

    def keep(self) -> None:
        self._connection.execute("RELEASE use_case")

    def back(self) -> None:
        self._connection.execute("ROLLBACK TO use_case")
        self._connection.execute("RELEASE use_case")

    def translated(self, error: Exception) -> Exception:
        return translated(error)


def session_on(connection: sqlite3.Connection) -> Transaction:
    """Return `connection` as a transaction that its owner begins and ends."""
    return _Session(connection)


class SqliteStore:
    """A `Store` in one SQLite file, for one process that writes.

    Parameters
    ----------
    path : Path
        Made, with its directory, if it is not there.
    group : int
        Most use cases in one commit.
    gather : float
        Longest time, in s, for which a commit takes in more of them. It never waits
        for what may come.

    Raises
    ------
    StoreBusyError
        If another process has the store open for writing.
    StoreVersionError
        If the file is not a store of this version.
    """

    def __init__(self, path: Path, *, group: int = 64, gather: float = 0.02) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as opened:
            opened.enter_context(only_writer(path))
            self._connection = opened.enter_context(_writer(path))
            self._files = opened.pop_all()
        self._idle: deque[sqlite3.Connection] = deque()
        self._writer = GroupWriter(
            _Session(self._connection), group=group, gather=gather, name=str(path)
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
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = reader_of(self._path)
        with _snapshot(connection) as reader:
            yield reader
        self._idle.append(connection)

    def close(self) -> None:
        """Finish what waits, then let go of the files. Closing twice is harmless."""
        self._writer.close()
        while self._idle:
            self._idle.pop().close()
        # Last, so that the closing checkpoint too is the writer's.
        self._files.close()


# --- connections -------------------------------------------------------------


@contextlib.contextmanager
def read_only(path: Path) -> Iterator[Reader]:
    """Yield a reader of the store at `path`, which nothing need have open.

    Raises
    ------
    StoreError
        If there is no store at `path`, or it cannot be read.
    StoreVersionError
        If the file is not a store of this version.
    """
    with contextlib.closing(reader_of(path)) as connection:
        _check_version(connection, path)
        with _snapshot(connection) as reader:
            yield reader


@contextlib.contextmanager
def _snapshot(connection: sqlite3.Connection) -> Iterator[Reader]:
    try:
        connection.execute("BEGIN")
        yield _Session(connection)
    except sqlite3.Error as error:
        raise translated(error) from error
    finally:
        connection.execute("ROLLBACK")


def reader_of(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        msg = f"expected a store at {path}, found none; check the path"
        raise StoreError(msg)
    return connect(f"{path.absolute().as_uri()}?mode=ro", _READER_PRAGMAS)


@contextlib.contextmanager
def _writer(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield the connection that writes, on a database with our schema."""
    with contextlib.closing(
        connect(path.absolute().as_uri(), WRITER_PRAGMAS)
    ) as connection:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            _create(connection)
        _check_version(connection, path)
        yield connection


def connect(uri: str, pragmas: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    try:
        connection.executescript(pragmas)
    except sqlite3.Error as error:
        connection.close()
        msg = f"expected a store, found a file that SQLite cannot open: {error}"
        raise StoreVersionError(msg) from error
    return connection


def _create(connection: sqlite3.Connection) -> None:
    """Make the schema, all of it or nothing."""
    schema = resources.files("serving.store").joinpath("schema.sql").read_text("utf-8")
    connection.executescript(
        f"BEGIN IMMEDIATE; {schema}"
        f"PRAGMA application_id = {APPLICATION_ID};"
        f"PRAGMA user_version = {SCHEMA_VERSION}; {stamp()} COMMIT;"
    )


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    found = tuple(
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("application_id", "user_version")
    )
    if found != (APPLICATION_ID, SCHEMA_VERSION):
        msg = (
            f"expected {path} to be a store of schema version {SCHEMA_VERSION}, found "
            f"application id {found[0]:#x} and version {found[1]}; {_remedy(found)}"
        )
        raise StoreVersionError(msg)


def _remedy(found: tuple[int, ...]) -> str:
    is_older = found[0] == APPLICATION_ID and found[1] < SCHEMA_VERSION
    return "escalon db upgrade brings it there" if is_older else "choose another path"


@contextlib.contextmanager
def only_writer(path: Path) -> Iterator[IO[str]]:
    """Hold the lock that makes this process the only one to write to `path`."""
    beside = path.with_name(path.name + ".lock")
    with beside.open("a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            msg = (
                f"expected to be the only writer of {path}, but process {holder} has "
                f"it open; stop that one, or choose another store"
            )
            raise StoreBusyError(msg) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield lock


def translated(error: Exception) -> Exception:
    """Return `error` in the words of `transaction`, if it is the database's."""
    if isinstance(error, sqlite3.IntegrityError):
        return ConstraintError(str(error))
    if isinstance(error, sqlite3.Error):
        return StoreError(f"the database answered: {error}; nothing was kept")
    return error
