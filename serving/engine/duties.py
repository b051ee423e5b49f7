"""Duties: what happens when a deadline of a handoff passes and nobody has acted.

The chain never ends before a human has acknowledged. What waits too long goes up, and
stays on the last rung, told again and again; what waits where nobody is moves on at
once; a claim without a sign of life ends; and what takes too long to resolve is said so
and stays with whoever has it. Every open handoff thus has a deadline that is to pass.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from serving.engine import claims
from serving.engine.handover import SYSTEM, channels_of
from serving.engine.moves import Move, make
from serving.engine.ways import Ways
from serving.policy import onward, router
from serving.policy.attendance import absences
from serving.policy.audit import AuditType
from serving.policy.handoff import Handoff, HandoffStatus
from serving.policy.router import Destination, Load
from serving.policy.rules import Policy, Priority
from serving.safely import Failure, attempt
from serving.store import handoffs, timers
from serving.store.tasks import OwnerKind
from serving.store.transaction import Reader, Transaction

# Most time between two calls for help with what nobody acknowledges.
ROUND = timedelta(minutes=15)
# And with what is acknowledged and not resolved.
RESOLVE_ROUND = timedelta(hours=4)
EVERY = timedelta(seconds=1)
LOOK_AHEAD_EVERY = timedelta(hours=6)
# Deadlines taken in one round; what is left comes in the next.
_MOST = 500
_SEVERITIES = ("notice", "serious", "critical")
_log = logging.getLogger(__name__)


class Duties:
    """Acts when deadlines pass. Several may run, in several processes, at once.

    Parameters
    ----------
    ways : Ways
        To the store, the policy and the time.
    """

    def __init__(self, ways: Ways) -> None:
        self._ways = ways
        self._is_under_policy = False

    def run(self) -> int:
        """Act on the deadlines that have passed; return on how many.

        Each in a transaction of its own, in which it is looked at again: another
        worker may have been there. One that cannot be acted on is in nobody's way.

        Raises
        ------
        Exception
            What the last of those that failed raised, after all others were done.
        """
        at = self._ways.clock()
        first = [] if self._is_under_policy else [partial(self._bring_under_policy, at)]
        begun = [attempt(work) for work in first]
        self._is_under_policy = not any(isinstance(one, Failure) for one in begun)
        passed = self._ways.read(lambda r: timers.passed(r, at, limit=_MOST))
        done = begun + [attempt(partial(self._one, *deadline)) for deadline in passed]
        failed = [one for one in done if isinstance(one, Failure)]
        if failed:
            said = {"action": "duty_failed", "fault": failed[-1].name}
            _log.error("%d duties failed", len(failed), extra=said)
            raise failed[-1].error
        return sum(one for one in done if not isinstance(one, Failure))

    def look_ahead(self) -> int:
        """Return how many queues will break their word within 14 days, and log each.

        A policy that was proven when it was loaded runs out: holidays come near.
        """
        found = tuple(absences(self._ways.policy, self._ways.clock()))
        for gap in found:
            _log.error("%s", gap, extra={"action": "queue_unattended"})
        return len(found)

    # --- a policy of other hours -----------------------------------------------

    def _bring_under_policy(self, at: datetime) -> int:
        """Have what waits looked at when the policy in force says, if that is sooner.

        When it was queued another may have been, with other queues and hours. No
        deadline has passed for that: returns 0.
        """
        sooner = self._ways.read(lambda reader: self._to_bring_forward(reader, at))
        for handoff_id in sooner:
            self._ways.do(partial(self._bring_forward, handoff_id=handoff_id))
        return 0

    def _to_bring_forward(self, reader: Reader, at: datetime) -> list[str]:
        return [
            handoff_id
            for handoff_id, due in timers.first_deadlines(reader)
            if _seen_anew(handoffs.get(reader, handoff_id), self._ways.policy, at)[1]
            < due
        ]

    def _bring_forward(self, tx: Transaction, *, handoff_id: str) -> None:
        held = handoffs.get(tx, handoff_id)
        if held.status is HandoffStatus.QUEUED:
            make(tx, _rearmed(held, self._ways.policy, self._ways.clock()))

    # --- one deadline --------------------------------------------------------

    def _one(self, handoff_id: str, kind: str) -> int:
        return self._ways.do(partial(self._act, handoff_id=handoff_id, kind=kind))

    def _act(self, tx: Transaction, *, handoff_id: str, kind: str) -> int:
        at = self._ways.clock()
        if not timers.has_passed(tx, handoff_id, kind, at):
            return 0
        make(tx, self._move(tx, handoffs.get(tx, handoff_id), kind, at))
        self._ways.waiting.changed(tx)
        return 1

    def _move(self, tx: Transaction, held: Handoff, kind: str, at: datetime) -> Move:
        match kind, held.status:
            case "acknowledge", HandoffStatus.QUEUED:
                return self._unacknowledged(tx, held, at)
            case "lease", HandoffStatus.CLAIMED:
                return self._lapsed(tx, held, at)
            case "resolve", HandoffStatus.QUEUED | HandoffStatus.CLAIMED:
                return self._unresolved(held, at)
            case _:
                return _moot(held, kind, at)

    def _unacknowledged(self, tx: Transaction, held: Handoff, at: datetime) -> Move:
        """Return the move of a handoff that nobody took up, or where nobody is.

        Its deadline is looked at before it passes where its queue closes, or another
        of its rungs opens, first.
        """
        policy, load = self._ways.policy, self._ways.waiting.at(tx, at)
        if at < held.acknowledge_by and router.is_attended(held.queue, policy, at):
            return _rearmed(held, policy, at)
        there = onward.onward(held, policy, load, at)
        if at < held.acknowledge_by:
            return _moved(held, there, AuditType.HANDOFF_UNOWNED, at, self._told(there))
        if there.queue == held.queue:
            return self._round(held, there, at)
        return _moved(held, there, AuditType.HANDOFF_CLIMBED, at, self._told(there))

    def _round(self, held: Handoff, there: Destination, at: datetime) -> Move:
        """Return the next call for help with a handoff that has nowhere else to go."""
        soonest = there.acknowledge_by - self._within(there.queue)
        again = soonest + min(self._within(there.queue), ROUND)
        later = onward.put_off(there, again, self._ways.policy, at)
        return _moved(held, later, AuditType.HANDOFF_OVERDUE, at, self._told(there))

    def _within(self, queue: str) -> timedelta:
        return self._ways.policy.queue(queue).acknowledge_within

    def _told(self, there: Destination) -> tuple[str, ...]:
        return channels_of(self._ways.policy, there.queue)

    def _lapsed(self, tx: Transaction, held: Handoff, at: datetime) -> Move:
        """Return the move of a claim whose holder has given no sign of life."""
        load = self._ways.waiting.at(tx, at)
        back, wake = claims.put_back(held, self._ways.policy, load, at)
        return Move(
            handoff=back,
            audit_type=AuditType.HANDOFF_LEASE_EXPIRED,
            owner=(OwnerKind.QUEUE, held.queue),
            by=SYSTEM,
            at=at,
            timers={"lease": None, "acknowledge": wake},
            says={"former": held.claimed_by},
        )

    def _unresolved(self, held: Handoff, at: datetime) -> Move:
        """Return what is said of a handoff that takes too long; it stays."""
        queue = self._ways.policy.find(held.queue)
        within = RESOLVE_ROUND if queue is None else queue.resolve_within
        return Move(
            handoff=held,
            audit_type=AuditType.HANDOFF_OVERDUE,
            owner=None,
            by=SYSTEM,
            at=at,
            timers={"resolve": at + min(within, RESOLVE_ROUND)},
            says={"missed": "resolve", "severity": severity_of(held)},
        )


def severity_of(held: Handoff) -> str:
    """Return how loudly help is called for: it grows with each deadline missed."""
    begun = 1 if held.priority is Priority.URGENT else 0
    return _SEVERITIES[min(begun + held.climbs, len(_SEVERITIES) - 1)]


def _moved(
    held: Handoff,
    there: Destination,
    audit_type: AuditType,
    at: datetime,
    channels: tuple[str, ...],
) -> Move:
    is_missed = audit_type is not AuditType.HANDOFF_UNOWNED
    moved = held.climb(there) if is_missed else held.passed_on(there)
    deadlines: Mapping[str, datetime | None] = {
        "acknowledge": there.wake_at or there.acknowledge_by
    }
    if moved.resolve_by != held.resolve_by:
        deadlines = {**deadlines, "resolve": moved.resolve_by}
    is_elsewhere = moved.queue != held.queue
    missed = {"missed": "acknowledge"} if is_missed else {}
    return Move(
        handoff=moved,
        audit_type=audit_type,
        owner=(OwnerKind.QUEUE, moved.queue) if is_elsewhere else None,
        by=SYSTEM,
        at=at,
        timers=deadlines,
        channels=channels,
        says={"from": held.queue, "severity": severity_of(moved), **missed},
    )


def _rearmed(held: Handoff, policy: Policy, at: datetime) -> Move:
    """Return what becomes of a deadline that was looked at and has yet to pass.

    Under the policy of before, nobody would have been there now.
    """
    anew, wake = _seen_anew(held, policy, at)
    return _repaired(anew, "acknowledge", wake, at)


def _seen_anew(held: Handoff, policy: Policy, at: datetime) -> tuple[Handoff, datetime]:
    """Return `held`, which waits, under `policy`, and when it is to be looked at.

    Its first deadline is never put off, but sooner where its queue now is.
    """
    there = onward.again(held, policy, Load(), at)
    due = held.acknowledge_by
    if there is not None:
        due = min(due, there.acknowledge_by)
    rungs = onward.rungs_of(held, policy)
    wake = router.wake_at(held.queue, rungs, policy, due, at)
    return replace(held, acknowledge_by=due), wake


def _moot(held: Handoff, kind: str, at: datetime) -> Move:
    """Return the end of a deadline that a handoff as it stands cannot miss."""
    return _repaired(held, kind, None, at)


def _repaired(held: Handoff, kind: str, due: datetime | None, at: datetime) -> Move:
    return Move(
        handoff=held,
        audit_type=AuditType.HANDOFF_REPAIRED,
        owner=None,
        by=SYSTEM,
        at=at,
        timers={kind: due},
        says={"repaired": kind},
        is_told=False,
    )
