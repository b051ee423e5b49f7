"""How sure the agent calls itself."""

from __future__ import annotations

from features.aggregates import Gap, Last, Mean, Min, Slope
from features.signals._signal import Group, catalogue

SIGNALS = catalogue(
    Group.CONFIDENCE,
    (
        "confidence_last",
        "ratio",
        "The agent's latest word on how sure it is",
        Last("confidence"),
        -1,
    ),
    (
        "confidence_mean",
        "ratio",
        "How sure the agent has called itself on average",
        Mean("confidence"),
        -1,
    ),
    (
        "confidence_min",
        "ratio",
        "The least sure the agent has called itself",
        Min("confidence"),
        -1,
    ),
    (
        "confidence_slope",
        "ratio per message",
        "Trend of the agent's own confidence",
        Slope("confidence"),
        -1,
    ),
    (
        "confidence_gap",
        "ratio",
        "How far the agent's confidence exceeds the verifier's score",
        Gap(Last("confidence"), Last("verifier")),
        0,
    ),
)
