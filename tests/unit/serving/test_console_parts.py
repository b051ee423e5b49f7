"""What the console's pages are made of: marks, times, bars, forms, sessions."""

from __future__ import annotations

import doctest
import html
import importlib
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.console import session
from serving.console.forms import FormError, fields_of
from serving.console.marks import Folded, coded, marked
from serving.console.timeline import Timeline, as_text
from serving.console.views import Bars, due, percent

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
KEY = b"k" * 32
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\U000e0000-\U000e007f]"
)
MARK = re.compile(r'<span class="mark" title="[^"<>]*">U\+([0-9A-F]+)</span>')


@pytest.mark.parametrize("name", ["marks", "rendering", "views", "words"])
def test_examples_hold(name: str) -> None:
    """What the docstrings of the console show is what happens."""
    module = importlib.import_module(f"serving.console.{name}")
    assert doctest.testmod(module).failed == 0
    assert doctest.testmod(module).attempted > 0


# --- text of strangers -------------------------------------------------------


@given(st.text())
def test_marks_hide_nothing_and_lose_nothing(text: str) -> None:
    """No hidden character and no markup is left, and the text can be read back."""
    shown = str(marked(text))
    assert not HIDDEN.search(shown)
    bare = MARK.sub(lambda m: chr(int(m[1], 16)), shown)
    assert not re.search("[<>]", bare.replace("&lt;", "").replace("&gt;", ""))
    assert html.unescape(bare) == text.replace("\r\n", "\n") or "\x00" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("a\r\nb\rc", "a\nb|U+000D|c"),
        ("\u2764\ufe0f", "\u2764\ufe0f"),
        ("\u2764\ufe0f\ufe0f", "\u2764\ufe0f|U+FE0F|"),
        ("x\ufe01", "x|U+FE01|"),
        ("\U000e0101", "|U+E0101|"),
    ],
)
def test_marks_stand_where_the_character_was(text: str, shown: str) -> None:
    """Line ends and emoji stay as they are; what hides something is marked."""
    assert MARK.sub(r"|U+\1|", str(marked(text))) == shown


@given(st.text(alphabet="ab `<", max_size=30))
def test_code_is_balanced(text: str) -> None:
    """Backticks open and close code in pairs, whatever stands between them."""
    shown = str(coded(text))
    assert shown.count("<code>") == shown.count("</code>") == text.count("`") // 2


@given(st.text(alphabet="a b\n", max_size=3_000))
def test_folding_loses_nothing(text: str) -> None:
    """Head and rest are the whole text; a short one is not cut."""
    folded = Folded.of(text)
    assert folded.head + folded.rest == text
    assert len(folded.head) <= 1_000
    if len(text) <= 1_000:
        assert folded.rest == ""


# --- what happened -----------------------------------------------------------


def package(**parts: Any) -> dict[str, Any]:
    """Return an empty package with `parts`."""
    lists = ("conversation", "attempts", "reasoning", "record", "reasons")
    empty: dict[str, Any] = {name: [] for name in lists}
    return {**empty, "base": None, "score": None, **parts}


def turn(at: str, speaker: str = "user") -> dict[str, Any]:
    """Return a message."""
    return {"at": at, "speaker": speaker, "text": at, "attachments": [], "rest": {}}


def attempt(number: int, at: str, **rest: Any) -> dict[str, Any]:
    """Return an attempt that went well, but for `rest`."""
    blank = {"repetition": 1, "tool": "pay", "arguments": {"n": number}, "result": None}
    state = {"is_write": False, "outcome": "succeeded", "error": None, "rest": []}
    return {"number": number, "at": at, **blank, **state, **rest}


moments = st.integers(0, 5).map(lambda s: f"2026-11-24T12:00:0{s}Z")


@given(st.lists(moments), st.lists(moments), st.lists(moments))
def test_merging_keeps_each_order(
    said: list[str], did: list[str], wrote: list[str]
) -> None:
    """The merged steps are all of them, and no list is reordered."""
    steps = Timeline.of(
        package(
            conversation=[turn(at) for at in said],
            attempts=[attempt(n, at) for n, at in enumerate(did, 1)],
            record=[{"at": at, "kind": "verifier"} for at in wrote],
        )
    ).steps
    by_voice = {
        voice: [step.at for step in steps if step.voice == voice]
        for voice in ("user", "tool", "record")
    }
    assert by_voice == {"user": said, "tool": did, "record": wrote}
    if all(times == sorted(times) for times in (said, did, wrote)):
        assert [step.at for step in steps] == sorted(said + did + wrote)


def test_fractions_of_a_second_count() -> None:
    """Times are compared as times, not as text."""
    at = ("2026-11-24T12:00:00Z", "2026-11-24T12:00:00.500Z")
    steps = Timeline.of(
        package(conversation=[turn(at[1])], attempts=[attempt(1, at[0])])
    ).steps
    assert [step.voice for step in steps] == ["tool", "user"]


def test_last_failure_is_found() -> None:
    """The last attempt that failed is where to look first; without one there is none."""
    at = "2026-11-24T12:00:00Z"
    failed = [attempt(1, at, outcome="failed"), attempt(2, at, outcome="failed")]
    timeline = Timeline.of(package(attempts=[*failed, attempt(3, at)]))
    assert timeline.last_failure == "attempt-2"
    assert Timeline.of(package(attempts=[attempt(1, at)])).last_failure is None


def test_same_calls_are_counted() -> None:
    """Calls with the same tool and arguments know how many they are."""
    at = "2026-11-24T12:00:00Z"
    same = [attempt(n, at, arguments={"a": 1}, repetition=n) for n in (1, 2)]
    steps = Timeline.of(package(attempts=[*same, attempt(3, at)])).steps
    assert [(step.times, step.same) for step in steps] == [(1, 2), (2, 2), (1, 1)]


@pytest.mark.parametrize(
    ("error", "shown"),
    [(True, ""), (None, ""), ({"type": "timeout"}, "timeout"), ("no", "no")],
)
def test_error_is_shown_plainly(error: Any, shown: str) -> None:
    """An error that is only a type is shown as its name."""
    steps = Timeline.of(
        package(attempts=[attempt(1, NOW.isoformat(), error=error)])
    ).steps
    assert steps[0].error == shown


def test_odd_parts_are_shown() -> None:
    """Thoughts of any shape, and attachments that are none, do not break the page."""
    at = NOW.isoformat()
    thoughts = [
        {"at": at, "kind": "plan", "content": {"text": "go", "step": 2}},
        {"at": at, "kind": "agent_message", "content": ["a", "b"]},
        {"at": at, "kind": "agent_message", "content": "because"},
    ]
    odd = {**turn(at), "attachments": [None, "x", {"name": 7}]}
    steps = Timeline.of(package(reasoning=thoughts, conversation=[odd])).steps
    assert [step.text for step in steps[1:]] == ["go", '["a","b"]', "because"]
    assert steps[1].notes == (("step", "2"),)
    assert [file.name for file in steps[0].attachments] == ["7"]


def test_long_values_are_folded() -> None:
    """A field that is short stands in the open; a long one is indented, and folded."""
    at = NOW.isoformat()
    record = {"at": at, "kind": "retrieval", "n": 3, "documents": ["x" * 80]}
    step = Timeline.of(package(record=[record])).steps[0]
    assert step.notes == (("n", "3"),)
    assert step.folded == (("documents", as_text(["x" * 80])),)
    assert "\n" in as_text(["x" * 80])


# --- numbers -----------------------------------------------------------------


def test_bars_add_up() -> None:
    """The largest are drawn, the others are one line, and their sum is told."""
    reasons = [
        {"signal": f"s{n}", "says": f"s{n}: 1; raises it", "contribution": c}
        for n, c in enumerate((0.5, -1.0, 0.25, 0.1, 0.1, 0.1, 0.04, -0.02, 0.0))
    ]
    bars = Bars.of(package(reasons=reasons, base=-1.0, score=0.07))
    assert [bar.signal for bar in bars.shown][:2] == ["s1", "s0"]
    assert (bars.shown[0].x, bars.shown[0].width) == (0.0, 50.0)
    assert (bars.shown[1].x, bars.shown[1].width) == (50, 25.0)
    assert [bar.signal for bar in bars.folded] == ["s6", "s7"]
    assert (bars.folded_total, bars.start, bars.score) == (
        "+0.02",
        "\u22121.00",
        "+0.07",
    )


@given(st.floats(0, 1))
def test_percent_never_claims_certainty(share: float) -> None:
    """0% and 100% are said of nothing that is not."""
    if 0.0005 < share < 0.9995:
        assert percent(share) not in ("0%", "100%", "0.0%", "100.0%")


def test_deadline_depends_on_the_state() -> None:
    """Who waits is due to be acknowledged, who is held to be resolved; then nothing."""
    item = {
        "acknowledge_by": (NOW - timedelta(minutes=3)).isoformat(),
        "resolve_by": (NOW + timedelta(hours=3)).isoformat(),
    }
    assert due({**item, "status": "QUEUED"}, NOW).says == "3 min late"
    assert due({**item, "status": "QUEUED"}, NOW).late
    assert due({**item, "status": "CLAIMED"}, NOW).says == "in 3 h"
    assert not due({**item, "status": "RESOLVED"}, NOW + timedelta(days=9)).late


# --- forms and sessions ------------------------------------------------------


def test_forms_are_read_as_browsers_send_them() -> None:
    """Several values of a field are kept, and so is an empty one."""
    assert fields_of(b"a=1&a=2&b=&c=%C3%A9+%26") == {
        "a": ["1", "2"],
        "b": [""],
        "c": ["é &"],
    }
    assert fields_of(b"") == {}


@pytest.mark.parametrize("body", [b"\xff", b"a", b"a=%ff", b"&".join([b"a=1"] * 101)])
def test_what_is_no_form_is_refused(body: bytes) -> None:
    """Bytes that no browser sends are refused."""
    with pytest.raises(FormError):
        fields_of(body)


@given(st.text(min_size=1, max_size=20), st.binary(min_size=1, max_size=8))
def test_session_names_who_signed_in(name: str, noise: bytes) -> None:
    """A session says who it is for until it ends; under another key it says nothing."""
    cookie = session.signed(name, key=KEY, now=NOW)
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", cookie)
    assert session.who(cookie, key=KEY, now=NOW) == name
    assert session.who(cookie, key=noise + KEY, now=NOW) is None
    assert session.who(cookie, key=KEY, now=NOW + session.LASTS) is None


@given(st.text(max_size=60))
def test_no_text_is_a_session(text: str) -> None:
    """Nothing that we did not sign names anybody."""
    assert session.who(text, key=KEY, now=NOW) is None
