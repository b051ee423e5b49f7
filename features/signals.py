"""The signal catalogue: every input of the model, declared once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from features.aggregates import (
    Aggregate,
    Count,
    Distinct,
    First,
    Gap,
    Last,
    Max,
    Mean,
    Min,
    Ratio,
    Repeats,
    SinceLast,
    Slope,
    Streak,
    Sum,
    TailMean,
)


class Group(StrEnum):
    """What a signal speaks of."""

    CONFIDENCE = "confidence"
    VERIFIER = "verifier"
    LOOPS = "retries and loops"
    AMBIGUITY = "ambiguity"
    SENTIMENT = "sentiment"
    SENSITIVITY = "sensitivity"
    ACCOUNT = "account"
    EFFORT = "effort"
    AGENT = "agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A named number read off a task's past.

    Attributes
    ----------
    name : str
        Column name everywhere.
    unit : str
        ``"s"``, ``"ms"``, ``"count"``, ``"ratio"``, ``"words"``, …
    doc : str
        One line for people: console, model card, reasons.
    group : Group
        What it speaks of.
    aggregate : Aggregate
        How it is computed, online and in batch.
    direction : -1, 0 or 1
        1: more of it never lowers the risk; -1: never raises it; 0: no constraint.
        Becomes LightGBM's monotone constraint.
    trust : {"observed", "self_reported"}
        Self-reported values are the agent's word for it and may lie.
    """

    name: str
    unit: str
    doc: str
    group: Group
    aggregate: Aggregate
    direction: Literal[-1, 0, 1] = 0
    trust: Literal["observed", "self_reported"] = "observed"

    def __str__(self) -> str:
        """Return the signal's line in a schema: what a change of it would change."""
        return (
            f"{self.name} [{self.unit}] {self.aggregate!r} "
            f"direction={self.direction} trust={self.trust}"
        )


def _catalogue(
    group: Group,
    *rows: tuple[str, str, str, Aggregate, Literal[-1, 0, 1]],
    trust: Literal["observed", "self_reported"] = "observed",
) -> tuple[Signal, ...]:
    return tuple(
        Signal(
            name=name,
            unit=unit,
            doc=doc,
            group=group,
            aggregate=aggregate,
            direction=direction,
            trust=trust,
        )
        for name, unit, doc, aggregate, direction in rows
    )


SIGNALS: tuple[Signal, ...] = (
    *_catalogue(
        Group.CONFIDENCE,
        (
            "confidence_last",
            "ratio",
            "The agent's latest word on how sure it is",
            Last("confidence"),
            -1,
        ),
        (
            "confidence_mean",
            "ratio",
            "How sure the agent has called itself on average",
            Mean("confidence"),
            -1,
        ),
        (
            "confidence_min",
            "ratio",
            "The least sure the agent has called itself",
            Min("confidence"),
            -1,
        ),
        (
            "confidence_slope",
            "ratio per message",
            "Trend of the agent's own confidence",
            Slope("confidence"),
            -1,
        ),
        (
            "confidence_gap",
            "ratio",
            "How far the agent's confidence exceeds the verifier's score",
            Gap(Last("confidence"), Last("verifier")),
            0,
        ),
        trust="self_reported",
    ),
    *_catalogue(
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
        trust="self_reported",
    ),
    *_catalogue(
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
    ),
    *_catalogue(
        Group.LOOPS,
        (
            "call_repeats",
            "count",
            "Times the most repeated tool call came again, arguments and all",
            Repeats("call_key"),
            1,
        ),
        (
            "write_repeats",
            "count",
            "Times the most repeated writing call came again",
            Repeats("write_key"),
            0,
        ),
        (
            "agent_repeats",
            "count",
            "Times the agent repeated itself word for word",
            Repeats("agent_key"),
            1,
        ),
        (
            "user_repeats",
            "count",
            "Times the user had to repeat themselves word for word",
            Repeats("user_key"),
            0,
        ),
        ("tool_errors", "count", "Tool calls that failed", Sum("tool_error"), 1),
        (
            "tool_error_rate",
            "ratio",
            "Share of tool calls that failed",
            Mean("tool_error"),
            0,
        ),
        (
            "tool_error_streak",
            "count",
            "Tool calls in a row that failed",
            Streak("tool_error"),
            1,
        ),
        (
            "since_tool_error",
            "count",
            "Events since a tool last failed",
            SinceLast("tool_error"),
            0,
        ),
        (
            "write_errors",
            "count",
            "Writing calls that failed",
            Sum("write_error"),
            0,
        ),
        (
            "empty_results",
            "count",
            "Tool results that held nothing",
            Sum("empty_result"),
            0,
        ),
        (
            "distinct_calls_share",
            "ratio",
            "Share of tool calls that differ from all others",
            Ratio(Distinct("call_key"), Count("call_key")),
            0,
        ),
        (
            "distinct_calls",
            "count",
            "Different tool calls made",
            Distinct("call_key"),
            0,
        ),
    ),
    *_catalogue(
        Group.AMBIGUITY,
        (
            "request_words",
            "words",
            "Length of the user's first message",
            First("user_words"),
            0,
        ),
        (
            "request_conditions",
            "count",
            "Conditions in the user's first message",
            First("user_conditions"),
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
            "request_numbers",
            "count",
            "Numbers in the user's first message",
            First("user_numbers"),
            0,
        ),
        (
            "conditions",
            "count",
            "Conditions the user has set",
            Sum("user_conditions"),
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
            "user_lacks",
            "count",
            "Messages in which the user lacks what was asked for",
            Sum("user_lacks"),
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
            "gives_up",
            "count",
            "Messages in which the user gives up on a wish",
            Sum("user_gives_up"),
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
    *_catalogue(
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
            "thanks",
            "ratio",
            "Share of the user's messages that thank",
            Mean("user_thanks"),
            0,
        ),
        (
            "thanks_count",
            "count",
            "Messages of the user that thank",
            Sum("user_thanks"),
            0,
        ),
        (
            "displeasure_max",
            "ratio",
            "Displeasure in the user's worst message",
            Max("user_displeasure"),
            0,
        ),
    ),
    *_catalogue(
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
    ),
    *_catalogue(
        Group.ACCOUNT,
        (
            "account_value",
            "currency",
            "Value of the account at stake",
            Last("account_value"),
            0,
        ),
    ),
    *_catalogue(
        Group.EFFORT,
        ("steps", "count", "Events so far", Count("step"), 0),
        (
            "elapsed",
            "s",
            "Time since the task's first event",
            Gap(Last("at"), First("at")),
            0,
        ),
        (
            "user_messages",
            "count",
            "Messages of the user so far",
            Count("user_message"),
            0,
        ),
        ("tool_calls", "count", "Tool calls so far", Count("tool_call"), 0),
        (
            "distinct_tools",
            "count",
            "Different tools used so far",
            Distinct("tool_key"),
            0,
        ),
        (
            "calls_in_turn_max",
            "count",
            "Most tool calls between two messages of the user",
            Max("calls_in_turn"),
            0,
        ),
        (
            "calls_per_user_message",
            "ratio",
            "Tool calls per message of the user",
            Ratio(Count("tool_call"), Count("user_message")),
            0,
        ),
        (
            "calls_in_turn_mean",
            "count",
            "Mean place of a tool call in its turn",
            Mean("calls_in_turn"),
            0,
        ),
        (
            "agent_per_user_message",
            "ratio",
            "Messages of the agent per message of the user",
            Ratio(Count("agent_message"), Count("user_message")),
            0,
        ),
        ("writes", "count", "Calls that change something", Sum("write"), 0),
        (
            "since_write",
            "count",
            "Events since something was last changed",
            SinceLast("write"),
            0,
        ),
        (
            "calls_per_write",
            "ratio",
            "Tool calls per change made",
            Ratio(Count("tool_call"), Sum("write")),
            0,
        ),
        (
            "write_last",
            "0 or 1",
            "Whether the latest call changes something",
            Last("write"),
            0,
        ),
        (
            "confirms_beyond_writes",
            "count",
            "The user's confirmations beyond the changes made",
            Gap(Sum("user_confirms"), Sum("write")),
            0,
        ),
        (
            "distinct_writes",
            "count",
            "Different changes made",
            Distinct("write_key"),
            0,
        ),
        (
            "result_length_mean",
            "characters",
            "Mean length of a tool's result",
            Mean("result_length"),
            0,
        ),
        (
            "result_length_total",
            "characters",
            "Length of all tool results",
            Sum("result_length"),
            0,
        ),
        (
            "result_length_max",
            "characters",
            "Length of the longest tool result",
            Max("result_length"),
            0,
        ),
        (
            "latency_worst",
            "ms",
            "Mean of the three slowest tool results",
            TailMean("latency", 3),
            0,
        ),
        ("tokens", "count", "Tokens spent so far", Sum("tokens"), 0),
        ("cost", "currency", "Cost of model calls so far", Sum("cost"), 0),
    ),
    *_catalogue(
        Group.AGENT,
        (
            "agent_words_mean",
            "words",
            "Mean length of the agent's messages",
            Mean("agent_words"),
            0,
        ),
        (
            "agent_words_last",
            "words",
            "Length of the agent's latest message",
            Last("agent_words"),
            0,
        ),
        (
            "agent_words_max",
            "words",
            "Length of the agent's longest message",
            Max("agent_words"),
            0,
        ),
        (
            "agent_words_first",
            "words",
            "Length of the agent's first message",
            First("agent_words"),
            0,
        ),
        (
            "agent_words_slope",
            "words per message",
            "Trend of the length of the agent's messages",
            Slope("agent_words"),
            0,
        ),
        (
            "agent_numbers_mean",
            "ratio",
            "Numbers per message of the agent",
            Mean("agent_numbers"),
            0,
        ),
        (
            "agent_numbers_max",
            "count",
            "Most numbers in one message of the agent",
            Max("agent_numbers"),
            0,
        ),
        (
            "unseen_numbers_mean",
            "ratio",
            "Share of the numbers the agent states that nobody had mentioned",
            Mean("unseen_numbers"),
            0,
        ),
        (
            "unseen_numbers_worst",
            "ratio",
            "The same share, mean of the three worst messages",
            TailMean("unseen_numbers", 3),
            0,
        ),
        ("hedges", "count", "Hedging words of the agent", Sum("agent_hedges"), 0),
        (
            "hedges_mean",
            "ratio",
            "Hedging words per message of the agent",
            Mean("agent_hedges"),
            0,
        ),
        (
            "plan_hedges",
            "count",
            "Hedging words in the agent's plans",
            Sum("plan_hedges"),
            0,
        ),
        (
            "plans",
            "count",
            "Plans and pieces of reasoning so far",
            Count("plan"),
            0,
        ),
        (
            "apologies",
            "count",
            "Apologies of the agent",
            Sum("agent_apologies"),
            0,
        ),
        ("refusals", "count", "Refusals of the agent", Sum("agent_refusals"), 1),
        (
            "refusals_last",
            "count",
            "Refusals in the agent's latest message",
            Last("agent_refusals"),
            0,
        ),
        (
            "refusals_mean",
            "ratio",
            "Refusals per message of the agent",
            Mean("agent_refusals"),
            0,
        ),
        (
            "troubles",
            "count",
            "Words of technical trouble from the agent",
            Sum("agent_troubles"),
            0,
        ),
        (
            "troubles_last",
            "count",
            "Words of technical trouble in the agent's latest message",
            Last("agent_troubles"),
            0,
        ),
        (
            "next_steps",
            "count",
            "Words by which the agent says what happens next",
            Sum("agent_next_steps"),
            0,
        ),
        (
            "closings",
            "ratio",
            "Share of the agent's messages that round off",
            Mean("agent_closes"),
            0,
        ),
        (
            "offers",
            "ratio",
            "Offers and questions of confirmation per message of the agent",
            Mean("agent_offers"),
            0,
        ),
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
            "transfer_promises",
            "count",
            "Messages in which the agent announces a transfer",
            Sum("transfer_promise"),
            1,
        ),
        (
            "transfer_calls",
            "count",
            "Calls by which the agent itself hands over",
            Sum("transfer_call"),
            1,
        ),
        (
            "unkept_promises",
            "count",
            "Announced transfers beyond those that were made",
            Gap(Sum("transfer_promise"), Sum("transfer_call")),
            0,
        ),
    ),
)

NAMES: tuple[str, ...] = tuple(signal.name for signal in SIGNALS)


def schema_lines() -> list[str]:
    """Return one line per signal, in order: two schemas are equal iff these are."""
    return [str(signal) for signal in SIGNALS]


def schema_digest() -> str:
    """Return the SHA-256 (hex) of the schema."""
    return hashlib.sha256("\n".join(schema_lines()).encode()).hexdigest()
