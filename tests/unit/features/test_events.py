from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.events import (
    OUTCOME_KINDS,
    AgentEvent,
    ContractError,
    EventKind,
    parse,
    parse_time,
)
from features.online import TaskState

HEAD = {"task_id": "t", "event_id": "e1", "at": "2026-01-31T09:00:00Z"}

MESSAGE = {"text": "hello", "attachments": [{"name": "a.png"}]}
REVIEW = {"needed": "yes", "by": "r1", "note": "late", "propensity": 0.25}

# Every field that the contract knows, by kind, with a value that keeps it.
FULL: dict[str, dict[str, Any]] = {
    "task_started": {
        "domain": "retail",
        "channel": "chat",
        "locale": "en-GB",
        "agent_id": "a",
        "agent_version": "3",
        "model": "m",
        "text": "cancel it",
        "group": "g",
        "account.id": "acc",
        "account.value": 12.5,
        "account.tier": "gold",
    },
    "user_message": MESSAGE,
    "agent_message": MESSAGE
    | {
        "confidence.value": 0.9,
        "confidence.source": "verbalized",
        "interpretations": 2,
    },
    "plan": {"text": "first this, then that"},
    "tool_call": {
        "tool": "cancel_order",
        "arguments": {"id": "W1"},
        "call_id": "c1",
        "is_write": True,
    },
    "tool_result": {
        "call_id": "c1",
        "tool": "cancel_order",
        "text": "ok",
        "reference": "s3://b/k",
        "error": {"type": "timeout"},
        "latency_ms": 12,
    },
    "verifier": {
        "verifier": "v",
        "score": 1,
        "agree": False,
        "about": "e0",
        "text": "no",
    },
    "retrieval": {"documents": [{"id": 1}], "attachments": []},
    "artifact": {"text": "draft", "attachments": [{}]},
    "usage": {"tokens_in": 10, "tokens_out": 3, "cost": 0.002},
    "verdict": REVIEW,
    "audit_verdict": REVIEW,
    "resolved": REVIEW,
    "complaint": {"verified": False, "text": "never done"},
    "reopened": {"text": "again"},
}

EXPECTED = {
    "tool_call.tool": "a non-empty string",
    "by": "a non-empty string",
    "confidence.value": "a number in [0, 1]",
    "score": "a number in [0, 1]",
    "propensity": "a number in (0, 1]",
    "account.value": "a number >= 0",
    "latency_ms": "a number >= 0",
    "tokens_in": "a number >= 0",
    "tokens_out": "a number >= 0",
    "cost": "a number >= 0",
    "is_write": "true or false",
    "agree": "true or false",
    "verified": "true or false",
    "attachments": "a list of objects",
    "documents": "a list of objects",
    "interpretations": "a whole number >= 0 or a list",
    "error": "true, false, or an object with a `type`",
    "confidence.source": "one of logprob, verbalized, self_critique",
    "needed": "one of yes, no, uncertain",
}
FIELDS = [(kind, path) for kind, body in FULL.items() for path in body]
# A tool takes any JSON.
CHECKED = [pair for pair in FIELDS if pair != ("tool_call", "arguments")]


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    """Return `flat` with its dotted paths unfolded."""
    body: dict[str, Any] = {}
    for path, value in flat.items():
        head, dot, tail = path.partition(".")
        if dot:
            body.setdefault(head, {})[tail] = value
        else:
            body[head] = value
    return body


def refused(line: Any, **context: Any) -> ContractError:
    """Return the error with which `line` is refused."""
    with pytest.raises(ContractError) as caught:
        parse(line, **context)
    return caught.value


@pytest.mark.parametrize("kind", FULL)
def test_a_full_body_is_kept_as_it_came(kind: str) -> None:
    """An event with every field the contract knows lands, each field unchanged."""
    body = nested(FULL[kind])
    event = parse(HEAD | {"kind": kind} | body)
    assert event.body == body
    assert (event.task_id, event.event_id, event.kind) == ("t", "e1", kind)
    assert event.at == datetime(2026, 1, 31, 9, tzinfo=UTC)


@pytest.mark.parametrize(("kind", "path"), CHECKED)
def test_a_field_of_the_wrong_form_is_refused_by_name(kind: str, path: str) -> None:
    """A value no field can have is refused, naming field, expectation and finding."""
    error = refused(HEAD | {"kind": kind} | nested(FULL[kind] | {path: -0.5}))
    assert error.event_id == "e1"
    assert error.field == path
    assert error.expected == EXPECTED.get(
        f"{kind}.{path}", EXPECTED.get(path, "a string")
    )
    assert error.found == "-0.5"
    for part in ("'e1'", f"`{path}`", error.expected, "-0.5"):
        assert part in str(error)


@pytest.mark.parametrize(("kind", "path"), FIELDS)
def test_null_is_as_good_as_absent(kind: str, path: str) -> None:
    """A field that is null is treated like one that is not there."""
    with_null = HEAD | {"kind": kind} | nested(FULL[kind] | {path: None})
    without = {k: v for k, v in FULL[kind].items() if k != path}
    outcome, expected = (
        parsed(with_null),
        parsed(HEAD | {"kind": kind} | nested(without)),
    )
    assert type(outcome) is type(expected)
    assert str(getattr(outcome, "field", "")) == str(getattr(expected, "field", ""))


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("tool_call", "tool"),
        ("verdict", "needed"),
        ("audit_verdict", "needed"),
        ("audit_verdict", "propensity"),
    ],
)
def test_a_required_field_must_be_there(kind: str, path: str) -> None:
    """Without a field its kind cannot do without, an event is refused."""
    body = {k: v for k, v in FULL[kind].items() if k != path}
    error = refused(HEAD | {"kind": kind} | body)
    assert (error.field, error.found) == (path, "nothing")
    assert error.expected.startswith("present, ")


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("agent_message", "confidence", {"value": True}),
        ("agent_message", "confidence", {"value": 1.0000001}),
        ("agent_message", "confidence", {"value": float("nan")}),
        ("agent_message", "confidence", {"value": "0.5"}),
        ("agent_message", "interpretations", True),
        ("agent_message", "interpretations", 2.0),
        ("agent_message", "interpretations", 10**400),
        ("task_started", "account", {"value": float("inf")}),
        ("task_started", "account", {"value": 10**400}),
        ("tool_call", "tool", ""),
        ("tool_result", "error", {"message": "no type"}),
        ("tool_result", "error", "timeout"),
        ("retrieval", "documents", [{}, "d"]),
        ("verifier", "score", [1]),
        ("verdict", "needed", ["yes"]),
        ("audit_verdict", "propensity", 0),
        ("audit_verdict", "propensity", 1.5),
    ],
)
def test_values_just_outside_the_contract_are_refused(
    kind: str, field: str, value: Any
) -> None:
    """Bounds are strict, numbers are finite, and true is not a number."""
    error = refused(HEAD | {"kind": kind} | nested(FULL[kind]) | {field: value})
    assert error.field.startswith(field)


@pytest.mark.parametrize("head", ["account", "confidence"])
@pytest.mark.parametrize("value", ["gold", [1], 0.5])
def test_a_part_that_must_be_an_object_is_refused_as_one(head: str, value: Any) -> None:
    """A scalar where an object stands is refused under the object's own name."""
    kind = "task_started" if head == "account" else "agent_message"
    error = refused(HEAD | {"kind": kind, head: value})
    assert (error.field, error.expected) == (head, "an object")
    assert error.found == repr(value)


@pytest.mark.parametrize("name", ["task_id", "event_id", "kind"])
@pytest.mark.parametrize("value", [None, "", 7, ["x"], "absent"])
def test_an_event_has_a_name_a_task_and_a_kind(name: str, value: Any) -> None:
    """Without its ids and kind, as non-empty strings, nothing is an event."""
    line = HEAD | {"kind": "plan", name: value}
    if value == "absent":
        del line[name]
    error = refused(line)
    assert (error.field, error.expected) == (name, "a non-empty string")
    assert error.found == ("nothing" if value in (None, "absent") else repr(value))


@pytest.mark.parametrize("line", [None, [], "text", 3])
def test_what_is_no_object_is_no_event(line: Any) -> None:
    """A JSON value that is not an object is refused as such."""
    error = refused(line)
    assert (error.field, error.expected) == ("event", "an object")
    assert error.event_id is None


def test_a_task_id_may_come_from_the_call() -> None:
    """An event without a task takes that of the call, one of another is refused."""
    line = {k: v for k, v in HEAD.items() if k != "task_id"} | {"kind": "plan"}
    assert parse(line, task_id="t9").task_id == "t9"
    assert parse(line | {"task_id": "t9"}, task_id="t9").task_id == "t9"
    error = refused(line | {"task_id": "t8"}, task_id="t9")
    assert (error.field, error.found) == ("task_id", "'t8'")
    assert "'t9'" in error.expected


def test_unknown_kinds_and_fields_are_kept() -> None:
    """What the contract does not know lands untouched, and is no outcome."""
    own = {"kind": "robot_moved", "speed": -1, "path": [{"x": None}]}
    event = parse(HEAD | own)
    assert event.kind == "robot_moved"
    assert event.body == {"speed": -1, "path": [{"x": None}]}
    assert not event.is_outcome
    known = parse(HEAD | {"kind": "plan", "tool": 7, "mood": "good"})
    assert known.body == {"tool": 7, "mood": "good"}


def test_outcomes_are_the_kinds_that_tell_how_it_went() -> None:
    """Every kind is an outcome or feeds signals, and which is fixed."""
    outcomes = {
        "person_message",
        "package_rating",
        "handoff",
        "claimed",
        "returned",
        "resolved",
        "verdict",
        "complaint",
        "reopened",
        "audit_verdict",
        "completed",
    }
    assert {str(kind) for kind in OUTCOME_KINDS} == outcomes
    for kind in EventKind:
        event = AgentEvent(
            task_id="t", event_id="e", at=datetime.now(UTC), kind=str(kind)
        )
        assert event.is_outcome == (kind in outcomes)


@pytest.mark.parametrize("text", ["hi", 7, None, ["hi"]])
def test_text_is_a_string_whatever_stood_there(text: Any) -> None:
    """An event's text is its text, or empty where that is no string."""
    event = AgentEvent(
        task_id="t",
        event_id="e",
        at=datetime.now(UTC),
        kind="own",
        body={"text": text},
    )
    assert event.text == ("hi" if text == "hi" else "")


# --- time --------------------------------------------------------------------


def test_naive_time_is_refused() -> None:
    """A time without a timezone is refused, in a line and in a constructor alike."""
    error = refused(HEAD | {"kind": "plan", "at": "2026-01-31T09:00:00"})
    assert (error.field, error.found) == ("at", "'2026-01-31T09:00:00'")
    assert "2026-01-31T09:00:00Z" in error.expected
    with pytest.raises(ContractError, match="attach UTC where the log is read"):
        AgentEvent(task_id="t", event_id="e", at=datetime(2026, 1, 31, 9), kind="plan")


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        [],
        "",
        "yesterday",
        "2026-13-01T00:00:00Z",
        "9999-12-31T23:59:59-23:00",
        "0001-01-01T00:00:00+23:00",
        "2026-01-31T09:00:00\ud800",
        10**5000,
    ],
    ids=lambda value: ascii(value)[:30] if not isinstance(value, int) else "a number",
)
def test_what_is_no_time_is_refused(value: Any) -> None:
    """Anything but RFC 3339 with a timezone, within UTC's years, is refused."""
    with pytest.raises(ContractError) as caught:
        parse_time(value, event_id="e7")
    assert (caught.value.field, caught.value.event_id) == ("at", "e7")


def test_a_missing_time_is_refused() -> None:
    """An event says when it happened."""
    assert refused({"task_id": "t", "event_id": "e", "kind": "plan"}).field == "at"


@pytest.mark.parametrize("text", ["2026-01-31T09:00:00Z", "2026-01-31T10:30:00+01:30"])
def test_times_are_in_utc(text: str) -> None:
    """Whatever timezone a time came in, it is kept in UTC."""
    at = parse_time(text)
    assert at == datetime(2026, 1, 31, 9, tzinfo=UTC)
    assert at.utcoffset() == timedelta(0)


# --- the wire ----------------------------------------------------------------

leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
json_values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
offsets = st.integers(-14 * 60, 14 * 60).map(
    lambda minutes: timezone(timedelta(minutes=minutes))
)
events = st.builds(
    AgentEvent,
    task_id=st.text(min_size=1, max_size=5),
    event_id=st.text(min_size=1, max_size=5),
    at=st.datetimes(
        min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1), timezones=offsets
    ),
    kind=st.just("own_kind"),
    body=st.dictionaries(
        st.text(max_size=6).filter(
            lambda k: k not in {"task_id", "event_id", "at", "kind"}
        ),
        json_values,
        max_size=4,
    ),
)


@given(events)
def test_an_event_survives_the_wire(event: AgentEvent) -> None:
    """Parsing an event's wire form gives the event, and its digest, again."""
    again = parse(event.to_json())
    assert again == event
    assert again.digest() == event.digest()
    assert event.to_json()["at"].endswith("Z")


@given(events, st.randoms(use_true_random=False))
def test_the_digest_does_not_depend_on_key_order(event: AgentEvent, rng: Any) -> None:
    """Two events that differ in the order of keys alone, at any depth, are one."""

    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            items = [(k, shuffled(v)) for k, v in value.items()]
            rng.shuffle(items)
            return dict(items)
        return [shuffled(v) for v in value] if isinstance(value, list) else value

    assert parse(shuffled(event.to_json())).digest() == event.digest()


@pytest.mark.parametrize("change", ["task_id", "event_id", "at", "kind", "own"])
def test_the_digest_depends_on_every_field(change: str) -> None:
    """A change in any field changes the digest, a SHA-256."""
    line = HEAD | {"kind": "plan", "own": "x"}
    other = line | {change: "2026-01-31T09:00:00.000001Z" if change == "at" else "y"}
    before, after = parse(line).digest(), parse(other).digest()
    assert before != after
    assert len(bytes.fromhex(before)) == 32


def test_a_digest_is_the_same_everywhere() -> None:
    """A digest is the SHA-256 of compact JSON, keys sorted, time in UTC, in UTF-8."""
    at = "2026-01-31T10:30:00+01:30"
    event = parse(HEAD | {"at": at, "kind": "plan", "text": "é", "n": [1.5, None]})
    canonical = (
        '{"at":"2026-01-31T09:00:00Z","event_id":"e1","kind":"plan","n":[1.5,null],'
        '"task_id":"t","text":"é"}'
    )
    assert event.digest() == hashlib.sha256(canonical.encode()).hexdigest()


# --- whatever comes ----------------------------------------------------------

NAMES = [
    *("task_id", "event_id", "at", "kind", "text", "tool", "arguments", "call_id"),
    *("account", "value", "id", "confidence", "source", "interpretations", "error"),
    *("type", "latency_ms", "score", "agree", "documents", "tokens_in", "cost"),
    *("needed", "by", "propensity", "is_write", "attachments", "requestor"),
]
odd_leaves = (
    leaves
    | st.integers()
    | st.floats()
    | st.sampled_from(["\ud800", 10**400, -(10**400), "9999-12-31T23:59Z"])
    | st.binary(max_size=2)
    | st.builds(object)
    | st.builds(lambda: 10**5000)
)
odd = st.recursive(
    odd_leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | st.integers(), inner, max_size=4)
    ),
    max_leaves=10,
)
odd_lines = st.fixed_dictionaries(
    {},
    optional={
        "task_id": st.just("t") | odd,
        "event_id": st.just("e") | odd,
        "at": st.just("2026-01-31T09:00:00Z") | odd,
    },
).flatmap(
    lambda head: st.builds(
        lambda kind, body: HEAD | {"kind": kind} | body | head,
        st.sampled_from([str(kind) for kind in EventKind]) | odd,
        st.dictionaries(st.sampled_from(NAMES[3:]), odd, max_size=6),
    )
)


def parsed(line: Any) -> AgentEvent | ContractError:
    """Return the event that `line` is, or the error that it is not."""
    try:
        return parse(line)
    except ContractError as error:
        return error


@given(odd_lines | odd)
def test_odd_input_is_refused_or_of_use(line: Any) -> None:
    """Whatever comes is a contract error, or can be hashed, kept and read."""
    event = parsed(line)
    if isinstance(event, ContractError):
        assert len(event.found) <= 80
        return
    assert parse(event.to_json()).digest() == event.digest()
    state = TaskState()
    state.advance(event)
    assert state.read().ndim == 1


@pytest.mark.parametrize("depth", [255, 1000, 100_000])
@pytest.mark.parametrize("field", ["own", "text", "arguments", "account"])
def test_deep_nesting_is_refused(depth: int, field: str) -> None:
    """Nesting that cannot be written back is refused, however deep it is."""
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    kind = "task_started" if field == "account" else "tool_call"
    line = HEAD | {"kind": kind, "tool": "f", field: value}
    error = refused(line if field != "text" else line | {"kind": "user_message"})
    assert error.field in {field, "event"}
    assert len(error.found) <= 80


def test_a_huge_value_makes_no_huge_message() -> None:
    """What was found is shown in part, so that a log line stays a line."""
    error = refused(HEAD | {"kind": "user_message", "text": ["x" * 10_000_000]})
    assert error.found.endswith("…")
    assert len(str(error)) < 200
