"""SQLite files: a store of whatever version, looked at, copied or migrated."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from serving.store.sqlite import (
    APPLICATION_ID,
    WRITER_PRAGMAS,
    connect,
    only_writer,
    reader_of,
    translated,
)
from serving.store.transaction import StoreError, StoreVersionError


def unchecked(path: Path) -> contextlib.closing[sqlite3.Connection]:
    """Return a connection that can only read a store, of whatever version.

    Raises
    ------
    StoreError
        If there is no file at `path`.
    """
    return contextlib.closing(reader_of(path))


def copy(path: Path, target: Path) -> None:
    """Copy the store at `path`, as it is at one moment; who writes to it goes on.

    Raises
    ------
    StoreError
        If there is no store at `path`, or it cannot be copied.
    """
    with unchecked(path) as source, contextlib.closing(_fresh(target)) as kept:
        try:
            source.backup(kept)
        except sqlite3.Error as error:
            raise translated(error) from error


def _fresh(path: Path) -> sqlite3.Connection:
    return connect(path.absolute().as_uri(), "")


@contextlib.contextmanager
def for_migration(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield the one connection that may write, to a store of whatever version.

    Raises
    ------
    StoreError
        If there is no store of ours at `path`, or another process has it open.
    """
    if not path.is_file():
        msg = f"expected a store at {path}, found none; check the path"
        raise StoreError(msg)
    with (
        only_writer(path),
        contextlib.closing(
            connect(path.absolute().as_uri(), WRITER_PRAGMAS)
        ) as connection,
    ):
        found = connection.execute("PRAGMA application_id").fetchone()[0]
        if found != APPLICATION_ID:
            msg = f"expected {path} to be a store of ours, not another's"
            raise StoreVersionError(msg)
        yield connection
