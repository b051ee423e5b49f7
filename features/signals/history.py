"""How earlier tasks like this one ended, as far as it was known when this one began."""

from __future__ import annotations

from features.aggregates import Last
from features.signals._signal import Group, catalogue

SIGNALS = catalogue(
    Group.HISTORY,
    (
        "history_domain_rate",
        "ratio",
        "Share of earlier tasks of this domain that needed a human",
        Last("history_domain_rate"),
        1,
    ),
    (
        "history_version_rate",
        "ratio",
        "Share of this agent version's earlier tasks that needed a human",
        Last("history_version_rate"),
        1,
    ),
    (
        "history_cell_rate",
        "ratio",
        "Share of its earlier tasks in this domain that needed a human",
        Last("history_cell_rate"),
        1,
    ),
    (
        "history_cell_n",
        "count",
        "Labelled earlier tasks of this agent version in this domain, up to 100",
        Last("history_cell_n"),
        0,
    ),
    (
        "history_expected_rate",
        "ratio",
        "Share expected of this agent version with tasks of this type",
        Last("history_expected_rate"),
        1,
    ),
    (
        "history_type_rate",
        "ratio",
        "Share of earlier tasks of this type that needed a human",
        Last("history_type_rate"),
        1,
    ),
    (
        "history_type_excess",
        "ratio",
        "How much more often tasks of this type needed a human than their agents' do",
        Last("history_type_excess"),
        1,
    ),
    (
        "history_type_n",
        "count",
        "Labelled earlier tasks of this type, up to 30",
        Last("history_type_n"),
        0,
    ),
    (
        "history_pair_rate",
        "ratio",
        "Share of this agent version's earlier tasks of this type that needed a human",
        Last("history_pair_rate"),
        1,
    ),
)
