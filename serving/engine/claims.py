"""Claims: for how long somebody has a handoff, who else could take it, and who has it.

A claim is a lease. Whatever its holder does renews it; when it runs out, the handoff is
back in its queue.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from serving.engine.moves import Move, make
from serving.policy import onward
from serving.policy.audit import AuditType, rfc3339
from serving.policy.handoff import Handoff, HandoffStatus
from serving.policy.inputs import Load
from serving.policy.rules import Policy
from serving.problems import Problem, ProblemType
from serving.store import tasks
from serving.store.transaction import Reader, Transaction


def lease_of(policy: Policy, queue: str) -> timedelta:
    """Return for how long a claim at `queue` holds; at a dropped one: the longest.

    Whoever works on what an older policy left must not lose it for that.
    """
    found = policy.find(queue)
    return max(q.lease for q in policy.queues) if found is None else found.lease


def renew(
    tx: Transaction, policy: Policy, held: Handoff, *, by: str, at: datetime
) -> Handoff:
    """Have the claim of `held` last for a whole lease from `at` on; return it so.

    The task stays with whom it is, so its epoch does, too.
    """
    renewed = held.renew(at=at, lease=lease_of(policy, held.queue))
    make(
        tx,
        Move(
            handoff=renewed,
            audit_type=AuditType.HANDOFF_RENEWED,
            owner=None,
            by=by,
            at=at,
            timers={"lease": renewed.lease_until},
            is_told=False,
        ),
    )
    return renewed


def keep_alive(
    tx: Transaction, policy: Policy, held: Handoff, *, by: str, at: datetime
) -> Handoff:
    """Renew the claim of `held` if half of it is over; return it as it stands then.

    For what its holder does beside: not each word needs a record of its own.
    """
    until = held.lease_until
    if until is None or until - at > lease_of(policy, held.queue) / 2:
        return held
    return renew(tx, policy, held, by=by, at=at)


def put_back(
    held: Handoff, policy: Policy, load: Load, at: datetime
) -> tuple[Handoff, datetime]:
    """Return `held` in its queue again, and when it must be looked at there.

    Its first deadline is that of one which comes there now, or as soon as can be where
    a newer policy has no such queue.
    """
    there = onward.again(held, policy, load, at)
    due = at if there is None else there.acknowledge_by
    back = replace(held.to(HandoffStatus.QUEUED), acknowledge_by=due)
    wake = None if there is None else there.wake_at
    return back, due if wake is None else wake


def check_holder(reader: Reader, held: Handoff, by: str) -> None:
    """Check that the claim of `held` is that of `by`.

    Raises
    ------
    Problem
        already-claimed, with the holder, since when and until, and the task's epoch.
    """
    if held.claimed_by == by:
        return
    since, until = held.claimed_at, held.lease_until
    task = tasks.get(reader, held.task_id)
    raise Problem(
        ProblemType.ALREADY_CLAIMED,
        f"handoff {held.handoff_id!r} is with {held.claimed_by!r}, not with "
        f"{by!r}; ask them to release it",
        holder=held.claimed_by,
        owner=task.owner,
        epoch=task.epoch,
        since=None if since is None else rfc3339(since),
        lease_until=None if until is None else rfc3339(until),
    )


def check_skills(policy: Policy, held: Handoff, by: str) -> None:
    """Check that `by` can do what `held` needs, or that nobody at its queue can.

    Only while it is not late: then a person without the skill is better than none.

    Raises
    ------
    Problem
        not-a-member, with those who can.
    """
    queue = policy.find(held.queue)
    able = () if queue is None else queue.able(held.skills)
    if not able or by in able or held.climbs > 0:
        return
    raise Problem(
        ProblemType.NOT_A_MEMBER,
        f"handoff {held.handoff_id!r} needs {', '.join(held.skills)}, which at queue "
        f"{held.queue!r} {', '.join(able)} can do, and {by!r} cannot; leave it to "
        "them, or take it once it has missed a deadline",
        queue=held.queue,
        skills=list(held.skills),
        able=list(able),
    )
