"""Undelivered: what was tried for too long, what nobody hears, what has no channel."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from serving.engine.handover import SYSTEM
from serving.policy.audit import AuditType, rfc3339
from serving.policy.delivery import Delivery, DeliveryStatus
from serving.store import handoffs, ledger, outbox
from serving.store.transaction import Reader, Transaction

UNKNOWN_CHANNEL = "unknown-channel"
EXPIRED = "expired"
# Rows that one sweep changes of a kind: others write in between.
_AT_ONCE = 200

# The channels of a deployment, each with the one that stands in for it.
Routes = Mapping[str, str | None]

_RECORDED = {
    DeliveryStatus.PENDING: AuditType.HANDOFF_DELIVERY_FAILED,
    DeliveryStatus.DONE: AuditType.HANDOFF_NOTIFIED,
    DeliveryStatus.DEAD: AuditType.HANDOFF_DEAD_LETTERED,
}


def keep(tx: Transaction, delivery: Delivery, now: datetime) -> None:
    """Keep how a delivery stands after an attempt, or without any more."""
    kind = _RECORDED[delivery.status]
    seq = ledger.append(tx, kind, now, **delivery.audited(), by=SYSTEM)
    outbox.update(tx, delivery, audit_seq=seq)


def to_sweep(reader: Reader, routes: Routes, now: datetime) -> bool:
    """Whether a sweep would find anything."""
    return bool(
        outbox.waited_for(reader) - routes.keys()
        or outbox.expired(reader, now, limit=1)
        or _unheard(reader, routes, now, limit=1)
    )


def sweep(tx: Transaction, routes: Routes, now: datetime) -> int:
    """Give up what must be, turn to fallbacks; return how many there were."""
    strangers = sorted(outbox.waited_for(tx) - routes.keys())
    lost = [
        delivery.buried(UNKNOWN_CHANNEL)
        for channel in strangers
        for delivery in outbox.pending(tx, channel, limit=_AT_ONCE)
    ]
    late = [d.buried(EXPIRED) for d in outbox.expired(tx, now, limit=_AT_ONCE)]
    dead = {delivery.outbox_id: delivery for delivery in (*late, *lost)}
    for delivery in dead.values():
        keep(tx, delivery, now)
    unheard = _unheard(tx, routes, now, limit=_AT_ONCE)
    for delivery, fallback in unheard:
        _fall_back(tx, delivery, fallback, now)
    return len(dead) + len(unheard)


def _unheard(
    reader: Reader, routes: Routes, now: datetime, *, limit: int
) -> list[tuple[Delivery, str]]:
    return [
        (delivery, fallback)
        for channel, fallback in routes.items()
        if fallback is not None
        for delivery in outbox.unheard(reader, channel, fallback, now, limit=limit)
    ]


def _fall_back(
    tx: Transaction, delivery: Delivery, fallback: str, now: datetime
) -> None:
    """Have `fallback` told of a handoff whose channel does not take it."""
    if fallback in outbox.told(tx, delivery.handoff_id):
        return  # It stands in for two channels, and was told in place of the other.
    as_of = handoffs.record_of(tx, delivery.handoff_id)
    fallen = delivery.fallen_back()
    seq = ledger.append(
        tx,
        AuditType.HANDOFF_FALLBACK_NOTIFIED,
        now,
        **fallen.audited(),
        outbox=[fallback],
        as_of=as_of,
        by=SYSTEM,
    )
    outbox.update(tx, fallen, audit_seq=seq)
    outbox.add(
        tx,
        delivery.handoff_id,
        [fallback],
        kind=delivery.kind,
        says={"at": rfc3339(now), "by": SYSTEM, "instead_of": delivery.channel},
        at=now,
        audit_seq=seq,
        as_of=as_of,
    )
