"""Handled: what people did with each handoff, and when, read from the store."""

from __future__ import annotations

from datetime import datetime

import orjson

from serving.policy.audit import rfc3339
from serving.store.transaction import Reader, Row
from training.labels import group_of
from training.monitor.service import Handled

_HANDLED = """
SELECT handoff.handoff_id AS handoff_id, handoff.task_id AS task_id, queued_at, facts,
  handoff.body AS terms, decision.position AS before,
  json_extract(CAST(decision.body AS TEXT), '$.inputs.model_version') AS model_version,
  (SELECT min(at) FROM handoff_history AS h
    WHERE h.handoff_id = handoff.handoff_id AND what = 'claimed') AS claimed,
  (SELECT max(at) FROM handoff_history AS h
    WHERE h.handoff_id = handoff.handoff_id AND what IN ('resolved', 'returned'))
    AS closed,
  EXISTS (SELECT 1 FROM event
    WHERE event.task_id = handoff.task_id AND event.kind = 'user_message'
      AND event.audit_seq > (SELECT min(audit_seq) FROM handoff_history AS h
        WHERE h.handoff_id = handoff.handoff_id)
      AND event.audit_seq < (SELECT coalesce(min(audit_seq), event.audit_seq + 1)
        FROM handoff_history AS h
        WHERE h.handoff_id = handoff.handoff_id AND what = 'claimed'))
    AS asked_again,
  (SELECT sufficient FROM rating WHERE rating.handoff_id = handoff.handoff_id
    ORDER BY audit_seq DESC LIMIT 1) AS sufficient
FROM handoff
JOIN task USING (task_id)
JOIN decision USING (decision_id)
WHERE (:since IS NULL OR queued_at >= :since) AND (:until IS NULL OR queued_at < :until)
ORDER BY queued_at, handoff.handoff_id
"""


def handled(
    reader: Reader, *, since: datetime | None = None, until: datetime | None = None
) -> tuple[Handled, ...]:
    """Return the handoffs queued in ``[since, until)``, in that order."""
    rows = reader.all(
        _HANDLED,
        since=None if since is None else rfc3339(since),
        until=None if until is None else rfc3339(until),
    )
    return tuple(_handled(row) for row in rows)


def _handled(row: Row) -> Handled:
    facts, terms = orjson.loads(row["facts"]), orjson.loads(row["terms"])
    sufficient = row["sufficient"]
    return Handled(
        handoff_id=row["handoff_id"],
        group=group_of(row["task_id"], facts),
        queued=_seconds(row["queued_at"]),
        claimed=None if row["claimed"] is None else _seconds(row["claimed"]),
        closed=None if row["closed"] is None else _seconds(row["closed"]),
        sufficient=None if sufficient is None else bool(sufficient),
        asked_again=bool(row["asked_again"]),
        before=row["before"],
        domain=facts.get("domain") or "",
        agent_version=facts.get("agent_version") or "",
        tier=(facts.get("account") or {}).get("tier") or "",
        trigger=terms["firings"][0]["trigger"] if terms["firings"] else "",
        model_version=row["model_version"] or "",
    )


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()
