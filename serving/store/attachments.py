"""Attachments: rows that know of files, and which events name them.

A file is on the disk, synced and whole, before any row names it; a row is there before
anybody is told that the file is. What no event has named a day later goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from features.events import AgentEvent
from serving.policy.audit import rfc3339
from serving.policy.sufficiency import hash_of
from serving.store.intake import Line
from serving.store.transaction import Reader, Transaction

ORPHAN_AFTER = timedelta(hours=24)

_ADD = """
INSERT INTO attachment (sha256, size, stored_at, used_at)
VALUES (:sha256, :size, :at,
  CASE WHEN EXISTS (SELECT 1 FROM attachment_use WHERE sha256 = :sha256)
    THEN CAST(:at AS TEXT) END)
ON CONFLICT (sha256) DO UPDATE SET stored_at = CASE
  WHEN attachment.used_at IS NULL THEN excluded.stored_at
  ELSE attachment.stored_at END
"""
_FIND = "SELECT size FROM attachment WHERE sha256 = :sha256"
_USE = """
INSERT INTO attachment_use (sha256, task_id, seq) VALUES (:sha256, :task_id, :seq)
ON CONFLICT DO NOTHING
"""
_USED = """
UPDATE attachment SET used_at = :at WHERE sha256 = :sha256 AND used_at IS NULL
"""
_ORPHANS = """
SELECT sha256 FROM attachment WHERE used_at IS NULL AND stored_at < :before
ORDER BY stored_at LIMIT :most
"""
_DROP = "DELETE FROM attachment WHERE sha256 = :sha256 AND used_at IS NULL"
_NAMING = """
SELECT event.body AS body FROM attachment_use
JOIN event ON event.task_id = attachment_use.task_id
  AND event.seq = attachment_use.seq
WHERE attachment_use.sha256 = :sha256
ORDER BY attachment_use.task_id, attachment_use.seq LIMIT 1
"""


def add(tx: Transaction, sha256: str, size: int, at: datetime) -> None:
    """Know of a file that is on the disk. Sent again, its day begins anew."""
    tx.run(_ADD, sha256=sha256, size=size, at=rfc3339(at))


def size_of(reader: Reader, sha256: str) -> int | None:
    """Return the size of an attachment in bytes; None: it is not known here."""
    row = reader.one(_FIND, sha256=sha256)
    return None if row is None else int(row["size"])


def stored_of(reader: Reader, events: Iterable[AgentEvent]) -> Mapping[str, int]:
    """Return size in bytes, by hash, of the files named by `events` that are here."""
    found = {
        sha256: size_of(reader, sha256)
        for event in events
        for sha256 in hashes_of(event.body.get("attachments"))
    }
    return {sha256: size for sha256, size in found.items() if size is not None}


def use(tx: Transaction, task_id: str, first: int, lines: Iterable[Line]) -> None:
    """Take note of the files that events name which are just being appended.

    Parameters
    ----------
    first : int
        Place in the task's log of the first of `lines`.
    """
    for seq, line in enumerate(lines, first):
        for sha256 in hashes_of(line.event.body.get("attachments")):
            tx.run(_USE, sha256=sha256, task_id=task_id, seq=seq)
            tx.run(_USED, sha256=sha256, at=rfc3339(line.event.at))


def hashes_of(attachments: object) -> set[str]:
    """Return the hashes by which an event's `attachments` name files."""
    listed = attachments if isinstance(attachments, list) else []
    return {digest for one in listed if (digest := hash_of(one)) is not None}


def naming(reader: Reader, sha256: str) -> bytes | None:
    """Return the body of the first event that names a file; None: none does."""
    row = reader.one(_NAMING, sha256=sha256)
    return None if row is None else bytes(row["body"])


def orphans(reader: Reader, before: datetime, *, most: int) -> list[str]:
    """Return files that no event has named though they came before a moment."""
    rows = reader.all(_ORPHANS, before=rfc3339(before), most=most)
    return [row["sha256"] for row in rows]


def is_unknown(reader: Reader, sha256: str) -> bool:
    """Whether no row knows of a file."""
    return size_of(reader, sha256) is None


def drop(tx: Transaction, sha256: str) -> bool:
    """Forget a file unless an event names it; whether it may go from the disk."""
    tx.run(_DROP, sha256=sha256)
    return is_unknown(tx, sha256)
