"""How the user feels."""

from __future__ import annotations

from features.aggregates import Gap, Last, Max, Mean, Recent, Slope, Sum, TailMean
from features.signals._signal import Group, catalogue

SIGNALS = catalogue(
    Group.SENTIMENT,
    (
        "displeasure_last",
        "ratio",
        "Displeasure in the user's latest message",
        Last("user_displeasure"),
        0,
    ),
    (
        "displeasure_mean",
        "ratio",
        "Mean displeasure of the user",
        Mean("user_displeasure"),
        0,
    ),
    (
        "displeasure_worst",
        "ratio",
        "Mean displeasure of the user's three worst messages",
        TailMean("user_displeasure", 3),
        0,
    ),
    (
        "displeasure_slope",
        "ratio per message",
        "Trend of the user's displeasure",
        Slope("user_displeasure"),
        0,
    ),
    (
        "frustration",
        "count",
        "Words of frustration the user has used",
        Sum("user_frustration"),
        1,
    ),
    (
        "shouting",
        "count",
        "Words the user wrote in capitals",
        Sum("user_shouting"),
        0,
    ),
    (
        "displeasure_max",
        "ratio",
        "Displeasure in the user's worst message",
        Max("user_displeasure"),
        0,
    ),
    (
        "displeasure_now",
        "ratio",
        "Mean displeasure of the latest five messages of the user",
        Recent("user_displeasure"),
        0,
    ),
    (
        "displeasure_relief",
        "ratio",
        "How far the latest message is from the worst one",
        Gap(Max("user_displeasure"), Last("user_displeasure")),
        0,
    ),
    (
        "open_anger",
        "count",
        "Angry messages that nothing has made good yet",
        Last("open_anger"),
        0,
    ),
)
