"""What became of a task: outcome events in, one label per task out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from features.events import EventKind


class Evidence(IntEnum):
    """How much an outcome is worth as a label; the strongest of a task counts."""

    REOPENED = 1
    COMPLAINT = 2
    RESOLUTION = 3
    VERDICT = 4
    AUDIT = 5


# What a verdict names as its source when it closed a handoff, and when it is a second
# look at one that was closed.
FROM_HANDOVER = "resolution"
SECOND_LOOK = "second_look"
_AFTER_A_HANDOVER = frozenset({FROM_HANDOVER, SECOND_LOOK})


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """Whether one task needed a human.

    Attributes
    ----------
    needed : bool
        True if it did.
    evidence : Evidence
        What the label rests on.
    source : str
        Who or what said so: ``"human"``, ``"benchmark"``, ``"simulation"``, …
    propensity : float in (0, 1]
        Probability that the task has a label, whichever way it came: 1 / propensity
        is its weight among all labelled tasks. A task that was complained about, or
        handed over, would have been labelled without any audit: 1.
    matured_at : datetime
        When the label was known, UTC: no earlier model may have learned from it.
    drawn : float in (0, 1], optional
        Probability with which the task was drawn for the judgement that the label
        rests on: 1 / drawn is its weight where only judged tasks are looked at, as in
        a certificate or a report. None: the same as `propensity`.
    """

    task_id: str
    needed: bool
    evidence: Evidence
    source: str
    propensity: float
    matured_at: datetime
    drawn: float | None = None

    @property
    def is_selected(self) -> bool:
        """Whether the task has a label because of how it went.

        Handovers, complaints and reopened tasks are labelled where the system, or the
        user, already saw a problem. Such labels teach; a bound on misses that rested
        on them would flatter itself.
        """
        return self.evidence <= Evidence.RESOLUTION or self.source in _AFTER_A_HANDOVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What one outcome event says of its task.

    Attributes
    ----------
    by : str
        Who says it; "" where that is not known.
    needed : bool or None
        None: they cannot tell, or the complaint was found to be wrong.
    propensity : float in (0, 1]
        Probability with which they were asked.
    verified : bool
        Whether a complaint was looked into and holds.
    """

    task_id: str
    by: str
    needed: bool | None
    evidence: Evidence
    source: str
    propensity: float
    at: datetime
    verified: bool = False

    @property
    def is_judged(self) -> bool:
        """Whether a person judged the task, in place of its user."""
        return self.evidence >= Evidence.RESOLUTION

    @property
    def label(self) -> Label | None:
        """The label that this alone would be."""
        if self.needed is None:
            return None
        return Label(
            task_id=self.task_id,
            needed=self.needed,
            evidence=self.evidence,
            source=self.source,
            propensity=self.propensity,
            matured_at=self.at,
            drawn=self.propensity,
        )


_ANSWERS = {"yes": True, "no": False}
# A complaint or a reopened task says "needed"; their absence says nothing at all.
_EVIDENCE = {
    EventKind.AUDIT_VERDICT: Evidence.AUDIT,
    EventKind.VERDICT: Evidence.VERDICT,
    EventKind.RESOLVED: Evidence.RESOLUTION,
    EventKind.COMPLAINT: Evidence.COMPLAINT,
    EventKind.REOPENED: Evidence.REOPENED,
}
LABELLING = frozenset(_EVIDENCE)


def _needed(evidence: Evidence, body: Mapping[str, Any]) -> bool | None:
    match evidence:
        case Evidence.COMPLAINT:
            return None if body.get("verified") is False else True
        case Evidence.REOPENED:
            return True
        case _:
            return _ANSWERS.get(body.get("needed", "uncertain"))


def statement_of(
    task_id: str, kind: str, at: datetime, body: Mapping[str, Any]
) -> Statement | None:
    """Return what an event says of whether its task needed a human; None: nothing."""
    evidence = _EVIDENCE.get(EventKind(kind)) if kind in set(EventKind) else None
    if evidence is None:
        return None
    return Statement(
        task_id=task_id,
        by=str(body.get("by") or ""),
        needed=_needed(evidence, body),
        evidence=evidence,
        source=str(body.get("source") or "human"),
        propensity=float(body.get("propensity") or 1.0),
        at=at,
        verified=body.get("verified") is True,
    )


def label_of(
    task_id: str, kind: str, at: datetime, body: Mapping[str, Any]
) -> Label | None:
    """Return the label that one outcome event carries, None if it carries none.

    "Uncertain" is no label, and neither is a task's completion. What a task's events
    say together is `settled`.
    """
    said = statement_of(task_id, kind, at, body)
    return None if said is None else said.label


# --- what the statements on a task amount to -----------------------------------


def standing(statements: Iterable[Statement]) -> list[Statement]:
    """Return those of a task's statements, in log order, that have not been replaced.

    * Of one rater's answers on one kind of evidence the latest stands.
    * A rater's "uncertain" retracts whatever that rater said before.
    * A complaint that was found wrong takes with it the earlier ones that nobody had
      looked into; one that was verified stands.

    An "uncertain" that stands is among them: it was an answer, though it is no label.
    """
    held: dict[tuple[object, ...], Statement] = {}
    for place, said in enumerate(statements):
        if said.is_judged:
            if said.needed is None:
                held = {k: v for k, v in held.items() if k[1:] != (said.by,)}
            # Out of its old place, so that the order stays that of the log.
            held.pop((said.evidence, said.by), None)
            held[said.evidence, said.by] = said
        elif said.needed is None:
            held = {k: v for k, v in held.items() if not _is_unverified(v)}
        else:
            held[said.evidence, "", place] = said
    return list(held.values())


def _is_unverified(said: Statement) -> bool:
    return said.evidence is Evidence.COMPLAINT and not said.verified


def label_from(statements: Iterable[Statement]) -> Label | None:
    """Return the label that the statements on one task, in log order, amount to.

    The strongest kind of evidence on which an answer stands decides, by majority of
    its raters; where they are divided it says nothing until one more has been heard,
    and the next kind decides.
    """
    held = [said for said in standing(statements) if said.needed is not None]
    for evidence in sorted(Evidence, reverse=True):
        raters = [said for said in held if said.evidence is evidence]
        yes = sum(said.needed is True for said in raters)
        if 2 * yes != len(raters):
            return _agreed(raters, held, needed=2 * yes > len(raters))
    return None


def _agreed(raters: list[Statement], held: list[Statement], *, needed: bool) -> Label:
    """Return the label on which most of `raters` agree.

    It was known with the first of them; where others had said otherwise, with the last.
    """
    agreed = [said for said in raters if said.needed is needed]
    word = agreed[0] if len(agreed) == len(raters) else agreed[-1]
    return Label(
        task_id=word.task_id,
        needed=needed,
        evidence=word.evidence,
        source=word.source,
        # One way to a label that was certain makes the label certain.
        propensity=max(said.propensity for said in held),
        matured_at=word.at,
        drawn=max(said.propensity for said in agreed),
    )


def settled(statements: Iterable[Statement]) -> dict[str, Label]:
    """Return one label per task: what its statements, in log order, amount to."""
    by_task: dict[str, list[Statement]] = {}
    for said in statements:
        by_task.setdefault(said.task_id, []).append(said)
    found = {task_id: label_from(words) for task_id, words in by_task.items()}
    return {task_id: label for task_id, label in found.items() if label is not None}


def labels_of(events: pa.Table) -> dict[str, Label]:
    """Return the label of each labelled task of an events table, by task."""
    return settled(statements_of(events))


def statements_of(events: pa.Table) -> Iterator[Statement]:
    """Yield what the events of a table say of their tasks, in log order."""
    kinds = pa.array([str(kind) for kind in _EVIDENCE])
    outcomes = events.filter(pc.is_in(events["kind"], kinds))
    for r in outcomes.select(["task_id", "kind", "at", "body"]).to_pylist():
        said = statement_of(r["task_id"], r["kind"], r["at"], orjson.loads(r["body"]))
        if said is not None:
            yield said


# --- whose tasks belong together ------------------------------------------------


def group_of(task_id: str, facts: Mapping[str, Any]) -> str:
    """Return the customer of a task: tasks of one are not independent.

    Parameters
    ----------
    task_id : str
        Stands for the customer where none is known.
    facts : Mapping
        What `task_started` said: `group`, else the account's id.
    """
    account = facts.get("account") or {}
    return str(facts.get("group") or account.get("id") or task_id)
