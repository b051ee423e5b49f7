"""Handled: what people did with each handoff, and when, read from the store."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import orjson

from serving.policy.audit import rfc3339
from serving.store.transaction import Reader, Row
from training.labels import group_of
from training.monitor.service import Handled, Rated

_HANDLED = """
SELECT handoff.handoff_id AS handoff_id, handoff.task_id AS task_id, queued_at, facts,
  handoff.body AS terms, decision.position AS before,
  decision.body AS decision,
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
    AS asked_again
FROM handoff
JOIN task USING (task_id)
JOIN decision USING (decision_id)
WHERE (:since IS NULL OR queued_at >= :since) AND (:until IS NULL OR queued_at < :until)
ORDER BY queued_at, handoff.handoff_id
"""


_RATINGS = """
SELECT rating.handoff_id AS handoff_id, sufficient, missing
FROM rating JOIN handoff ON handoff.handoff_id = rating.handoff_id
WHERE (CAST(:since AS TEXT) IS NULL OR queued_at >= :since)
  AND (CAST(:until AS TEXT) IS NULL OR queued_at < :until)
ORDER BY rating.handoff_id, by
"""


def handled(
    reader: Reader, *, since: datetime | None = None, until: datetime | None = None
) -> tuple[Handled, ...]:
    """Return the handoffs queued in ``[since, until)``, in that order."""
    window = {
        "since": None if since is None else rfc3339(since),
        "until": None if until is None else rfc3339(until),
    }
    ratings: dict[str, list[Rated]] = {}
    for row in reader.all(_RATINGS, **window):
        missing = tuple(orjson.loads(row["missing"]))
        said = Rated(bool(row["sufficient"]), missing)
        ratings.setdefault(row["handoff_id"], []).append(said)
    return tuple(
        _handled(row, ratings.get(row["handoff_id"], ()))
        for row in reader.all(_HANDLED, **window)
    )


def _handled(row: Row, ratings: Iterable[Rated]) -> Handled:
    facts, terms = orjson.loads(row["facts"]), orjson.loads(row["terms"])
    model_version = orjson.loads(row["decision"])["inputs"]["model_version"]
    return Handled(
        handoff_id=row["handoff_id"],
        group=group_of(row["task_id"], facts),
        queued=_seconds(row["queued_at"]),
        claimed=None if row["claimed"] is None else _seconds(row["claimed"]),
        closed=None if row["closed"] is None else _seconds(row["closed"]),
        ratings=tuple(ratings),
        asked_again=bool(row["asked_again"]),
        before=row["before"],
        domain=facts.get("domain") or "",
        agent_version=facts.get("agent_version") or "",
        tier=(facts.get("account") or {}).get("tier") or "",
        trigger=terms["firings"][0]["trigger"] if terms["firings"] else "",
        model_version=model_version or "",
    )


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()
