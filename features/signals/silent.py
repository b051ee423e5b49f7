"""Silent failure: what is said to be done, or passed over."""

from __future__ import annotations

from features.aggregates import Gap, Last, Recent, Sum
from features.signals._signal import Group, catalogue

SIGNALS = catalogue(
    Group.SILENT,
    (
        "claims_done",
        "count",
        "Messages in which the agent says something is done",
        Sum("agent_claims_done"),
        0,
    ),
    (
        "empty_claims",
        "count",
        "Messages that say done though nothing was written since the user spoke",
        Sum("empty_claim"),
        0,
    ),
    (
        "unkept_promises",
        "count",
        "Announced transfers beyond those that were made",
        Gap(Sum("transfer_promise"), Sum("transfer_call")),
        0,
    ),
    (
        "claims_after_failure",
        "count",
        "Messages that say done on a failed or empty result",
        Sum("claim_after_failure"),
        0,
    ),
    (
        "failures_passed_over",
        "count",
        "Messages of the agent on a failed or empty result",
        Sum("failure_passed_over"),
        0,
    ),
    (
        "failures_passed_over_now",
        "ratio",
        "Share of the agent's latest five messages on a failed or empty result",
        Recent("failure_passed_over"),
        0,
    ),
    (
        "open_failures",
        "count",
        "Tools whose latest change failed",
        Last("open_failures"),
        0,
    ),
    (
        "idle_promises",
        "count",
        "Announcements to act at once that no call followed",
        Sum("idle_promise"),
        0,
    ),
)
