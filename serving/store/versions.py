"""Versions: which schema this code reads and writes, on either database."""

from __future__ import annotations

REVISIONS = ("0002", "0003")
"""Every version that a store can be brought to, in their order."""

HEAD = REVISIONS[-1]
"""Revision of the schemas in ``schema.sql`` and ``schema.postgresql.sql``."""

VERSION_TABLE = "alembic_version"
"""Table in which a store says which revision it is."""


_STAMP = """
CREATE TABLE {table} (
  version_num VARCHAR(32) NOT NULL, CONSTRAINT {table}_pkc PRIMARY KEY (version_num)
);
INSERT INTO {table} (version_num) VALUES ('{revision}');
"""


def stamp(revision: str = HEAD) -> str:
    """Return the statements by which a new store says which revision it is."""
    return _STAMP.format(table=VERSION_TABLE, revision=revision)


class WouldLoseError(RuntimeError):
    """Going back to an earlier version would lose something; names it."""
