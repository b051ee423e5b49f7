"""Words against acts: what is done that nobody said."""

from __future__ import annotations

from features.aggregates import Last, Mean, Recent, Sum, TailMean
from features.signals._signal import Group, catalogue

_OBSERVED = catalogue(
    Group.CONTRADICTION,
    (
        "unconfirmed_writes",
        "count",
        "Changes made without the user's confirmation just before",
        Sum("unconfirmed_write"),
        0,
    ),
    (
        "unseen_arguments_worst",
        "ratio",
        "Share of arguments nobody had mentioned, mean of the three worst calls",
        TailMean("unseen_arguments", 3),
        0,
    ),
    (
        "unseen_arguments_last",
        "ratio",
        "Share of the latest call's arguments that nobody had mentioned",
        Last("unseen_arguments"),
        0,
    ),
    (
        "unseen_arguments_mean",
        "ratio",
        "Share of the arguments of all calls that nobody had mentioned",
        Mean("unseen_arguments"),
        0,
    ),
    (
        "unseen_arguments_now",
        "ratio",
        "Share of the latest five calls' arguments that nobody had mentioned",
        Recent("unseen_arguments"),
        0,
    ),
    (
        "unseen_identifiers_mean",
        "ratio",
        "Share of the identifiers in calls that nobody had mentioned",
        Mean("unseen_identifiers"),
        0,
    ),
    (
        "unseen_identifiers_worst",
        "ratio",
        "Share of unmentioned identifiers, mean of the three worst calls",
        TailMean("unseen_identifiers"),
        0,
    ),
    (
        "unseen_words_mean",
        "ratio",
        "Share of the free text in calls that nobody had said",
        Mean("unseen_words"),
        0,
    ),
    (
        "unseen_words_worst",
        "ratio",
        "Share of free text that nobody said, mean of the three worst calls",
        TailMean("unseen_words"),
        0,
    ),
    (
        "unseen_words_last",
        "ratio",
        "Share of the latest call's free text that nobody had said",
        Last("unseen_words"),
        0,
    ),
    (
        "named_identifiers_mean",
        "ratio",
        "Share of the identifiers in calls that the user has named",
        Mean("named_identifiers"),
        0,
    ),
    (
        "late_corrections",
        "count",
        "Words of correction after something was changed",
        Sum("late_correction"),
        0,
    ),
)
# Whatever the agent has named counts as told, so it can talk this down.
_TOLD = catalogue(
    Group.CONTRADICTION,
    (
        "untold_writes_mean",
        "ratio",
        "Share of identifiers in changes that neither side has talked of",
        Mean("untold_write"),
        0,
    ),
    (
        "untold_writes_last",
        "ratio",
        "Share of the latest change's identifiers that neither side talked of",
        Last("untold_write"),
        0,
    ),
)
SIGNALS = (*_OBSERVED, *_TOLD)
