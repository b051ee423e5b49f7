"""Verify timers: every deadline, held against what the log last says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from serving.store.transaction import Reader, Row

_ROWS = "SELECT * FROM timer"
# What a handoff begins with. A claim's `lease` has to be set by a record of its own.
_FIRST = ("acknowledge", "resolve")

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """A deadline as its row must be.

    Attributes
    ----------
    due : str
        When it passes, or would have.
    settled : str or None
        When it was said that it no longer can.
    seq : int or None
        Place of the record that says so; None: not known (`Deadlines.take`).
    """

    due: str
    settled: str | None
    seq: int | None

    def is_of(self, row: Row) -> bool:
        """Whether `row` says the same."""
        if self.seq is None:
            return bool(row["due_at"] == self.due)
        stored = (row["due_at"], row["settled_at"], row["audit_seq"])
        return stored == (self.due, self.settled, self.seq)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """What deadlines must be, by the records: the last word on each."""

    known: dict[tuple[str, str], Deadline] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        """Take in the next record of a handoff.

        One that was opened before records spoke of deadlines has those of its terms,
        and what became of them is not known until a record says so.
        """
        held = record["handoff"]
        if record["type"] == "handoff.opened" and "timers" not in record:
            for kind in _FIRST:
                due = held[f"{kind}_by"]
                known = Deadline(due=due, settled=None, seq=None)
                self.known[held["id"], kind] = known
        for kind, due in record.get("timers", {}).items():
            self._set((held["id"], kind), due, record)

    def _set(self, key: tuple[str, str], due: str | None, record: Record) -> None:
        last, seq = self.known.get(key), record["seq"]
        if due is not None:
            self.known[key] = Deadline(due=due, settled=None, seq=seq)
        # What was settled before, or never set, is not settled again.
        elif last is not None and last.settled is None:
            self.known[key] = Deadline(due=last.due, settled=record["at"], seq=seq)


def check(reader: Reader, deadlines: Deadlines, note: Callable[[str], None]) -> None:
    """Hold every deadline against the last record that speaks of it."""
    seen = set()
    for row in reader.all(_ROWS):
        key = row["handoff_id"], row["kind"]
        seen.add(key)
        known = deadlines.known.get(key)
        if known is None:
            note(f"deadline {key[1]!r} of handoff {key[0]!r} is not in the log")
        elif not known.is_of(row):
            note(f"deadline {key[1]!r} of handoff {key[0]!r} is not as the log says")
    for handoff_id, kind in sorted(deadlines.known.keys() - seen):
        note(f"deadline {kind!r} of handoff {handoff_id!r} is in the log alone")
