"""Alarms: all monitors over the tasks of one model, and what they have found.

`Watch` is fed with tasks in the order of their decisions, in slices of any size: the
alarms are the same however the tasks are cut, and the same again for the same tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.monitor import wording
from training.monitor.alarm import Alarm
from training.monitor.conduct import rates_of
from training.monitor.drift import Shift, shifts
from training.monitor.outcome import Outcomes
from training.monitor.reference import Reference, reference_of
from training.monitor.watching import Behaviour, Labels, Watched

Floats = NDArray[np.float64]
Signals = Mapping[str, Floats]
Texts = NDArray[np.str_]

_CATEGORIES = ("domain", "agent_version", "tier")


def alarms_of(
    outcomes: Outcomes,
    signals: Signals,
    watched: Watched,
    reference: Reference | None = None,
) -> list[Alarm]:
    """Return the alarms that stand after `outcomes`, the most urgent first.

    Parameters
    ----------
    outcomes : Outcomes
        Tasks whose labels have matured, in order.
    signals : Mapping of str to ndarray of shape (n_tasks,)
        By name, NaN where unknown; of the last decision on each task.
    watched : Watched
        What is watched.
    reference : Reference, optional
        The bundle's.
    """
    watch = Watch(watched, reference)
    watch.take(outcomes, signals)
    return watch.alarms()


@dataclass(slots=True)
class _Window:
    """Tasks that wait to be compared, until there are enough of them."""

    outcomes: list[Outcomes] = field(default_factory=list)
    signals: list[Signals] = field(default_factory=list)
    n: int = 0

    def add(self, outcomes: Outcomes, signals: Signals) -> None:
        self.outcomes.append(outcomes)
        self.signals.append(signals)
        self.n += len(outcomes)

    def columns(self) -> Signals:
        names = sorted({name for part in self.signals for name in part})
        pairs = list(zip(self.outcomes, self.signals, strict=True))
        return {
            name: np.concatenate(
                [part.get(name, np.full(len(o), np.nan)) for o, part in pairs]
            )
            for name in names
        }

    def tasks(self) -> Outcomes:
        return Outcomes.joined(self.outcomes)


class Watch:
    """All monitors of one model, fed with tasks as their labels mature.

    Parameters
    ----------
    watched : Watched
        What is watched.
    reference : Reference, optional
        The bundle's; what it leaves open is taken from the first tasks.

    Attributes
    ----------
    n : int
        Tasks taken in.
    """

    def __init__(self, watched: Watched, reference: Reference | None = None) -> None:
        self.n = 0
        self._watched = watched
        self._reference = reference or Reference()
        self._labels = Labels(watched)
        self._behaviour: Behaviour | None = None
        if self._reference.is_complete:
            self._behaviour = Behaviour(watched, self._reference)
        self._window = _Window()
        self._shifts: list[Shift] = []
        self._large: dict[tuple[str, str], int] = {}
        self._span = (0.0, 0.0)

    def take(self, outcomes: Outcomes, signals: Signals) -> None:
        """Take in more tasks, in order; all of them later than any before."""
        start = 0
        while start < len(outcomes):
            room = self._watched.window - self._window.n
            rows = np.arange(start, min(len(outcomes), start + room))
            part = {name: values[rows] for name, values in signals.items()}
            self._part(outcomes.where(rows), part)
            start += len(rows)

    def alarms(self) -> list[Alarm]:
        """Return the alarms that stand now, the most urgent first."""
        order = list(wording.URGENCY)
        return sorted(
            self._found(), key=lambda a: (order.index(a.severity), a.code, a.segment)
        )

    def _found(self) -> Iterator[Alarm]:
        yield from self._labels.found()
        if self._behaviour is not None:
            yield from self._behaviour.found()
        yield from wording.shifted(self._shifts, self._large, self._span)

    def _part(self, outcomes: Outcomes, signals: Signals) -> None:
        """Take tasks that do not go beyond the present window."""
        self.n += len(outcomes)
        self._labels.take(self._watched.mine(outcomes), self._reference)
        if self._behaviour is not None:
            self._behaviour.take(outcomes)
        self._window.add(outcomes, signals)
        if self._window.n >= self._watched.window:
            window, self._window = self._window, _Window()
            self._compare(window.tasks(), window.columns())

    def _compare(self, tasks: Outcomes, signals: Signals) -> None:
        """Hold a whole window against the reference, or make it one."""
        segments: dict[str, Texts] = {n: getattr(tasks, n) for n in _CATEGORIES}
        if self._behaviour is None:
            self._learn(tasks, signals, segments)
            return
        self._span = float(tasks.at[0]), float(tasks.at[-1])
        self._shifts = shifts(self._reference, signals, segments)
        large = {(str(s.kind), s.name) for s in self._shifts if s.is_large}
        self._large = {key: self._large.get(key, 0) + 1 for key in sorted(large)}

    def _learn(
        self, tasks: Outcomes, signals: Signals, segments: Mapping[str, Texts]
    ) -> None:
        """Take what the reference leaves open from the first window."""
        names = list(signals)
        x = np.stack([signals[name] for name in names], axis=1) if names else _NONE
        first = reference_of(
            x,
            names,
            risk=self._watched.mine(tasks).risk,
            categories=segments,
            rates=rates_of(tasks),
        )
        self._reference = self._reference.completed(first)
        self._behaviour = Behaviour(self._watched, self._reference)


_NONE: Floats = np.empty((0, 0))
