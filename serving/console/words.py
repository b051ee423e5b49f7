"""Every sentence of the console, in one place, so that it can be translated."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

WORDS: Mapping[str, str] = {
    # --- on every page ---
    "product": "Escalon",
    "skip": "Skip to the content",
    "queue": "Queue",
    "overview": "Overview",
    "signed_in_as": "Signed in as",
    "sign_out": "Sign out",
    "keys": "Keys",
    "keys_title": "Single-key shortcuts: j and k move, Enter opens, others as printed",
    "on": "on",
    "off": "off",
    "none": "none",
    "unknown": "unknown",
    # --- sign-in ---
    "sign_in": "Who are you?",
    "sign_in_hint": (
        "Pick your name. You see and take the handoffs of the queues you are a "
        "member of."
    ),
    "sign_in_caution": (
        "There are no passwords yet: anyone who reaches this page can sign in as "
        "anyone. Keep the service on this machine, or behind a proxy that knows who "
        "is who."
    ),
    "nobody_to_be": "The policy has no queue with members. Add members to a queue.",
    # --- queue ---
    "waiting": "Waiting",
    "mine": "Mine",
    "all": "All",
    "waiting_hint": "Waiting in your queues, the most urgent first",
    "mine_hint": "Claimed by you",
    "all_hint": "Every handoff of every queue",
    "nothing_waiting": "Nothing waits in your queues.",
    "nothing_mine": "You hold no handoff.",
    "nothing_all": "There has been no handoff yet.",
    "priority": "Priority",
    "request": "Request",
    "risk": "Risk",
    "answer_by": "Answer by",
    "resolve_by": "Resolve by",
    "waited": "Waiting",
    "in_queue": "Queue",
    "holder": "Holder",
    "open": "Open",
    "claim": "Claim",
    "newer": "Newer",
    "older": "More",
    "no_request": "(the log holds no text of the user)",
    "no_risk": "no model",
    "due_in": "in {span}",
    "late_by": "{span} late",
    "on_time": "done",
    "held_by": "Held by {who}",
    "changed": "The queue has changed.",
    "case_changed": "This case has changed.",
    "refresh": "Show",
    "move": "move",
    "told_resolved": "Resolved. Your verdict is recorded.",
    "told_returned": "Returned to the agent, with your guidance.",
    "told_released": "Released. It waits in its queue again.",
    # --- status ---
    "QUEUED": "waiting",
    "CLAIMED": "claimed",
    "RESOLVED": "resolved",
    "RETURNED": "returned",
    "urgent": "urgent",
    "high": "high",
    "normal": "normal",
    # --- case: why you ---
    "back": "Queue",
    "why_you": "Why you",
    "no_trigger": "No trigger is recorded for this handoff.",
    "risk_of_need": "Predicted risk that this task needs a human",
    "threshold": "threshold",
    "no_threshold": "no threshold was certified",
    "rules_decided": "Rules decided; no model had a part in it.",
    "what_moved_it": "What moved the score",
    "log_odds": "log-odds",
    "start": "Start",
    "sum": "Score",
    "more_signals": "{count} more signals, {total} together",
    "no_contributions": "The model gave no contributions for this decision.",
    "to_decide": "What to decide",
    "may_not_know": "What the agent may not know",
    "missing": "Missing from the package",
    "best_guess": "The agent's own best guess",
    "best_guess_hint": (
        "Form your own view first: a guess that is already there is easily agreed with."
    ),
    "how_decided": "How it was decided",
    "decided_by": "Decided by",
    "mode": "Mode",
    "policy": "Policy",
    "model": "Model",
    "task": "Task",
    "handoff": "Handoff",
    "epoch": "Epoch",
    "account": "Account",
    "domain": "Domain",
    "agent": "Agent",
    "acts_after_handover": "Agent acted after the handover",
    # --- case: what happened ---
    "what_happened": "What happened",
    "to_failure": "Last failure",
    "to_end": "End",
    "done_already": "Already done, and not undone by looking away",
    "asked_first": "The request",
    "by_user": "Written by the user",
    "by_agent": "Written by the agent",
    "by_tool": "Tool",
    "thought": "Thought by the agent",
    "recorded": "Recorded",
    "attempt": "attempt {number}",
    "again": "same call {times} of {same}",
    "writes": "changes something",
    "succeeded": "succeeded",
    "failed": "failed",
    "unanswered": "no answer",
    "arguments": "Arguments",
    "result": "Result",
    "error": "Error",
    "more_fields": "Other fields",
    "attachment": "Attachment",
    "unnamed": "without a name",
    "rest_of_text": "Show the other {count} characters",
    "nothing_happened": "The log holds no step.",
    # --- case: the conversation ---
    "talk": "Conversation since the handover",
    "by_person": "Written by {who}",
    "nothing_said": "Nobody has written anything yet.",
    "your_words": "Write to the user",
    "your_words_hint": "They see it where they wrote to the agent.",
    "send": "Send",
    "types": "Writing",
    "is_there": "There now",
    # --- case: take over ---
    "take_over": "Take over",
    "claim_hint": "Nobody has it yet. Claim it, and the task is yours.",
    "not_member": "You are not a member of {queue}; its members can claim this.",
    "since": "since",
    "resolve": "Resolve",
    "needed": "Did this task need a human?",
    "yes": "Yes",
    "no": "No",
    "uncertain": "Uncertain",
    "needed_hint": "Your verdict becomes a label the model learns from.",
    "note": "Note",
    "minutes": "Minutes spent",
    "package_enough": "Did the package tell you enough?",
    "enough": "Enough",
    "not_enough": "Not enough",
    "not_rated": "Skip",
    "what_missing": "What was missing?",
    "give_back": "Return to the agent",
    "guidance": "Guidance for the agent",
    "guidance_hint": "What the agent should do now, and what it did not know.",
    "release": "Release",
    "release_hint": "Back into the queue, for somebody else.",
    "package": "Package",
    "closed_by": "Closed by {who}",
    "verdict": "Verdict",
    "history": "History",
    "part_request": "original request",
    "part_conversation": "conversation",
    "part_attempts": "attempts",
    "part_reasoning": "reasoning",
    "part_guess": "best guess",
    "part_why": "why",
    "part_decision": "what to decide",
    "part_attachment": "attachment",
    "part_other": "other",
    "lacked": "What else was missing",
    "save_package": "Save the whole package",
    "save_package_hint": "Everything, byte for byte, as JSON. SHA-256 {digest}",
    "save_attachment": "Save",
    # --- overview ---
    "overview_title": "Overview",
    "queues": "Queues",
    "owner": "Owner",
    "members": "Members",
    "oldest": "Oldest",
    "claimed_now": "Claimed",
    "what_decides": "What decides",
    "rules_only": "none: rules decide",
    "model_problem": "Why",
    "policy_owner": "Policy owner",
    "review_by": "Policy review by",
    "digest": "Policy SHA-256",
    "certificate": "Certificate",
    "no_certificate": "none",
    "is_open": "Open now",
    "is_closed": "Closed now",
    "audit": "Audit log",
    "records": "Records",
    "root": "Root",
    "root_hint": (
        "Note size and root elsewhere: whoever holds an earlier pair can prove that "
        "nothing before it was changed."
    ),
    # --- what went wrong ---
    "lost_claim": "{who} was faster: they claimed this handoff.",
    "went_wrong": "That did not work",
    "our_fault": "The page failed for a reason of ours; the log of the service has it.",
    "not_ours": (
        "This form was not sent from a page of this console, so nothing was done. "
        "Open the page again and repeat."
    ),
    "not_here": "There is no such page",
    "not_here_hint": "The address may be mistyped, or the handoff belongs elsewhere.",
    "no_store": "The store does not answer",
    "no_store_hint": "Nothing was changed. Try again in a moment.",
    "too_long": "What was sent is too long. Nothing was changed.",
    "no_verdict": "Say whether the task needed a human: yes, no or uncertain.",
    "no_words": "Write what the user should read.",
    "no_guidance": "Write what the agent should do now.",
    "bad_minutes": "Minutes must be a number from 0 to 10,000.",
}

_UNITS = ((86_400, "{n} d"), (3_600, "{n} h"), (60, "{n} min"), (1, "{n} s"))


def say(key: str, **values: object) -> str:
    """Return the sentence called `key`, with its placeholders filled."""
    return WORDS[key].format(**values) if values else WORDS[key]


def span(length: timedelta) -> str:
    """Return `length` in the largest unit it fills at least twice, rounded down.

    Examples
    --------
    >>> [span(timedelta(seconds=s)) for s in (0, 59, 119, 120, 7300, 200_000)]
    ['0 s', '59 s', '119 s', '2 min', '2 h', '2 d']
    """
    seconds = int(abs(length.total_seconds()))
    for size, form in _UNITS:
        if seconds >= 2 * size:
            return form.format(n=seconds // size)
    return _UNITS[-1][1].format(n=seconds)
