"""Rebuild: a SQLite database from one schema to another, to the letter.

SQLite changes little of a table in place. So tables that differ are put aside, made
anew by the very statements of the new schema, and filled; indexes and triggers are all
made anew. What comes out cannot be told from a store that began with that schema.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from typing import Any

from serving.store.versions import VERSION_TABLE

_ASIDE = "before_"
_OURS = """
SELECT name, type, tbl_name, sql FROM sqlite_master
WHERE sql IS NOT NULL AND name <> :version ORDER BY rowid
"""

_Key = tuple[str, str]
Fill = Callable[[sqlite3.Connection, str], None]
"""Fills a table that was made anew from the one put aside, whose name it is given."""


class BrokenStoreError(RuntimeError):
    """What a migration left does not hold together; it is undone as a whole."""


def schema_of(revision: str) -> str:
    """Return the schema of `revision`, as it was when that was the newest."""
    files = resources.files("serving.store.migrations")
    return files.joinpath(f"schema_{revision}.sql").read_text("utf-8")


def statements(schema: str) -> Iterator[str]:
    """Yield the statements of `schema`, each as SQLite remembers it.

    Examples
    --------
    >>> list(statements("CREATE TABLE a (b TEXT); CREATE INDEX c ON a (b);"))
    ['CREATE TABLE a (b TEXT)', 'CREATE INDEX c ON a (b)']
    """
    pending = ""
    for part in re.split(r"(?<=;)", schema):
        pending += part
        if sqlite3.complete_statement(pending):
            bare = re.sub(r"\A(\s+|--[^\n]*\n)*", "", pending).strip()
            if bare:
                yield bare.removesuffix(";")
            pending = ""


def rebuild(
    connection: sqlite3.Connection, schema: str, fills: Mapping[str, Fill]
) -> None:
    """Bring `connection` to `schema`, inside the transaction that is under way.

    Parameters
    ----------
    connection : sqlite3.Connection
        With `foreign_keys` off and `legacy_alter_table` on.
    fills : mapping
        For tables whose old rows do not fit as they are. The others keep what columns
        of the same name have, and take defaults for new ones.
    """
    old = _objects(connection)
    new = {_named(sql): sql for sql in statements(schema)}
    for kind, name in old:
        if kind != "table":
            connection.execute(f"DROP {kind} {name}")
    aside = [key for key, sql in old.items() if _differs(key, new, sql)]
    for _, name in aside:
        connection.execute(f"ALTER TABLE {name} RENAME TO {_ASIDE}{name}")
    _make(connection, new, lambda key: _differs(key, old, new[key]))
    for key in aside:
        if key in new:
            fills.get(key[1], _same(key[1]))(connection, f"{_ASIDE}{key[1]}")
        connection.execute(f"DROP TABLE {_ASIDE}{key[1]}")
    _make(connection, new, lambda key: key[0] != "table")


def _differs(key: _Key, others: Mapping[_Key, str], sql: str) -> bool:
    return key[0] == "table" and others.get(key) != sql


def _make(
    connection: sqlite3.Connection,
    schema: Mapping[_Key, str],
    is_wanted: Callable[[_Key], bool],
) -> None:
    for key, sql in schema.items():
        if is_wanted(key):
            connection.execute(sql)


def check(connection: sqlite3.Connection) -> None:
    """Return if no row points at one that is not there, and no page is broken.

    Raises
    ------
    BrokenStoreError
        If that is not so.
    """
    dangling = connection.execute("PRAGMA foreign_key_check").fetchall()
    sound = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if dangling or sound != "ok":
        msg = f"{len(dangling)} rows point at nothing, and pages are {sound}"
        raise BrokenStoreError(msg)


def columns(connection: sqlite3.Connection, table: str) -> list[str]:
    """Return the names of the columns of `table`, in order."""
    found = connection.execute(f"SELECT name FROM pragma_table_info('{table}')")  # noqa: S608
    return [row[0] for row in found]


def insert(connection: sqlite3.Connection, table: str, row: Mapping[str, Any]) -> None:
    """Insert `row`, by column."""
    names = ", ".join(row)
    places = ", ".join(f":{name}" for name in row)
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", dict(row))  # noqa: S608


def _same(table: str) -> Fill:
    """Return what fills `table` with the columns that it had before."""

    def fill(connection: sqlite3.Connection, before: str) -> None:
        known = set(columns(connection, before))
        names = ", ".join(c for c in columns(connection, table) if c in known)
        connection.execute(
            f"INSERT INTO {table} ({names}) SELECT {names} FROM {before}"  # noqa: S608
        )

    return fill


def _objects(connection: sqlite3.Connection) -> dict[tuple[str, str], str]:
    rows = connection.execute(_OURS, {"version": VERSION_TABLE})
    return {(row["type"], row["name"]): row["sql"] for row in rows}


def _named(sql: str) -> tuple[str, str]:
    """Return kind and name of what `sql` creates."""
    found = re.match(r"CREATE (?:UNIQUE )?(TABLE|INDEX|TRIGGER) (\w+)", sql)
    if found is None:
        msg = f"expected CREATE TABLE, INDEX or TRIGGER, found {sql[:40]!r}"
        raise ValueError(msg)
    return found[1].lower(), found[2]
