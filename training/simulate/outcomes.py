"""What is heard of a task after its end: completion, verdicts, late complaints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from features.events import AgentEvent, EventKind

_N_REVIEWERS = 5
# A verdict takes up to this long.
_REVIEW_WITHIN = timedelta(days=2)
_DELAY_SPREAD = 0.8
_COMPLAINTS = (
    "The problem I wrote about was never put right.",
    "I was told it was done, and it is not.",
    "Nothing has changed since I contacted you.",
    "I had to sort this out by myself in the end.",
)


@dataclass(frozen=True, slots=True)
class Fate:
    """The draws that decide what is heard of a task, whoever listens.

    Attributes
    ----------
    reviewed, complains, verdict_after : float in [0, 1)
        Uniform.
    complaint_after : float
        Delay over its median.
    who : int
        Chooses the reviewer and the words.
    """

    reviewed: float
    complains: float
    verdict_after: float
    complaint_after: float
    who: int

    @staticmethod
    def draw(rng: np.random.Generator, n_tasks: int) -> Sequence[Fate]:
        """Return one per task."""
        reviewed, complains, verdict = rng.random((3, n_tasks)).tolist()
        late = np.exp(_DELAY_SPREAD * rng.standard_normal(n_tasks)).tolist()
        who = rng.integers(_N_REVIEWERS * len(_COMPLAINTS), size=n_tasks).tolist()
        drawn = zip(reviewed, complains, verdict, late, who, strict=True)
        return [Fate(*values) for values in drawn]


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """How much is heard of tasks; see `World` for the three numbers."""

    labelled: float
    complaint_share: float
    complaint_delay: timedelta


def outcomes(
    after: FollowUp, fate: Fate, *, task_id: str, needed: bool, end: datetime
) -> tuple[AgentEvent, ...]:
    """Return the outcome events of a task that ended at `end`, in time order.

    `completed` says that the agent closed the task and nothing about success. A verdict
    carries the share of tasks that get one as its propensity.
    """
    heard = [_event(task_id, EventKind.COMPLETED, end, {"by": "agent"})]
    if fate.reviewed < after.labelled:
        verdict = {
            "needed": "yes" if needed else "no",
            "by": f"reviewer-{fate.who % _N_REVIEWERS + 1}",
            "source": "simulation",
            "propensity": after.labelled,
        }
        at = end + fate.verdict_after * _REVIEW_WITHIN
        heard.append(_event(task_id, EventKind.VERDICT, at, verdict))
    if needed and fate.complains < after.complaint_share:
        text = _COMPLAINTS[fate.who % len(_COMPLAINTS)]
        at = end + fate.complaint_after * after.complaint_delay
        complaint = {"verified": True, "text": text}
        heard.append(_event(task_id, EventKind.COMPLAINT, at, complaint))
    return tuple(sorted(heard, key=lambda event: event.at))


def _event(
    task_id: str, kind: EventKind, at: datetime, body: Mapping[str, object]
) -> AgentEvent:
    return AgentEvent(
        task_id=task_id, event_id=f"outcome-{kind}", at=at, kind=kind, body=body
    )
