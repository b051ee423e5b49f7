"""Reviewing: the label desk, where people judge tasks without knowing what we think.

A task comes to the desk because an audit stream drew it, or because it was drawn for a
second look after its handover was resolved. Reviewers cannot tell which; they see what
was said and done, and neither risk nor decision nor what others answered.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from features.events import AgentEvent, EventKind
from serving.engine.steps import Steps
from serving.policy import package
from serving.policy.audit import rfc3339
from serving.policy.review import Audit, is_open
from serving.problems import Problem, ProblemType
from serving.store import reviews, tasks
from serving.store.intake import Line
from serving.store.reviews import Reviewable
from serving.store.tasks import new_id
from serving.store.transaction import Reader, Transaction
from training.labels import SECOND_LOOK

Answer = dict[str, Any]

_SHOWN_OF_TASK = ("domain", "channel", "locale", "account")
_SHOWN_OF_TURN = ("event_id", "at", "speaker", "text", "attachments")
_HIDDEN_OF_ATTEMPT = ("rest", "result_rest", "answered_by", "answered_at")
# Of the other events only what the agent looked up or made: not what it, or a
# verifier, thought of its own work.
_SHOWN_RECORDS = (EventKind.RETRIEVAL, EventKind.ARTIFACT)
_AUDIT = "audit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a reviewer says of a task.

    Attributes
    ----------
    needed : str
        "yes", "no" or "uncertain".
    rubric_version : str
        The text it was judged by.
    seconds : float, optional
        Time spent.
    """

    by: str
    needed: str
    rubric_version: str
    note: str = ""
    seconds: float | None = None


class Desk:
    """What is due for review, and the verdicts on it.

    Parameters
    ----------
    audit : Audit
        The policy's part on reviews.
    steps : Steps
        Appends the verdicts.
    clock : callable
        Returns the time, timezone-aware.
    secret : bytes
        Key of the draws; the server's.
    """

    def __init__(
        self, audit: Audit, steps: Steps, clock: Callable[[], datetime], secret: bytes
    ) -> None:
        self._audit = audit
        self._steps = steps
        self._clock = clock
        self._secret = secret

    # --- what is due ---------------------------------------------------------

    def listed(self, reader: Reader, *, by: str, limit: int) -> Answer:
        """Return what `by` should judge next, what has been due longest first.

        Raises
        ------
        Problem
            wrong-reviewer, if the policy names reviewers and `by` is none of them.
        """
        self._check_named(by)
        due = sorted(self._due_for(reader, by), key=lambda one: (one[0], one[1]))
        rubric = self._audit.rubric
        return {
            "rubric": {"version": rubric.version, "text": rubric.text},
            "due": len(due),
            "reviews": [self._shown(reader, at, who) for at, who in due[:limit]],
        }

    def _due_for(self, reader: Reader, by: str) -> Iterator[tuple[datetime, str]]:
        now = self._clock()
        for task_id in self._candidates(reader):
            found = self._found(reader, task_id)
            if by in found.worked or by in found.answers or self._why_not(found, now):
                continue
            yield self._due_at(found), task_id

    def _candidates(self, reader: Reader) -> list[str]:
        again = (t for t in reviews.resolved(reader) if self._is_second_look(t))
        return list(dict.fromkeys([*reviews.drawn(reader), *again]))

    def _found(self, reader: Reader, task_id: str) -> Reviewable:
        """Return a task as the desk knows it.

        Raises
        ------
        Problem
            unknown-task, or not-due if nothing was decided on it.
        """
        task = tasks.get(reader, task_id)
        agent_id = str(task.facts.get("agent_id", ""))
        found = reviews.reviewable(reader, task_id, agent_id)
        if found is None:
            raise _not_due(task_id, "nothing was decided on it")
        return found

    def _due_at(self, found: Reviewable) -> datetime:
        if found.handed_over:
            return found.decided_at
        over = found.completed_at or found.decided_at + self._audit.idle_after
        return over + self._audit.complaint_window

    def _why_not(self, found: Reviewable, now: datetime) -> str:
        """Return why a task is not due for a review; "" if it is."""
        if found.handed_over:
            if not (found.resolved and self._is_second_look(found.task_id)):
                return "it was handed over, and not drawn for a second look"
        elif not found.decision.selection.is_any:
            return "no audit stream has drawn it"
        elif found.is_known:
            return "a verified complaint or a reopening has told what it needed"
        if self._due_at(found) > now:
            return f"it is due at {rfc3339(self._due_at(found))}"
        if not is_open(found.answers, twice=self._is_twice(found)):
            return "enough people have judged it"
        return ""

    # --- the draws -----------------------------------------------------------

    def _is_twice(self, found: Reviewable) -> bool:
        if found.handed_over:
            return True
        return self._draw(b"second-rater:", found.task_id) < self._audit.second_rater

    def _is_second_look(self, task_id: str) -> bool:
        return self._draw(b"second-look:", task_id) < self._audit.second_look

    def _draw(self, purpose: bytes, task_id: str) -> float:
        digest = hmac.digest(self._secret, purpose + task_id.encode(), "sha256")
        return (int.from_bytes(digest[:8]) >> 11) / 2.0**53

    # --- a verdict -----------------------------------------------------------

    def judge(self, tx: Transaction, task_id: str, verdict: Verdict) -> Answer:
        """Append a reviewer's verdict to the log of its task; it becomes a label.

        The same again changes nothing. A reviewer may change an answer at any time:
        the later one replaces it, and "uncertain" takes it back.

        Raises
        ------
        Problem
            unknown-task, wrong-reviewer, not-due, or malformed-request if it was
            judged by another rubric than the one in force.
        """
        task = tasks.get(tx, task_id)
        found = self._found(tx, task_id)
        self._check_reviewer(found, verdict)
        own = [e for e in found.verdicts if e.body.get("by") == verdict.by]
        if own and _says(own[-1], verdict):
            return _told(own[-1], corrects=len(own) > 1)
        if not own and (why := self._why_not(found, self._clock())):
            raise _not_due(task_id, why)
        event = self._event(found, verdict)
        self._steps.keep(
            tx,
            task,
            task_id,
            [Line.of(event)],
            at=event.at,
            accepted=[event.event_id],
        )
        return _told(event, corrects=len(own) > 0)

    def _check_named(self, by: str) -> None:
        named = self._audit.reviewers
        if named and by not in named:
            raise Problem(
                ProblemType.WRONG_REVIEWER,
                f"expected one of the policy's reviewers, found {by!r}; "
                "`audit.reviewers` names them",
            )

    def _check_reviewer(self, found: Reviewable, verdict: Verdict) -> None:
        self._check_named(verdict.by)
        if verdict.by in found.worked:
            raise Problem(
                ProblemType.WRONG_REVIEWER,
                f"{verdict.by!r} has worked on task {found.task_id!r}; somebody else "
                "must judge it",
            )
        current = self._audit.rubric.version
        if verdict.rubric_version != current:
            raise Problem(
                ProblemType.MALFORMED_REQUEST,
                f"`rubric_version` must be {current!r}, the one in force, found "
                f"{verdict.rubric_version!r}; read it anew at GET /v1/reviews",
            )

    def _event(self, found: Reviewable, verdict: Verdict) -> AgentEvent:
        selection = found.decision.selection
        streams = {"uniform": selection.uniform, "targeted": selection.targeted}
        stream = [name for name, is_drawn in streams.items() if is_drawn]
        return AgentEvent(
            task_id=found.task_id,
            event_id=new_id("evt"),
            at=self._clock(),
            kind=EventKind.AUDIT_VERDICT,
            body={
                "needed": verdict.needed,
                "by": verdict.by,
                "note": verdict.note,
                "seconds": verdict.seconds,
                "rubric_version": verdict.rubric_version,
                "source": SECOND_LOOK if found.handed_over else _AUDIT,
                "stream": ["handover"] if found.handed_over else stream,
                "propensity": 1.0 if found.handed_over else selection.propensity,
                "twice": self._twice_share(found) if self._is_twice(found) else None,
            },
        )

    def _twice_share(self, found: Reviewable) -> float:
        """Return with what probability a reviewed task is judged by two."""
        audit = self._audit
        return audit.second_look if found.handed_over else audit.second_rater

    # --- what a reviewer sees ------------------------------------------------

    def _shown(self, reader: Reader, due_at: datetime, task_id: str) -> Answer:
        """Return a task as its handoff package would show it, without any opinion."""
        events = reviews.before_handover(reader, task_id)
        decision = self._found(reader, task_id).decision
        packed = package.pack(events, decision, (), {}).to_json()
        return {
            "task_id": task_id,
            "due_at": rfc3339(due_at),
            "request": packed["request"],
            "task": _only(packed["task"], _SHOWN_OF_TASK),
            "conversation": [_only(t, _SHOWN_OF_TURN) for t in packed["conversation"]],
            "attempts": [
                {k: v for k, v in attempt.items() if k not in _HIDDEN_OF_ATTEMPT}
                for attempt in packed["attempts"]
            ],
            "record": [e for e in packed["record"] if e["kind"] in _SHOWN_RECORDS],
        }


def _only(value: Mapping[str, Any], names: tuple[str, ...]) -> Answer:
    return {name: value[name] for name in names if name in value}


def _says(event: AgentEvent, verdict: Verdict) -> bool:
    """Whether `event` is this verdict, sent before; the time spent is no content."""
    names = ("needed", "note", "rubric_version")
    return all(event.body.get(name) == getattr(verdict, name) for name in names)


def _told(event: AgentEvent, *, corrects: bool) -> Answer:
    return {
        "task_id": event.task_id,
        "event_id": event.event_id,
        "at": rfc3339(event.at),
        "by": event.body["by"],
        "needed": event.body["needed"],
        "rubric_version": event.body["rubric_version"],
        "corrects": corrects,
    }


def _not_due(task_id: str, why: str) -> Problem:
    return Problem(
        ProblemType.NOT_DUE,
        f"task {task_id!r} is not due for a review: {why}; GET /v1/reviews lists what "
        "is",
        task_id=task_id,
    )
