"""Connections to PostgreSQL: made, prepared, and what they say in our words."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any, LiteralString

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row

from serving.store import dialect
from serving.store.transaction import (
    ConstraintError,
    StoreBusyError,
    StoreError,
    StoreVersionError,
)
from serving.store.versions import HEAD, VERSION_TABLE, stamp
from serving.where import PostgresAddress

Connection = psycopg.Connection[DictRow]

_log = logging.getLogger(__name__)

# Of the network: a peer that is gone without a word is given up after some 10 s.
_PATIENCE: Mapping[str, Any] = {
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_PROMISES = """
SELECT current_setting('server_encoding') AS encoding,
  current_setting('fsync') AS fsync,
  current_setting('full_page_writes') AS pages
"""
_KNOWN = "SELECT to_regclass(%(name)s) IS NOT NULL AS known"
_TABLES = """
SELECT count(*) AS n FROM pg_catalog.pg_tables WHERE schemaname = current_schema()
"""
_VERSION = f"SELECT version_num FROM {VERSION_TABLE}"  # noqa: S608 - our own name


def for_programs(address: PostgresAddress) -> tuple[str, dict[str, str]]:
    """Return the address for `pg_dump`, and what to add to its environment.

    A password goes there: anybody may see the arguments of a process.
    """
    parts = conninfo_to_dict(address.url)
    password = parts.pop("password", None)
    told = {} if password is None else {"PGPASSWORD": str(password)}
    return make_conninfo(**{k: str(v) for k, v in parts.items()}), told


@contextlib.contextmanager
def connected(address: PostgresAddress) -> Iterator[Connection]:
    """Yield a connection that commits each statement; its errors are in our words.

    Raises
    ------
    StoreError
        If the database cannot be reached, or refuses.
    """
    with spoken(), contextlib.closing(connect(address)) as connection:
        yield connection


def connect(address: PostgresAddress, settings: LiteralString = "") -> Connection:
    """Return a connection that commits each statement, under `settings`."""
    connection = psycopg.connect(
        address.url,
        autocommit=True,
        row_factory=dict_row,
        client_encoding="utf8",
        application_name="escalon",
        **_PATIENCE,
    )
    connection.prepared_max = 500
    dialect.teach(connection)
    if settings:
        connection.execute(settings)
    return connection


def plain(address: PostgresAddress) -> psycopg.Connection[Any]:
    """Return a connection as others expect it, with nothing of ours."""
    return psycopg.connect(address.url)


def is_empty(connection: Connection) -> bool:
    """Whether there is no table yet where ours would be."""
    return _count(connection) == 0


def create(connection: Connection) -> None:
    """Make the schema, and write down which one it is."""
    schema = resources.files("serving.store").joinpath("schema.postgresql.sql")
    connection.execute(sql(schema.read_text("utf-8")))
    connection.execute(sql(stamp()))


def version_of(connection: Connection) -> str | None:
    """Return the version of the schema; None where there is no store."""
    known = connection.execute(_KNOWN, {"name": VERSION_TABLE}).fetchone()
    if known is None or not known["known"]:
        return None
    row = connection.execute(_VERSION).fetchone()
    return None if row is None else str(row["version_num"])


def check_version(connection: Connection, address: PostgresAddress) -> None:
    """Return if the schema is that of this version.

    Raises
    ------
    StoreVersionError
        If it is not.
    """
    found = version_of(connection)
    if found != HEAD:
        raise StoreVersionError(wrong_version(str(address), found))


def wrong_version(where: str, found: str | None) -> str:
    """Return what to say of a place that holds no store of this version."""
    what = "no store of ours" if found is None else f"one of version {found}"
    return (
        f"expected {where} to be a store of schema version {HEAD}, found {what}; "
        "choose another database, or bring it there with escalon db upgrade"
    )


def _count(connection: Connection) -> int:
    row = connection.execute(_TABLES).fetchone()
    return 0 if row is None else int(row["n"])


def check_promises(connection: Connection, address: PostgresAddress) -> None:
    """Return if texts are kept as we mean them; warn where commits are not durable.

    Raises
    ------
    StoreVersionError
        If the database is not encoded in UTF-8.
    """
    row = connection.execute(_PROMISES).fetchone() or {}
    if row["encoding"] != "UTF8":
        msg = (
            f"expected {address} to be encoded in UTF8, found {row['encoding']}; make "
            "the database with ENCODING 'UTF8'"
        )
        raise StoreVersionError(msg)
    if "off" in (row["fsync"], row["pages"]):
        said = "fsync or full_page_writes is off: a power cut may lose handovers"
        _log.warning(said, extra={"action": "store_not_durable"})


# --- words -------------------------------------------------------------------


def sql(text: str) -> LiteralString:
    """Return `text` for psycopg, which wants SQL to be written in the program."""
    return text


@contextlib.contextmanager
def spoken() -> Iterator[None]:
    """Have what the database raises inside this context speak in our words."""
    try:
        yield
    except psycopg.Error as error:
        raise in_our_words(error) from error


def in_our_words(error: Exception) -> Exception:
    """Return `error` in the words of `transaction`, if it is the database's."""
    if isinstance(error, psycopg.IntegrityError):
        return ConstraintError(dialect.rule_of(error))
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return StoreBusyError("another process kept the right to write for too long")
    if isinstance(error, psycopg.Error):
        return StoreError(f"the database answered: {said_by(error)}; nothing was kept")
    return error


def is_lost(error: psycopg.OperationalError) -> bool:
    """Whether the connection is gone, and not only one statement refused."""
    return error.sqlstate is None or error.sqlstate.startswith(("08", "57P"))


def said_by(error: psycopg.Error) -> str:
    """Return what `error` says without the values it may quote."""
    if error.sqlstate is not None and error.sqlstate.startswith("22"):
        return type(error).__name__
    said = error.diag.message_primary or str(error) or type(error).__name__
    return said.splitlines()[0]
