"""Repairs: a handoff that lost its deadline gets one, and the log says so."""

from __future__ import annotations

from datetime import datetime

from serving.engine.handover import SYSTEM
from serving.engine.moves import Move, make
from serving.policy.audit import AuditType
from serving.policy.handoff import Handoff, HandoffStatus
from serving.store import handoffs, looks
from serving.store.transaction import Transaction

# In one transaction; what is left over is repaired a round later.
_MOST = 500


def repair(tx: Transaction, at: datetime) -> int:
    """Give every open handoff a deadline that can pass; return how many lacked one.

    One that should have passed while it was missing passes now.
    """
    lacking = looks.untimed(tx, most=_MOST)
    for handoff_id in lacking:
        held = handoffs.get(tx, handoff_id)
        kind, due = _missing(held)
        make(
            tx,
            Move(
                handoff=held,
                audit_type=AuditType.HANDOFF_REPAIRED,
                owner=None,
                by=SYSTEM,
                at=at,
                timers={kind: max(due, at)},
                says={"repaired": kind},
                is_told=False,
            ),
        )
    return len(lacking)


def _missing(held: Handoff) -> tuple[str, datetime]:
    """Return the deadline a handoff must have as it stands, and when it is due."""
    if held.status is HandoffStatus.CLAIMED and held.lease_until is not None:
        return "lease", held.lease_until
    return "acknowledge", held.acknowledge_by
