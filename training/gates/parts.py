"""Parts: from whom a model learned and on whom it was judged, without their names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from training.dataset import Snapshots
from training.labels import Label

SCHEMA = "escalon.parts/1"
_LENGTH = 16


def hashed(customer: str) -> str:
    """Return the name under which a customer stands in a part."""
    return hashlib.sha256(customer.encode()).hexdigest()[:_LENGTH]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One use of tasks in a training.

    Attributes
    ----------
    customers : frozenset of str
        Hashes of their names.
    n_tasks, n_needed : int
        Tasks, and those that needed a human.
    began, matured : (float, float)
        First and last start of a task; first and last label known; s since 1970.
    """

    customers: frozenset[str]
    n_tasks: int
    n_needed: int
    began: tuple[float, float]
    matured: tuple[float, float]

    @classmethod
    def of(cls, data: Snapshots, labels: Mapping[str, Label]) -> Self:
        """Return the part that `data` are."""
        first = data.starts
        known = [labels[str(t)].matured_at.timestamp() for t in data.task_ids[first]]
        return cls(
            customers=frozenset(hashed(str(g)) for g in np.unique(data.groups)),
            n_tasks=data.n_tasks,
            n_needed=data.n_needed,
            began=_span(data.started[first]),
            matured=_span(known),
        )

    def holds(self, data: Snapshots) -> NDArray[np.bool_]:
        """Return which rows of `data` belong to a customer of this part."""
        names, row = np.unique(data.groups, return_inverse=True)
        held = np.array([hashed(str(name)) in self.customers for name in names], bool)
        return held[row]


def _span(times: Iterable[float]) -> tuple[float, float]:
    known = [float(t) for t in times]
    return (min(known, default=0.0), max(known, default=0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a training used its tasks for.

    Attributes
    ----------
    learned : Part
        Booster and calibrator; the latter on scores of boosters that had not seen the
        customer.
    certified, tested : Part
        What the certificate and the report were made on.
    """

    learned: Part
    certified: Part
    tested: Part

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data; `of` reads it."""
        parts = {name: getattr(self, name) for name in ("learned", "certified")}
        return {
            "schema": SCHEMA,
            **{name: _part_json(part) for name, part in parts.items()},
            "tested": _part_json(self.tested),
        }

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """Return the parts that `to_json` gave."""
        names = ("learned", "certified", "tested")
        return cls(**{name: _part_of(stored[name]) for name in names})


def _part_json(part: Part) -> dict[str, Any]:
    return {
        "customers": sorted(part.customers),
        "n_tasks": part.n_tasks,
        "n_needed": part.n_needed,
        "began": list(part.began),
        "matured": list(part.matured),
    }


def _part_of(stored: Mapping[str, Any]) -> Part:
    return Part(
        customers=frozenset(stored["customers"]),
        n_tasks=int(stored["n_tasks"]),
        n_needed=int(stored["n_needed"]),
        began=(float(stored["began"][0]), float(stored["began"][1])),
        matured=(float(stored["matured"][0]), float(stored["matured"][1])),
    )
