"""What a verifier says."""

from __future__ import annotations

from features.aggregates import First, Gap, Last, Max, Mean, Min, Recent, Slope
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
    ("verifier_max", "ratio", "Best verifier score", Max("verifier"), 0),
    ("verifier_first", "ratio", "The first verifier score", First("verifier"), 0),
    (
        "verifier_now",
        "ratio",
        "Mean of the three latest verifier scores",
        Recent("verifier", 3),
        -1,
    ),
    (
        "verifier_slope",
        "1/event",
        "Trend of the verifier's scores",
        Slope("verifier"),
        0,
    ),
    (
        "verifier_drop",
        "ratio",
        "How far the verifier's score fell from its best",
        Gap(Max("verifier"), Last("verifier")),
        0,
    ),
    (
        "verifier_range",
        "ratio",
        "Gap between the best and the worst verifier score",
        Gap(Max("verifier"), Min("verifier")),
        0,
    ),
)
