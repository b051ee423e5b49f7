"""Watching: the detectors of one model that go from task to task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.monitor import bets, wording
from training.monitor.alarm import Alarm, Code
from training.monitor.conduct import Conduct, Promise, by_version
from training.monitor.detectors import MissDetector, Mixture, through
from training.monitor.evidence import ALARM_AT
from training.monitor.floods import Flood, FloodFound
from training.monitor.martingale import Jumper
from training.monitor.outcome import Outcomes
from training.monitor.reference import Reference

Floats = NDArray[np.float64]

_DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What is watched, and how.

    Attributes
    ----------
    promised : Mapping of str to float
        Certified miss rate by segment, "" being all tasks: only certificates that were
        made and are in force.
    model_version : str
        Risks of other models are not held against this one; "" takes all.
    window : int
        Tasks whose signals are compared with the reference at a time; as many first
        tasks stand in for a reference where the bundle has none.
    alarm_at : float
        Tasks of a segment between two false alarms of its miss rate, at the least.
    others_at : float
        Likewise for each of the other detectors: there are many of them.
    slack : float
        How far risk and truth may be apart.
    audits : float
        Share of the tasks nobody escalated that is drawn for review.
    cleared : Mapping
        Time from which on an alarm may come again, s since 1970, by code and segment.
    """

    promised: Mapping[str, float] = field(default_factory=dict)
    model_version: str = ""
    window: int = 1_000
    alarm_at: float = ALARM_AT
    others_at: float = 5 * ALARM_AT
    slack: float = 0.03
    audits: float = 0.02
    cleared: Mapping[tuple[Code, str], float] = field(default_factory=dict)

    def mine(self, outcomes: Outcomes) -> Outcomes:
        """Return the tasks that were judged by the watched model."""
        if not self.model_version:
            return outcomes
        return outcomes.where(outcomes.model_version == self.model_version)

    def after(self, outcomes: Outcomes, code: Code, segment: str = "") -> Outcomes:
        """Return the tasks after an alarm was last cleared."""
        return outcomes.where(outcomes.at > self.since(code, segment))

    def since(self, code: Code, segment: str = "") -> float:
        """Return the time after which an alarm may come, s since 1970."""
        return self.cleared.get((code, segment), -np.inf)


class Labels:
    """Detectors that live on labels: of the miss rate, and of calibration.

    Parameters
    ----------
    watched : Watched
        What is watched.
    """

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._misses = {
            segment: MissDetector.begin(alpha, watched.alarm_at)
            for segment, alpha in watched.promised.items()
        }
        least = -1.0 - watched.slack
        self._calibration = {
            code: Mixture(least=least, alarm_at=watched.others_at)
            for code in (Code.RISK_TOO_LOW, Code.RISK_TOO_HIGH)
        }

    def take(self, outcomes: Outcomes, reference: Reference) -> None:
        """Take in more tasks of the model, in order."""
        for segment in self._misses:
            self._take_misses(outcomes, segment)
        for row, code in enumerate(self._calibration):
            tasks = self._watched.after(outcomes, code)
            expected = reference.expected(tasks.risk)
            x = bets.calibration(tasks, expected, self._watched.slack)[row]
            self._calibration[code] = through(self._calibration[code], x, tasks.at)

    def _take_misses(self, outcomes: Outcomes, segment: str) -> None:
        tasks = in_segment(outcomes, segment)
        tasks = self._watched.after(tasks, Code.MISS_RATE, segment)
        detector = self._misses[segment]
        x, chance = bets.misses(tasks, detector.alpha)
        rows = zip(x.tolist(), chance.tolist(), tasks.at.tolist(), strict=True)
        for value, propensity, at in rows:
            detector = detector.advance(value, propensity, at)
        self._misses[segment] = detector

    def found(self) -> Iterator[Alarm]:
        """Yield the alarms that stand."""
        for segment, detector in self._misses.items():
            if detector.has_fired:
                yield wording.misses(segment, detector)
        for code, mixture in self._calibration.items():
            if mixture.has_fired:
                yield wording.calibration(code, mixture, self._watched.slack)


class Behaviour:
    """Detectors that need no label, or hold agents against what was usual.

    Parameters
    ----------
    watched : Watched
        What is watched.
    reference : Reference
        What was usual; complete.
    """

    def __init__(self, watched: Watched, reference: Reference) -> None:
        self._watched = watched
        self._promise = Promise.of(reference.rates, watched.audits)
        self._scores = Jumper.begin(
            reference.risk.edges, reference.risk.counts, alarm_at=watched.others_at
        )
        self._conduct: dict[str, Conduct] = {}
        self._flood = Flood()
        self._flooded: FloodFound | None = None
        self._latest = 0.0

    def take(self, outcomes: Outcomes) -> None:
        """Take in more tasks, in order, whichever model judged them."""
        self._latest = float(outcomes.at[-1])
        mine = self._watched.after(self._watched.mine(outcomes), Code.SCORES_SHIFTED)
        for risk, at in zip(mine.risk.tolist(), mine.at.tolist(), strict=True):
            self._scores = self._scores.advance(risk, at)
        for version, tasks in by_version(outcomes):
            self._take_version(version, tasks)
        self._take_handovers(outcomes.where(outcomes.escalated))

    def _take_version(self, version: str, tasks: Outcomes) -> None:
        conduct = self._conduct.get(version)
        if conduct is None:
            conduct = Conduct.begin(
                self._promise,
                self._watched.others_at,
                words_at=self._watched.alarm_at,
            )
        segment = f"agent_version={version}"
        cleared = {n: self._watched.since(Code(n), segment) for n in conduct.detectors}
        self._conduct[version] = conduct.advance(tasks, cleared)

    def _take_handovers(self, handed: Outcomes) -> None:
        rows = zip(handed.at.tolist(), handed.agent_version.tolist(), strict=True)
        for at, version in rows:
            self._flood, found = self._flood.advance(at, version)
            self._flooded = found or self._flooded

    def found(self) -> Iterator[Alarm]:
        """Yield the alarms that stand."""
        if self._scores.has_fired:
            yield wording.scores(self._scores)
        for version, conduct in sorted(self._conduct.items()):
            for name, mixture in conduct.detectors.items():
                if mixture.has_fired:
                    yield wording.conduct(Code(name), version, mixture, self._promise)
        flooded = self._flooded
        if flooded is not None and self._latest - flooded.start <= _DAY:
            yield wording.flood(flooded)


def in_segment(outcomes: Outcomes, segment: str) -> Outcomes:
    """Return the tasks of a segment such as ``"domain=retail"``; of "", all.

    Examples
    --------
    >>> len(in_segment(Outcomes.of([]), "domain=retail"))
    0
    """
    if not segment:
        return outcomes
    name, _, value = segment.partition("=")
    return outcomes.where(getattr(outcomes, name) == value)
