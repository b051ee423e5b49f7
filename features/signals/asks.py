"""Unresolved asks: what the user wants and has not got."""

from __future__ import annotations

from features.aggregates import Last, Sum
from features.signals._signal import Group, catalogue

SIGNALS = catalogue(
    Group.ASKS,
    (
        "comparisons",
        "count",
        "Words by which the user compares",
        Sum("user_comparisons"),
        0,
    ),
    (
        "wishes",
        "count",
        "Kinds of action that the user has asked for",
        Last("wishes"),
        0,
    ),
    (
        "open_wishes",
        "count",
        "Kinds of action asked for that no change has carried out",
        Last("open_wishes"),
        0,
    ),
)
