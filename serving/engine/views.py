"""Views: what people and programs read of the store, as JSON."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from features.events import AgentEvent, EventKind
from serving.engine import replies
from serving.engine.deciding import ModelState
from serving.engine.following import during
from serving.policy.audit import rfc3339
from serving.policy.handoff import Handoff, HandoffStatus
from serving.policy.rules import OnWithdrawal, Policy
from serving.problems import Problem, ProblemType
from serving.store import handoffs, ledger, log, tasks, violations
from serving.store.tasks import OwnerKind
from serving.store.transaction import Reader, Row

MOST_LISTED = 200
MOST_RECORDS = 1_000

_LAST_DECISION = """
SELECT decision_id FROM decision WHERE task_id = :task_id
ORDER BY position DESC, audit_seq DESC LIMIT 1
"""
_PACKAGE = "SELECT digest, body FROM package WHERE handoff_id = :handoff_id"
_RATING = """
SELECT by, sufficient, missing, note, at FROM rating WHERE handoff_id = :handoff_id
ORDER BY audit_seq DESC
"""
_HISTORY = """
SELECT at, by, what FROM handoff_history WHERE handoff_id = :handoff_id
ORDER BY audit_seq
"""
_QUEUE_USED = "SELECT 1 AS used FROM handoff WHERE queue = :queue LIMIT 1"

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


# --- handoffs ----------------------------------------------------------------


def listed(
    reader: Reader,
    policy: Policy,
    *,
    queue: str | None,
    status: str | None,
    limit: int,
    offset: int,
    at: datetime,
) -> Json:
    """Return a page of handoffs, as they stand at `at`.

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
    return {"handoffs": [one.to_json(at) for one in found]}


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


def handoff(reader: Reader, handoff_id: str, at: datetime) -> Json:
    """Return one handoff at `at`, with package, rating, resolution and history.

    Raises
    ------
    Problem
        unknown-handoff.
    """
    found = handoffs.get(reader, handoff_id)
    packed = reader.one(_PACKAGE, handoff_id=handoff_id)
    rated = reader.one(_RATING, handoff_id=handoff_id)
    return {
        **found.to_json(at),
        "package": None if packed is None else orjson.loads(packed["body"]),
        "package_sha256": None if packed is None else packed["digest"],
        "rating": None if rated is None else _rating(rated),
        "resolution": _resolution(reader, found),
        "messages": during(reader, found.task_id, handoff_id),
        "violations": list(violations.of_handoff(reader, handoff_id)),
        "history": [
            {"at": row["at"], "by": row["by"], "what": row["what"]}
            for row in reader.all(_HISTORY, handoff_id=handoff_id)
        ],
    }


@dataclass(frozen=True, slots=True)
class StoredPackage:
    """A package as it is stored, and what its bytes hash to."""

    handoff_id: str
    sha256: str
    body: bytes

    @property
    def name(self) -> str:
        """What to call a file of it."""
        return f"package-{self.handoff_id}.json"


def package(reader: Reader, handoff_id: str) -> StoredPackage:
    """Return the package of a handoff, byte for byte.

    Raises
    ------
    Problem
        unknown-handoff.
    """
    handoffs.get(reader, handoff_id)
    row = reader.one(_PACKAGE, handoff_id=handoff_id)
    if row is None:
        msg = f"the package of handoff {handoff_id!r} is gone; `escalon audit verify`"
        raise Problem(ProblemType.UNKNOWN_HANDOFF, msg, handoff_id=handoff_id)
    return StoredPackage(handoff_id, row["digest"], bytes(row["body"]))


def _rating(row: Row) -> Json:
    return {
        "by": row["by"],
        "sufficient": bool(row["sufficient"]),
        "missing": orjson.loads(row["missing"]),
        "note": row["note"],
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
    withdrawn: Collection[str] = (),
) -> Json:
    """Return what works: store, model, policy. Without a sound model: degraded.

    The rung is that of the degradation ladder: 0 the model decides, 1 the last good
    one does, 2 rules alone do; those also where the promise of the model was
    `withdrawn` for all tasks and the policy lets it decide no more.
    """
    size, root = ledger.root(reader)
    is_silenced = "" in withdrawn and (
        policy.learned.on_withdrawal is OnWithdrawal.RULES_ONLY
    )
    made = state.made_at
    return {
        "status": "ok" if state.is_used and problem is None else "degraded",
        "store": {"records": size, "root": root.hex()},
        "model": {
            **state.audited(),
            "used": state.is_used,
            "problem": problem,
            "made_at": None if made is None else rfc3339(made),
        },
        "rung": 2 if is_silenced else state.rung,
        "policy": {
            "version": policy.version,
            "sha256": policy.digest,
            "mode": str(policy.mode),
        },
    }
