"""What must be heard: asks for a human, safety, regulated topics."""

from __future__ import annotations

from features.aggregates import Sum
from features.signals._signal import Group, catalogue

SIGNALS = catalogue(
    Group.SENSITIVITY,
    (
        "asks_for_human",
        "count",
        "Messages in which the user asks for a human",
        Sum("user_asks_human"),
        1,
    ),
    (
        "safety_topic",
        "count",
        "Messages of the user that touch safety",
        Sum("safety"),
        1,
    ),
    (
        "regulated_topic",
        "count",
        "Messages of the user that touch a regulated topic",
        Sum("regulated"),
        1,
    ),
)
