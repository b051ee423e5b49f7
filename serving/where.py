"""Where: the place of a store, a file or a database, from what somebody wrote."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

SCHEMES = ("postgresql", "postgres")


class WhereError(ValueError):
    """What was written names no place of a store."""


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """A PostgreSQL database.

    Attributes
    ----------
    url : str
        As libpq takes it. It may hold a password, which is never shown.
    """

    url: str = field(repr=False)

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in SCHEMES:
            msg = "expected an address such as postgresql://user@host:5432/escalon"
            raise WhereError(msg)

    def __str__(self) -> str:
        """Return the address for people: without password and options."""
        parts = urlsplit(self.url)
        user, at, host = parts.netloc.rpartition("@")
        named = f"{user.partition(':')[0]}{at}{host}"
        return urlunsplit((parts.scheme, named, parts.path, "", ""))


Where = Path | PostgresAddress


def where_of(text: str | Path | PostgresAddress) -> Where:
    """Return the place that `text` names: an address, or else a path.

    Examples
    --------
    >>> where_of("var/escalon.db")
    PosixPath('var/escalon.db')
    >>> str(where_of("postgresql://ana:secret@db/escalon?sslmode=require"))
    'postgresql://ana@db/escalon'

    Raises
    ------
    WhereError
        If it is an address of something else.
    """
    if isinstance(text, Path | PostgresAddress):
        return text
    if "://" in text:
        return PostgresAddress(text)
    return Path(text)


def resolved(where: Where) -> Where:
    """Return `where` so that it means the same from any directory."""
    return where.resolve() if isinstance(where, Path) else where
