"""Verify rows: state of tasks and handoffs, held against what the log says of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from features.events import EventKind
from serving.policy.audit import AuditType
from serving.policy.rules import Priority
from serving.safely import Failure, attempt
from serving.store import (
    alarms,
    handoffs,
    log,
    verify_actions,
    verify_announcements,
    verify_attachments,
    verify_notices,
    verify_outbox,
    verify_ratings,
    verify_timers,
    verify_violations,
)
from serving.store.handoffs import commitment_of
from serving.store.transaction import Reader, Row
from serving.store.verify_actions import Authorized
from serving.store.verify_notices import Notices
from serving.store.verify_outbox import Letters
from serving.store.verify_timers import Deadlines

_TASKS = "SELECT * FROM task ORDER BY task_id"
_SPEAKING = """
SELECT task_id, body FROM event WHERE kind IN (:started, :said) ORDER BY task_id, seq
"""
_HANDOFFS = "SELECT * FROM handoff"
_PACKAGES = "SELECT * FROM package"
_HISTORY = "SELECT * FROM handoff_history"
_ANSWERS = "SELECT audit_seq FROM answer"
_ALARMS = "SELECT * FROM alarm"

# What records of version 2 did not say of a handoff, as it was then.
_SINCE_3 = {"climbs": 0, "lease_until": None}

Record = Mapping[str, Any]
Note = Callable[[str], None]

_ANSWERED = (AuditType.STEP_SCORED, AuditType.EVENTS_APPENDED)


@dataclass(slots=True)
class Expected:
    """What the rows must be, by the records: for each the last that speaks of it.

    Attributes
    ----------
    tasks, handoffs, opened : dict
        Record by id: the last that names an owner; the last, and the first, of a
        handoff.
    ratings : dict
        Record by (handoff, person).
    speaks_of : dict
        Handoff by the place of the record.
    answered : set
        Places of the records behind which a call was answered.
    alarms : dict
        Record by alarm: the last.
    broken : dict
        Record by task and epoch: an announced handover that was not recorded.
    deadlines : Deadlines
        The last word on each.
    notices : Notices
        The message of each handover, and when it was shown.
    letters : Letters
        What channels were to be told, and what became of it.
    authorized : Authorized
        What agents were allowed to do.
    violations : dict
        Record of acts after a handover, by its place.
    """

    tasks: dict[str, Record] = field(default_factory=dict)
    handoffs: dict[str, Record] = field(default_factory=dict)
    opened: dict[str, Record] = field(default_factory=dict)
    ratings: dict[tuple[str, str], Record] = field(default_factory=dict)
    speaks_of: dict[int, Record] = field(default_factory=dict)
    answered: set[int] = field(default_factory=set)
    alarms: dict[str, Record] = field(default_factory=dict)
    broken: dict[tuple[str, int], Record] = field(default_factory=dict)
    deadlines: Deadlines = field(default_factory=Deadlines)
    notices: Notices = field(default_factory=Notices)
    letters: Letters = field(default_factory=Letters)
    authorized: Authorized = field(default_factory=Authorized)
    violations: dict[int, Record] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        """Take in the next record of the log."""
        if "owner" in record:
            self.tasks[record["task"]] = record
        if "handoff" in record:
            self.handoffs[record["handoff"]["id"]] = record
            self.speaks_of[record["seq"]] = record
            self.deadlines.take(record)
        if record["type"] == AuditType.HANDOFF_OPENED:
            self.opened[record["handoff"]["id"]] = record
        self._take_acts(record)
        self.letters.take(record)
        self.notices.take(record)
        if "rating" in record:
            rating = record["rating"]
            self.ratings[rating["handoff"], rating["by"]] = record
            self.speaks_of[record["seq"]] = record
        if "alarm" in record:
            self.alarms[record["alarm"]["id"]] = record
        if record["type"] in _ANSWERED:
            self.answered.add(record["seq"])

    def _take_acts(self, record: Record) -> None:
        """Take in what the next record says of acts and words of an agent."""
        if "action" in record:
            self.authorized.take(record, self.tasks.get(record["task"]))
        if "violations" in record:
            self.violations[record["seq"]] = record
        if record["type"] == AuditType.HANDOVER_NOT_RECORDED:
            self.broken[record["task"], record["epoch"]] = record


def check_rows(reader: Reader, expected: Expected, note: Note) -> None:
    """Hold every row of state against the log; `note` what differs.

    Forged rows need not even have the form of ours: a check that trips over one says
    so, and the others go on.
    """
    for called, check in _CHECKS.items():
        outcome = attempt(partial(check, reader, expected, note))
        if isinstance(outcome, Failure):
            note(f"{called} cannot be read as ours: {outcome.name}")


def _missing(called: str, wanted: Mapping[Any, object], seen: set[Any]) -> list[str]:
    return [
        f"{called} {key!r} is in the log and not in its table"
        for key in wanted
        if key not in seen
    ]


def _check_tasks(reader: Reader, expected: Expected, note: Note) -> None:
    facts = _facts(reader)
    seen = set()
    for row in reader.all(_TASKS):
        task_id = row["task_id"]
        seen.add(task_id)
        said = expected.tasks.get(task_id, {})
        owner = {"kind": row["owner_kind"], "id": row["owner_id"]}
        stored = (owner, row["epoch"], row["audit_seq"])
        if stored != (said.get("owner"), said.get("epoch"), said.get("seq")):
            note(f"task {task_id!r} is not as the log last says")
        if orjson.loads(row["facts"]) != facts.get(task_id, {}):
            note(f"task {task_id!r} has facts that its events do not give")
    for says in _missing("task", expected.tasks, seen):
        note(says)


def _facts(reader: Reader) -> dict[str, Mapping[str, Any]]:
    """Return the facts that the events of each task give."""
    facts: dict[str, Mapping[str, Any]] = {}
    kinds = {
        "started": str(EventKind.TASK_STARTED),
        "said": str(EventKind.USER_MESSAGE),
    }
    for row in reader.all(_SPEAKING, **kinds):
        known = facts.get(row["task_id"], {})
        facts[row["task_id"]] = log.facts_after(known, [log.stored_event(row)])
    return facts


def _check_handoffs(reader: Reader, expected: Expected, note: Note) -> None:
    seen = set()
    for row in reader.all(_HANDOFFS):
        handoff_id = row["handoff_id"]
        seen.add(handoff_id)
        last = expected.handoffs.get(handoff_id)
        opened = expected.opened.get(handoff_id)
        if last is None or opened is None:
            note(f"handoff {handoff_id!r} is in its table and not in the log")
            continue
        standing = {"id": handoff_id, **handoffs.standing_of(row)}
        said = _SINCE_3 | last["handoff"]
        if (standing, row["audit_seq"]) != (said, last["seq"]):
            note(f"handoff {handoff_id!r} is not as the log last says")
        if _terms(row) != _terms_said(opened):
            note(f"handoff {handoff_id!r} has other terms than it was opened with")
    for says in _missing("handoff", expected.opened, seen):
        note(says)


def _terms(row: Row) -> tuple[object, ...]:
    return (
        row["task_id"],
        row["epoch"],
        row["decision_id"],
        row["queued_at"],
        row["urgency"],
        commitment_of(row["salt"], row["body"]),
    )


def _terms_said(opened: Record) -> tuple[object, ...]:
    return (
        opened["task"],
        opened["epoch"],
        opened["decision"]["id"],
        opened["at"],
        Priority(opened["priority"]).rank,
        opened["commit"]["handoff"],
    )


def _check_packages(reader: Reader, expected: Expected, note: Note) -> None:
    seen = set()
    for row in reader.all(_PACKAGES):
        handoff_id = row["handoff_id"]
        seen.add(handoff_id)
        opened = expected.opened.get(handoff_id, {})
        stored = (commitment_of(row["salt"], row["body"]), row["audit_seq"])
        if stored != (opened.get("commit", {}).get("package"), opened.get("seq")):
            note(f"the package of handoff {handoff_id!r} is not the one in the log")
        if hashlib.sha256(row["body"]).hexdigest() != row["digest"]:
            note(f"the package of handoff {handoff_id!r} has another digest")
    for says in _missing("the package of handoff", expected.opened, seen):
        note(says)


def _speaks(expected: Expected, row: Row) -> bool:
    """Whether the record that `row` points at is about its handoff."""
    record = expected.speaks_of.get(row["audit_seq"], {})
    about = record.get("handoff", {}).get("id"), record.get("rating", {}).get("handoff")
    return row["handoff_id"] in about


def _check_history(reader: Reader, expected: Expected, note: Note) -> None:
    seen = set()
    for row in reader.all(_HISTORY):
        seen.add(row["audit_seq"])
        record = expected.speaks_of.get(row["audit_seq"], {})
        told = (row["at"], f"handoff.{row['what']}")
        if not _speaks(expected, row) or told != (record["at"], record["type"]):
            note(f"the history of handoff {row['handoff_id']!r} is not as the log says")
    for says in _missing("the history of record", expected.speaks_of, seen):
        note(says)


def _check_answers(reader: Reader, expected: Expected, note: Note) -> None:
    answers = {row["audit_seq"] for row in reader.all(_ANSWERS)}
    for seq in sorted(answers ^ expected.answered):
        note(f"an answer and record {seq} do not go together")


def _check_alarms(reader: Reader, expected: Expected, note: Note) -> None:
    seen = set()
    for row in reader.all(_ALARMS):
        alarm_id = row["alarm_id"]
        seen.add(alarm_id)
        last = expected.alarms.get(alarm_id, {})
        withdraws = row["withdraws"] is not None and row["cleared_at"] is None
        stored = (alarms.standing_of(row), row["audit_seq"], withdraws)
        said = last.get("type") == AuditType.CERTIFICATE_WITHDRAWN
        if stored != (last.get("alarm"), last.get("seq"), said):
            note(f"alarm {alarm_id!r} is not as the log last says")
    for says in _missing("alarm", expected.alarms, seen):
        note(says)


_CHECKS: Mapping[str, Callable[[Reader, Expected, Note], None]] = {
    "tasks": _check_tasks,
    "handoffs": _check_handoffs,
    "packages": _check_packages,
    "deadlines": lambda reader, expected, note: verify_timers.check(
        reader, expected.deadlines, note
    ),
    "outbox": lambda reader, expected, note: verify_outbox.check(
        reader, expected.letters, note
    ),
    "notices": lambda reader, expected, note: verify_notices.check(
        reader, expected.notices, note
    ),
    "ratings": lambda reader, expected, note: verify_ratings.check(
        reader, expected.ratings, note
    ),
    "attachments": lambda reader, _, note: verify_attachments.check(reader, note),
    "histories": _check_history,
    "answers": _check_answers,
    "alarms": _check_alarms,
    "actions": lambda reader, expected, note: verify_actions.check(
        reader, expected.authorized, note
    ),
    "violations": lambda reader, expected, note: verify_violations.check(
        reader, expected.violations, note
    ),
    "announcements": lambda reader, expected, note: verify_announcements.check(
        reader, expected.broken, note
    ),
}
