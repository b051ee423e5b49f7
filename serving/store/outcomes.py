"""Outcomes: what became of each task that was decided on, read from the store."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

import orjson

from serving.policy.audit import rfc3339
from serving.policy.rules import AGENT_ASKS
from serving.store.log import stored_event
from serving.store.transaction import Reader, Row
from training.labels import (
    Label,
    Statement,
    group_of,
    label_from,
    standing,
    statement_of,
)
from training.monitor.outcome import TaskOutcome

# The condition of the index `event_labels`, word for word: then it is used.
LABELLING = "kind IN ('audit_verdict', 'complaint', 'reopened', 'resolved', 'verdict')"
_SAID = f"SELECT task_id, body FROM event WHERE {LABELLING} ORDER BY task_id, seq"  # noqa: S608
# The last decision of each task, and the record that says when it was made.
LAST = """
SELECT decision.task_id AS task_id, decision.body AS body, task.facts AS facts,
  audit_event.body AS record
FROM (
  SELECT task_id, max(audit_seq) AS seq FROM decision GROUP BY task_id
) AS last
JOIN decision ON decision.task_id = last.task_id AND decision.audit_seq = last.seq
JOIN task ON task.task_id = last.task_id
JOIN audit_event ON audit_event.seq = last.seq
ORDER BY last.task_id
"""
_DECISIONS = "SELECT task_id, body FROM decision"
_HANDOFFS = "SELECT task_id, body FROM handoff ORDER BY task_id, epoch DESC"


def outcomes(
    reader: Reader, *, since: datetime | None = None, until: datetime | None = None
) -> list[TaskOutcome]:
    """Return what became of each task, as far as it is known now, by task id.

    A task counts by its last decision: threshold, segments and the audit draw are
    those logged with it; the risk is the highest of all its decisions. The label is
    what `training.labels.label_from` makes of the outcomes in its log.

    Parameters
    ----------
    reader : Reader
        Of a store.
    since, until : datetime, optional
        Only tasks whose last decision was made in ``[since, until)``; timezone-aware.
        Their labels are those of now, also where they came later.
    """
    known = _Known.read(reader)
    last = last_decisions(reader, since=since, until=until)
    return [known.outcome(row, at) for row, at in last]


def last_decisions(
    reader: Reader, *, since: datetime | None, until: datetime | None
) -> Iterator[tuple[Row, str]]:
    """Yield the last decision of each task, by task id, and when it was made.

    Only those made in ``[since, until)``. A row has `task_id`, `facts`, and `body` of
    the decision; the time is as the log writes it.
    """
    first = "" if since is None else rfc3339(since)
    end = None if until is None else rfc3339(until)
    for row in reader.all(LAST):
        at = str(orjson.loads(row["record"])["at"])
        if first <= at and (end is None or at < end):
            yield row, at


def statements(reader: Reader) -> dict[str, list[Statement]]:
    """Return what was said of each task's need for a human, in log order, by task."""
    found: dict[str, list[Statement]] = {}
    for task_id, rows in groupby(reader.all(_SAID), key=itemgetter("task_id")):
        events = [stored_event(row) for row in rows]
        said = [statement_of(task_id, e.kind, e.at, e.body) for e in events]
        found[task_id] = [one for one in said if one is not None]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What is known of tasks beside their last decisions, by task."""

    said: Mapping[str, list[Statement]]
    highest: Mapping[str, float | None]
    handed: Mapping[str, str | None]

    @classmethod
    def read(cls, reader: Reader) -> _Known:
        # What each task was first handed over for: its first handoff comes last.
        handed = {
            row["task_id"]: _first(orjson.loads(row["body"])) or None
            for row in reader.all(_HANDOFFS)
        }
        return cls(said=statements(reader), highest=_highest(reader), handed=handed)

    def outcome(self, row: Row, at: str) -> TaskOutcome:
        task_id, said = row["task_id"], self.said.get(row["task_id"], [])
        decision, facts = orjson.loads(row["body"]), orjson.loads(row["facts"])
        is_handed = task_id in self.handed
        return TaskOutcome(
            task_id=task_id,
            group=group_of(task_id, facts),
            at=datetime.fromisoformat(at).timestamp(),
            escalated=is_handed,
            risk=_number(self.highest.get(task_id)),
            trigger=(self.handed[task_id] if is_handed else _first(decision)) or "",
            complained=any(not one.is_judged for one in standing(said)),
            **_drawn(decision),
            **_labelled(label_from(said)),
            **_segments(facts, decision),
        )


def _highest(reader: Reader) -> dict[str, float | None]:
    """Return the highest risk of each task; None where no model ever gave one."""
    found: dict[str, float | None] = {}
    for row in reader.all(_DECISIONS):
        risk = orjson.loads(row["body"])["inputs"]["risk"]
        before = found.setdefault(row["task_id"], risk)
        if risk is not None and (before is None or risk > before):
            found[row["task_id"]] = risk
    return found


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _first(body: Mapping[str, Any]) -> str:
    """Return what fired first, of a handoff or of a decision in shadow mode."""
    firings = body["firings"]
    return str(firings[0]["trigger"]) if firings else ""


def _drawn(decision: Mapping[str, Any]) -> dict[str, Any]:
    """Return the threshold and the audit draw that were logged with a decision."""
    streams = ("uniform", "targeted", "q_uniform", "q_targeted")
    drawn = {name: decision["selection"][name] for name in streams}
    draw = decision["inputs"]["draw"]["uniform"]
    return {"threshold": _number(decision["threshold"]), "draw": draw, **drawn}


def _labelled(label: Label | None) -> dict[str, Any]:
    if label is None:
        return {}
    return {
        "needed": label.needed,
        "evidence": label.evidence.name.lower(),
        "matured": label.matured_at.timestamp(),
    }


def _segments(facts: Mapping[str, Any], decision: Mapping[str, Any]) -> dict[str, Any]:
    signals = decision["inputs"]["signals"]
    wishes = (wish["trigger"] for wish in decision["inputs"]["wishes"])
    announced = signals.get("transfer_promises", 0) + signals.get("transfer_calls", 0)
    return {
        "domain": facts.get("domain") or "",
        "agent_version": facts.get("agent_version") or "",
        "tier": (facts.get("account") or {}).get("tier") or "",
        "model_version": decision["inputs"]["model_version"] or "",
        "confidence": _number(signals.get("confidence_last")),
        "transferred": announced > 0 or AGENT_ASKS in wishes,
    }
