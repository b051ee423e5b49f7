"""Dialect: our SQL, which is that of SQLite, as psycopg and PostgreSQL read it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.adapt import Loader
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumper

# A literal, a quoted name, a comment or a cast passes; a parameter is what we look for.
_TOKEN = re.compile(
    r"""(?P<kept>'(?:[^']|'')*'|"[^"]*"|--[^\n]*|::)|:(?P<name>[a-zA-Z_]\w*)|%"""
)


def nulls_of(values: Mapping[str, Any]) -> frozenset[str]:
    """Return the names under which `values` has nothing."""
    return frozenset(name for name, value in values.items() if value is None)


@lru_cache(maxsize=2_000)
def translated(query: str, nulls: frozenset[str] = frozenset()) -> str:
    """Return `query` with parameters ``:name`` as psycopg wants them.

    Parameters
    ----------
    query : str
        With named parameters; a colon in a literal, a name or a comment is none.
    nulls : frozenset of str
        Parameters that are NULL. They are written out: PostgreSQL asks every parameter
        for its type, and nothing has none.

    Examples
    --------
    >>> nothing = frozenset({"a"})
    >>> translated("SELECT ':a', b::text LIKE '1%' WHERE :a IS NULL OR c = :d", nothing)
    "SELECT ':a', b::text LIKE '1%%' WHERE NULL IS NULL OR c = %(d)s"
    """

    def put(found: re.Match[str]) -> str:
        name = found["name"]
        if name is None:
            return found[0].replace("%", "%%")
        return "NULL" if name in nulls else f"%({name})s"

    return _TOKEN.sub(put, query)


# --- values ------------------------------------------------------------------


class _FlagDumper(Int8Dumper):
    """Writes a truth as the 0 or 1 that our columns hold."""

    def dump(self, obj: Any) -> bytes:
        return b"1" if obj else b"0"


class _NumberLoader(Loader):
    """Reads `numeric`, which only sums and means are, as the number it is."""

    def load(self, data: Any) -> float:
        text = bytes(data).decode("ascii")
        return float(text) if "." in text or "N" in text else int(text)


def teach(connection: psycopg.Connection[Any]) -> None:
    """Have `connection` exchange the same values as SQLite does.

    Whole numbers always go as 64-bit ones, or the size of a value would decide the type
    of an expression; texts go as texts, so that no type has to be guessed.
    """
    adapters = connection.adapters
    adapters.register_dumper(int, Int8Dumper)
    adapters.register_dumper(bool, _FlagDumper)
    adapters.register_dumper(str, StrDumper)
    adapters.register_loader("numeric", _NumberLoader)


# --- what was refused --------------------------------------------------------


def rule_of(error: psycopg.IntegrityError) -> str:
    """Return the rule that was broken, in the words in which SQLite says it.

    Only names of ours are in it: what PostgreSQL says quotes the values.
    """
    said = error.diag
    match error:
        case psycopg.errors.UniqueViolation():
            columns = re.match(r".*?\(([^)]*)\)=", said.message_detail or "")
            names = columns[1].split(", ") if columns else [str(said.constraint_name)]
            return f"UNIQUE constraint failed: {_in(said.table_name, names)}"
        case psycopg.errors.ForeignKeyViolation():
            return f"FOREIGN KEY constraint failed: {said.constraint_name}"
        case psycopg.errors.CheckViolation():
            return f"CHECK constraint failed: {said.constraint_name}"
        case psycopg.errors.NotNullViolation():
            named = _in(said.table_name, [str(said.column_name)])
            return f"NOT NULL constraint failed: {named}"
        case _:
            return said.message_primary or type(error).__name__


def _in(table: str | None, names: Iterable[str]) -> str:
    return ", ".join(f"{table}.{name}" for name in names)
