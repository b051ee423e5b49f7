"""What is at stake."""

from __future__ import annotations

from features.aggregates import Last
from features.signals._signal import Group, catalogue

SIGNALS = catalogue(
    Group.ACCOUNT,
    (
        "account_value",
        "currency",
        "Value of the account at stake",
        Last("account_value"),
        0,
    ),
)
