"""What became of a task: outcome events in, one label per task out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
        Probability with which the task was chosen for labelling.
    matured_at : datetime
        When the label was known, UTC: no earlier model may have learned from it.
    """

    task_id: str
    needed: bool
    evidence: Evidence
    source: str
    propensity: float
    matured_at: datetime

    @property
    def is_selected(self) -> bool:
        """Whether the task has a label because of how it went.

        Handovers, complaints and reopened tasks are labelled where the system, or the
        user, already saw a problem. Such labels teach; a bound on misses that rested
        on them would flatter itself.
        """
        return self.evidence <= Evidence.RESOLUTION or self.source == _FROM_HANDOVER


# What a verdict names as its source when it closed a handoff.
_FROM_HANDOVER = "resolution"
_ANSWERS = {"yes": True, "no": False}
# A complaint or a reopened task says "needed"; their absence says nothing at all.
_EVIDENCE = {
    EventKind.AUDIT_VERDICT: Evidence.AUDIT,
    EventKind.VERDICT: Evidence.VERDICT,
    EventKind.RESOLVED: Evidence.RESOLUTION,
    EventKind.COMPLAINT: Evidence.COMPLAINT,
    EventKind.REOPENED: Evidence.REOPENED,
}


def _needed(evidence: Evidence, body: Mapping[str, Any]) -> bool | None:
    match evidence:
        case Evidence.COMPLAINT:
            return None if body.get("verified") is False else True
        case Evidence.REOPENED:
            return True
        case _:
            return _ANSWERS.get(body.get("needed", "uncertain"))


def label_of(
    task_id: str, kind: str, at: datetime, body: Mapping[str, Any]
) -> Label | None:
    """Return the label that one outcome event carries, None if it carries none.

    "Uncertain" is no label, and neither is a task's completion.
    """
    evidence = _EVIDENCE.get(EventKind(kind)) if kind in set(EventKind) else None
    needed = None if evidence is None else _needed(evidence, body)
    if evidence is None or needed is None:
        return None
    return Label(
        task_id=task_id,
        needed=needed,
        evidence=evidence,
        source=str(body.get("source") or "human"),
        propensity=float(body.get("propensity") or 1.0),
        matured_at=at,
    )


def strongest(labels: Iterable[Label]) -> dict[str, Label]:
    """Return one label per task: the strongest evidence, then the latest word."""
    best: dict[str, Label] = {}
    for label in labels:
        held = best.get(label.task_id)
        if held is None or label.evidence >= held.evidence:
            best[label.task_id] = label
    return best


def labels_of(events: pa.Table) -> dict[str, Label]:
    """Return the label of each labelled task of an events table, by task."""
    kinds = pa.array([str(kind) for kind in _EVIDENCE])
    outcomes = events.filter(pc.is_in(events["kind"], kinds))
    rows = outcomes.select(["task_id", "kind", "at", "body"]).to_pylist()
    found = (
        label_of(r["task_id"], r["kind"], r["at"], orjson.loads(r["body"]))
        for r in rows
    )
    return strongest(label for label in found if label is not None)
