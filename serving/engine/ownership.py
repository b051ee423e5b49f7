"""Ownership: what people do with a handoff, and who owns its task after."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from features.events import EventKind
from serving.engine import claims, repeats
from serving.engine.memory import Waiting
from serving.engine.moves import Move, make
from serving.engine.rating import Rating
from serving.policy.audit import AuditType
from serving.policy.handoff import Handoff, HandoffStatus, IllegalTransitionError
from serving.policy.rules import Policy
from serving.problems import Problem, ProblemType
from serving.store import handoffs, tasks
from serving.store.tasks import OwnerKind
from serving.store.transaction import Transaction

NEEDED = ("yes", "no", "uncertain")
# What a person says of a task that they had: it was labelled for certain.
_RESOLUTION = {"source": "resolution", "propensity": 1.0}


class Ownership:
    """The verbs of the people at a queue; only its members may use them.

    Parameters
    ----------
    policy : Policy
        Says who the members are.
    waiting : Waiting
        Told when a queue changes.
    clock : callable
        Returns the time, timezone-aware.
    """

    def __init__(
        self, policy: Policy, waiting: Waiting, clock: Callable[[], datetime]
    ) -> None:
        self._policy = policy
        self._waiting = waiting
        self._clock = clock

    def claim(self, tx: Transaction, handoff_id: str, *, by: str) -> dict[str, Any]:
        """Give a waiting handoff to `by`; of two who try, the first one gets it.

        Claiming what one has already is a sign of life and nothing more.

        Raises
        ------
        Problem
            unknown-handoff, not-a-member, already-claimed or illegal-transition.
        """
        held = self._for_member(tx, handoff_id, by)
        if held.status is HandoffStatus.CLAIMED:
            claims.check_holder(tx, held, by)
            return self._kept_alive(tx, held, by).to_json(self._clock())
        claims.check_skills(self._policy, held, by)
        at, lease = self._clock(), claims.lease_of(self._policy, held.queue)
        try:
            claimed = held.claim(by=by, at=at, lease=lease)
        except IllegalTransitionError as error:
            raise _illegal(tx, held, str(error)) from error
        return self._made(
            tx,
            Move(
                handoff=claimed,
                audit_type=AuditType.HANDOFF_CLAIMED,
                owner=(OwnerKind.PERSON, by),
                by=by,
                at=at,
                events={EventKind.CLAIMED: {}},
                timers={"acknowledge": None, "lease": claimed.lease_until},
            ),
        )

    def renew(self, tx: Transaction, handoff_id: str, *, by: str) -> dict[str, Any]:
        """Have the claim of `by` last for another lease; the epoch stays.

        Raises
        ------
        Problem
            unknown-handoff, not-a-member, already-claimed or illegal-transition.
        """
        held, at = self._for_holder(tx, handoff_id, by), self._clock()
        return claims.renew(tx, self._policy, held, by=by, at=at).to_json(at)

    def release(self, tx: Transaction, handoff_id: str, *, by: str) -> dict[str, Any]:
        """Put a claimed handoff back into its queue, with a first deadline anew.

        Raises
        ------
        Problem
            unknown-handoff, not-a-member, already-claimed or illegal-transition.
        """
        before, at = self._for_member(tx, handoff_id, by), self._clock()
        if repeats.is_released(tx, handoff_id, by):
            return before.to_json(at)
        held, load = self._for_holder(tx, handoff_id, by), self._waiting.at(tx, at)
        back, wake = claims.put_back(held, self._policy, load, at)
        return self._made(
            tx,
            Move(
                handoff=back,
                audit_type=AuditType.HANDOFF_RELEASED,
                owner=(OwnerKind.QUEUE, back.queue),
                by=by,
                at=at,
                timers={"acknowledge": wake, "lease": None},
            ),
        )

    def resolve(
        self,
        tx: Transaction,
        handoff_id: str,
        *,
        by: str,
        needed: str,
        note: str,
        minutes: float | None,
    ) -> dict[str, Any]:
        """Close a claimed handoff with a verdict, which becomes a label of its task.

        Raises
        ------
        Problem
            unknown-handoff, not-a-member, already-claimed or illegal-transition.
        """
        said = {"needed": needed, "note": note}
        closing = {**said, "minutes": minutes}
        before = self._for_member(tx, handoff_id, by)
        told = repeats.closed(tx, before, EventKind.RESOLVED, by, closing)
        if told is not None:
            return told
        held = self._for_holder(tx, handoff_id, by)
        return self._made(
            tx,
            Move(
                handoff=held.to(HandoffStatus.RESOLVED),
                audit_type=AuditType.HANDOFF_RESOLVED,
                owner=(OwnerKind.NOBODY, ""),
                by=by,
                at=self._clock(),
                events={
                    EventKind.RESOLVED: closing,
                    EventKind.VERDICT: {**said, **_RESOLUTION},
                },
                timers={"resolve": None, "lease": None},
            ),
        )

    def return_(
        self, tx: Transaction, handoff_id: str, *, by: str, guidance: str
    ) -> dict[str, Any]:
        """Give a claimed task back to its agent, with guidance, under a new epoch.

        Raises
        ------
        Problem
            unknown-handoff, not-a-member, already-claimed or illegal-transition.
        """
        closing = {"guidance": guidance}
        before = self._for_member(tx, handoff_id, by)
        told = repeats.closed(tx, before, EventKind.RETURNED, by, closing)
        if told is not None:
            return told
        held = self._for_holder(tx, handoff_id, by)
        task = tasks.get(tx, held.task_id)
        return self._made(
            tx,
            Move(
                handoff=held.to(HandoffStatus.RETURNED),
                audit_type=AuditType.HANDOFF_RETURNED,
                owner=(OwnerKind.AGENT, task.facts.get("agent_id", "")),
                by=by,
                at=self._clock(),
                events={EventKind.RETURNED: closing},
                timers={"resolve": None, "lease": None},
            ),
        )

    def rate(self, tx: Transaction, handoff_id: str, rating: Rating) -> dict[str, Any]:
        """Keep what a member thinks of the package; the latest word of each stands.

        Raises
        ------
        Problem
            unknown-handoff or not-a-member.
        """
        held = self._for_member(tx, handoff_id, rating.by)
        at = self._clock()
        if rating.is_kept(tx, handoff_id):
            return held.to_json(at)
        rating.keep(tx, held, at)
        return self._kept_alive(tx, held, rating.by).to_json(at)

    # --- who may, and what follows -------------------------------------------

    def _for_member(self, tx: Transaction, handoff_id: str, by: str) -> Handoff:
        held = handoffs.get(tx, handoff_id)
        if by not in self._members(held.queue):
            raise Problem(
                ProblemType.NOT_A_MEMBER,
                f"expected a member of queue {held.queue!r}, found {by!r}; the policy "
                "names the members",
                queue=held.queue,
            )
        return held

    def _members(self, queue: str) -> frozenset[str]:
        """Return who may work `queue`; everybody, where the policy has dropped it.

        A handoff must not get stuck because a newer policy knows its queue no more.
        """
        queues = {q.name: q for q in self._policy.queues}
        wanted = [queues[queue]] if queue in queues else queues.values()
        return frozenset(member for q in wanted for member in q.members)

    def _kept_alive(self, tx: Transaction, held: Handoff, by: str) -> Handoff:
        """Return `held`, its claim renewed if it is that of `by` and grows old."""
        if held.claimed_by != by:
            return held
        at = self._clock()
        return claims.keep_alive(tx, self._policy, held, by=by, at=at)

    def _for_holder(self, tx: Transaction, handoff_id: str, by: str) -> Handoff:
        held = self._for_member(tx, handoff_id, by)
        if held.status is not HandoffStatus.CLAIMED:
            detail = f"handoff {handoff_id!r} is {held.status}; claim it first"
            raise _illegal(tx, held, detail)
        claims.check_holder(tx, held, by)
        return held

    def _made(self, tx: Transaction, move: Move) -> dict[str, Any]:
        make(tx, move)
        self._waiting.changed(tx)
        return move.handoff.to_json(move.at)


def _illegal(tx: Transaction, held: Handoff, detail: str) -> Problem:
    """Return the problem of a verb that `held` does not know as it stands."""
    task = tasks.get(tx, held.task_id)
    return Problem(
        ProblemType.ILLEGAL_TRANSITION,
        detail,
        handoff_status=str(held.status),
        owner=task.owner,
        epoch=task.epoch,
    )
