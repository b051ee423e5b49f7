"""Alarm: what was found, where, since when, and what no longer holds because of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self


class Code(StrEnum):
    """What an alarm is about; stable names."""

    MISS_RATE = "miss_rate"
    RISK_TOO_LOW = "risk_too_low"
    RISK_TOO_HIGH = "risk_too_high"
    SCORES_SHIFTED = "scores_shifted"
    SIGNALS_SHIFTED = "signals_shifted"
    SIGNALS_MISSING = "signals_missing"
    VALUES_UNSEEN = "values_unseen"
    ESCALATIONS_UP = "escalations_up"
    ESCALATIONS_DOWN = "escalations_down"
    TRANSFERS_UP = "transfers_up"
    TRANSFERS_DOWN = "transfers_down"
    CONFIDENCE_INFLATED = "confidence_inflated"
    FLOOD = "flood"
    MODEL_DEGRADED = "model_degraded"
    TIMERS_LATE = "timers_late"
    HANDOFFS_REPAIRED = "handoffs_repaired"
    HANDOFFS_UNACKNOWLEDGED = "handoffs_unacknowledged"
    HANDOVERS_NOT_RECORDED = "handovers_not_recorded"
    DELIVERIES_STUCK = "deliveries_stuck"
    DELIVERIES_SLOW = "deliveries_slow"
    DEAD_LETTERS = "dead_letters"
    WORKERS_SILENT = "workers_silent"
    ACT_AFTER_HANDOVER = "act_after_handover"


class Severity(StrEnum):
    """How soon somebody must look. Order of declaration is order of urgency."""

    CRITICAL = "critical"
    SERIOUS = "serious"
    NOTICE = "notice"


# Alarms of the last window or hour: they pass by themselves. All others stand until a
# person clears them, or another model is in force.
PASSING = frozenset(
    {Code.SIGNALS_SHIFTED, Code.SIGNALS_MISSING, Code.VALUES_UNSEEN, Code.FLOOD}
)
# Of the service itself, whatever model it has: its auditor raises and clears them.
OF_SERVICE = frozenset(
    {
        Code.MODEL_DEGRADED,
        Code.TIMERS_LATE,
        Code.HANDOFFS_REPAIRED,
        Code.HANDOFFS_UNACKNOWLEDGED,
        Code.HANDOVERS_NOT_RECORDED,
        Code.DELIVERIES_STUCK,
        Code.DELIVERIES_SLOW,
        Code.DEAD_LETTERS,
        Code.WORKERS_SILENT,
    }
)
# Of agents, whatever model looks at them: raised as it happens, cleared by a person.
OF_AGENTS = frozenset({Code.ACT_AFTER_HANDOVER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One thing that is not as promised.

    Attributes
    ----------
    code : Code
    segment : str
        ``"domain=retail"``, ``"agent_version=4.1"``: the tasks it speaks of; "": all.
    evidence : Mapping
        What it rests on: numbers and names, as JSON can hold them.
    since : float
        When it probably began, s since 1970.
    severity : Severity
    withdraws : str or None
        Segment of the certificate that no longer holds, "" being that of all tasks;
        None: no certificate is touched.
    says : str
        All of it in a sentence or two, for people.
    """

    code: Code
    segment: str
    evidence: Mapping[str, Any]
    since: float
    severity: Severity
    withdraws: str | None
    says: str

    @property
    def key(self) -> tuple[Code, str]:
        """What makes it the same alarm when it is raised again."""
        return self.code, self.segment

    def to_json(self) -> dict[str, Any]:
        """Return the alarm as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return the alarm that `to_json` gave."""
        parts = {"code": Code(stored["code"]), "severity": Severity(stored["severity"])}
        return cls(**{**stored, **parts})
