"""What a verifier says."""

from __future__ import annotations

from features.aggregates import Last, Mean, Min
from features.signals._signal import Group, catalogue

SIGNALS = catalogue(
    Group.VERIFIER,
    (
        "verifier_last",
        "ratio",
        "The latest verifier score",
        Last("verifier"),
        -1,
    ),
    ("verifier_mean", "ratio", "Mean verifier score", Mean("verifier"), -1),
    ("verifier_min", "ratio", "Worst verifier score", Min("verifier"), -1),
)
