from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from features.ingest._files import sources as _sources
from features.ingest._talk.messages import EPOCH

Take = Callable[..., Any]
USER = {"role": "user", "content": "hi"}


def record(*messages: Any, **beside: Any) -> dict[str, Any]:
    return {"id": "c", "messages": list(messages), **beside}


# --- messages ---------------------------------------------------------------


def test_one_task_from_start_to_end(take: Take) -> None:
    """Messages become events in order, with ids by position and the system kept."""
    call = {
        "id": "x1",
        "type": "function",
        "function": {"name": "get_order", "arguments": '{"n": 1}'},
    }
    landed = take(
        "chat",
        record(
            {"role": "system", "content": "Be kind."},
            {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
            {"role": "user", "content": "Where is it?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "x1", "content": '{"at": "depot"}'},
            {"role": "assistant", "content": "At the depot."},
        ),
    )
    assert landed.refusals == []
    assert [(e.event_id, str(e.kind)) for e in landed.events] == [
        ("start", "task_started"),
        ("m2", "user_message"),
        ("m3.call0", "tool_call"),
        ("m4", "tool_result"),
        ("m5", "agent_message"),
    ]
    assert {e.task_id for e in landed.events} == {"c"}
    assert landed.body("start") == {
        "text": "Where is it?",
        "system": "Be kind.\nBe brief.",
    }
    assert landed.body("m3.call0") == {
        "tool": "get_order",
        "arguments": {"n": 1},
        "call_id": "x1",
        "is_write": False,
    }
    assert landed.body("m4") == {
        "call_id": "x1",
        "tool": "get_order",
        "text": '{"at": "depot"}',
        "error": False,
    }
    assert landed.body("m5") == {"text": "At the depot."}


def test_message_with_words_and_calls_gives_both(take: Take) -> None:
    """Reasoning, words, calls and usage of one message come in this order."""
    message = {
        "role": "assistant",
        "content": "One moment.",
        "reasoning_content": "I should look.",
        "tool_calls": [
            {"id": 5, "function": {"name": "a", "arguments": "{not JSON"}},
            {"custom": {"name": "b", "input": "raw"}, "type": "custom"},
            {"name": "cancel", "arguments": {"n": 1}},
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "cost": 0.1, "total": 7},
    }
    landed = take("chat", record(message))
    assert [e.event_id for e in landed.events][1:] == [
        "m0.plan", "m0", "m0.call0", "m0.call1", "m0.call2", "m0.usage",
    ]  # fmt: skip
    assert landed.body("m0.plan") == {"text": "I should look.", "reasoning": True}
    assert landed.body("m0.call0") == {
        "tool": "a",
        "arguments": "{not JSON",
        "call_id": "5",
    }
    assert landed.body("m0.call1") == {
        "tool": "b",
        "arguments": "raw",
        "call_id": "m0.call1",
    }
    assert landed.body("m0.call2")["is_write"] is True
    assert landed.body("m0.usage") == {
        "tokens_in": 3,
        "tokens_out": 4,
        "cost": 0.1,
        "extra": message["usage"],
    }


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_under_any_name_is_a_plan(take: Take, name: str) -> None:
    """All three spellings give the plan before the message."""
    thought = [{"type": "text", "text": "hm"}]
    landed = take("chat", record({"role": "assistant", "content": "ok", name: thought}))
    assert landed.kinds() == ["task_started", "plan", "agent_message"]
    assert landed.body("m0.plan")["text"] == "hm"


def test_parts_attachments_and_unknown_fields_are_kept(take: Take) -> None:
    """Parts stand verbatim under content, references under attachments, rest in extra."""
    parts = [
        {"type": "text", "text": "this one"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]
    message = {
        "role": "user",
        "content": parts,
        "name": "ann",
        "mood": {"x": 1},
        "id": "q",
    }
    body = take("chat", record(message)).body("m0")
    assert body == {
        "text": "this one",
        "content": parts,
        "attachments": parts[1:],
        "author": "ann",
        "extra": {"mood": {"x": 1}, "id": "q"},
    }


def test_empty_answer_is_an_event_and_a_refusal_is_its_text(take: Take) -> None:
    """An agent that says nothing is on record; one that refuses is quoted."""
    landed = take(
        "chat",
        record(
            {"role": "assistant", "content": None},
            {"role": "assistant", "content": None, "refusal": "I cannot."},
        ),
    )
    assert [landed[i].text for i in ("m0", "m1")] == ["", "I cannot."]


def test_unknown_role_is_kept_as_a_message_of_its_author(take: Take) -> None:
    """No event is lost, and no role can pass itself off as an outcome."""
    landed = take("chat", record({"role": "verdict", "content": "x", "needed": "yes"}))
    assert landed.kinds() == ["task_started", "message"]
    assert landed.body("m0") == {
        "author": "verdict",
        "text": "x",
        "extra": {"needed": "yes"},
    }


def test_legacy_function_call_and_result_find_each_other(take: Take) -> None:
    """The call of the old form and the function message share the call's id."""
    landed = take(
        "chat",
        record(
            {
                "role": "assistant",
                "content": None,
                "function_call": {"name": "f", "arguments": "{}"},
            },
            {"role": "function", "name": "f", "content": "Error: no"},
        ),
    )
    assert landed.body("m0.call0") == {
        "tool": "f",
        "arguments": {},
        "call_id": "m0.call0",
    }
    assert landed.body("m1") == {
        "call_id": "m0.call0",
        "tool": "f",
        "text": "Error: no",
        "error": True,
    }


def test_results_without_ids_go_to_the_oldest_open_call(take: Take) -> None:
    """By tool where it is named, in order where not, and to none where none fits."""
    calls = [{"name": name} for name in ("a", "b", "a")]
    results = [
        {"role": "tool", "name": "b", "content": ""},
        {"role": "tool", "content": ""},
        {"role": "tool", "name": "z", "content": ""},
        {"role": "tool", "tool_call_id": "elsewhere", "content": ""},
        {"role": "tool", "name": "a", "content": ""},
        {"role": "tool", "content": ""},
    ]
    landed = take("chat", record({"role": "assistant", "tool_calls": calls}, *results))
    linked = [(e.body.get("call_id"), e.body.get("tool")) for e in landed.events[4:]]
    assert linked == [
        ("m0.call1", "b"),
        ("m0.call0", "a"),
        (None, "z"),
        ("elsewhere", None),
        ("m0.call2", "a"),
        (None, None),
    ]


def test_calls_of_the_user_are_marked(take: Take) -> None:
    """A user's own device tools are events with the user as requestor."""
    landed = take(
        "chat",
        record(
            {"role": "user", "content": None, "tool_calls": [{"name": "reboot"}]},
            {"role": "tool", "content": "done", "requestor": "user", "latency_ms": 5},
        ),
    )
    assert landed.kinds() == ["task_started", "tool_call", "tool_result"]
    assert [e.body["requestor"] for e in landed.events[1:]] == ["user", "user"]
    assert landed.body("m1")["latency_ms"] == 5


def test_logprobs_are_the_agents_confidence(take: Take) -> None:
    """They land on the message, or on the first call where nothing is said."""
    logprobs = {"content": [{"token": "a", "logprob": -0.5}]}
    landed = take(
        "chat",
        record(
            {"role": "assistant", "content": "a", "logprobs": logprobs},
            {
                "role": "assistant",
                "content": "",
                "logprobs": logprobs,
                "tool_calls": [{"name": "f"}],
            },
            {"role": "user", "content": "a", "logprobs": logprobs},
        ),
    )
    sure = {"value": pytest.approx(math.exp(-0.5)), "source": "logprob"}
    assert landed.body("m0")["confidence"] == sure
    assert landed.body("m1.call0")["confidence"] == sure
    assert "confidence" not in landed.body("m2")


def test_choices_add_the_answer(take: Take) -> None:
    """The answer of the last call comes after the messages, with logprobs and usage."""
    choice = {
        "message": {"role": "assistant", "content": "ok"},
        "logprobs": {"content": [{"logprob": 0}]},
        "finish_reason": "stop",
    }
    landed = take("chat", record(USER, choices=[choice], usage={"prompt_tokens": 9}))
    assert landed.body("m1") == {
        "text": "ok",
        "confidence": {"value": 1.0, "source": "logprob"},
        "extra": {"finish_reason": "stop"},
    }
    assert landed.body("m1.usage")["tokens_in"] == 9
    assert "extra" not in landed.body("start")


def test_several_choices_are_kept_and_not_guessed_at(take: Take) -> None:
    """Which of two answers was given is unknown, so both stay in extra."""
    choices = [{"message": {"role": "assistant"}}] * 2
    landed = take("chat", record(USER, choices=choices, usage={"prompt_tokens": 9}))
    assert landed.kinds() == ["task_started", "user_message"]
    assert landed.body("start")["extra"] == {
        "choices": choices,
        "usage": {"prompt_tokens": 9},
    }


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("hello", "`message` must be an object with a text `role`, found str"),
        ({"content": "x"}, "`message` must be an object with a text `role`"),
        (
            {"role": "assistant", "tool_calls": {"name": "f"}},
            "`tool_calls` must be a list",
        ),
        ({"role": "assistant", "tool_calls": [7]}, "`tool` must be present"),
        ({"role": "tool", "latency_ms": "slow"}, "`latency_ms` must be a number"),
    ],
)
def test_malformed_message_costs_itself_alone(take: Take, bad: Any, says: str) -> None:
    """It is refused by its id and the others keep their places."""
    landed = take("chat", record(USER, bad, USER))
    assert [e.event_id for e in landed.events] == ["start", "m0", "m2"]
    (refusal,) = landed.refusals
    assert says in refusal.error
    assert refusal.event_id is not None
    assert refusal.event_id.startswith("m1")


# --- times ------------------------------------------------------------------


def test_times_are_made_up_and_say_so_where_the_log_has_none(take: Take) -> None:
    """A second per position from a fixed epoch, marked; order is all they tell."""
    landed = take("chat", record(USER, USER, needed_human=True))
    assert [e.at for e in landed.events] == [
        EPOCH + timedelta(seconds=s) for s in range(4)
    ]
    assert all(e.body["at_synthetic"] is True for e in landed.events)


def test_times_of_the_log_are_kept(take: Take) -> None:
    """A told time is not marked; the next untold one goes on from it."""
    landed = take(
        "chat",
        record(
            USER,
            USER | {"timestamp": "2026-01-01T00:01:00"},
            USER | {"created_at": "soon"},
            created=1_767_225_600,
        ),
    )
    start = datetime(2026, 1, 1, tzinfo=UTC)
    seconds = [(e.at - start).total_seconds() for e in landed.events]
    assert seconds == [0, 1, 60, 61]
    marks = [e.body.get("at_synthetic", False) for e in landed.events]
    assert marks == [False, True, False, True]


def test_task_starts_with_its_first_told_time(take: Take) -> None:
    """Without a time of its own a task starts when its first timed message came."""
    landed = take("chat", record(USER | {"timestamp": "2026-01-01T00:01:00Z"}))
    assert landed["start"].at == datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
    assert "at_synthetic" not in landed["start"].body


# --- facts and outcomes -----------------------------------------------------


def test_facts_stand_beside_the_messages_or_in_metadata(take: Take) -> None:
    """Named facts land in task_started, numbers as text; the rest stays in extra."""
    landed = take(
        "chat",
        {
            "conversation_id": 42,
            "messages": [USER],
            "domain": "retail",
            "agent_version": 7,
            "customer": {"id": 9, "name": "Ann"},
            "account": {"id": 3, "value": 10.5, "tier": "gold"},
            "temperature": 0.2,
            "metadata": {
                "channel": "chat",
                "domain": "overruled",
                "locale": "en",
                "seed": 1,
            },
        },
    )
    assert {e.task_id for e in landed.events} == {"42"}
    assert landed.body("start") == {
        "domain": "retail",
        "channel": "chat",
        "locale": "en",
        "agent_version": "7",
        "group": "9",
        "account": {"id": "3", "value": 10.5, "tier": "gold"},
        "text": "hi",
        "extra": {"customer": {"id": 9, "name": "Ann"}, "temperature": 0.2, "seed": 1},
    }


def test_account_may_be_a_bare_id(take: Take) -> None:
    """An account given as a number or text is its id; one of another type is refused."""
    assert take("chat", record(USER, account=5)).body("start")["account"] == {"id": "5"}
    landed = take("chat", record(USER, account=[1]))
    assert landed.kinds() == ["user_message"]
    assert "`account.id` must be a string" in landed.refusals[0].error


@pytest.mark.parametrize("name", ["needed_human", "need_human", "needed", "verdict"])
@pytest.mark.parametrize(
    ("given", "needed"),
    [
        (True, "yes"),
        (False, "no"),
        ("Yes", "yes"),
        ("true", "yes"),
        ("uncertain", "uncertain"),
    ],
)
def test_verdict_of_the_log(take: Take, name: str, given: Any, needed: str) -> None:
    """Any of its names and spellings gives one verdict, after the messages."""
    landed = take("chat", record(USER, metadata={name: given}))
    assert landed.kinds() == ["task_started", "user_message", "verdict"]
    assert landed.body("verdict") == {"needed": needed, "source": "log"}
    assert name not in str(landed["start"].body)


def test_verdict_may_be_an_object_with_a_time(take: Take) -> None:
    """Who said it, its propensity and when it was given are kept."""
    given = {
        "needed": False,
        "by": "ann",
        "propensity": 0.5,
        "at": "2026-01-02T00:00:00Z",
    }
    verdict = take("chat", record(USER, verdict=given))["verdict"]
    assert verdict.at == datetime(2026, 1, 2, tzinfo=UTC)
    assert verdict.body == {
        "needed": "no",
        "by": "ann",
        "propensity": 0.5,
        "source": "log",
    }


@pytest.mark.parametrize(
    ("beside", "found"),
    [
        ({"needed": "maybe"}, "'maybe'"),
        ({"needed": 1}, "'int'"),
        ({"needed": True, "verdict": "no"}, "'no and yes'"),
        ({"verdict": {"by": "ann"}}, "'nonetype'"),
    ],
)
def test_unclear_verdict_is_refused(take: Take, beside: Any, found: str) -> None:
    """A verdict that is not one answer is no label."""
    landed = take("chat", record(USER, **beside))
    assert landed.kinds() == ["task_started", "user_message"]
    (refusal,) = landed.refusals
    assert refusal.event_id == "verdict"
    assert f"one of yes, no, uncertain, found {found}" in refusal.error


@pytest.mark.parametrize(
    ("given", "body"),
    [
        (True, {}),
        ("too slow", {"text": "too slow"}),
        ({"verified": True, "text": "x"}, {"verified": True, "text": "x"}),
        (False, None),
    ],
)
def test_complaint_of_the_log(take: Take, given: Any, body: Any) -> None:
    """True, words or an object is a complaint; false is none."""
    landed = take("chat", record(USER, complaint=given, needed="no"))
    complaints = [dict(e.body) for e in landed.events if e.kind == "complaint"]
    assert complaints == ([] if body is None else [body | {"at_synthetic": True}])


# --- records of a file ------------------------------------------------------


def test_bare_lists_and_lists_of_records_are_records(take: Take) -> None:
    """A line may be one task's messages, or several records; places name them."""
    landed = take("chat", [USER, USER], [record(USER), [USER]], {"messages": [USER]})
    starts = [e.task_id for e in landed.events if e.event_id == "start"]
    assert starts == ["log.jsonl:1", "c", "log.jsonl:2.1", "log.jsonl:3"]
    assert landed.refusals == []


@pytest.mark.parametrize(
    "bad",
    [
        "7",
        "[]",
        "[7]",
        '{"id": "x"}',
        '{"messages": []}',
        '{"messages": {}}',
        '{"messages": [1',
    ],
)
def test_record_without_messages_is_refused(take: Take, bad: str) -> None:
    """The line is told, and the next record lands."""
    landed = take("chat", record(USER), bad, {"messages": [USER], "id": "d"})
    assert [e.task_id for e in landed.events] == ["c", "c", "d", "d"]
    assert [r.line for r in landed.refusals] == [2]


RECORDS = [record(USER) | {"id": str(i), "note": 'a "[{,\\"\n\\'} for i in range(4)]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(RECORDS, indent=2),
        "\n" + json.dumps(RECORDS, indent=0).replace("[\n{", "[{", 1),
        "[" + ",\n".join(map(json.dumps, RECORDS)) + "\n]\n\n",
        json.dumps(RECORDS),
    ],
    ids=["indented", "brace on the first line", "a record a line", "one line"],
)
def test_whole_file_array_is_read_record_by_record(take: Take, text: str) -> None:
    """However the array is laid out, its records land in order."""
    for log_format in ("chat", "auto"):
        landed = take(log_format, text)
        assert landed.refusals == []
        assert [e.task_id for e in landed.events] == [
            i for i in "0123" for _ in range(2)
        ]


@pytest.mark.parametrize("piece", [1, 2, 3, 7])
def test_array_may_be_cut_anywhere_while_reading(
    take: Take, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    """Quotes, escapes and brackets are followed across the pieces of a read."""
    monkeypatch.setattr(_sources, "_PIECE", piece)
    landed = take("chat", json.dumps(RECORDS, indent=1))
    assert [
        e.body["extra"]["note"] for e in landed.events if e.event_id == "start"
    ] == [r["note"] for r in RECORDS]


def test_array_of_messages_is_one_task(take: Take) -> None:
    """A file that is one list of messages tells one task."""
    landed = take("chat", json.dumps([USER, USER], indent=1))
    assert [(e.task_id, e.event_id) for e in landed.events] == [
        ("log.jsonl:1", "start"),
        ("log.jsonl:1", "m0"),
        ("log.jsonl:1", "m1"),
    ]


def test_bad_element_of_an_array_is_refused_with_its_line(take: Take) -> None:
    """The other elements land; the line is the element's own."""
    text = f"[\n{json.dumps(RECORDS[0])},\n\n{{nonsense}},\n{json.dumps(RECORDS[1])}\n]"
    landed = take("chat", text)
    assert [e.task_id for e in landed.events] == ["0", "0", "1", "1"]
    assert [r.line for r in landed.refusals] == [4]


@pytest.mark.parametrize(
    ("end", "says"),
    [
        ("", "array of line 1 to be closed"),
        ("}", "array of line 1 to be closed by ], found } on line 4"),
        ("]\n[]", "nothing after the array"),
        ("]" + " " * 70_000 + "\n" + " " * 70_000 + "x", "nothing after the array"),
    ],
)
def test_array_that_does_not_end_is_told(take: Take, end: str, says: str) -> None:
    """What was whole has landed; the broken end is one refusal."""
    landed = take(
        "chat", f"[\n{json.dumps(RECORDS[0])},\n{json.dumps(RECORDS[1])}\n{end}"
    )
    ids = {e.task_id for e in landed.events}
    assert ids == ({"0"} if end == "" else {"0", "1"})
    (refusal,) = landed.refusals
    assert says in refusal.error


def test_blank_space_after_an_array_is_nothing(take: Take) -> None:
    """Trailing blanks longer than a piece are no refusal."""
    landed = take("chat", json.dumps(RECORDS, indent=1) + "\n" * 200_000)
    assert landed.refusals == []


def test_array_longer_than_a_line_may_be_is_streamed(
    take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One huge line is an array whose elements are limited one by one."""
    monkeypatch.setattr(_sources, "MAX_LINE_BYTES", 200)
    huge = record({"role": "user", "content": "x" * 500}, id="huge")
    landed = take("chat", json.dumps([RECORDS[0], huge, RECORDS[1]]))
    assert [e.task_id for e in landed.events] == ["0", "0", "1", "1"]
    assert ["at most 200 bytes" in r.error for r in landed.refusals] == [True]
