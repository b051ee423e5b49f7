"""Tests of idempotency: a call under a key has one effect, and one answer."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from serving.api.app import make_api
from serving.api.surface import OPERATIONS
from serving.engine.forgetting import Forgetting
from serving.engine.keys import Key, Replay, under
from serving.problems import Problem, ProblemType
from serving.store import idempotency
from serving.store.transaction import StoreError

ANA = "general-1"
KEY = {"Idempotency-Key": "call-1"}
WISH = {"by": "user", "reason": "a person, please"}


@pytest.fixture
def client(desk: Any) -> TestClient:
    """Return a client of the surface over `desk`."""
    return TestClient(make_api(desk.engine))


# --- every call that changes something -----------------------------------------

Sent = tuple[str, Any]


def _queued(desk: Any) -> str:
    return str(desk.hand_over())


def _claimed(desk: Any) -> str:
    handoff_id = desk.hand_over()
    desk.engine.claim(handoff_id, by=ANA)
    return str(handoff_id)


def _on_task(verb: str, **body: Any) -> Callable[[Any], Sent]:
    def prepared(desk: Any) -> Sent:
        desk.begin()
        return f"/v1/tasks/t/{verb}", body

    return prepared


def _on_handoff(
    verb: str, find: Callable[[Any], str], **body: Any
) -> Callable[[Any], Sent]:
    return lambda desk: (f"/v1/handoffs/{find(desk)}/{verb}", {"by": ANA, **body})


def _observed(desk: Any) -> Sent:
    desk.begin()
    return "/v1/tasks/t/events", [desk.event(text="And where is my refund?")]


def _outcomes(desk: Any) -> Sent:
    desk.begin()
    return "/v1/outcomes", [desk.event("reopened", task_id="t")]


def _consumed(desk: Any) -> Sent:
    desk.begin()
    given = desk.engine.actions.authorize(
        "t", epoch=1, tool="refund", args_sha256="a" * 64
    )
    body = {"task_id": "t", "token": given["token"], "consume": True}
    return "/v1/ownership/verify", body


def _said(desk: Any) -> Sent:
    _claimed(desk)
    return "/v1/tasks/t/messages", {"from": "person", "by": ANA, "text": "Hello"}


def _shown(desk: Any) -> Sent:
    desk.hand_over()
    message_id = desk.engine.task("t")["message_id"]
    return "/v1/tasks/t/notice", {"message_id": message_id}


def _cleared(desk: Any) -> Sent:
    desk.hand_over()
    desk.clock.turn(timedelta(seconds=5))
    event = desk.event("tool_call", tool="refund")
    with contextlib.suppress(Problem):
        desk.engine.observe("t", [event], epoch=1)
    (alarm,) = desk.engine.monitors.listed(is_open=True)["alarms"]
    body = {"by": "Ana", "why": "the version was taken back"}
    return f"/v1/alarms/{alarm['alarm_id']}/clear", body


CALLS: dict[str, Callable[[Any], Sent]] = {
    "observe": _observed,
    "escalate": _on_task("escalate", **WISH),
    "heartbeat": _on_task("heartbeat", epoch=1),
    "verify": _consumed,
    "outcomes": _outcomes,
    "claim": _on_handoff("claim", _queued),
    "renew": _on_handoff("renew", _claimed),
    "release": _on_handoff("release", _claimed),
    "resolve": _on_handoff("resolve", _claimed, needed="yes"),
    "return": _on_handoff("return", _claimed, guidance="Ask for the order number"),
    "say": _said,
    "shown": _shown,
    "clear_alarm": _cleared,
    "rate": _on_handoff("rate", _queued, sufficient=False, missing=["request"]),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_sent_twice_has_one_effect(
    name: str, desk: Any, client: TestClient
) -> None:
    """The second answer is the first, byte for byte, and says that it is."""
    path, body = CALLS[name](desk)
    first = client.post(path, json=body, headers=KEY)
    assert first.status_code == 200, first.text
    assert "idempotency-replayed" not in first.headers
    before = desk.types()
    desk.clock.turn(timedelta(hours=1))
    again = client.post(path, json=body, headers=KEY)
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["content-type"] == "application/json"
    assert desk.types() == before


@pytest.mark.parametrize("name", CALLS)
def test_a_key_is_of_one_payload(name: str, desk: Any, client: TestClient) -> None:
    """Another payload under it is refused with both hashes, and changes nothing."""
    path, body = CALLS[name](desk)
    client.post(path, json=body, headers=KEY)
    before = desk.types()
    if isinstance(body, list):
        other: Any = [desk.event(text="x", task_id="t")]
    elif name == "shown":
        other = {"message_id": "msg_other"}
    elif name in {"verify", "heartbeat"}:
        other = {**body, "epoch": 9}
    else:
        other = {**body, "by": "general-2"}
    refused = client.post(path, json=other, headers=KEY)
    assert refused.status_code == 422
    assert refused.json()["type"] == "urn:escalon:problem:key-reused"
    assert refused.json()["stored_sha256"] != refused.json()["sent_sha256"]
    assert desk.types() == before


def test_every_call_that_changes_something_takes_a_key() -> None:
    """The table says so of each POST but those that only read."""
    without = {op.name for op in OPERATIONS if op.method != "GET" and op.is_read}
    assert without == {"score", "authorize"}
    assert set(CALLS) <= {op.name for op in OPERATIONS if op.takes_key}


# --- what is the same ------------------------------------------------------------


def test_the_order_of_a_payload_does_not_matter(desk: Any, client: TestClient) -> None:
    """The same JSON in other bytes is the same call."""
    desk.begin()
    path = "/v1/tasks/t/escalate"
    one = b'{"by":"user","reason":"x"}'
    two = b' { "reason" : "x",  "by": "user" } '
    sent = {**KEY, "content-type": "application/json"}
    first = client.post(path, content=one, headers=sent)
    again = client.post(path, content=two, headers=sent)
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"


def test_a_key_is_of_one_address(desk: Any, client: TestClient) -> None:
    """Two tasks may be called under the same key; each call has its effect."""
    desk.begin("a")
    desk.begin("b")
    for task_id in ("a", "b"):
        answer = client.post(f"/v1/tasks/{task_id}/escalate", json=WISH, headers=KEY)
        assert answer.json()["task_id"] == task_id
        assert "idempotency-replayed" not in answer.headers


def test_an_epoch_in_the_header_is_part_of_the_call(
    desk: Any, client: TestClient
) -> None:
    """Under another epoch it is another call."""
    desk.begin()
    path, event = "/v1/tasks/t/events", desk.event("plan", text="x")
    assert client.post(
        path, json=event, headers={**KEY, "X-Task-Epoch": "1"}
    ).is_success
    other = client.post(path, json=event, headers={**KEY, "X-Task-Epoch": "2"})
    assert other.json()["type"] == "urn:escalon:problem:key-reused"


# --- what is kept, and what is not -------------------------------------------------


def test_a_refusal_that_kept_something_is_kept(desk: Any, client: TestClient) -> None:
    """The bad event of a batch is refused again in the same words, as a problem."""
    desk.begin()
    body = [desk.event(text="Hello?"), {"event_id": "bad"}]
    first = client.post("/v1/tasks/t/events", json=body, headers=KEY)
    again = client.post("/v1/tasks/t/events", json=body, headers=KEY)
    assert first.status_code == again.status_code == 422
    assert again.content == first.content
    assert again.headers["content-type"] == "application/problem+json"
    assert again.headers["idempotency-replayed"] == "true"


def test_a_refusal_that_kept_nothing_is_not_kept(desk: Any, client: TestClient) -> None:
    """Refused because the task was not there; once it is, the same call succeeds."""
    path = "/v1/tasks/t/escalate"
    assert client.post(path, json=WISH, headers=KEY).status_code == 404
    desk.begin()
    assert client.post(path, json=WISH, headers=KEY).status_code == 200


def test_an_effect_that_was_rolled_back_leaves_no_answer(desk: Any) -> None:
    """A use case that fails takes its key with it: the call can be made again."""
    key = Key(scope="POST /x", name="k", fingerprint="a" * 64)

    def failing(tx: Any) -> dict[str, Any]:
        desk.engine.ways.steps.take(tx, None, "t", (), at=desk.clock(), accepted=())
        msg = "disk full"
        raise StoreError(msg)

    with under(key), pytest.raises(StoreError):
        desk.engine.ways.do(failing)
    assert desk.count("idempotency") == 0
    assert not key.is_used
    with under(key):
        assert desk.engine.ways.do(lambda _: {"a": 1}) == {"a": 1}
    with under(replace(key, is_used=False)), pytest.raises(Replay) as replayed:
        desk.engine.ways.do(lambda _: {"a": 2})
    assert replayed.value.kept.body == b'{"a":1}'


def test_an_answer_lost_at_the_commit_was_never_given(desk: Any) -> None:
    """What ran well and was rolled back with its group has not used the key up."""
    key = Key(scope="POST /x", name="k", fingerprint="a" * 64)

    def lost(tx: Any) -> None:
        key.once(lambda _: {"a": 1}, desk.clock(), tx)
        assert key.is_used
        msg = "the disk is full"
        raise StoreError(msg)

    with pytest.raises(StoreError):
        desk.store.submit(lost).result()
    assert not key.is_used
    assert desk.count("idempotency") == 0


def test_the_first_answer_of_a_call_is_kept(desk: Any) -> None:
    """What a call notes before it answers is no answer; what follows runs as it is."""
    key = Key(scope="POST /x", name="k", fingerprint="a" * 64)
    do = desk.engine.ways.do
    with under(key):
        assert do(lambda _: None) is None
        assert do(lambda _: {"a": 1}) == {"a": 1}
        assert do(lambda _: {"b": 2}) == {"b": 2}
    with under(replace(key, is_used=False)), pytest.raises(Replay):
        do(lambda _: {"c": 3})
    assert do(lambda _: {"d": 4}) == {"d": 4}


def test_a_returned_problem_is_raised_and_kept(desk: Any) -> None:
    """As without a key: the caller is refused, and what was kept stays."""
    key = Key(scope="POST /x", name="k", fingerprint="a" * 64)
    problem = Problem(ProblemType.STALE_EPOCH, "stop", epoch=2)
    with under(key), pytest.raises(Problem) as caught:
        desk.engine.ways.do(lambda _: problem)
    assert caught.value is problem
    with under(replace(key, is_used=False)), pytest.raises(Replay) as replayed:
        desk.engine.ways.do(lambda _: {"a": 1})
    assert replayed.value.kept.status == 409


# --- keys -------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "a" * 256, "\t", "a\x7f"])
def test_a_key_that_is_none_is_refused(key: str, desk: Any, client: TestClient) -> None:
    """Expected and found are named, and the call is not made."""
    desk.begin()
    sent = [(b"idempotency-key", key.encode("latin-1"))]
    answer = client.post("/v1/tasks/t/escalate", json=WISH, headers=sent)
    assert answer.status_code == 422
    (wrong,) = answer.json()["errors"]
    assert wrong["field"] == "Idempotency-Key"
    assert "1 to 255 visible ASCII characters" in wrong["expected"]
    assert "handoff.opened" not in desk.types()


def test_two_keys_are_none(desk: Any, client: TestClient) -> None:
    """A proxy that adds its own is told so."""
    desk.begin()
    sent = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = client.post("/v1/tasks/t/escalate", json=WISH, headers=sent)
    assert answer.json()["errors"][0]["found"] == "2 of them"


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    key=st.text(
        st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=255
    )
)
def test_any_visible_key_is_one(key: str, desk: Any, client: TestClient) -> None:
    """Quotes, slashes and all, up to 255 of them."""
    path, sent = "/v1/outcomes", {"Idempotency-Key": key}
    desk.begin()
    body = [desk.event("reopened", task_id="t")]
    first = client.post(path, json=body, headers=sent)
    again = client.post(path, json=body, headers=sent)
    told = again.json()["type"] if first.status_code != 200 else None
    assert told is None
    assert again.content == first.content


# --- time -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "lasts"),
    [
        ("claim", timedelta(hours=72)),
        ("rate", timedelta(hours=72)),
        ("escalate", timedelta(days=30)),
        ("resolve", timedelta(days=30)),
        ("return", timedelta(days=30)),
    ],
)
def test_answers_are_kept_for_their_time(
    name: str, lasts: timedelta, desk: Any, client: TestClient
) -> None:
    """Thirty days where the task changed hands for good, three days otherwise."""
    path, body = CALLS[name](desk)
    client.post(path, json=body, headers=KEY)
    forgetting = Forgetting(desk.engine.ways)
    desk.clock.turn(lasts - timedelta(seconds=1))
    assert forgetting.run() == 0
    again = client.post(path, json=body, headers=KEY)
    assert again.headers["idempotency-replayed"] == "true"
    desk.clock.turn(timedelta(seconds=1))
    over = client.post(path, json=body, headers=KEY)
    assert "idempotency-replayed" not in over.headers


def test_all_that_is_over_is_swept(desk: Any) -> None:
    """More than one slice of it, and nothing that is not over."""
    at = desk.clock()
    kept = idempotency.Kept(fingerprint="a" * 64, status=200, body=b"{}")

    def fill(tx: Any) -> None:
        for n in range(1_203):
            until = at + timedelta(seconds=1 if n < 1_200 else 60)
            idempotency.keep(tx, "POST /x", f"k{n}", kept, at, until=until)

    desk.engine.ways.do(fill)
    desk.clock.turn(timedelta(seconds=1))
    assert Forgetting(desk.engine.ways).run() == 1_200
    assert desk.count("idempotency") == 3


# --- at once ------------------------------------------------------------------------


def test_calls_at_once_under_one_key_have_one_effect(
    desk: Any, client: TestClient
) -> None:
    """Sixteen callers, one handover, one answer."""
    desk.begin()
    barrier = threading.Barrier(16)

    def call(_: int) -> tuple[bytes, bool]:
        barrier.wait()
        answer = client.post("/v1/tasks/t/escalate", json=WISH, headers=KEY)
        assert answer.status_code == 200
        return answer.content, "idempotency-replayed" in answer.headers

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(call, range(16)))
    assert len({body for body, _ in answers}) == 1
    assert sum(not replayed for _, replayed in answers) == 1
    assert desk.types().count("handoff.opened") == 1


# --- the document -------------------------------------------------------------------


def test_document_tells_of_the_headers(client: TestClient) -> None:
    """Key, epoch, replay and refusals stand at the calls they belong to."""
    paths = client.get("/v1/openapi.json").json()["paths"]
    observe = paths["/v1/tasks/{task_id}/events"]["post"]
    named = {p["name"] for p in observe["parameters"] if p["in"] == "header"}
    assert named == {"Idempotency-Key", "X-Task-Epoch"}
    assert "Idempotency-Replayed" in observe["responses"]["200"]["headers"]
    assert {"409", "422", "503"} <= observe["responses"].keys()
    assert "key-reused" in observe["responses"]["422"]["description"]
    claim = paths["/v1/handoffs/{handoff_id}/claim"]["post"]
    named = {p["name"] for p in claim["parameters"] if p["in"] == "header"}
    assert named == {"Idempotency-Key"}
    score = paths["/v1/score"]["post"]
    assert "headers" not in score["responses"]["200"]
