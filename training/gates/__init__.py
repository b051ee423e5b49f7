"""Release gates: what must hold before a model may be champion, each with evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from training.gates import purity, quality, rivals, standing
from training.gates.evidence import Evidence, View
from training.gates.gate import Gate, Limits, LimitsError, Severity
from training.gates.parts import Part, Parts

__all__ = [
    "GATES",
    "SCHEMA",
    "Evidence",
    "Gate",
    "Limits",
    "LimitsError",
    "Part",
    "Parts",
    "Severity",
    "View",
    "judge",
]

SCHEMA = "escalon.gates/1"

# A code is never given to another gate: documents and audits refer to it.
GATES: Mapping[str, Callable[[Evidence, Limits], Gate]] = MappingProxyType(
    {
        "ESC001": purity.no_label_proxy,
        "ESC002": purity.outcomes_feed_nothing,
        "ESC003": purity.nothing_from_the_future,
        "ESC004": purity.nobody_on_both_sides,
        "ESC005": quality.calibrated_by_stage,
        "ESC006": quality.certificate_holds,
        "ESC007": rivals.not_worse_than_champion,
        "ESC008": quality.no_slice_left_behind,
        "ESC009": standing.lies_buy_little,
        "ESC010": standing.same_signals,
        "ESC011": standing.labels_are_of_age,
        "ESC012": rivals.beats_the_table,
        "ESC013": standing.enough_tasks,
        "ESC014": standing.made_again,
    }
)


def judge(evidence: Evidence, limits: Limits | None = None) -> tuple[Gate, ...]:
    """Return the answer of every gate, in the order of their codes.

    Raises
    ------
    LimitsError
        If `limits` give a severity to a code that is no gate's.
    """
    chosen = limits or Limits()
    unknown = sorted(set(chosen.severity) - set(GATES))
    if unknown:
        msg = f"{', '.join(unknown)} is no gate; there are {', '.join(GATES)}"
        raise LimitsError(msg)
    found = (gate(evidence, chosen) for gate in GATES.values())
    return tuple(
        replace(one, severity=chosen.severity.get(one.code, one.severity))
        for one in found
    )
