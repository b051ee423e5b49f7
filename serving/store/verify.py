"""Verify: a stored log proven offline, from its bytes, without the service.

What is recomputed: each leaf from its record, each node of the tree, the root; then
each row that the log speaks of, from the commitments and the state in its records. A
row without its record, or a record without its row, is found. What nobody can find from
inside is a log that was cut short or rewritten as a whole: for that, note size and root
elsewhere from time to time, and pass them as `expect`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from serving.policy import audit
from serving.policy.audit import AuditType
from serving.safely import Failure, attempt
from serving.store import ledger, log, verify_attachments
from serving.store.files import Files
from serving.store.findings import Findings, Report
from serving.store.handoffs import commitment_of
from serving.store.opening import reading
from serving.store.transaction import Reader, Row
from serving.store.verify_rows import Expected, check_rows
from serving.where import Where

__all__ = ["Report", "verify_store"]

RECORDS = "SELECT seq, body, leaf FROM audit_event ORDER BY seq"
EVENTS = "SELECT * FROM event ORDER BY n"
DECISIONS = "SELECT * FROM decision ORDER BY audit_seq, position"
NODES = "SELECT count(*) AS n FROM audit_node"


def verify_store(
    where: Where,
    *,
    expect: tuple[int, str] | None = None,
    attachments: Path | None = None,
) -> Report:
    """Return what is wrong with the store at `where`; it is only read.

    Parameters
    ----------
    where : Path or PostgresAddress
        The SQLite file, or the database.
    expect : tuple of (int, str), optional
        Size and root (hex) noted earlier: shows a log that was cut or rewritten since.
    attachments : Path, optional
        Directory of the files that events name: their bytes are read as well.

    Raises
    ------
    StoreError
        If there is no store there, or it is too broken to be read.
    """
    findings = Findings()
    with reading(where) as reader:
        walk = _Walk(reader, findings, expect)
        walk.go()
        check_rows(reader, walk.expected, findings.add)
        if attachments is not None:
            verify_attachments.check_files(reader, Files(attachments), findings.add)
    return Report(
        size=walk.size,
        root=walk.root().hex(),
        events=walk.events.passed,
        decisions=walk.decisions.passed,
        problems=tuple(findings.shown),
        found=findings.count,
        compared_with=expect,
    )


class _Rows:
    """Rows in the order of their records, taken record by record."""

    def __init__(self, rows: Iterator[Row], called: str, findings: Findings) -> None:
        self.passed = 0
        self._rows = rows
        self._called = called
        self._findings = findings
        self._next: Row | None = next(rows, None)

    def of(self, seq: int) -> list[Row]:
        """Return the rows under the record `seq`; any before it has none."""
        found = []
        while self._next is not None and self._next["audit_seq"] <= seq:
            if self._next["audit_seq"] == seq:
                found.append(self._next)
            else:
                self._stray(self._next)
            self.passed += 1
            self._next = next(self._rows, None)
        return found

    def end(self) -> None:
        """Take note of the rows that no record follows."""
        while self._next is not None:
            self._stray(self._next)
            self._next = next(self._rows, None)

    def _stray(self, row: Row) -> None:
        self._findings.add(
            f"{self._called} of task {row['task_id']!r} points at record "
            f"{row['audit_seq']}, which does not speak of it"
        )


class _Walk:
    """One pass over the log, with the events and decisions that it speaks of."""

    def __init__(
        self, reader: Reader, findings: Findings, expect: tuple[int, str] | None
    ) -> None:
        self.expected = Expected()
        self.size = 0
        self.events = _Rows(reader.all(EVENTS), "an event", findings)
        self.decisions = _Rows(reader.all(DECISIONS), "a decision", findings)
        self._reader = reader
        self._findings = findings
        self._expect = expect
        self._nodes = 0
        # The last complete subtree of each level: all that root and append ask for.
        self._last: dict[int, bytes] = {}

    def root(self) -> bytes:
        """Return the root over the records so far."""
        return audit.root(self.size, lambda level, _: self._last[level])

    def go(self) -> None:
        """Walk the log from its first record to its last."""
        self._compare()
        for row in self._reader.all(RECORDS):
            record = self._record(row)
            self._grow(bytes(row["leaf"]))
            self._compare()
            held = attempt(partial(self._held, row["seq"], record or {}))
            if isinstance(held, Failure):
                self._findings.add(f"record {row['seq']} or its rows: {held.name}")
        self.events.end()
        self.decisions.end()
        self._finish()

    def _record(self, row: Row) -> Mapping[str, Any] | None:
        """Return the record in `row`, checked as far as it goes by itself."""
        seq, body = row["seq"], bytes(row["body"])
        if seq != self.size:
            self._findings.add(f"record {self.size} is missing, {seq} stands there")
        if audit.leaf_hash(body) != bytes(row["leaf"]):
            self._findings.add(f"record {seq} does not hash to its leaf")
        try:
            record = orjson.loads(body)
            AuditType(record["type"])
        except (ValueError, KeyError, TypeError):
            self._findings.add(f"record {seq} is not one of ours")
            return None
        if record.get("seq") != seq:
            self._findings.add(f"record {seq} says it is record {record.get('seq')}")
        return {**record, "seq": seq}

    def _grow(self, leaf: bytes) -> None:
        """Put `leaf` on the tree; hold each node it completes against the stored."""
        nodes = audit.append(self.size, leaf, lambda level, _: self._last[level])
        for level, index, value in nodes:
            self._last[level] = value
            if level == 0:
                continue
            self._nodes += 1
            stored = self._reader.one(ledger.NODE, level=level, idx=index)
            if stored is None or bytes(stored["hash"]) != value:
                self._findings.add(f"node ({level}, {index}) is not what it must be")
        self.size += 1

    def _compare(self) -> None:
        if self._expect is None or self.size != self._expect[0]:
            return
        if self.root().hex() != self._expect[1]:
            self._findings.add(
                f"the first {self.size} records have root {self.root().hex()}, noted "
                f"was {self._expect[1]}: they were changed since"
            )

    def _held(self, seq: int, record: Mapping[str, Any]) -> None:
        """Hold events and decisions against what the record says of them."""
        events, decisions = self.events.of(seq), self.decisions.of(seq)
        if record:
            self.expected.take(record)
        if [_made(row) for row in decisions] != list(_promised(record)):
            self._findings.add(f"the decision of record {seq} is not the one it holds")
        self._check_events(seq, events, record)

    def _check_events(
        self, seq: int, events: list[Row], record: Mapping[str, Any]
    ) -> None:
        said = record.get("events") or {"count": 0}
        if not events and not said["count"]:
            return
        salted = [(row["salt"], row["body"]) for row in events]
        places = [row["seq"] for row in events]
        first = places[0] if places else 0
        in_order = places == list(range(first, first + len(places)))
        owner = (record.get("task"), record.get("decision", {}).get("id"))
        ours = all((row["task_id"], row["decision_id"]) == owner for row in events)
        if log.summary(first, salted) != said or not (in_order and ours):
            self._findings.add(f"the events of record {seq} are not those it holds")
        self._check_columns(events)

    def _check_columns(self, events: list[Row]) -> None:
        """Hold what is stored beside an event against the event."""
        for row in events:
            event = log.stored_event(row)
            beside = (event.task_id, event.event_id, event.kind, event.digest())
            stored = (row["task_id"], row["event_id"], row["kind"], row["digest"])
            if beside != stored:
                self._findings.add(
                    f"event {row['event_id']!r} of task {row['task_id']!r} stands "
                    "beside columns that say otherwise"
                )

    def _finish(self) -> None:
        counted = self._reader.one(NODES)
        if counted is not None and counted["n"] != self._nodes:
            self._findings.add(
                f"expected {self._nodes} nodes over {self.size} records, found "
                f"{counted['n']}"
            )
        if self._expect is not None and self._expect[0] > self.size:
            self._findings.add(
                f"expected at least the {self._expect[0]} records noted, found "
                f"{self.size}: the log was cut"
            )


def _made(row: Row) -> tuple[object, ...]:
    return (
        row["decision_id"],
        row["task_id"],
        row["position"],
        row["action"],
        bool(row["effective"]),
        bool(row["selected"]),
        commitment_of(row["salt"], row["body"]),
    )


def _promised(record: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    """Yield what the row of the decision in `record` must be, if it holds one."""
    decision = record.get("decision", {})
    if "commit" in decision:
        yield (
            decision["id"],
            record["task"],
            record["events"]["first"] + record["events"]["count"],
            decision["action"],
            decision["effective"],
            decision["selected"],
            decision["commit"],
        )
