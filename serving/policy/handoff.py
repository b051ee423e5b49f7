"""Handoff: the life of one, from its queue to whatever a person made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from serving.policy.package import ContextPackage
from serving.policy.router import Destination
from serving.policy.rules import Priority
from serving.policy.shed import Shed
from serving.policy.trigger import Decision, Firing


class HandoffStatus(StrEnum):
    """Where a handoff stands. Order of declaration is the order of its life."""

    QUEUED = "QUEUED"
    CLAIMED = "CLAIMED"
    RESOLVED = "RESOLVED"
    RETURNED = "RETURNED"


TRANSITIONS: frozenset[tuple[HandoffStatus, HandoffStatus]] = frozenset(
    {
        (HandoffStatus.QUEUED, HandoffStatus.CLAIMED),
        # One rung up the chain: a deadline passed.
        (HandoffStatus.QUEUED, HandoffStatus.QUEUED),
        # Released, or the lease of a vanished holder ran out.
        (HandoffStatus.CLAIMED, HandoffStatus.QUEUED),
        (HandoffStatus.CLAIMED, HandoffStatus.RESOLVED),
        (HandoffStatus.CLAIMED, HandoffStatus.RETURNED),
    }
)


class IllegalTransitionError(ValueError):
    """A handoff was asked to move along an edge that does not exist."""


def _sent(at: datetime | None) -> str | None:
    if at is None:
        return None
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    """One task waiting for, or with, a human.

    Attributes
    ----------
    handoff_id : str
        Idempotency key of its delivery.
    task_id, epoch
        The task, and the epoch of its ownership that the handover began.
    status : HandoffStatus
        Where it stands.
    queue : str
        Where it waits, or was claimed from.
    chain : tuple of str
        Queues that are still to take over, in turn.
    rungs : tuple of str
        All that answer for it, from the first on; stays what it is.
    shed : Shed, optional
        Where it would have gone but for too much work there.
    priority, skills
        How soon, and by whom.
    firings : tuple of Firing
        What fired.
    risk, threshold : float, optional
        As in the decision.
    queued_at, acknowledge_by, resolve_by : datetime
        Timezone-aware. `queued_at` is when the agent handed over, and stays: so long
        has the user been waiting. The deadlines are those of the present queue; once
        the whole chain has missed its own, the last one is no longer put off.
    climbs : int
        Deadlines missed so far: rungs climbed, and rounds of the terminal one.
    claimed_by, claimed_at
        Who has it, since when; stays when it is closed.
    lease_until : datetime, optional
        When a claim ends by itself, unless it is renewed; only while it is claimed.
    request : str
        What the user wanted, shortened.
    domain, account
        Facts of the task.
    package : ContextPackage, optional
        What the human needs to take over; lists leave it out.
    """

    handoff_id: str
    task_id: str
    epoch: int
    queue: str
    priority: Priority
    queued_at: datetime
    acknowledge_by: datetime
    resolve_by: datetime
    status: HandoffStatus = HandoffStatus.QUEUED
    chain: tuple[str, ...] = ()
    rungs: tuple[str, ...] = ()
    shed: Shed | None = None
    skills: tuple[str, ...] = ()
    firings: tuple[Firing, ...] = ()
    risk: float | None = None
    threshold: float | None = None
    claimed_by: str | None = None
    claimed_at: datetime | None = None
    lease_until: datetime | None = None
    climbs: int = 0
    request: str = ""
    domain: str = ""
    account: Mapping[str, Any] = field(default_factory=dict)
    package: ContextPackage | None = None

    @classmethod
    def opened(
        cls,
        *,
        handoff_id: str,
        epoch: int,
        decision: Decision,
        destination: Destination,
        package: ContextPackage,
        at: datetime,
    ) -> Self:
        """Return the handoff that `decision` opens at `at`."""
        return cls(
            handoff_id=handoff_id,
            task_id=package.task_id,
            epoch=epoch,
            queue=destination.queue,
            priority=destination.priority,
            queued_at=at,
            acknowledge_by=destination.acknowledge_by,
            resolve_by=destination.resolve_by,
            chain=destination.chain,
            rungs=destination.rungs,
            shed=destination.shed,
            skills=destination.skills,
            firings=decision.firings,
            risk=decision.risk,
            threshold=decision.threshold,
            request=package.short_request,
            domain=decision.inputs.facts.domain,
            account=package.account,
            package=package,
        )

    def to(self, status: HandoffStatus) -> Handoff:
        """Return this handoff moved to `status`; back in the queue nobody holds it.

        Raises
        ------
        IllegalTransitionError
            If ``(self.status, status)`` is not in `TRANSITIONS`.
        """
        if (self.status, status) not in TRANSITIONS:
            allowed = sorted(b for a, b in TRANSITIONS if a == self.status)
            msg = (
                f"handoff {self.handoff_id!r} is {self.status} and cannot become "
                f"{status}; allowed: {', '.join(allowed) or 'none, it is final'}"
            )
            raise IllegalTransitionError(msg)
        moved = replace(self, status=status, lease_until=None)
        if status is HandoffStatus.QUEUED:
            return replace(moved, claimed_by=None, claimed_at=None)
        return moved

    def claim(self, *, by: str, at: datetime, lease: timedelta) -> Handoff:
        """Return this handoff in the hands of `by` since `at`, for as long as `lease`.

        Raises
        ------
        IllegalTransitionError
            If it does not wait in a queue.
        """
        claimed = self.to(HandoffStatus.CLAIMED)
        until = at + lease
        return replace(claimed, claimed_by=by, claimed_at=at, lease_until=until)

    def renew(self, *, at: datetime, lease: timedelta) -> Handoff:
        """Return this handoff with its claim good for `lease` from `at` on.

        Raises
        ------
        IllegalTransitionError
            If nobody holds it.
        """
        if self.status is not HandoffStatus.CLAIMED:
            msg = (
                f"handoff {self.handoff_id!r} is {self.status} and nobody holds it; "
                "only a claim can be renewed"
            )
            raise IllegalTransitionError(msg)
        return replace(self, lease_until=at + lease)

    def climb(self, destination: Destination) -> Handoff:
        """Return this handoff at `destination`, because a deadline was missed.

        It may be the same queue, where no other is left.

        Raises
        ------
        IllegalTransitionError
            If it does not wait in a queue: whoever holds it must release it first.
        """
        moved = self.passed_on(destination)
        has_seen_all = self.climbs + 1 >= max(len(self.rungs), 1)
        stays = has_seen_all or destination.queue == self.queue
        resolve_by = min(self.resolve_by, destination.resolve_by)
        return replace(
            moved,
            climbs=self.climbs + 1,
            resolve_by=resolve_by if stays else destination.resolve_by,
        )

    def passed_on(self, destination: Destination) -> Handoff:
        """Return this handoff at `destination`, because nobody is where it waits.

        When it must be resolved stays: no deadline was missed.

        Raises
        ------
        IllegalTransitionError
            If it does not wait in a queue: whoever holds it must release it first.
        """
        if self.status is not HandoffStatus.QUEUED:
            msg = (
                f"handoff {self.handoff_id!r} is {self.status} and cannot climb its "
                "chain; only one that is QUEUED can, release it first"
            )
            raise IllegalTransitionError(msg)
        return replace(
            self.to(HandoffStatus.QUEUED),
            queue=destination.queue,
            chain=destination.chain,
            acknowledge_by=destination.acknowledge_by,
        )

    @property
    def is_active(self) -> bool:
        """Whether it waits for, or is with, a person."""
        return self.status in {HandoffStatus.QUEUED, HandoffStatus.CLAIMED}

    def is_overdue(self, at: datetime) -> bool:
        """Whether a deadline was missed that nobody has made good by `at`."""
        waits = self.status is HandoffStatus.QUEUED
        unseen = waits and (self.climbs > 0 or at >= self.acknowledge_by)
        return unseen or (self.is_active and at >= self.resolve_by)

    def to_json(self, at: datetime) -> dict[str, Any]:
        """Return the item of a list of handoffs at `at`; without the package."""
        return {
            "handoff_id": self.handoff_id,
            "task_id": self.task_id,
            "epoch": self.epoch,
            "queue": self.queue,
            "chain": list(self.chain),
            "status": str(self.status),
            "priority": str(self.priority),
            "skills": list(self.skills),
            "triggers": [
                {"trigger": firing.trigger, "says": firing.says}
                for firing in self.firings
            ],
            "risk": self.risk,
            "threshold": self.threshold,
            "queued_at": _sent(self.queued_at),
            "acknowledge_by": _sent(self.acknowledge_by),
            "resolve_by": _sent(self.resolve_by),
            "claimed_by": self.claimed_by,
            "claimed_at": _sent(self.claimed_at),
            "lease_until": _sent(self.lease_until),
            "climbs": self.climbs,
            "is_overdue": self.is_overdue(at),
            "shed": None if self.shed is None else self.shed.says,
            "request": self.request,
            "domain": self.domain,
            "account": dict(self.account),
        }
