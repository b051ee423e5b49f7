"""Delivery: outside channels are told of handoffs, at least once, each in its order.

A worker takes what is due under a lease, sends it outside any transaction, and says
what came of it. One that dies in between leaves a lease that ends: the same is sent
again under the same id, and receivers dedupe by that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from serving.engine.checks import check
from serving.engine.telling import Told, told
from serving.engine.undelivered import Routes, keep, sweep, to_sweep
from serving.engine.ways import Answer, Ways
from serving.policy.audit import AuditType, rfc3339
from serving.policy.breaker import Breaker
from serving.policy.delivery import Attempt, Delivery, DeliveryStatus, Ending
from serving.problems import Problem, ProblemType
from serving.store import channels, ledger, outbox
from serving.store.transaction import Reader, Transaction

# Longer than an attempt can take; whoever has not answered by then is dead.
LEASE = timedelta(seconds=60)
MOST_LISTED = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """A delivery under the lease of a worker.

    Attributes
    ----------
    by : str
        The worker.
    until : datetime
        End of the lease.
    is_probe : bool
        Whether it is sent to see if a channel that was down has come back.
    """

    delivery: Delivery
    by: str
    until: datetime
    is_probe: bool = False


class Deliveries:
    """Takes what is due, notes what came of it. Safe from many threads and workers.

    Parameters
    ----------
    ways : Ways
        The engine's.
    """

    def __init__(self, ways: Ways) -> None:
        self._do, self._read, self._clock = ways.do, ways.read, ways.clock

    # --- a worker's round -----------------------------------------------------------

    def take(self, worker: str, channel: str, *, limit: int) -> tuple[Sending, ...]:
        """Return what `worker` is to send to `channel` now; nobody else will.

        Of a handoff nothing while something earlier is under way; of a channel that
        is down one at a time, every now and then.
        """
        if not self._read(lambda reader: _due(reader, channel, self._clock(), 1)[0]):
            return ()
        return self._do(lambda tx: _take(tx, worker, channel, self._clock(), limit))

    def told(self, sending: Sending) -> Told:
        """Return what `sending` tells."""
        return self._read(lambda reader: told(reader, sending.delivery.outbox_id))

    def ended(self, sending: Sending, attempt: Attempt) -> None:
        """Keep what came of an attempt.

        That a channel was told is kept whoever says so; a failure only of whoever has
        the lease: another may be about to tell it.
        """
        self._do(lambda tx: _ended(tx, sending, attempt, self._clock()))

    def sweep(self, routes: Routes) -> int:
        """Give up what must be, turn to fallbacks; return how many there were.

        Parameters
        ----------
        routes : Mapping
            The channels of this deployment, each with the one that stands in for it.
            What is to be told to any other is a dead letter.
        """
        now = self._clock()
        if not self._read(lambda reader: to_sweep(reader, routes, now)):
            return 0
        return self._do(lambda tx: sweep(tx, routes, self._clock()))

    # --- people ---------------------------------------------------------------------

    def redrive(self, outbox_id: str, *, by: str) -> Answer:
        """Have a dead letter sent again, from now on, because `by` wants it.

        Raises
        ------
        Problem
            unknown-delivery, not-dead, malformed-request.
        """
        check(bool(by.strip()), "by", "a name", by)
        return self._do(lambda tx: _redrive(tx, outbox_id, by, self._clock()))

    def listed(
        self,
        *,
        status: str | None = None,
        channel: str | None = None,
        handoff_id: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> Answer:
        """Return a page of deliveries, the newest first, and how each channel does.

        Raises
        ------
        Problem
            malformed-request.
        """
        known = ", ".join(DeliveryStatus)
        is_known = status is None or status in frozenset(map(str, DeliveryStatus))
        check(is_known, "status", f"one of {known}", status)
        check(1 <= limit <= MOST_LISTED, "limit", f"in [1, {MOST_LISTED}]", limit)
        check(offset >= 0, "offset", "at least 0", offset)

        def view(reader: Reader) -> Answer:
            found = outbox.listed(
                reader,
                status=status,
                channel=channel,
                handoff_id=handoff_id,
                limit=limit,
                offset=offset,
            )
            items = [delivery.to_json() for delivery in found]
            return {"deliveries": items, "channels": _load(reader, self._clock())}

        return self._read(view)

    def load(self) -> list[Answer]:
        """Return how each channel does: what waits, since when, what was given up."""
        return self._read(lambda reader: _load(reader, self._clock()))


# --- taking ------------------------------------------------------------------------


def _due(
    reader: Reader, channel: str, now: datetime, limit: int
) -> tuple[list[Delivery], Breaker]:
    """Return what `channel` may be told now, and how it does."""
    breaker = channels.get(reader, channel)
    if breaker.is_shut(now):
        return [], breaker
    found = outbox.due(
        reader,
        channel,
        now,
        recovered_at=breaker.recovered_at,
        is_probe=breaker.is_down,
        limit=1 if breaker.is_down else limit,
    )
    return found, breaker


def _take(
    tx: Transaction, worker: str, channel: str, now: datetime, limit: int
) -> tuple[Sending, ...]:
    found, breaker = _due(tx, channel, now, limit)
    until = now + LEASE
    for delivery in found:
        outbox.lease(tx, delivery.outbox_id, by=worker, until=until)
    if found and breaker.is_down:
        channels.keep(tx, channel, breaker.probing(now), now)
    return tuple(
        Sending(delivery=each, by=worker, until=until, is_probe=breaker.is_down)
        for each in found
    )


# --- what came of it ---------------------------------------------------------------


def _ended(tx: Transaction, sending: Sending, attempt: Attempt, now: datetime) -> None:
    row = outbox.find(tx, sending.delivery.outbox_id)
    delivery = outbox.delivery_of(row)
    lease = (row["leased_by"], row["leased_until"])
    is_ours = lease == (sending.by, rfc3339(sending.until))
    is_told = attempt.ending is Ending.TOLD
    if delivery.status is DeliveryStatus.DONE or not (is_told or is_ours):
        return
    _note(tx, delivery.channel, attempt, now)
    if sending.is_probe and attempt.ending is Ending.FAILED:
        # It says something of the channel, nothing of this delivery.
        outbox.release(tx, delivery.outbox_id)
        return
    keep(tx, delivery.ended(attempt, now), now)


def _note(tx: Transaction, channel: str, attempt: Attempt, now: datetime) -> None:
    """Keep what an attempt says of its channel."""
    before = channels.get(tx, channel)
    if attempt.ending is Ending.FAILED:
        after = before.failed(now, attempt.retry_after)
    else:
        after = before.answered(now)
    if after != before:
        channels.keep(tx, channel, after, now)


# --- people ------------------------------------------------------------------------


def _redrive(tx: Transaction, outbox_id: str, by: str, now: datetime) -> Answer:
    delivery = outbox.delivery_of(outbox.find(tx, outbox_id))
    if delivery.status is not DeliveryStatus.DEAD:
        raise Problem(
            ProblemType.NOT_DEAD,
            f"expected a dead letter, found {outbox_id!r} {delivery.status}; what is "
            "pending is tried by itself, what is done was told",
            outbox_id=outbox_id,
            status=str(delivery.status),
        )
    again = delivery.redriven(now)
    seq = ledger.append(tx, AuditType.HANDOFF_REDRIVEN, now, **again.audited(), by=by)
    outbox.update(tx, again, audit_seq=seq)
    return again.to_json()


def _load(reader: Reader, now: datetime) -> list[Answer]:
    """Return each channel that has something to be told, or has failed."""
    breakers = channels.every(reader)
    found: dict[str, Answer] = {}
    for channel, status, n, oldest in outbox.load(reader):
        of = found.setdefault(channel, {"pending": 0, "oldest_s": 0.0, "dead": 0})
        of[status] = n
        if status == DeliveryStatus.PENDING:
            of["oldest_s"] = max((now - oldest).total_seconds(), 0.0)
    empty = {"pending": 0, "oldest_s": 0.0, "dead": 0}
    return [
        {
            "channel": channel,
            **found.get(channel, empty),
            **breakers.get(channel, Breaker()).to_json(),
        }
        for channel in sorted(found.keys() | breakers.keys())
    ]
