"""Opening: the store at a place, whichever database that is."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from serving.store import sqlite
from serving.store.transaction import Reader, Store
from serving.where import PostgresAddress, Where


def open_store(where: Where) -> Store:
    """Return the store at `where`, opened for writing; it is made if nothing is there.

    Parameters
    ----------
    where : Path or PostgresAddress
        A SQLite file, for one process that writes; or a PostgreSQL database, for many.

    Raises
    ------
    StoreBusyError
        If it is a file that another process has open for writing.
    StoreVersionError
        If what is there is no store of this version.
    StoreError
        If it cannot be opened.
    """
    if isinstance(where, PostgresAddress):
        # Here: most services have no use for its client.
        from serving.store.postgres import PostgresStore  # noqa: PLC0415

        return PostgresStore(where)
    return sqlite.SqliteStore(where)


def reading(where: Where) -> AbstractContextManager[Reader]:
    """Return a context with a reader of one moment of the store at `where`.

    Nothing need have the store open; whoever has it is not disturbed.

    Raises
    ------
    StoreError
        If there is no store, or it cannot be read.
    StoreVersionError
        If it is no store of this version.
    """
    if isinstance(where, PostgresAddress):
        from serving.store import postgres  # noqa: PLC0415

        return postgres.read_only(where)
    return sqlite.read_only(Path(where))
