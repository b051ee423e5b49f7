"""Reference: what signals, risks and segments were like where a model learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Texts = NDArray[np.str_]

_BINS = 20
_DIGITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """How often a signal had which value.

    Attributes
    ----------
    edges : tuple of float
        Between bins, rising; a value on an edge belongs to the bin above it.
    counts : tuple of int
        One more than edges.
    missing : int
        How often it was unknown.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    missing: int = 0

    @classmethod
    def of(cls, values: Floats) -> Self:
        """Return the histogram of `values` in bins of about equal mass; NaN: missing.

        Examples
        --------
        >>> Histogram.of(np.array([0, 0, 0, 1, 2, np.nan]))
        Histogram(edges=(1.0, 2.0), counts=(3, 1, 1), missing=1)
        """
        known = values[~np.isnan(values)]
        edges: Floats = np.array([])
        if len(known):
            # No value in between is made up: a count stays a count.
            shares = np.linspace(0, 1, _BINS + 1)[1:-1]
            edges = np.unique(np.quantile(known, shares, method="higher"))
            edges = np.unique([_rounded(edge) for edge in edges])
            edges = edges[edges > known.min()]
        return cls(edges=tuple(edges.tolist()), counts=(0,) * (len(edges) + 1)).filled(
            values
        )

    def filled(self, values: Floats) -> Self:
        """Return the histogram of `values` in the bins of this one."""
        known = values[~np.isnan(values)]
        places = np.searchsorted(self.edges, known, side="right")
        counts = np.bincount(places, minlength=len(self.edges) + 1)
        return type(self)(
            edges=self.edges,
            counts=tuple(counts.tolist()),
            missing=len(values) - len(known),
        )

    @property
    def known(self) -> int:
        """How many values were known."""
        return sum(self.counts)

    @property
    def total(self) -> int:
        """How many there were, known or not."""
        return self.known + self.missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Shares that the conduct of agents is held against, and what they rest on.

    Attributes
    ----------
    tasks : int
        How many tasks; 0: nothing is known.
    escalated, transferred : int
        How many of them were handed over; in how many the agent itself asked for it.
    labelled : int
        Tasks with a label by design and a confidence.
    gap : float
        Mean of confidence less the share that went well, over those; weighted.
    """

    tasks: int = 0
    escalated: int = 0
    transferred: int = 0
    labelled: int = 0
    gap: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What is compared with: a part of the bundle, or the first tasks of a log.

    Attributes
    ----------
    signals : Mapping of str to Histogram
        By name.
    risk : Histogram
        Of the highest risk of each task.
    needed : tuple of float
        Share in need in each bin of `risk`: what a highest risk stands for. Empty:
        not known, then a risk stands for itself.
    categories : Mapping of str to Mapping of str to int
        Tasks by value, for each of domain, agent version, tier.
    rates : Rates
    """

    signals: Mapping[str, Histogram] = field(default_factory=dict)
    risk: Histogram = Histogram(edges=(), counts=(0,))
    needed: tuple[float, ...] = ()
    categories: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    rates: Rates = Rates()

    def expected(self, risk: Floats) -> Floats:
        """Return the share in need that each highest risk stands for, shape of it."""
        if not self.needed:
            return risk
        share = np.array(self.needed)[
            np.searchsorted(self.risk.edges, risk, side="right")
        ]
        return np.where(np.isnan(risk), np.nan, share)

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to be learned from the first tasks of a log."""
        known = bool(self.signals) and self.risk.known > 0 and bool(self.categories)
        return known and self.rates.tasks > 0

    def completed(self, first: Self) -> Self:
        """Return the reference with `first` where this one says nothing."""
        return replace(
            self,
            signals=self.signals or first.signals,
            risk=self.risk if self.risk.known else first.risk,
            categories=self.categories or first.categories,
            rates=self.rates if self.rates.tasks else first.rates,
        )

    def to_json(self) -> dict[str, Any]:
        """Return what a bundle keeps of it."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return the reference that `to_json` gave; empty for an empty mapping."""
        if not stored:
            return cls()
        return cls(
            signals={n: _histogram(h) for n, h in stored["signals"].items()},
            risk=_histogram(stored["risk"]),
            needed=tuple(stored["needed"]),
            categories=stored["categories"],
            rates=Rates(**stored["rates"]),
        )


def reference_of(
    x: Floats,
    names: Sequence[str],
    *,
    risk: Floats | None = None,
    needed: Floats | None = None,
    categories: Mapping[str, Texts] | None = None,
    rates: Rates | None = None,
) -> Reference:
    """Return what tasks were like, to hold later ones against.

    One row per task, at the step where it ended or would have been handed over
    (`stops`): in production a task ends there too.

    Parameters
    ----------
    x : ndarray of shape (n_tasks, n_signals)
        NaN where unknown.
    names : sequence of str
        Of the signals.
    risk : ndarray of shape (n_tasks,), optional
        Highest risk up to that step.
    needed : ndarray of shape (n_tasks,), optional
        1 or 0; NaN where not known. Only with `risk`.
    categories : Mapping of str to ndarray of shape (n_tasks,), optional
        ``domain``, ``agent_version``, ``tier``.
    rates : Rates, optional
        How agents conduct themselves.
    """
    risks = Histogram.of(np.array([]) if risk is None else risk)
    known = risk is not None and needed is not None
    return Reference(
        signals={name: Histogram.of(x[:, i]) for i, name in enumerate(names)},
        risk=risks,
        needed=_shares(risks, risk, needed) if known else (),
        categories={n: _counted(values) for n, values in (categories or {}).items()},
        rates=rates or Rates(),
    )


def stops(task: NDArray[Any], risk: Floats, threshold: float | None) -> NDArray[Any]:
    """Return the row of each task at which it would have been handed over, or ended.

    Parameters
    ----------
    task : ndarray of shape (n_rows,)
        Rows of one task stand together, in log order.
    risk : ndarray of shape (n_rows,)
        At each step.
    threshold : float or None
        Of the certificate; None: no task is handed over.

    Examples
    --------
    >>> stops(np.array(["a", "a", "a", "b"]), np.array([0.1, 0.9, 0.2, 0.3]), 0.5)
    array([1, 3])
    """
    ends = np.flatnonzero(np.append(task[1:] != task[:-1], len(task) > 0))
    if threshold is None:
        return ends
    over = np.append(np.flatnonzero(risk >= threshold), len(task))
    starts = np.concatenate([[0], ends[:-1] + 1])
    stop: NDArray[Any] = np.minimum(over[np.searchsorted(over, starts)], ends)
    return stop


def _shares(
    bins: Histogram, risk: Floats | None, needed: Floats | None
) -> tuple[float, ...]:
    """Return the share in need in each bin, drawn to that of all where it is thin."""
    if risk is None or needed is None:
        return ()
    known = ~np.isnan(needed) & ~np.isnan(risk)
    places = np.searchsorted(bins.edges, risk[known], side="right")
    size = len(bins.counts)
    n = np.bincount(places, minlength=size)
    yes = np.bincount(places, weights=needed[known], minlength=size)
    overall = yes.sum() / max(n.sum(), 1)
    return tuple(_rounded(share) for share in (yes + 2 * overall) / (n + 2))


def _counted(values: Texts) -> dict[str, int]:
    names, counts = np.unique(values, return_counts=True)
    return {str(n): int(k) for n, k in zip(names, counts, strict=True) if n != ""}


def _histogram(stored: Mapping[str, Any]) -> Histogram:
    return Histogram(
        edges=tuple(stored["edges"]),
        counts=tuple(stored["counts"]),
        missing=stored["missing"],
    )


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
