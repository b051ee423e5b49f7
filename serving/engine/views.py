"""Views: what people and programs read of the store, as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from features.events import AgentEvent, EventKind
from serving.engine import memory, replies
from serving.engine.deciding import ModelState
from serving.policy import router
from serving.policy.audit import rfc3339
from serving.policy.handoff import Handoff, HandoffStatus
from serving.policy.rules import Policy, Queue
from serving.policy.trigger import Load
from serving.problems import Problem, ProblemType
from serving.store import handoffs, ledger, log, tasks
from serving.store.tasks import OwnerKind
from serving.store.transaction import Reader, Row

MOST_LISTED = 200
MOST_RECORDS = 1_000

_LAST_DECISION = """
SELECT decision_id FROM decision WHERE task_id = :task_id
ORDER BY position DESC, audit_seq DESC
"""
_PACKAGE = "SELECT digest, body FROM package WHERE handoff_id = :handoff_id"
_RATING = """
SELECT by, sufficient, missing, at FROM rating WHERE handoff_id = :handoff_id
ORDER BY audit_seq DESC
"""
_HISTORY = """
SELECT at, by, what FROM handoff_history WHERE handoff_id = :handoff_id
ORDER BY audit_seq
"""
_CLAIMED = """
SELECT queue, count(*) AS claimed FROM handoff WHERE status = 'CLAIMED' GROUP BY queue
"""
_QUEUE_USED = "SELECT 1 AS used FROM handoff WHERE queue = :queue"

Json = dict[str, Any]


# --- tasks -------------------------------------------------------------------


def task(reader: Reader, task_id: str) -> Json:
    """Return how a task stands: owner, epoch, last decision, last handoff.

    Raises
    ------
    Problem
        unknown-task.
    """
    found = tasks.get(reader, task_id)
    decided = reader.one(_LAST_DECISION, task_id=task_id)
    last = handoffs.last_of(reader, task_id)
    return {
        "task_id": task_id,
        "owner": found.owner,
        "epoch": found.epoch,
        "events": log.length(reader, task_id),
        "request": found.facts.get("request", ""),
        "domain": found.facts.get("domain", ""),
        "agent_id": found.facts.get("agent_id", ""),
        "agent_version": found.facts.get("agent_version", ""),
        "account": found.facts.get("account") or {},
        "decision": (
            None
            if decided is None
            else replies.answer_of(reader, decided["decision_id"])["decision"]
        ),
        "handoff_id": None if last is None else last["handoff_id"],
        "message": handoffs.message_of(last),
        "guidance": _guidance(reader, found.task_id, found.owner_kind),
    }


def _guidance(reader: Reader, task_id: str, owner: OwnerKind) -> str | None:
    """Return what the agent was told when it got the task back, while it has it."""
    if owner is not OwnerKind.AGENT:
        return None
    returned = next(log.latest(reader, task_id, EventKind.RETURNED), None)
    return None if returned is None else returned.body.get("guidance")


def ownership(reader: Reader, task_id: str, epoch: int) -> Json:
    """Return whether an agent that acts under `epoch` may still do so.

    Raises
    ------
    Problem
        unknown-task.
    """
    found = tasks.get(reader, task_id)
    return {
        "may_act": found.may_act(epoch),
        "owner": found.owner,
        "epoch": found.epoch,
    }


# --- queues ------------------------------------------------------------------


def queues(reader: Reader, policy: Policy, at: datetime) -> Json:
    """Return every queue with who is there, what waits, and for how long."""
    load = Load(memory.ages(memory.waiting(reader), at))
    claimed = {row["queue"]: row["claimed"] for row in reader.all(_CLAIMED)}
    listed = [
        _queue(queue, load, claimed.get(queue.name, 0), at) for queue in policy.queues
    ]
    return {"queues": listed}


def _queue(queue: Queue, load: Load, claimed: int, at: datetime) -> Json:
    waiting, oldest = load.queues.get(queue.name, (0, 0.0))
    return {
        "queue": queue.name,
        "owner": queue.owner,
        "members": list(queue.members),
        "is_open": router.is_open(queue, at),
        "waiting": waiting,
        "claimed": claimed,
        "oldest_s": oldest,
        "acknowledge_within_s": queue.acknowledge_within.total_seconds(),
        "resolve_within_s": queue.resolve_within.total_seconds(),
        "chain": list(queue.chain),
    }


# --- handoffs ----------------------------------------------------------------


def listed(
    reader: Reader,
    policy: Policy,
    *,
    queue: str | None,
    status: str | None,
    limit: int,
    offset: int,
) -> Json:
    """Return a page of handoffs.

    Raises
    ------
    Problem
        no-such-queue or malformed-request.
    """
    _check_page(status, limit, offset)
    known = queue is None or any(q.name == queue for q in policy.queues)
    if not known and reader.one(_QUEUE_USED, queue=queue) is None:
        names = ", ".join(q.name for q in policy.queues)
        raise Problem(
            ProblemType.NO_SUCH_QUEUE, f"expected one of {names}, found {queue!r}"
        )
    found = handoffs.listed(
        reader, queue=queue, status=status, limit=limit, offset=offset
    )
    return {"handoffs": [one.to_json() for one in found]}


def _check_page(status: str | None, limit: int, offset: int) -> None:
    if status is not None and status not in list(HandoffStatus):
        expected = ", ".join(HandoffStatus)
        raise Problem(
            ProblemType.MALFORMED_REQUEST,
            f"`status` must be one of {expected}, found {status!r}",
        )
    if not (1 <= limit <= MOST_LISTED and offset >= 0):
        raise Problem(
            ProblemType.MALFORMED_REQUEST,
            f"`limit` must be in [1, {MOST_LISTED}] and `offset` not negative, found "
            f"{limit} and {offset}",
        )


def handoff(reader: Reader, handoff_id: str) -> Json:
    """Return one handoff with its package, rating, resolution and history.

    Raises
    ------
    Problem
        unknown-handoff.
    """
    found = handoffs.get(reader, handoff_id)
    packed = reader.one(_PACKAGE, handoff_id=handoff_id)
    rated = reader.one(_RATING, handoff_id=handoff_id)
    return {
        **found.to_json(),
        "package": None if packed is None else orjson.loads(packed["body"]),
        "package_sha256": None if packed is None else packed["digest"],
        "rating": None if rated is None else _rating(rated),
        "resolution": _resolution(reader, found),
        "history": [
            {"at": row["at"], "by": row["by"], "what": row["what"]}
            for row in reader.all(_HISTORY, handoff_id=handoff_id)
        ],
    }


def _rating(row: Row) -> Json:
    return {
        "by": row["by"],
        "sufficient": bool(row["sufficient"]),
        "missing": orjson.loads(row["missing"]),
        "at": row["at"],
    }


_CLOSING = {
    HandoffStatus.RESOLVED: EventKind.RESOLVED,
    HandoffStatus.RETURNED: EventKind.RETURNED,
}


def _resolution(reader: Reader, found: Handoff) -> Json | None:
    """Return what the closing event of a handoff says, once it is closed."""
    kind = _CLOSING.get(found.status)
    if kind is None:
        return None
    closed = log.latest(reader, found.task_id, kind)
    return next(
        (_said(e) for e in closed if e.body.get("handoff_id") == found.handoff_id),
        None,
    )


def _said(event: AgentEvent) -> Json:
    said = {k: v for k, v in event.body.items() if k != "handoff_id"}
    return {"at": rfc3339(event.at), **said}


# --- the audit log -----------------------------------------------------------


def records(reader: Reader, start: int, limit: int) -> Json:
    """Return audit records with their leaf hashes, and size and root over all.

    Raises
    ------
    Problem
        malformed-request.
    """
    if not (start >= 0 and 1 <= limit <= MOST_RECORDS):
        raise Problem(
            ProblemType.MALFORMED_REQUEST,
            f"`start` must not be negative and `limit` in [1, {MOST_RECORDS}], found "
            f"{start} and {limit}",
        )
    size, root = ledger.root(reader)
    found = [
        {
            "seq": row["seq"],
            "leaf": bytes(row["leaf"]).hex(),
            "body": orjson.loads(row["body"]),
        }
        for row in reader.all(ledger.RECORDS, start=start, limit=limit)
    ]
    return {"size": size, "root": root.hex(), "records": found}


def health(
    reader: Reader,
    policy: Policy,
    state: ModelState,
    problem: str | None,
) -> Json:
    """Return what works: store, model, policy. Without a sound model: degraded."""
    size, root = ledger.root(reader)
    return {
        "status": "ok" if state.is_used and problem is None else "degraded",
        "store": {"records": size, "root": root.hex()},
        "model": {**state.audited(), "used": state.is_used, "problem": problem},
        "policy": {
            "version": policy.version,
            "sha256": policy.digest,
            "mode": str(policy.mode),
        },
    }
