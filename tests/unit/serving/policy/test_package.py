from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.events import AgentEvent
from serving.policy.decision import Threshold
from serving.policy.package import ContextPackage, Outcome, PackageError, check, pack
from serving.policy.rules import Policy
from serving.policy.trigger import Decision, Draw, Facts, Firing, Load, decide

Decided = Callable[..., Decision]
PolicyOf = Callable[..., Policy]

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HASH = hashlib.sha256(b"receipt").hexdigest()


def log(*lines: dict[str, Any], task_id: str = "t") -> list[AgentEvent]:
    """Return events of the given kinds and bodies, a minute apart."""
    return [
        AgentEvent(
            task_id=task_id,
            event_id=f"e{n}",
            at=NOON + timedelta(minutes=n),
            kind=line["kind"],
            body={key: value for key, value in line.items() if key != "kind"},
        )
        for n, line in enumerate(lines)
    ]


def call(tool: str, **more: Any) -> dict[str, Any]:
    return {"kind": "tool_call", "tool": tool, **more}


def result(**more: Any) -> dict[str, Any]:
    return {"kind": "tool_result", **more}


STORY = log(
    {
        "kind": "task_started",
        "text": "Refund my *order* 17\nplease",
        "domain": "billing",
        "agent_version": "3.1",
        "account": {"id": "a1", "value": 900.0},
    },
    {
        "kind": "user_message",
        "text": "  Here is the **receipt**.\r\n\tSee file \u2014 thanks  ",
        "attachments": [{"name": "receipt.png", "sha256": HASH, "size": 7}],
        "client": {"app": "web"},
    },
    {"kind": "plan", "text": "Look up the order, then refund.", "steps": 2},
    call("get_order", arguments={"id": 17}, call_id="c1", thinking="which order?"),
    result(call_id="c1", text="order 17: 20 EUR", latency_ms=12),
    call("refund", arguments={"order": 17, "eur": 20}, call_id="c2", is_write=True),
    result(call_id="c2", error={"type": "timeout"}, text="no answer"),
    call("refund", arguments={"eur": 20, "order": 17}, call_id="c3", is_write=True),
    result(call_id="c3", text="ok"),
    {"kind": "verifier", "score": 0.2, "text": "amount not confirmed"},
    {"kind": "usage", "tokens_in": 10},
    {"kind": "x_custom", "text": "kept"},
    {
        "kind": "agent_message",
        "text": "I think it is refunded.",
        "confidence": {"value": 0.4, "source": "verbalized"},
        "interpretations": ["refund the order", "cancel the order"],
    },
    {"kind": "returned", "by": "ana", "guidance": "check the amount first"},
    {"kind": "user_message", "text": "It is not on my card!"},
)


@dataclass(frozen=True)
class Part:
    """A signal's contribution, as a model bundle gives it."""

    signal: str
    value: float
    contribution: float


PARTS = (
    Part("tool_errors", 1.0, 0.8),
    Part("verifier_last", 0.2, 0.5),
    Part("confidence_last", 0.4, -0.1),
    Part("elapsed", math.nan, 0.0),
    Part("of_an_older_model", 2.0, 0.1),
)


@pytest.fixture
def decision(policy_of: PolicyOf, decided: Decided) -> Decision:
    """Return a decision that escalates, by a rule with a question and by the model."""
    return decided(
        policy_of(), signals={"asks_for_human": 1.0}, risk=0.8, certified=0.5
    )


def packed(decision: Decision, events: list[AgentEvent], **more: Any) -> ContextPackage:
    stored = more.pop("stored", {HASH: 7})
    return pack(
        events,
        decision,
        more.pop("parts", PARTS),
        {"tool_errors": 1.0},
        stored=stored,
        **more,
    )


# --- what happened ------------------------------------------------------------


def test_the_request_is_the_text_the_task_started_with(decision: Decision) -> None:
    """It is kept as it came, and on one line for lists."""
    package = packed(decision, STORY)
    assert package.request == "Refund my *order* 17\nplease"
    assert package.short_request == "Refund my *order* 17 please"
    assert package.task == {k: v for k, v in STORY[0].body.items() if k != "text"}
    assert package.account == {"id": "a1", "value": 900.0}
    assert package.at == STORY[-1].at


def test_without_a_text_at_the_start_the_users_first_message_is_the_request(
    decision: Decision,
) -> None:
    """An empty text does not count; a long one is cut in lists, with a mark."""
    events = log(
        {"kind": "task_started", "text": " "},
        {"kind": "agent_message", "text": "Hello"},
        {"kind": "user_message", "text": "x" * 200},
    )
    package = packed(decision, events)
    assert package.request == "x" * 200
    assert package.short_request == "x" * 139 + "…"
    assert package.account == {}


def test_the_conversation_is_verbatim(decision: Decision) -> None:
    """Text, attachments and whatever else a message carried are kept as they came."""
    turns = packed(decision, STORY).conversation
    assert [turn.speaker for turn in turns] == ["user", "agent", "user"]
    assert turns[0].text == STORY[1].body["text"]
    assert turns[0].attachments == tuple(STORY[1].body["attachments"])
    assert turns[0].rest == {"client": {"app": "web"}}
    assert turns[1].rest["confidence"] == {"value": 0.4, "source": "verbalized"}


def test_attempts_are_told_step_by_step(decision: Decision) -> None:
    """Each call has its result or error, and a repeated call its number."""
    first, second, third = packed(decision, STORY).attempts
    assert (first.tool, first.outcome, first.result) == (
        "get_order",
        Outcome.SUCCEEDED,
        "order 17: 20 EUR",
    )
    assert first.arguments == {"id": 17}
    assert first.rest == {"thinking": "which order?"}
    assert first.result_rest == {"call_id": "c1", "latency_ms": 12}
    assert (first.answered_by, first.answered_at) == ("e4", STORY[4].at)
    assert (second.outcome, second.error) == (Outcome.FAILED, {"type": "timeout"})
    assert (second.result, second.repetition) == ("no answer", 1)
    assert (third.number, third.repetition, third.is_write) == (3, 2, True)


def test_results_without_an_id_answer_the_oldest_open_call(decision: Decision) -> None:
    """By tool where the result names one, else in order; an orphan stands alone."""
    events = log(
        call("a", call_id="c1"),
        call("b"),
        call("a"),
        result(tool="a", text="to the first a"),
        result(text="to b"),
        result(call_id="other", text="to the second a, which has no id"),
        result(call_id="c9", tool="z", text="to nobody", error=False),
        result(text="to nobody either"),
    )
    attempts = packed(decision, events).attempts
    assert [(a.tool, a.result) for a in attempts] == [
        ("a", "to the first a"),
        ("b", "to b"),
        ("a", "to the second a, which has no id"),
        ("z", "to nobody"),
        ("unknown tool", "to nobody either"),
    ]
    assert [a.repetition for a in attempts] == [1, 1, 2, 1, 1]
    assert all(a.outcome is Outcome.SUCCEEDED for a in attempts)
    assert attempts[3].event_id == "e6"


def test_an_answer_to_another_call_id_leaves_a_call_open(decision: Decision) -> None:
    """A call that nothing answers is unanswered, and the human is told."""
    events = log(
        call("refund", call_id="c1", is_write=True),
        call("get", call_id="c2"),
        result(call_id="c3", text="late"),
    )
    package = packed(decision, events)
    assert [a.outcome for a in package.attempts[:2]] == [Outcome.UNANSWERED] * 2
    assert package.done == ()
    assert (
        "whether `refund` (attempt 1) took effect, before anything is repeated"
        in package.to_decide
    )
    assert (
        "whether it took effect: no result of `refund` (attempt 1) was logged"
        in package.may_not_know
    )
    assert (
        "what it answered: no result of `get` (attempt 2) was logged"
        in package.may_not_know
    )


def test_reasoning_and_the_best_guess_are_kept(decision: Decision) -> None:
    """Plans come whole, and so does what the agent thought when it acted."""
    package = packed(decision, STORY)
    assert [t.content for t in package.reasoning] == [
        {"text": "Look up the order, then refund.", "steps": 2},
        "which order?",
    ]
    assert package.best_guess == "I think it is refunded."
    planned = packed(decision, STORY[:3])
    assert planned.best_guess == "Look up the order, then refund."


def test_every_other_event_is_kept(decision: Decision) -> None:
    """Verifiers and own kinds are in the record, usage and the start behind it."""
    package = packed(decision, STORY)
    record = package.record
    kinds = [line["kind"] for line in package.background]
    assert kinds == ["task_started", "usage"]
    assert package.log == tuple(event.event_id for event in STORY)
    assert [line["kind"] for line in record] == ["verifier", "x_custom", "returned"]
    assert record[2]["guidance"] == "check the amount first"
    assert record[0] == STORY[9].to_json()


def test_what_was_changed_already_is_named(decision: Decision) -> None:
    """Writes that succeeded are done; failed ones are not."""
    (done,) = packed(decision, STORY).done
    assert (done.tool, done.number) == ("refund", 3)


# --- why ----------------------------------------------------------------------


def test_each_trigger_is_told_in_words(decision: Decision) -> None:
    """What fired is in the package, with risk and threshold."""
    package = packed(decision, STORY)
    assert package.why == decision.firings
    assert [f.trigger for f in package.why] == ["user_asks_for_human", "learned"]
    assert (package.risk, package.threshold) == (0.8, 0.5)


def test_contributions_add_up_and_are_told_in_words(decision: Decision) -> None:
    """Base and contributions make the score; each is explained by its signal's line."""
    package = packed(decision, STORY, base=-1.0, score=0.3)
    total = -1.0 + sum(r.contribution for r in package.reasons)
    assert package.score == pytest.approx(total)
    assert [r.says for r in package.reasons] == [
        "Tool calls that failed: 1; raises the risk",
        "The latest verifier score: 0.2; raises the risk",
        "The agent's latest word on how sure it is: 0.4; lowers the risk",
        "Time since the task's first event: unknown; does not move the risk",
        "of_an_older_model: 2; raises the risk",
    ]
    assert package.reasons[3].value is None
    assert packed(decision, STORY, base=-1.0).score == pytest.approx(0.3)
    assert packed(decision, STORY, score=0.3).score == 0.3
    assert packed(decision, STORY).score is None


def test_contributions_that_do_not_add_up_are_refused(decision: Decision) -> None:
    """Reasons of another step would mislead; they are not packed."""
    with pytest.raises(
        PackageError, match=r"must add up to the score 0\.9, they come to"
    ):
        packed(decision, STORY, base=-1.0, score=0.9)


# --- what to decide, what may not be known ------------------------------------


def test_what_must_be_decided_is_listed(decision: Decision) -> None:
    """The policy's question, the readings, and the user's last words, each once."""
    assert packed(decision, STORY).to_decide == (
        "what the user wants",
        "which reading of the request is meant: refund the order | cancel the order",
        "what to answer to the user's last words: It is not on my card!",
    )


def test_tools_that_still_fail_are_to_be_decided_and_not_known(
    decision: Decision,
) -> None:
    """A tool that failed and has not worked since leaves a question and a gap."""
    events = log(
        call("a"),
        result(tool="a", error={"type": "timeout"}),
        call("a"),
        result(tool="a", error=True),
        call("b"),
        result(tool="b", error={"type": "http_500"}),
        call("c"),
        result(tool="c", error=True),
        call("c"),
        result(tool="c", text="works again"),
        {"kind": "agent_message", "text": "Hm.", "interpretations": 3},
    )
    package = packed(decision, events)
    assert package.to_decide == (
        "what the user wants",
        "how to go on without `a`",
        "how to go on without `b`: http_500",
    )
    assert package.may_not_know == (
        "what `a` would have answered: it failed 2 times",
        "what `b` would have answered: it failed once",
        "whether its answers are right: nothing in the log checked them",
    )


def test_there_is_always_something_to_decide(
    policy_of: PolicyOf, decided: Decided
) -> None:
    """Without any question of its own, the human decides how to go on."""
    decision = decided(policy_of(), risk=0.8, certified=0.5)
    events = log({"kind": "agent_message", "text": "Done.", "interpretations": ["one"]})
    assert packed(decision, events).to_decide == (
        "how to go on, given why it was handed over",
    )


def test_the_users_unanswered_words_are_not_known_to_the_agent(
    decision: Decision,
) -> None:
    """What the user wrote last has not been taken into account."""
    gaps = packed(decision, STORY).may_not_know
    assert gaps == (
        "what follows from the user's last words: it has not answered them",
    )


# --- what is missing ----------------------------------------------------------


def test_a_whole_package_misses_nothing(decision: Decision) -> None:
    """Where everything is there, nothing is listed."""
    assert packed(decision, STORY).missing == ()


def test_what_is_absent_is_listed(policy_of: PolicyOf, decided: Decided) -> None:
    """An empty log is packed all the same, and says what it lacks."""
    package = packed(decided(policy_of()), log({"kind": "usage"}), parts=())
    assert package.missing == (
        "original request: the log holds no text of the user",
        "conversation: the log holds no message",
        "reasoning: the agent logged none",
        "best guess: the agent logged no plan and no message",
        "contributions of the signals: the model did not give any",
        "why it escalated: no trigger fired",
        "what to decide: neither the log nor the policy asks anything",
    )
    assert package.lacking == (
        *("request", "conversation", "reasoning", "guess", "other", "why", "decision"),
    )


def test_a_tautology_is_listed_as_no_reason(
    policy_of: PolicyOf, decided: Decided
) -> None:
    """Who only says that a human is needed has given no reason."""
    wish = Firing(
        trigger="agent_asks_for_human", says="needs a human because it needs a human"
    )
    package = packed(decided(policy_of(), wishes=(wish,)), STORY)
    (missing,) = package.missing
    assert missing == (
        "why it escalated: 'agent_asks_for_human' only says "
        "'needs a human because it needs a human', which is no reason"
    )
    assert package.lacking == ("why",)
    assert package.why[0].says == (
        "needs a human because it needs a human (what the signals say: Tool calls that "
        "failed: 1; raises the risk; The latest verifier score: 0.2; raises the risk; "
        "of_an_older_model: 2; raises the risk)"
    )
    unmended = packed(decided(policy_of(), wishes=(wish,)), STORY, parts=())
    assert unmended.why == (wish,)


@pytest.mark.parametrize("attachment", [{"name": "a.png"}, {"sha256": ""}, "a.png"])
def test_an_attachment_without_its_hash_is_listed(
    decision: Decision, attachment: Any
) -> None:
    """What cannot be addressed by its content is kept and named."""
    extra = log({"kind": "user_message", "text": "see", "attachments": [attachment]})
    events = [*STORY, replace(extra[0], event_id="f0")]
    package = packed(decision, events)
    assert package.conversation[-1].attachments == (attachment,)
    (missing,) = package.missing
    assert missing.startswith("content hash (sha256) of an attachment of event 'f0'")
    assert package.lacking == ("attachment",)


# --- the whole ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([], "events of 0; pass"),
        ([*STORY, *log({"kind": "plan"}, task_id="u")], "events of 2: t, u; pass"),
    ],
)
def test_a_package_is_of_one_task(
    decision: Decision, events: list[AgentEvent], message: str
) -> None:
    """No events, or those of several tasks, are refused."""
    with pytest.raises(PackageError, match=message):
        packed(decision, events)


def test_the_digest_is_that_of_the_canonical_json(decision: Decision) -> None:
    """The address of a package is the hash of the bytes that are stored."""
    package = packed(decision, STORY)
    assert package.digest() == hashlib.sha256(package.canonical()).hexdigest()
    assert (
        orjson.dumps(package.to_json(), option=orjson.OPT_SORT_KEYS)
        == package.canonical()
    )
    assert package.to_json()["schema"] == "escalon.package/2"
    assert package.to_json()["at"] == "2026-11-24T12:14:00Z"
    assert packed(decision, STORY).digest() == package.digest()
    assert packed(decision, STORY[:-1]).digest() != package.digest()


def test_unknown_signals_are_left_out(decision: Decision) -> None:
    """NaN has no JSON; what is unknown is not listed among the signals."""
    package = pack(STORY, decision, (), {"steps": 3.0, "cost": math.nan})
    assert package.signals == {"steps": 3.0}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t[:-1], "event 'e14' stands 0 times in the package and 1 times"),
        (lambda t: (*t, t[0]), "event 'e1' stands 2 times in the package and 1 times"),
        (
            lambda t: (replace(t[0], text=t[0].text.strip()), *t[1:]),
            "'e1' is not packed",
        ),
        (lambda t: (replace(t[0], attachments=()), *t[1:]), "'e1' is not packed"),
        (lambda t: (replace(t[0], rest={}), *t[1:]), "'e1' is not packed"),
    ],
)
def test_a_package_from_which_something_was_stripped_is_refused(
    decision: Decision, spoil: Callable[[Any], Any], message: str
) -> None:
    """A message left out, doubled, trimmed or robbed of its file is noticed."""
    package = packed(decision, STORY)
    check(package, STORY)
    with pytest.raises(PackageError, match="not in the order of the log"):
        check(replace(package, log=package.log[::-1]), STORY)
    with pytest.raises(PackageError, match=message):
        check(replace(package, conversation=spoil(package.conversation)), STORY)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)
LINE = st.one_of(
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["user_message", "agent_message"]), "text": st.text()},
        optional={
            "attachments": st.lists(
                st.dictionaries(st.text(max_size=4), JSON), max_size=2
            ),
            "interpretations": st.integers(0, 3) | st.lists(JSON, max_size=3),
            "anything": JSON,
        },
    ),
    st.fixed_dictionaries(
        {"kind": st.just("tool_call"), "tool": st.sampled_from("abc")},
        optional={
            "arguments": JSON,
            "call_id": st.sampled_from("xyz"),
            "is_write": st.booleans(),
        },
    ),
    st.fixed_dictionaries(
        {"kind": st.just("tool_result")},
        optional={
            "tool": st.sampled_from("abc"),
            "call_id": st.sampled_from("xyz"),
            "error": st.booleans() | st.just({"type": "t"}),
            "text": st.text(),
        },
    ),
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(
                ["plan", "artifact", "x_own", "resolved", "task_started"]
            )
        },
        optional={"text": st.text(), "anything": JSON},
    ),
)
DECISION = decide(
    {"asks_for_human": 1.0},
    Facts(),
    None,
    Policy.default(),
    Load(),
    Draw(uniform=0.5, targeted=0.5, canary=0.5),
    certificate=Threshold(threshold=None),
    model_version=None,
)


@given(st.lists(LINE, min_size=1, max_size=12))
def test_nothing_that_was_said_or_done_is_lost(lines: list[dict[str, Any]]) -> None:
    """Through JSON and back, each message is byte-equal and each result has a place."""
    events = log(*lines)
    wire = orjson.loads(packed(DECISION, events).canonical())
    said = [e for e in events if e.kind in ("user_message", "agent_message")]
    assert [t["text"].encode() for t in wire["conversation"]] == [
        e.text.encode() for e in said
    ]
    assert [t["attachments"] for t in wire["conversation"]] == [
        e.body.get("attachments", []) for e in said
    ]
    assert [t["rest"].get("anything") for t in wire["conversation"]] == [
        e.body.get("anything") for e in said
    ]
    answered = [a for a in wire["attempts"] if a["outcome"] != "unanswered"]
    assert len(answered) == sum(e.kind == "tool_result" for e in events)
    assert [a["number"] for a in wire["attempts"]] == list(
        range(1, len(wire["attempts"]) + 1)
    )
    called = [
        a["arguments"] for a in wire["attempts"] if a["event_id"] in _calls(events)
    ]
    assert called == [e.body.get("arguments") for e in events if e.kind == "tool_call"]
    others = ("artifact", "x_own", "resolved")
    assert wire["record"] == [e.to_json() for e in events if e.kind in others]


def _calls(events: list[AgentEvent]) -> set[str]:
    return {event.event_id for event in events if event.kind == "tool_call"}
