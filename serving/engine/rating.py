"""Rating: what whoever took over says of the package they got."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import orjson

from features.events import AgentEvent, EventKind
from serving.engine.checks import check
from serving.engine.handover import add_history
from serving.policy.audit import AuditType, rfc3339
from serving.policy.handoff import Handoff
from serving.policy.sufficiency import PackagePart
from serving.store import ledger, log
from serving.store.intake import Line
from serving.store.log import Entry
from serving.store.tasks import new_id
from serving.store.transaction import Reader, Transaction

PARTS = tuple(str(part) for part in PackagePart)

_RATED = """
SELECT sufficient, missing, note FROM rating
WHERE handoff_id = :handoff_id AND by = :by
"""
_RATE = """
INSERT INTO rating (handoff_id, by, sufficient, missing, note, at, audit_seq)
VALUES (:handoff_id, :by, :sufficient, :missing, :note, :at, :audit_seq)
ON CONFLICT (handoff_id, by) DO UPDATE SET sufficient = excluded.sufficient,
  missing = excluded.missing, note = excluded.note, at = excluded.at,
  audit_seq = excluded.audit_seq
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """What one person says of a package; their latest word stands.

    Attributes
    ----------
    sufficient : bool
        Whether they could take over without asking again.
    missing : tuple of str
        The parts it lacked: of `PackagePart`, each once, in the order of the parts.
    note : str
        What else, in their words.
    """

    by: str
    sufficient: bool
    missing: tuple[str, ...] = ()
    note: str = ""

    @classmethod
    def of(
        cls, *, by: str, sufficient: bool, missing: Sequence[str], note: str
    ) -> Self:
        """Return the rating in what was said.

        Raises
        ------
        Problem
            malformed-request, if a part is none that a package has.
        """
        for part in missing:
            check(part in PARTS, "missing", f"among {', '.join(PARTS)}", part)
        named = tuple(part for part in PARTS if part in missing)
        return cls(by=by, sufficient=sufficient, missing=named, note=note)

    def is_kept(self, reader: Reader, handoff_id: str) -> bool:
        """Whether the same person has said just this before."""
        row = reader.one(_RATED, handoff_id=handoff_id, by=self.by)
        if row is None:
            return False
        said = bool(row["sufficient"]), tuple(orjson.loads(row["missing"])), row["note"]
        return said == (self.sufficient, self.missing, self.note)

    def keep(self, tx: Transaction, held: Handoff, at: datetime) -> None:
        """Keep it: as the word that stands, and as an event in the task's log."""
        first = log.length(tx, held.task_id)
        entry = Entry.of(held.task_id, first, [self._line(held, at)])
        seq = ledger.append(
            tx,
            AuditType.HANDOFF_RATED,
            at,
            task=held.task_id,
            events=entry.summary(),
            rating=self.audited(held.handoff_id),
        )
        entry.write(tx, audit_seq=seq)
        tx.run(
            _RATE,
            handoff_id=held.handoff_id,
            by=self.by,
            sufficient=int(self.sufficient),
            missing=orjson.dumps(self.missing),
            note=self.note,
            at=rfc3339(at),
            audit_seq=seq,
        )
        add_history(tx, held.handoff_id, seq, at, by=self.by, what="rated")

    def audited(self, handoff_id: str) -> dict[str, Any]:
        """Return what the audit log says of it: all but the person's own words."""
        return {
            "handoff": handoff_id,
            "by": self.by,
            "sufficient": self.sufficient,
            "missing": list(self.missing),
        }

    def _line(self, held: Handoff, at: datetime) -> Line:
        return Line.of(
            AgentEvent(
                task_id=held.task_id,
                event_id=new_id("evt"),
                at=at,
                kind=EventKind.PACKAGE_RATING,
                body={
                    "handoff_id": held.handoff_id,
                    "by": self.by,
                    "sufficient": self.sufficient,
                    "missing": list(self.missing),
                    "note": self.note,
                },
            )
        )
