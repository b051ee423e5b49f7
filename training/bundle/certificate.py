"""Certificate: what is promised of a threshold, or why nothing can be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


class SegmentBy(StrEnum):
    """What tasks can be parted by; each is known when a task begins."""

    DOMAIN = "domain"
    AGENT_VERSION = "agent_version"
    TIER = "tier"


# Stands for all tasks of no segment of their own: too few labels, or of a new kind.
REST = "*"
# What data sets and logs write where a fact is not known.
_UNKNOWN = frozenset({"", "?", "unknown"})


def segment_of(by: SegmentBy, value: str) -> str:
    """Return the segment of tasks whose `by` is `value`; unknown ones have none.

    Examples
    --------
    >>> segment_of(SegmentBy.DOMAIN, "retail"), segment_of(SegmentBy.TIER, "")
    ('domain=retail', 'tier=*')
    """
    return f"{by}={REST if value in _UNKNOWN else value}"


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
        How many of `n_needed` may lie below the threshold. Where audits vouch for it:
        how many misses among the audits do.
    method : str
        How it was made.
    threshold : float or None
        Escalate where risk >= threshold. None: refused, see `reason`.
    escalation_rate : float or None
        Share of all tasks that this threshold escalates: what the certificate costs.
    reason : str
        The certificate, or the refusal, in words.
    segment : str
        ``"domain=retail"``: the tasks it speaks of; empty: all; ``"domain=*"``: those
        of no segment of their own.
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


def applicable(
    overall: Certificate, segments: Iterable[Certificate], facts: Mapping[str, str]
) -> Certificate:
    """Return the certificate that a task is held against.

    That of its segment; where this was refused, that of the tasks of no segment of
    their own; where there is none, `overall`. One that was withdrawn is not replaced:
    what it promised has been seen to be false, so the rules decide.

    Parameters
    ----------
    overall : Certificate
        Of all tasks.
    segments : iterable of Certificate
        Of parts of them.
    facts : Mapping of str to str
        The task's `domain`, `agent_version` and `tier`, as far as they are known.
    """
    named = {one.segment: one for one in segments}
    for by in SegmentBy:
        for value in (facts.get(by, ""), REST):
            found = named.get(segment_of(by, value))
            if found is not None and _speaks(found):
                return found
    return overall


def _speaks(certificate: Certificate) -> bool:
    return certificate.threshold is not None or certificate.refusal is Refusal.WITHDRAWN
