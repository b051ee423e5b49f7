"""How clear the request is."""

from __future__ import annotations

from features.aggregates import First, Last, Max, Mean, SinceLast, Sum
from features.signals._signal import Group, catalogue

SIGNALS = (
    *catalogue(
        Group.AMBIGUITY,
        (
            "interpretations_max",
            "count",
            "Most readings of the request the agent held possible",
            Max("interpretations"),
            1,
        ),
        (
            "interpretations_last",
            "count",
            "Readings of the request the agent holds possible now",
            Last("interpretations"),
            1,
        ),
    ),
    *catalogue(
        Group.AMBIGUITY,
        (
            "request_words",
            "words",
            "Length of the user's first message",
            First("user_words"),
            0,
        ),
        (
            "request_additions",
            "count",
            "Words that add a wish in the user's first message",
            First("user_additions"),
            0,
        ),
        (
            "additions",
            "count",
            "Words by which the user added to the request",
            Sum("user_additions"),
            0,
        ),
        (
            "corrections",
            "count",
            "Words by which the user corrected or changed course",
            Sum("user_corrections"),
            0,
        ),
        (
            "agent_questions",
            "ratio",
            "Questions the agent asks per message",
            Mean("agent_questions"),
            0,
        ),
        (
            "user_questions",
            "count",
            "Questions the user has asked",
            Sum("user_questions"),
            0,
        ),
        (
            "user_numbers",
            "ratio",
            "Numbers per message of the user",
            Mean("user_numbers"),
            0,
        ),
        (
            "user_words_mean",
            "words",
            "Mean length of the user's messages",
            Mean("user_words"),
            0,
        ),
        (
            "user_words_last",
            "words",
            "Length of the user's latest message",
            Last("user_words"),
            0,
        ),
        (
            "pleads",
            "count",
            "Times the user asked for another way or a second look",
            Sum("user_pleads"),
            0,
        ),
        (
            "confirms",
            "count",
            "Messages in which the user confirms",
            Sum("user_confirms"),
            0,
        ),
        (
            "user_closes",
            "count",
            "Messages in which the user says that this was all",
            Sum("user_closes"),
            0,
        ),
        (
            "since_user_closes",
            "count",
            "Events since the user said that this was all",
            SinceLast("user_closes"),
            0,
        ),
    ),
)
