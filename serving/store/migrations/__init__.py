"""Migrations: a store brought from one version of the schema to another, on its data.

A fresh store is made from the schema file of its database and says which revision that
is. Revisions, each forward and back, stand in ``versions``; Alembic runs them, all in
one transaction, while nobody else may write.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.pool import StaticPool

from serving.store import pg_connections, pg_session, sqlite_files
from serving.store.migrations.rebuild import check
from serving.store.transaction import StoreError, StoreVersionError
from serving.store.versions import HEAD, REVISIONS, VERSION_TABLE, stamp
from serving.where import PostgresAddress, Where

__all__ = ["current", "downgrade", "upgrade"]

_REVISIONS = "serving.store:migrations"
_IS_STAMPED = "SELECT count(*) FROM sqlite_master WHERE name = :name"
_MIGRATING = """
PRAGMA foreign_keys = OFF;
PRAGMA legacy_alter_table = ON;
"""


def current(where: Where) -> str:
    """Return the revision of the store at `where`, such as ``"0003"``.

    Raises
    ------
    StoreError
        If there is no store.
    """
    if isinstance(where, PostgresAddress):
        with pg_connections.connected(where) as connection:
            found = pg_connections.version_of(connection)
        if found is None:
            msg = f"expected a store at {where}, found none; check the address"
            raise StoreError(msg)
        return found
    with sqlite_files.unchecked(where) as reading:
        return f"{reading.execute('PRAGMA user_version').fetchone()[0]:04}"


def upgrade(where: Where, to: str = HEAD) -> None:
    """Bring the store at `where` forward to revision `to`.

    Raises
    ------
    StoreError
        If there is no store, it is past `to`, or somebody has it open; nothing was
        changed.
    """
    _check(where, to, [one for one in REVISIONS if one >= current(where)])
    _migrate(where, lambda config: command.upgrade(config, to))


def downgrade(where: Where, to: str, *, loses: bool = False) -> None:
    """Bring the store at `where` back to revision `to`.

    Raises
    ------
    WouldLoseError
        If something has no place there, unless it is known that it `loses` that.
    StoreError
        If there is no store, it is before `to`, or somebody has it open; nothing was
        changed.
    """
    _check(where, to, [one for one in REVISIONS if one <= current(where)])
    _migrate(where, lambda config: command.downgrade(config, to), loses=loses)


def _check(where: Where, to: str, known: Sequence[str]) -> None:
    if to not in known:
        msg = (
            f"expected {where} to be brought from {current(where)} to one of "
            f"{', '.join(known)}, found {to!r}; nothing was changed"
        )
        raise StoreVersionError(msg)


def _migrate(
    where: Where, work: Callable[[Config], None], *, loses: bool = False
) -> None:
    with _connected(where) as connection:
        config = Config()
        config.set_main_option("script_location", _REVISIONS)
        config.attributes.update(connection=connection, loses=loses)
        work(config)


def _connected(where: Where) -> contextlib.AbstractContextManager[Connection]:
    if isinstance(where, PostgresAddress):
        return _on_postgres(where)
    return _on_sqlite(where)


@contextlib.contextmanager
def _on_postgres(address: PostgresAddress) -> Iterator[Connection]:
    """Yield a connection in a transaction that keeps every writer out."""
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: pg_connections.plain(address)
    )
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(pg_session.LOCK)
            yield connection
    finally:
        engine.dispose()


@contextlib.contextmanager
def _on_sqlite(path: Path) -> Iterator[Connection]:
    """Yield a connection in a transaction whose end holds together."""
    with sqlite_files.for_migration(path) as raw:
        _stamp_baseline(raw)
        raw.executescript(_MIGRATING)
        engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
        # sqlite3 leaves transactions to us here, so SQLAlchemy must begin them.
        event.listen(engine, "begin", _begin)
        with engine.begin() as connection:
            yield connection
            check(raw)
            found = connection.exec_driver_sql(
                f"SELECT version_num FROM {VERSION_TABLE}"  # noqa: S608 - our own name
            ).scalar_one()
            raw.execute(f"PRAGMA user_version = {int(found)}")


def _begin(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _stamp_baseline(connection: sqlite3.Connection) -> None:
    """Say of a store from before migrations which revision it is."""
    stamped = connection.execute(_IS_STAMPED, {"name": VERSION_TABLE}).fetchone()[0]
    if not stamped:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.executescript(f"BEGIN; {stamp(f'{version:04}')} COMMIT;")
