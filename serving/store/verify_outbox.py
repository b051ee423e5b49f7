"""Verify outbox: what channels were to be told, held against what the log says."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from serving.policy.audit import AuditType
from serving.policy.delivery import OPENED, Delivery
from serving.store.outbox import body_of
from serving.store.transaction import Reader, Row

_ROWS = "SELECT * FROM outbox"

Record = Mapping[str, Any]


@dataclass(slots=True)
class Letters:
    """What deliveries must be, by the records.

    Attributes
    ----------
    known : dict
        By id: columns as they were last said to be, the place of that record among
        them.
    """

    known: dict[str, dict[str, Any]] = field(default_factory=dict)
    _places: Counter[tuple[str, str]] = field(default_factory=Counter)

    def take(self, record: Record) -> None:
        """Take in the next record of the log."""
        if "delivery" in record:
            said = record["delivery"]
            last = self.known.get(said["outbox_id"], {})
            self.known[said["outbox_id"]] = last | said | {"audit_seq": record["seq"]}
        for channel, kind in _told(record):
            self._queue(record, channel, kind)

    def _queue(self, record: Record, channel: str, kind: str) -> None:
        handoff_id = _handoff_of(record)
        place = self._places[handoff_id, channel]
        self._places[handoff_id, channel] += 1
        at = datetime.fromisoformat(record["at"])
        queued = Delivery.queued(handoff_id, channel, place, kind=kind, at=at)
        self.known[queued.outbox_id] = {
            **queued.audited()["delivery"],
            "audit_seq": record["seq"],
            "body": _body_of(record),
        }


def _told(record: Record) -> Iterator[tuple[str, str]]:
    """Yield the channels that `record` has told, and of what."""
    verb = record["type"].rpartition(".")[2]
    yield from ((channel, OPENED) for channel in record.get("outbox", ()))
    yield from ((channel, verb) for channel in record.get("told", ()))


def _handoff_of(record: Record) -> str:
    if "delivery" in record:
        return str(record["delivery"]["handoff_id"])
    return str(record["handoff"]["id"])


def _body_of(record: Record) -> bytes:
    says = {
        **record.get("says", {}),
        "at": record["at"],
        "by": record.get("by", "escalon"),
    }
    if record["type"] == AuditType.HANDOFF_FALLBACK_NOTIFIED:
        says["instead_of"] = record["delivery"]["channel"]
    return body_of(says, record.get("as_of", record["seq"]))


def check(reader: Reader, letters: Letters, note: Callable[[str], None]) -> None:
    """Hold every delivery against the last record that speaks of it."""
    seen = set()
    for row in reader.all(_ROWS):
        outbox_id = row["outbox_id"]
        seen.add(outbox_id)
        known = letters.known.get(outbox_id)
        if known is None:
            note(f"delivery {outbox_id!r} is in its table and not in the log")
        elif _stored(row, known) != known:
            note(f"delivery {outbox_id!r} is not as the log last says")
    for outbox_id in sorted(letters.known.keys() - seen):
        note(f"delivery {outbox_id!r} is in the log and not in its table")


def _stored(row: Row, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `row` says of what is `known`."""
    remote = row["remote_id"]
    said = {column: row[column] for column in known if column != "remote_sha256"}
    digest = None if remote is None else hashlib.sha256(remote.encode()).hexdigest()
    return {**said, "body": bytes(said["body"]), "remote_sha256": digest}
