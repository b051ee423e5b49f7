"""Ownership: what people do with a handoff, and who owns its task after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from features.events import EventKind
from serving.engine.handover import add_history
from serving.engine.memory import Waiting
from serving.engine.moves import Move, make
from serving.policy.audit import AuditType, rfc3339
from serving.policy.handoff import Handoff, HandoffStatus, IllegalTransitionError
from serving.policy.rules import Policy
from serving.problems import Problem, ProblemType
from serving.store import handoffs, ledger, tasks
from serving.store.tasks import OwnerKind
from serving.store.transaction import Transaction

NEEDED = ("yes", "no", "uncertain")
# What a person says of a task that they had: it was labelled for certain.
_RESOLUTION = {"source": "resolution", "propensity": 1.0}

_RATE = """
INSERT INTO rating (handoff_id, by, sufficient, missing, at, audit_seq)
VALUES (:handoff_id, :by, :sufficient, :missing, :at, :audit_seq)
ON CONFLICT (handoff_id, by) DO UPDATE SET sufficient = excluded.sufficient,
  missing = excluded.missing, at = excluded.at, audit_seq = excluded.audit_seq
"""


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

        Claiming what one has already changes nothing.

        Raises
        ------
        Problem
            unknown-handoff, not-a-member, already-claimed or illegal-transition.
        """
        held = self._for_member(tx, handoff_id, by)
        if held.status is HandoffStatus.CLAIMED:
            _check_holder(held, by)
            return held.to_json()
        at = self._clock()
        try:
            claimed = held.claim(by=by, at=at, lease=self._lease(held.queue))
        except IllegalTransitionError as error:
            raise Problem(ProblemType.ILLEGAL_TRANSITION, str(error)) from error
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

    def release(self, tx: Transaction, handoff_id: str, *, by: str) -> dict[str, Any]:
        """Put a claimed handoff back into its queue, with the deadlines it had.

        Raises
        ------
        Problem
            unknown-handoff, not-a-member, already-claimed or illegal-transition.
        """
        held = self._for_holder(tx, handoff_id, by)
        return self._made(
            tx,
            Move(
                handoff=held.to(HandoffStatus.QUEUED),
                audit_type=AuditType.HANDOFF_RELEASED,
                owner=(OwnerKind.QUEUE, held.queue),
                by=by,
                at=self._clock(),
                timers={"acknowledge": held.acknowledge_by, "lease": None},
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
        held = self._for_holder(tx, handoff_id, by)
        said = {"needed": needed, "note": note}
        return self._made(
            tx,
            Move(
                handoff=held.to(HandoffStatus.RESOLVED),
                audit_type=AuditType.HANDOFF_RESOLVED,
                owner=(OwnerKind.NOBODY, ""),
                by=by,
                at=self._clock(),
                events={
                    EventKind.RESOLVED: {**said, "minutes": minutes},
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
                events={EventKind.RETURNED: {"guidance": guidance}},
                timers={"resolve": None, "lease": None},
            ),
        )

    def rate(
        self,
        tx: Transaction,
        handoff_id: str,
        *,
        by: str,
        sufficient: bool,
        missing: Sequence[str],
    ) -> dict[str, Any]:
        """Keep what `by` thinks of the package; the latest opinion of each stands.

        Raises
        ------
        Problem
            unknown-handoff or not-a-member.
        """
        held = self._for_member(tx, handoff_id, by)
        at = self._clock()
        seq = ledger.append(
            tx,
            AuditType.HANDOFF_RATED,
            at,
            task=held.task_id,
            rating={"handoff": handoff_id, "by": by, "sufficient": sufficient},
        )
        tx.run(
            _RATE,
            handoff_id=handoff_id,
            by=by,
            sufficient=int(sufficient),
            missing=orjson.dumps(list(missing)),
            at=rfc3339(at),
            audit_seq=seq,
        )
        add_history(tx, handoff_id, seq, at, by=by, what="rated")
        return held.to_json()

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

    def _lease(self, queue: str) -> timedelta:
        """Return for how long a claim at `queue` holds; a dropped one's: the longest.

        Whoever works on what an older policy left must not lose it for that.
        """
        queues = {q.name: q.lease for q in self._policy.queues}
        return queues.get(queue, max(queues.values()))

    def _for_holder(self, tx: Transaction, handoff_id: str, by: str) -> Handoff:
        held = self._for_member(tx, handoff_id, by)
        if held.status is not HandoffStatus.CLAIMED:
            detail = f"handoff {handoff_id!r} is {held.status}; claim it first"
            raise Problem(ProblemType.ILLEGAL_TRANSITION, detail)
        _check_holder(held, by)
        return held

    def _made(self, tx: Transaction, move: Move) -> dict[str, Any]:
        make(tx, move)
        self._waiting.changed(tx)
        return move.handoff.to_json()


def _check_holder(held: Handoff, by: str) -> None:
    if held.claimed_by != by:
        raise Problem(
            ProblemType.ALREADY_CLAIMED,
            f"handoff {held.handoff_id!r} is with {held.claimed_by!r}, not with "
            f"{by!r}; ask them to release it",
            holder=held.claimed_by,
        )
