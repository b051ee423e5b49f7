"""Replies: what a call is told, kept so that the same call is told the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from serving.engine.handover import Handover
from serving.policy.audit import rfc3339
from serving.policy.trigger import Decision
from serving.store.tasks import Task
from serving.store.transaction import Reader, Transaction

_ADD_ANSWER = "INSERT INTO answer (audit_seq, body) VALUES (:audit_seq, :body)"
_ANSWER = "SELECT body FROM answer WHERE audit_seq = :audit_seq"
_ANSWER_OF = """
SELECT answer.body AS body FROM decision
JOIN answer ON answer.audit_seq = decision.audit_seq
WHERE decision.decision_id = :decision_id
"""


def standing(task: Task, accepted: Sequence[str]) -> dict[str, Any]:
    """Return the part of an answer that says how the task stands."""
    return {
        "task_id": task.task_id,
        "epoch": task.epoch,
        "owner": task.owner,
        "accepted": list(accepted),
        "refused": [],
    }


def decided(decision_id: str, decision: Decision) -> dict[str, Any]:
    """Return the part of an answer that tells a decision."""
    return {
        "decision_id": decision_id,
        "action": str(decision.action),
        "effective": decision.effective,
        "reasons": [{"trigger": f.trigger, "says": f.says} for f in decision.firings],
        "risk": decision.risk,
        "threshold": decision.threshold,
        "source": decision.source,
        "mode": str(decision.mode),
        "policy_version": decision.policy_version,
        "model_version": decision.model_version,
        # Not the draw: an agent that knew it could behave where it will be audited.
        "audit": {"propensity": decision.propensity},
    }


def handed_over(done: Handover) -> dict[str, Any]:
    """Return the part of an answer that tells of a handover."""
    handoff = done.handoff
    return {
        "handoff_id": handoff.handoff_id,
        "queue": handoff.queue,
        "priority": str(handoff.priority),
        "acknowledge_by": rfc3339(handoff.acknowledge_by),
        "resolve_by": rfc3339(handoff.resolve_by),
        "lacking": list(done.lacking),
    }


def answered(reader: Reader, audit_seq: int) -> dict[str, Any]:
    """Return the answer that the call behind this audit record was given."""
    return _read(reader, _ANSWER, audit_seq=audit_seq)


def answer_of(reader: Reader, decision_id: str) -> dict[str, Any]:
    """Return the answer in which this decision was told."""
    return _read(reader, _ANSWER_OF, decision_id=decision_id)


def undecided(task: Task, accepted: Sequence[str]) -> dict[str, Any]:
    """Return the answer to a call on which nothing was decided."""
    nothing = dict.fromkeys(("decision", "handoff", "message", "message_id"))
    return {**standing(task, accepted), **nothing}


def keep(tx: Transaction, audit_seq: int, answer: Mapping[str, Any]) -> None:
    """Store `answer` for the call behind this audit record."""
    tx.run(_ADD_ANSWER, audit_seq=audit_seq, body=orjson.dumps(answer))


def _read(reader: Reader, query: str, **key: Any) -> dict[str, Any]:
    row = reader.one(query, **key)
    answer: dict[str, Any] = {} if row is None else orjson.loads(row["body"])
    return answer
