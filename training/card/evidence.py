"""What a card can show beside the evaluation: each part is given by who measures it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Self

import numpy as np

from training.evaluate.intervals import Estimate
from training.labels import Label

_DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A value with its 95 % interval, as far as there is one."""

    value: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, found: Estimate) -> Self | None:
        """Return an estimate of an evaluation; None where it is undefined."""
        told = found.to_json()
        if told is None or told["value"] is None:
            return None
        return cls(value=told["value"], low=told["low"], high=told["high"])


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelProcess:
    """How the labels came about, beyond how many there are of each kind.

    Attributes
    ----------
    propensity_low, propensity_high : float in (0, 1]
        Least and greatest probability with which a labelled task was chosen.
    effective : float
        Equally weighted tasks that the weighted ones are worth.
    selected : int
        Tasks labelled because of how they went: learned from, never certified on.
    delay_days_median, delay_days_p90 : float or None
        From the end of a task to its label.
    audited : Measured or None
        Share of the tasks left alone that a random audit looked at.
    n_double : int
        Tasks that two people judged without knowing of each other.
    kappa : Measured or None
        Their agreement beyond chance.
    n_uncertain : int or None
        Verdicts "uncertain", which are no label.
    rubric : str
        Version of the rules by which people judge.
    """

    propensity_low: float
    propensity_high: float
    effective: float
    selected: int
    delay_days_median: float | None = None
    delay_days_p90: float | None = None
    audited: Measured | None = None
    n_double: int = 0
    kappa: Measured | None = None
    n_uncertain: int | None = None
    rubric: str = ""

    @classmethod
    def of(
        cls, labels: Mapping[str, Label], ended: Mapping[str, float] | None = None
    ) -> Self:
        """Return what the labels themselves tell of how they came about.

        Parameters
        ----------
        labels : mapping of str to Label
            By task; at least one.
        ended : mapping of str to float, optional
            When each task ended, s since 1970; without it delays stay unknown.
        """
        q = np.array([label.propensity for label in labels.values()])
        weight = 1 / q
        delays = [
            (label.matured_at.timestamp() - ended[task]) / _DAY
            for task, label in labels.items()
            if ended is not None and task in ended
        ]
        middle, most = np.quantile(delays, [0.5, 0.9]) if delays else (None, None)
        return cls(
            propensity_low=float(q.min()),
            propensity_high=float(q.max()),
            effective=float(weight.sum() ** 2 / (weight**2).sum()),
            selected=sum(label.is_selected for label in labels.values()),
            delay_days_median=None if middle is None else float(middle),
            delay_days_p90=None if most is None else float(most),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One alarm of a monitor, on this version.

    Attributes
    ----------
    kind, segment : str
        What was seen to change, and for which tasks; empty: all.
    raised : date
        When.
    evidence : str
        What it rests on, in a sentence.
    withdraws : str
        What does not hold because of it, such as "certificate"; empty: nothing, or
        nothing any more.
    cleared : date or None
        When somebody said that it is over; None: it is open.
    """

    kind: str
    segment: str
    raised: date
    evidence: str
    withdraws: str = ""
    cleared: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """What monitors saw of this version once it was live.

    Attributes
    ----------
    since, until : date
        First and last day that was watched.
    n_tasks : int
        Tasks in that time.
    n_labelled : int
        Those of them that have a label.
    alarms : tuple of Alarm
        The latest first; empty: none was raised.
    """

    since: date
    until: date
    n_tasks: int
    n_labelled: int
    alarms: tuple[Alarm, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """One measure before and now.

    Attributes
    ----------
    difference : Measured or None
        Now minus before on the same tasks, task by task; None: each version was
        measured on tasks of its own, and their difference has no interval.
    """

    name: str
    before: Measured | None
    now: Measured | None
    difference: Measured | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is different from another version.

    Attributes
    ----------
    version, digest : str
        Of the other version, and of its bundle.
    role : str
        What the other version is, such as "champion"; empty: nothing special.
    same_tasks : int or None
        Tasks on which both were judged; None: each on its own.
    deltas : tuple of Delta
        Measures before and now.
    threshold_before : float or None
        None where it was refused.
    signals_added, signals_removed : tuple of str
        Names.
    """

    version: str
    digest: str
    deltas: tuple[Delta, ...]
    threshold_before: float | None
    role: str = ""
    same_tasks: int | None = None
    signals_added: tuple[str, ...] = ()
    signals_removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """People who take handoffs.

    Attributes
    ----------
    people : float
        Who work at the same time.
    hours_a_day : float
        How long they are there, on average over a week.
    minutes_per_handoff : float
        Of one person's time.
    """

    name: str
    people: float
    hours_a_day: float
    minutes_per_handoff: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Staffing:
    """What people can take on.

    Attributes
    ----------
    desks : tuple of Desk
        At least one.
    source : str
        Where the numbers are from, in words.
    is_example : bool
        Whether they are made up to show the sums, and nobody's own.
    tasks_a_day : float or None
        Expected; None: as many as in the training data.
    audit_share : float
        Share of the tasks left alone that people look at as well.
    """

    desks: tuple[Desk, ...]
    source: str
    is_example: bool = False
    tasks_a_day: float | None = None
    audit_share: float = 0.0


# Two people for a working day each, eight minutes a case: the sums, not a claim.
EXAMPLE = Staffing(
    desks=(Desk(name="example", people=2, hours_a_day=8, minutes_per_handoff=8),),
    source="an example, because no policy was given",
    is_example=True,
)
