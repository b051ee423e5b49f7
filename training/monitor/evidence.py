"""Evidence: what every detector has, and the form in which it is stored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

# Tasks between two false alarms of one detector, on average, at the least.
ALARM_AT = 200_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Where the present excursion began: the start of a CUSUM at one bet.

    Attributes
    ----------
    log : float
        Evidence since `start`, natural logarithm; 0 where there is none.
    start : float
        Time of the first task of the excursion, s since 1970.
    """

    log: float = 0.0
    start: float = math.nan

    def advance(self, factor: float, at: float) -> Change:
        """Return the excursion after a task with `factor` at the time `at`."""
        log = self.log + math.log(factor)
        if log <= 0:
            return NO_CHANGE
        return Change(log=log, start=self.start if self.log > 0 else at)


NO_CHANGE = Change()


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """What all detectors have: when they fired, and a form that can be stored.

    Attributes
    ----------
    alarm_at : float
        The evidence at which it fires; tasks between two false alarms, at the least.
    n : int
        Tasks seen.
    fired : float
        Time of the task at which it fired, s since 1970; NaN while it has not. Once it
        has, it stands still.
    change : Change
        Where the present excursion began.
    """

    alarm_at: float = ALARM_AT
    n: int = 0
    fired: float = math.nan
    change: Change = NO_CHANGE

    @property
    def has_fired(self) -> bool:
        """Whether the promise was found broken."""
        return not math.isnan(self.fired)

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON can hold it: None, which it knows, for NaN."""
        return {name: _written(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return the state that `to_json` gave."""
        read = {name: _read(value) for name, value in stored.items()}
        return cls(**{**read, "change": Change(**read["change"])})


def _written(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _written(part) for name, part in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _read(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _read(part) for name, part in value.items()}
    return math.nan if value is None else _tuple(value)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
