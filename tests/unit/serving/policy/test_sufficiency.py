from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from features.events import AgentEvent
from serving.policy.context import Reason
from serving.policy.sufficiency import (
    PackagePart,
    attached,
    hash_of,
    lacks,
    mended,
)
from serving.policy.trigger import Firing
from serving.policy.words import is_tautology

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HASH = "ab" * 32

# Sentences with which packages were handed over, and that tell a receiver nothing.
SAY_NOTHING = [
    "",
    "   ",
    "...",
    "Needs a human.",
    "needs human review",
    "Human review required",
    "Manual intervention required.",
    "Manual review is needed because manual review is required.",
    "This task requires human attention.",
    "This issue requires the involvement of a person.",
    "The agent was unable to complete the task.",
    "Unable to proceed, escalating to a human.",
    "I cannot handle this request.",
    "I cannot continue with this request.",
    "Escalated because escalation criteria were met",
    "Escalation triggered.",
    "Escalation rule fired: escalate",
    "The case was escalated since escalation was needed",
    "Handing over to a human colleague.",
    "Transferring to a human agent for further assistance.",
    "Please review.",
    "Please take a look and decide how to proceed.",
    "Someone should look into this.",
    "A specialist must take over.",
    "Operator input needed",
    "Needs approval.",
    "Further action required.",
    "The situation requires a decision by a person.",
    "Support needed, urgent",
    "Threshold reached",
    "A person needs to intervene in this case.",
    "Merge conflicts require humans because merge conflicts require humans",
    "Der Vorgang braucht einen Menschen.",
    "Der Fall wird übergeben, weil ein Mensch nötig ist.",
    "Menschliche Prüfung erforderlich",
    "Se requiere intervención humana",
    "El caso necesita una persona porque se requiere una persona",
]
SAY_SOMETHING = [
    "the user asked for a person",
    "The customer wants a refund above the agent's limit.",
    "needs a human because the card was declined",
    "the refund failed because the card had expired",
    "Tool `get_order` failed three times with a timeout.",
    "The verifier disagrees with the amount.",
    "The user threatened legal action.",
    "Two accounts match this name; which one is meant?",
    "Merge conflict in billing.py between the two tax branches.",
    "Approval of a discount of 40 percent is needed.",
    "The same call came again five times.",
    "predicted risk 0.83 that the agent fails alone",
    "weil die Karte abgelaufen ist",
    "El cliente pide hablar con su gestor",
    "No answer from the warehouse system since Monday.",
    "The agent contradicted itself about the return window.",
    "Please decide whether the parcel counts as lost.",
]


@pytest.mark.parametrize("sentence", SAY_NOTHING)
def test_what_says_nothing_is_no_reason(sentence: str) -> None:
    """Paraphrases of "needs a human" are told from reasons, and so is silence."""
    assert is_tautology(sentence)


@pytest.mark.parametrize("sentence", SAY_SOMETHING)
def test_what_says_something_is_a_reason(sentence: str) -> None:
    """One word about this task is enough: a reason must not be called none."""
    assert not is_tautology(sentence)


def event(kind: str = "user_message", event_id: str = "e1", **body: Any) -> AgentEvent:
    return AgentEvent(task_id="t", event_id=event_id, at=NOON, kind=kind, body=body)


def fired(says: str) -> Firing:
    return Firing(trigger="loop", says=says)


WHOLE: dict[str, Any] = {
    "request": "Where is it?",
    "conversation": ["a turn"],
    "record": [],
    "attempts": [],
    "reasoning": ["a thought"],
    "best_guess": "lost",
    "reasons": ["a contribution"],
    "why": (fired("the same call came again"),),
    "attachments": (),
}


def lacking(
    *events: AgentEvent, asked: tuple[str, ...] = ("what to send",), **parts: Any
) -> list[tuple[str, str]]:
    found = lacks({**WHOLE, **parts}, asked, events)
    return [(str(lack.part), lack.says) for lack in found]


def test_a_whole_package_lacks_nothing() -> None:
    """A task without a tool call lacks no attempts."""
    assert lacking(event(text="Where is it?")) == []


@pytest.mark.parametrize(
    ("field", "part"),
    [
        ("request", "request"),
        ("conversation", "conversation"),
        ("reasoning", "reasoning"),
        ("best_guess", "guess"),
        ("reasons", "other"),
        ("why", "why"),
    ],
)
def test_each_part_that_is_not_there_is_named(field: str, part: str) -> None:
    """By a name of the closed vocabulary, once."""
    empty: Any = "" if isinstance(WHOLE[field], str) else ()
    ((found, _),) = lacking(**{field: empty})
    assert found == part
    assert found in list(PackagePart)


def test_calls_that_are_not_listed_are_missed() -> None:
    """Only where tools were called."""
    ((part, says),) = lacking(event("tool_call", tool="refund"))
    assert (part, says) == (
        "attempts",
        "attempts: tools were called and none is listed",
    )


def test_a_question_that_asks_nothing_is_named() -> None:
    """No question at all is as bad as one that fits any task."""
    assert lacking(asked=()) == [
        ("decision", "what to decide: neither the log nor the policy asks anything")
    ]
    assert lacking(asked=("what to send", "how to proceed")) == [
        ("decision", "what to decide: 'how to proceed' asks nothing about this task")
    ]


@pytest.mark.parametrize(
    ("stored", "size", "says"),
    [
        ({HASH: 7}, 7, None),
        ({HASH: 7}, None, None),
        ({}, 7, "attachment 'a.png' of event 'e1': it was named and never sent"),
        (
            {HASH: 7},
            8,
            "attachment 'a.png' of event 'e1': 8 bytes were named, 7 are kept",
        ),
    ],
)
def test_attachments_are_held_against_what_is_kept(
    stored: dict[str, int], size: int | None, says: str | None
) -> None:
    """Absent bytes, and others than were named, are told to who takes over."""
    named = {"name": "a.png", "sha256": HASH} | ({} if size is None else {"size": size})
    sent = event(attachments=[named])
    files = tuple(attached([sent], stored))
    assert (files[0].name, files[0].size, files[0].stored) == (
        "a.png",
        size,
        stored.get(HASH),
    )
    found = lacking(sent, attachments=files)
    assert found == ([] if says is None else [("attachment", says)])


@pytest.mark.parametrize("digest", [None, 7, "", "ab", "AB" * 32, "g" * 64, HASH + "a"])
def test_only_a_hash_names_a_file(digest: object) -> None:
    """What cannot be one is listed as such, not looked for."""
    assert hash_of({"sha256": digest}) is None
    assert hash_of(HASH) is None
    assert hash_of({"sha256": HASH}) == HASH


@pytest.mark.parametrize(
    ("sent", "part"),
    [
        (event(text="We saw that ... [truncated]"), "conversation"),
        (event(text="a long one <truncated 2,300 characters>"), "conversation"),
        (event("tool_result", text="rows… (output truncated)"), "attempts"),
        (event("plan", text="short", truncated=True), "reasoning"),
        (event("x_own", text="...truncated"), "other"),
    ],
)
def test_texts_cut_before_they_came_are_named(sent: AgentEvent, part: str) -> None:
    """A receiver must know that there was more, and that it is not here."""
    attempts = {"attempts": ["a call"]}
    ((found, says),) = lacking(sent, **attempts)
    assert found == part
    assert says == "the end of event 'e1': whoever sent it had cut it"


@pytest.mark.parametrize(
    "text", ["The file was truncated.", "[truncated] is what it said, then more", "…"]
)
def test_a_word_in_the_middle_is_no_cut(text: str) -> None:
    """Only a mark at the very end says that the rest is gone."""
    assert lacking(event(text=text)) == []


def test_only_what_gives_no_reason_is_mended() -> None:
    """With the signals that raise the risk and are known, at most three of them."""
    reasons = [
        Reason(signal=f"s{n}", value=value, contribution=c, says=f"signal {n}")
        for n, (value, c) in enumerate(
            [(1.0, 0.9), (None, 0.8), (1.0, -0.7), (1.0, 0.6), (1.0, 0.5), (1.0, 0.4)]
        )
    ]
    empty, sound = mended((fired("needs a human"), fired("the card expired")), reasons)
    assert empty.says == (
        "needs a human (what the signals say: signal 0; signal 3; signal 4)"
    )
    assert sound.says == "the card expired"
    assert mended((fired(""),), reasons[:1])[0].says == (
        "(what the signals say: signal 0)"
    )
