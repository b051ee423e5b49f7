from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.ingest._spans.fields import (
    documents_of,
    spent_ms,
    tool_of,
    usage_of,
)
from features.ingest._spans.own import own
from features.ingest._talk.vocabulary import AGENT, USER, exchange, told

Json = dict[str, Any]

NAMES = [
    "additional_kwargs",
    "args",
    "arguments",
    "call_id",
    "choices",
    "content",
    "data",
    "error",
    "generations",
    "id",
    "input",
    "kwargs",
    "message",
    "messages",
    "name",
    "object",
    "output",
    "parts",
    "role",
    "status",
    "summary",
    "system",
    "text",
    "tool_calls",
    "type",
    "usage",
]
WORDS = st.sampled_from(["human", "ai", "function_call", "reasoning"])
T0 = datetime(2026, 1, 1, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES), inner | WORDS, max_size=4)
    ),
    max_leaves=20,
)


def lc(kind: str, **fields: Any) -> Json:
    place = ["langchain", "schema", "messages", kind]
    return {"lc": 1, "type": "constructor", "id": place, "kwargs": fields}


@given(value=JSON, role=st.sampled_from([USER, AGENT]))
def test_anything_is_messages_with_a_role(value: Any, role: str) -> None:
    """Whatever a span was given, what comes out are messages, and the value is left."""
    before = copy.deepcopy(value)
    found = told(value, role)
    assert value == before
    assert all(isinstance(m["role"], str) for m in found.messages)
    said = exchange(value, value)
    assert all("usage" not in m for m in [*said.inputs, *said.outputs])


@given(given_=JSON, answered=JSON)
def test_any_tool_span_has_a_tool_and_a_verdict_on_its_error(
    given_: Any, answered: Any
) -> None:
    """No input or output of a tool is too odd to be read."""
    tool = tool_of("t", given_, answered, None)
    assert tool["tool"] == "t"
    assert tool["error"] in (True, False) or isinstance(tool["error"], dict)
    assert all(isinstance(d, dict) for d in documents_of(answered))


# --- chat completions -------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("hi", "hi"),
        ({"messages": [{"role": "user", "content": "hi"}]}, "hi"),
        ({"messages": {"role": "user", "content": "hi"}}, "hi"),
        ([[{"role": "user", "content": "hi"}]], "hi"),
        ({"messages": [["human", "hi"]]}, "hi"),
        ({"question": "hi", "k": 3}, "hi"),
        ({"said": "hi"}, "hi"),
        ({"input": {"messages": [{"role": "user", "content": "hi"}]}}, None),
        (5, 5),
        ({"a": 1, "b": 2}, {"a": 1, "b": 2}),
    ],
)
def test_what_a_run_was_asked(value: Any, text: Any) -> None:
    """Messages are found in what holds them; anything else is the message itself."""
    (message,) = told(value, USER).messages
    assert message["role"] == "user"
    assert message["content"] == (value if text is None else text)


def test_nothing_is_no_message() -> None:
    """An empty input or output says nothing."""
    empty: list[Any] = [None, "", [], {}]
    for value in empty:
        assert told(value, USER).messages == []


def test_what_stood_beside_the_messages_is_kept() -> None:
    """Settings of the call stay; instructions become the first message."""
    said = exchange(
        {"messages": [{"role": "user", "content": "hi"}], "system": "Be.", "top_p": 1},
        {"choices": [{"message": {"role": "assistant", "content": "yo"}}], "id": "x"},
    )
    assert [m["role"] for m in said.inputs] == ["system", "user"]
    assert said.inputs[0]["content"] == "Be."
    assert said.rest == {"inputs": {"top_p": 1}, "outputs": {"id": "x"}}


def test_first_choice_speaks_and_the_others_are_kept() -> None:
    """An answer with alternatives is one answer, with what stood beside it."""
    logprobs = {"content": [{"logprob": -1.0}]}
    choices = [
        {
            "index": 0,
            "finish_reason": "stop",
            "logprobs": logprobs,
            "message": {"role": "assistant", "content": "a"},
        },
        {"index": 1, "message": {"role": "assistant", "content": "b"}},
    ]
    found = told({"choices": choices}, AGENT)
    (message,) = found.messages
    assert (message["content"], message["logprobs"]) == ("a", logprobs)
    assert message["finish_reason"] == "stop"
    assert found.rest == {"choices": choices}


def test_choice_may_be_the_message_itself() -> None:
    """Some proxies leave out the wrapper; lists too deep are taken as they are."""
    message = {"role": "assistant", "content": "a"}
    assert told({"choices": [message]}, AGENT).messages == [message]
    deep: Any = [[[[[[[message]]]]]]]
    assert told({"output": deep}, AGENT).messages[0]["content"] == {"output": deep}


def test_answer_that_repeats_what_was_given_is_what_is_new() -> None:
    """A graph gives back the whole conversation."""
    asked = [{"role": "user", "content": "hi"}]
    new = {"role": "assistant", "content": "yo"}
    said = exchange({"messages": asked}, {"messages": [*asked, new]})
    assert said.outputs == [new]


def test_usage_is_told_beside_the_answer_and_not_in_it() -> None:
    """A message that carries its usage would count it again at every repetition."""
    counted = {"prompt_tokens": 2}
    for answer in (
        {"choices": [], "object": "chat.completion", "usage": counted},
        {"role": "assistant", "content": "a", "usage": counted},
        {"generations": [[{"text": "a"}]], "llm_output": {"token_usage": counted}},
        lc("AIMessage", content="a", usage_metadata=counted),
    ):
        said = exchange([{"role": "user", "content": "q", "usage": counted}], answer)
        assert said.usage == counted
        assert all("usage" not in m for m in [*said.inputs, *said.outputs])


def test_parts_and_blocks_of_other_vocabularies_are_read() -> None:
    """GenAI parts and blocks of the Messages API become calls and results."""
    part = {"type": "tool_call", "id": "c", "name": "f", "arguments": {"n": 1}}
    (message,) = told([{"role": "assistant", "parts": [part]}], AGENT).messages
    assert message["tool_calls"][0]["function"]["name"] == "f"
    block = {"type": "tool_result", "tool_use_id": "c", "content": "ok"}
    (message,) = told([{"role": "user", "content": [block]}], USER).messages
    assert (message["role"], message["tool_call_id"]) == ("tool", "c")


# --- Responses --------------------------------------------------------------


def test_items_of_one_answer_are_one_message() -> None:
    """Reasoning, words and calls belong together; a result ends the answer."""
    thought = {
        "type": "reasoning",
        "id": "r",
        "summary": [{"type": "summary_text", "text": "hm"}],
        "encrypted_content": "x",
    }
    text = {"type": "output_text", "text": "One.", "logprobs": [{"logprob": -1.0}]}
    items = [
        {"role": "user", "content": "q"},
        thought,
        {"type": "message", "role": "assistant", "id": "m", "content": [text]},
        {
            "type": "function_call",
            "call_id": "c",
            "name": "f",
            "arguments": "{}",
            "id": "i",
        },
        {"type": "function_call_output", "call_id": "c", "output": "ok"},
        {"type": "message", "role": "assistant", "content": [{"text": "Two."}]},
        {"type": "message", "role": "assistant", "content": [{"text": "Three."}]},
    ]
    asked, answer, result, second, third = told(items, USER).messages
    assert asked["content"] == "q"
    assert answer["reasoning"] == thought["summary"]
    assert answer["content"] == [text]
    assert answer["logprobs"] == [{"logprob": -1.0}]
    assert answer["tool_calls"] == [
        {"id": "c", "function": {"name": "f", "arguments": "{}"}}
    ]
    assert answer["items"] == [thought, {"type": "function_call", "id": "i"}]
    assert (result["role"], result["tool_call_id"], result["content"]) == (
        "tool",
        "c",
        "ok",
    )
    assert second["content"] == [{"text": "Two."}]
    assert third["content"] == [{"text": "Three."}]


def test_hosted_tool_tells_its_result_at_once() -> None:
    """A call of the provider's own tool is a call and, where told, its result."""
    item = {
        "type": "mcp_call",
        "id": "h",
        "name": "find",
        "arguments": "{}",
        "output": "it",
        "server_label": "s",
    }
    call, result = told({"object": "response", "output": [item]}, AGENT).messages
    assert call["tool_calls"][0]["function"]["name"] == "find"
    assert call["items"] == [{"type": "mcp_call", "id": "h", "server_label": "s"}]
    assert (result["tool_call_id"], result["content"]) == ("h", "it")
    search = {"type": "web_search_call", "id": "w", "status": "failed", "action": {}}
    call, result = told([search], AGENT).messages
    assert call["tool_calls"][0]["function"] == {"name": "web_search", "arguments": {}}
    assert result["error"] is True


def test_failed_output_and_items_without_words_are_kept() -> None:
    """A result may say that it is incomplete; an item we cannot read stays whole."""
    output = {
        "type": "computer_call_output",
        "call_id": "c",
        "status": "incomplete",
        "output": {"type": "screenshot"},
    }
    other = {"type": "compaction", "id": "k"}
    result, kept = told([output, other], USER).messages
    assert (result["error"], result["content"]) == (True, {"type": "screenshot"})
    assert kept == {"role": "compaction", "content": [other]}


def test_response_without_output_says_nothing() -> None:
    """An empty answer is none, and not the whole response as a message."""
    found = told({"object": "response", "output": [], "model": "m"}, AGENT)
    assert found.messages == []
    assert found.rest == {"object": "response", "model": "m"}


# --- LangChain --------------------------------------------------------------


def test_what_is_no_langchain_message_is_the_message_itself() -> None:
    """A constructor of something else, or of nothing, speaks no role of its own."""
    prompt = lc("PromptTemplate", template="x")
    nameless: Json = {"id": [], "kwargs": {}}
    numbered: Json = {"id": [1], "kwargs": {}}
    roleless = {"type": "chat", "data": {"content": "x"}}
    calls = lc("AIMessage", content="", tool_calls=["?", {"name": "f"}])
    for value in (prompt, nameless, numbered, roleless):
        assert told(value, USER).messages == [{"role": "user", "content": value}]
    assert told(calls, AGENT).messages[0]["tool_calls"] == ["?", {"name": "f"}]


def test_three_forms_of_a_langchain_message_are_one() -> None:
    """Constructor, type with data, and type beside the fields say the same."""
    for value in (
        lc("HumanMessage", content="hi"),
        {"type": "human", "data": {"content": "hi"}},
        {"type": "human", "content": "hi"},
        lc("ChatMessage", content="hi", role="user"),
        lc("HumanMessageChunk", content="hi"),
    ):
        (message,) = told({"messages": [[value]]}, USER).messages
        assert (message["role"], message["content"]) == ("user", "hi")


def test_langchain_calls_results_reasoning_and_confidence_are_read() -> None:
    """What LangChain keeps aside is lifted, and stays where it was."""
    aside = {"reasoning_content": "hm"}
    answer = {"logprobs": {"content": [{"logprob": -0.5}]}, "model": "m"}
    message = lc(
        "AIMessage",
        content="",
        tool_calls=[{"name": "f", "args": {"n": 1}, "id": "c", "type": "tool_call"}],
        additional_kwargs=aside,
        response_metadata=answer,
    )
    result = lc("ToolMessage", content="no", tool_call_id="c", status="error", name="f")
    said, told_back = told([message, result], USER).messages
    assert said["tool_calls"] == [
        {
            "id": "c",
            "type": "tool_call",
            "function": {"name": "f", "arguments": {"n": 1}},
        }
    ]
    assert said["reasoning"] == "hm"
    assert said["logprobs"] == answer["logprobs"]
    assert (said["additional_kwargs"], said["response_metadata"]) == (aside, answer)
    assert told_back["role"] == "tool"
    assert (told_back["tool_call_id"], told_back["error"]) == ("c", True)


def test_older_langchain_keeps_calls_aside() -> None:
    """Calls under additional_kwargs are calls."""
    calls = [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]
    message = lc("AIMessage", content="", additional_kwargs={"tool_calls": calls})
    assert told(message, AGENT).messages[0]["tool_calls"] == calls


def test_generation_of_a_model_before_chat_is_its_text() -> None:
    """A text completion is the answer, with what stood beside it."""
    generation = {"text": "yo", "generation_info": {"logprobs": [-1.0]}}
    (message,) = told({"generations": [[generation]]}, AGENT).messages
    assert (message["content"], message["logprobs"]) == ("yo", [-1.0])
    completion = {"object": "text_completion", "choices": [{"text": "yo"}]}
    assert told(completion, AGENT).messages[0]["content"] == "yo"


# --- tools, documents, usage, our own words ----------------------------------


def test_tool_answer_may_be_a_message() -> None:
    """A tool of LangChain answers with a message, which names its call."""
    answer = {
        "output": lc("ToolMessage", content="no", tool_call_id="c", status="error")
    }
    tool = tool_of("f", {"input": '{"n": 1}'}, answer, None)
    assert tool == {
        "tool": "f",
        "call_id": "c",
        "arguments": {"n": 1},
        "text": "no",
        "error": True,
    }


def test_error_inside_a_successful_tool_is_one() -> None:
    """What an answer says of itself counts, and so does a status from 400 on."""
    for answer in (
        {"isError": True},
        {"status_code": 503},
        '{"error": "x"}',
        "Error: x",
    ):
        assert tool_of("f", None, answer, None)["error"] is True
    assert tool_of("f", None, {"status": "ok"}, None)["error"] is False
    failed = {"type": "E", "message": "x"}
    tool = tool_of("f", None, None, failed)
    assert tool["error"] == failed
    assert "text" not in tool


def test_documents_are_kept_as_they_came() -> None:
    """Texts become documents; what wraps the list is taken off."""
    assert documents_of({"documents": [{"a": 1}, "b"]}) == [{"a": 1}, {"content": "b"}]
    assert documents_of(None) == []
    assert documents_of("b") == [{"content": "b"}]


def test_usage_in_the_words_of_each() -> None:
    """Tokens and cost are found under any name; what counts nothing is no usage."""
    raw = {"promptTokens": 1, "completionTokens": 2, "cost": 0.5}
    assert usage_of(raw) == {"tokens_in": 1, "tokens_out": 2, "cost": 0.5, "extra": raw}
    assert usage_of({"seed": 1}) == {}
    assert usage_of(None) == {}
    assert spent_ms(None, None) == {}
    assert spent_ms(T0, T0 + timedelta(seconds=1.5)) == {"latency_ms": 1500.0}


def test_our_own_attributes_are_read() -> None:
    """Task, facts, confidence, readings and verifier of `escalation.*`."""
    told_ = own(
        {
            "escalation.task.id": 7,
            "escalation.task.domain": "d",
            "escalation.account.id": 5,
            "escalation.account.value": "12.5",
            "escalation.self.confidence": "0.25",
            "escalation.self.confidence_source": "self_critique",
            "escalation.self.interpretations": 3,
            "escalation.verifier.name": "v",
            "escalation.verifier.score": 0.5,
            "escalation.verifier.agree": "false",
            1: 2,
        },
        "s",
        None,
    )
    assert told_.task_id == "7"
    assert told_.facts == {"domain": "d", "account": {"id": "5", "value": 12.5}}
    assert told_.confidence == {"value": 0.25, "source": "self_critique"}
    assert told_.interpretations == 3
    (judged,) = told_.evaluations
    assert (judged.name, judged.score, judged.extra) == ("v", False, {"score": 0.5})


def test_log_probability_is_a_confidence_of_its_own_source() -> None:
    """The mean is read as its exponential, and what is no number is not."""
    told_ = own({"escalation.logprob.mean": 0.5}, "s", None)
    assert told_.confidence == {"value": 1.0, "source": "logprob"}
    assert own({"escalation.logprob.mean": "much"}, "s", None).confidence is None
    (judged,) = own({"escalation.verifier.score": 1}, "s", None).evaluations
    assert (judged.name, judged.key) == ("verifier", "s.verifier")
    assert own({"shop": 1}, "s", None) == own({}, "s", None)


def test_empty_list_of_messages_says_nothing() -> None:
    """A conversation that has not begun is no message of the user."""
    assert told({"messages": []}, "user").messages == []
    assert told([], "user").messages == []
