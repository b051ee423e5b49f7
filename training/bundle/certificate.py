"""Certificate: what is promised of a threshold, or why nothing can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self


class Refusal(StrEnum):
    """Why there is no threshold: each calls for something else."""

    TOO_FEW_LABELS = "too few labels"
    NO_SUCH_THRESHOLD = "no such threshold"
    UNEQUAL_LABELS = "labels chosen with unequal chances"
    WITHDRAWN = "withdrawn"
    NOT_MADE = "not made"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """P(miss rate at `threshold` <= alpha) >= 1 - delta, or why it cannot be said.

    Attributes
    ----------
    alpha, delta : float
        Tolerated miss rate, and the probability that the certificate is wrong.
    n_needed, n_tasks : int
        Independent tasks that needed a human, and all tasks, it was made from.
    misses_allowed : int
        How many of `n_needed` may lie below the threshold.
    method : str
        How it was made.
    threshold : float or None
        Escalate where risk >= threshold. None: refused, see `reason`.
    escalation_rate : float or None
        Share of all tasks that this threshold escalates: what the certificate costs.
    reason : str
        The certificate, or the refusal, in words.
    segment : str
        ``"domain=retail"``: the tasks it speaks of; empty: all.
    refusal : Refusal or None
        What kind of refusal it is; None where there is a threshold.
    still_needed : int
        Labelled tasks that are still wanted before it can be made; 0: not short.
    """

    alpha: float
    delta: float
    n_needed: int
    n_tasks: int
    misses_allowed: int
    method: str
    threshold: float | None
    escalation_rate: float | None
    reason: str
    segment: str = ""
    refusal: Refusal | None = None
    still_needed: int = 0

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """Return the certificate that its JSON form describes."""
        refusal = stored.get("refusal")
        return cls(
            **{**stored, "refusal": None if refusal is None else Refusal(refusal)}
        )
