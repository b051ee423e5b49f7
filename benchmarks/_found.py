"""A figure of one seed, and the figures that most studies have."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from _protocols import auroc_of, end_of, log_loss_of, within_of
from _real import Real

from training.dataset import Floats, Snapshots


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A figure of one seed, with its interval over tasks or customers."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""

    @classmethod
    def of(cls, name: str, estimate: Any, note: str = "") -> Found:
        """Return an estimate (a value, its low and high end) under a name."""
        low, high = (
            None if math.isnan(edge) else edge for edge in (estimate.low, estimate.high)
        )
        return cls(name=name, value=estimate.value, low=low, high=high, note=note)


def named(study: str, model: str, figure: str) -> str:
    """Return a figure's name; the model as it is served goes without saying."""
    return ".".join([study, *([] if model == "ours" else [model]), figure])


def fewer(data: Real, most: int | None) -> Real:
    """Return `most` groups of the data, for a quick look; None: all."""
    if most is None:
        return data
    # One customer can have half of the tasks of a domain: too few are left without.
    names, sizes = np.unique(data.rows.groups, return_counts=True)
    usual = names[sizes <= np.quantile(sizes, 0.9)]
    chosen = np.random.default_rng(0).permutation(usual)[:most]
    return data.where(np.isin(data.rows.groups, chosen))


def scores(study: str, rows: Snapshots, risks: Mapping[str, Floats]) -> Iterator[Found]:
    """Yield ranking and log-loss of each risk, at the end and at every step."""
    every = np.ones(len(rows), dtype=bool)
    for model, risk in risks.items():
        of = Found.of
        name = partial(named, study, model)
        end = end_of(rows)
        yield of(name("auroc_end"), auroc_of(rows, risk, end, each_task=True))
        yield of(name("auroc_every_step"), auroc_of(rows, risk, every))
        yield of(name("log_loss_end"), log_loss_of(rows, risk, end, each_task=True))
        yield of(name("log_loss_every_step"), log_loss_of(rows, risk, every))
        yield of(name("within_end"), within_of(rows, risk, end))
