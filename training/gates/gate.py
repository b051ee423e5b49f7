"""What a release gate says, and the limits it holds evidence against."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Self

from training.evaluate.intervals import Estimate
from training.evaluate.report import plain


class LimitsError(ValueError):
    """Limits that cannot be used; names the key and what it may be."""


class Severity(StrEnum):
    """What a red gate does to a promotion."""

    BLOCK = "block"
    WARN = "warn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One gate's answer.

    Attributes
    ----------
    code : str
        ``"ESC001"``; its page is docs/reference/gates/ESC001.md. Never reused.
    title : str
        What it claims of a model that passes.
    severity : Severity
        Whether a red answer stops the promotion.
    passed : bool
        Whether the claim holds, as far as the evidence goes.
    says : str
        Why, in one sentence for a reader.
    evidence : Mapping
        The figures it rests on, as plain JSON data.
    """

    code: str
    title: str
    severity: Severity
    passed: bool
    says: str
    evidence: Mapping[str, Any]

    @property
    def blocks(self) -> bool:
        """Whether it stops the promotion."""
        return not self.passed and self.severity is Severity.BLOCK

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {f.name: plain(getattr(self, f.name)) for f in fields(self)} | {
            "severity": str(self.severity)
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the gates hold their evidence against.

    A document of limits (YAML) has these names as keys; what it leaves out stays.

    Attributes
    ----------
    signal_auroc : float
        A single signal that ranks the outcomes better than this is taken for the
        label itself.
    signal_share : float
        Largest share of what all signals add to the score that one may add.
    ece_every_step, ece_stage, ece_end : float
        Debiased calibration error over every step, in the worst stage, at the end;
        red where the lower end of the interval lies above.
    certificate_p : float in (0, 1)
        Probability, if the certificate holds, of so many misses on fresh tasks; red
        where it is lower.
    champion_margin : float
        Log-loss per task (nats) by which a challenger may be worse than the champion.
    slice_auroc, slice_gap, slice_misses : float
        How far a slice may lie below the overall AUROC, from its base rate, and above
        the tolerated miss rate, beyond what chance explains.
    slice_doubt : float in (0, 1)
        Probability of one false alarm over all slices.
    gaming_auroc, gaming_misses : float
        Price of forged self-reports that is aimed at: AUROC lost, rise of the miss
        rate. Beyond it there is a note.
    gaming_auroc_most, gaming_misses_most : float
        The same, beyond which a promotion is stopped.
    label_days, young_days : float
        Days after which the newest label is old; and during which a "no" may yet be
        overturned by a complaint.
    matured_share : float in [0, 1]
        Least share of the labels that belong to tasks older than `young_days`.
    least_tasks, least_needed, least_customers : int
        That the figures must rest on.
    severity : Mapping of str to Severity
        Severities in place of the gates' own, by code.
    """

    signal_auroc: float = 0.98
    signal_share: float = 0.6
    ece_every_step: float = 0.02
    ece_stage: float = 0.04
    ece_end: float = 0.03
    certificate_p: float = 0.05
    champion_margin: float = 0.01
    slice_auroc: float = 0.1
    slice_gap: float = 0.1
    slice_misses: float = 0.1
    slice_doubt: float = 0.05
    gaming_auroc: float = 0.01
    gaming_misses: float = 0.01
    gaming_auroc_most: float = 0.05
    gaming_misses_most: float = 0.05
    label_days: float = 90.0
    young_days: float = 14.0
    matured_share: float = 0.5
    least_tasks: int = 60
    least_needed: int = 15
    least_customers: int = 10
    severity: Mapping[str, Severity] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Any) -> Self:
        """Return the limits that a document gives, the defaults for the rest.

        Raises
        ------
        LimitsError
            If it is no mapping, has a key that is no limit, or a value of a wrong kind.
        """
        if not isinstance(document, Mapping):
            msg = f"limits must be a mapping of names to values, found {document!r}"
            raise LimitsError(msg)
        names = [f.name for f in fields(cls)]
        for name in document:
            if name not in names:
                near = difflib.get_close_matches(str(name), names, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                msg = f"{name!r} is no limit of a gate{hint}"
                raise LimitsError(msg)
        numbers: dict[str, Any] = {
            k: _amount(k, v) for k, v in document.items() if k != "severity"
        }
        chosen = _severities(document.get("severity") or {})
        return replace(cls(), **numbers, severity=chosen)


def _amount(name: str, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < 0:
        msg = f"limit `{name}` must be a number >= 0, found {value!r}"
        raise LimitsError(msg)
    return float(value)


def _severities(given: Any) -> dict[str, Severity]:
    if not isinstance(given, Mapping) or not set(given.values()) <= set(Severity):
        msg = (
            "`severity` must map codes of gates to block or warn, such as "
            f"{{ESC011: block}}, found {given!r}"
        )
        raise LimitsError(msg)
    return {str(code): Severity(value) for code, value in given.items()}


def shown(estimate: Estimate) -> str:
    """Return a figure with its interval, as a sentence takes it.

    Examples
    --------
    >>> shown(Estimate(value=0.71, low=0.66, high=0.76, n=100))
    '0.710 (0.660 to 0.760)'
    """
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
