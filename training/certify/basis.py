"""What a certificate rests on, whichever way the labels came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from training.bundle.certificate import Certificate

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class CertificateError(ValueError):
    """A level that no certificate can have."""


def require_levels(**levels: float) -> None:
    """Raise unless each level is inside (0, 1).

    Raises
    ------
    CertificateError
        Names the level.
    """
    for name, level in levels.items():
        if not 0 < level < 1:
            msg = f"`{name}` must be inside (0, 1), found {level}; 0.1 is a usual level"
            raise CertificateError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What thresholds promise and cost; every array (n_points,), thresholds rising.

    Attributes
    ----------
    bound : ndarray of float in [0, 1]
        Upper bound of the miss rate at that one threshold, with confidence 1 - delta.
    miss_rate, escalation_rate : ndarray of float in [0, 1]
        Plain estimates.
    """

    threshold: Floats
    bound: Floats
    miss_rate: Floats
    escalation_rate: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Tasks as costs see them; every array (n_tasks,).

    Attributes
    ----------
    highest : ndarray of float
        Highest risk the task reached; -inf where it had none.
    always : ndarray of bool
        Whether something else than the risk escalates it.
    needed : ndarray of float >= 0
        Tasks that needed a human which this one stands for: 1 / propensity of its
        label where it did, else 0.
    value : ndarray of float
        Account's value, in the currency of the costs; 0 while unknown.
    """

    highest: Floats
    always: Mask
    needed: Floats
    value: Floats

    def escalated(self, threshold: float | Floats) -> Mask:
        """Return which tasks a threshold, or one per task, escalates."""
        return np.asarray(self.always | (self.highest >= threshold))

    def missed(self, threshold: Floats) -> Floats:
        """Return the share of the needed tasks missed at each threshold, or NaN."""
        passed = np.where(self.always, 0.0, self.needed)
        total = self.needed.sum()
        if not total:
            return np.full(len(threshold), np.nan)
        return np.asarray(below(self.highest, passed, threshold) / total)

    def rate(self, threshold: Floats) -> Floats:
        """Return the share of the tasks that each threshold escalates."""
        passed = (~self.always).astype(np.float64)
        return 1 - below(self.highest, passed, threshold) / max(len(passed), 1)


def below(risk: Floats, mass: Floats, threshold: Floats) -> Floats:
    """Return the mass of what lies below each threshold.

    Parameters
    ----------
    mass : ndarray of shape (..., n_tasks)
        One mass per task, or a stack of them.

    Returns
    -------
    ndarray of shape (..., n_thresholds)
    """
    order = np.argsort(risk)
    none = np.zeros((*mass.shape[:-1], 1))
    total = np.concatenate([none, np.cumsum(mass[..., order], axis=-1)], axis=-1)
    place = np.searchsorted(risk[order], threshold, side="left")
    return np.asarray(total[..., place])


class Basis(Protocol):
    """Labels that a certificate can be made from."""

    @property
    def tally(self) -> Tally:
        """The tasks, as costs see them."""
        ...

    @property
    def n_needed(self) -> int:
        """Independent tasks known to have needed a human."""
        ...

    def where(self, tasks: NDArray[Any]) -> Self:
        """Return a part of the tasks: a mask, or places."""
        ...

    def can(self, alpha: float, delta: float) -> bool:
        """Whether there are enough labels, whatever they say of any threshold."""
        ...

    def certificate(
        self, *, alpha: float, delta: float, segment: str = ""
    ) -> Certificate:
        """Return the certificate of the largest threshold, or a refusal."""
        ...

    def share(self, alphas: tuple[float, ...], delta: float) -> float:
        """Return the doubt per bound that lets all of them hold at once."""
        ...

    def curve(self, delta: float) -> Curve:
        """Return bound, estimate and cost at each threshold where one changes."""
        ...
