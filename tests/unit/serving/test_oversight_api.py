"""The label desk and the KPIs over HTTP: what is answered, and what is refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from serving.api.app import make_api
from serving.api.surface import OPERATIONS
from serving.policy.rules import Policy
from serving.store.verify import verify_store

if TYPE_CHECKING:
    import httpx

with warnings.catch_warnings():
    # The test client would rather have another HTTP library, and says so.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

BASE = "http://127.0.0.1:3000"
ANA = "general-1"


@pytest.fixture
def drawn(make_desk: Callable[..., Any]) -> Any:
    """Make a desk at which every task is drawn, for two reviewers."""
    policy = Policy.default()
    audit = policy.audit.model_dump() | {"uniform": 1.0, "second_rater": 1.0}
    return make_desk(policy.model_copy(update={"audit": audit}))


@pytest.fixture
def client(drawn: Any) -> Iterator[TestClient]:
    """Call a surface over the engine of that desk."""
    with TestClient(make_api(drawn.engine), base_url=BASE) as client:
        yield client


def ok(answer: httpx.Response, name: str) -> Any:
    """Return the JSON of a good answer, held against the model it is documented by."""
    assert answer.status_code == 200, answer.text
    operation = next(op for op in OPERATIONS if op.name == name)
    operation.answer.model_validate_json(answer.content, strict=True)
    return answer.json()


def refused(answer: httpx.Response, status: int, slug: str) -> Any:
    """Return the problem of a refusal, held against status and type."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:escalon:problem:{slug}"
    return answer.json()


def lived(desk: Any) -> None:
    """Let some tasks go their ways: one resolved and rated, two ended in silence."""
    handoff_id = desk.hand_over("handed")
    desk.clock.turn(timedelta(minutes=10))
    desk.engine.claim(handoff_id, by=ANA)
    desk.engine.rate(handoff_id, by=ANA, sufficient=True)
    desk.engine.resolve(handoff_id, by=ANA, needed="yes")
    for task_id in ("one", "two"):
        desk.begin(task_id)
        desk.engine.observe(task_id, [desk.event("completed", by="agent")])
    desk.clock.turn(timedelta(days=5))


def judged(client: TestClient, task_id: str, needed: str, by: str) -> Any:
    """Send a verdict and return its answer."""
    body = {"by": by, "needed": needed, "rubric_version": "1", "seconds": 40}
    return ok(client.post(f"/v1/reviews/{task_id}", json=body), "review")


def test_a_task_is_shown_judged_and_counted(drawn: Any, client: TestClient) -> None:
    """From the desk's list to the label to the figure, and the log stays sound."""
    lived(drawn)
    listed = ok(client.get("/v1/reviews", params={"by": "rea"}), "reviews")
    assert [item["task_id"] for item in listed["reviews"]] == ["one", "two"]
    assert "person have taken this task over" in listed["rubric"]["text"]
    for task_id, needed in (("one", "yes"), ("two", "no")):
        for by in ("rea", "sam"):
            assert judged(client, task_id, needed, by)["needed"] == needed
    found = ok(client.get("/v1/kpis"), "kpis")
    assert found["escalation_rate"]["value"] == pytest.approx(1 / 3)
    assert found["miss_rate"]["value"] == pytest.approx(0.5, abs=0.05)
    assert found["appropriateness"]["n"] == 1
    assert found["context_sufficiency"]["value"] == 1.0
    assert found["service"]["time_to_claim_s"]["value"] == 600.0
    assert (found["agreement"]["value"], found["agreement"]["n"]) == (1.0, 2)
    assert verify_store(drawn.path).is_sound


def test_a_user_who_writes_again_while_waiting_is_seen(
    drawn: Any, client: TestClient
) -> None:
    """After the handover and before the claim; not before, nor after."""
    early, late = drawn.hand_over("early"), drawn.hand_over("late")
    drawn.hand_over("never")
    drawn.engine.claim(late, by=ANA)
    drawn.say("Thank you for taking over.", "late")
    drawn.say("Is anybody there?", "early")
    drawn.engine.claim(early, by=ANA)
    found = ok(client.get("/v1/kpis"), "kpis")["service"]["asked_again"]
    assert (found["value"], found["n"]) == (pytest.approx(1 / 3), 3)


def test_reviews_are_refused_in_ways_a_program_can_tell_apart(
    drawn: Any, client: TestClient
) -> None:
    """Unknown, not due, the wrong person, and what cannot be read."""
    drawn.begin()
    body = {"by": "rea", "needed": "no", "rubric_version": "1"}
    refused(client.post("/v1/reviews/x", json=body), 404, "unknown-task")
    problem = refused(client.post("/v1/reviews/t", json=body), 409, "not-due")
    assert "it is due at" in problem["detail"]
    own = body | {"by": "bot"}
    refused(client.post("/v1/reviews/t", json=own), 403, "wrong-reviewer")
    for wrong in ({"needed": "maybe"}, {"by": " "}, {"seconds": -1}, {"more": 1}):
        answer = client.post("/v1/reviews/t", json=body | wrong)
        refused(answer, 422, "malformed-request")
    old = body | {"rubric_version": "0"}
    refused(client.post("/v1/reviews/t", json=old), 422, "malformed-request")


@pytest.mark.parametrize(
    "query", [{}, {"by": ""}, {"by": "rea", "limit": 0}, {"by": "rea", "limit": 51}]
)
def test_who_asks_for_reviews_must_be_named(
    client: TestClient, query: dict[str, Any]
) -> None:
    """The desk must know whom it may show what."""
    refused(client.get("/v1/reviews", params=query), 422, "malformed-request")


def test_kpis_of_nothing_say_what_is_missing(client: TestClient) -> None:
    """An empty store has figures, none of which is a number."""
    found = ok(client.get("/v1/kpis"), "kpis")
    for name in ("escalation_rate", "appropriateness", "miss_rate"):
        assert found[name]["value"] is None
        assert found[name]["missing"]
    assert found["trend"] == found["segments"] == []


def test_kpis_take_a_window_and_a_breakdown(drawn: Any, client: TestClient) -> None:
    """From and to bound the last decisions; by parts them."""
    lived(drawn)
    now = drawn.clock.now
    query = {"from": (now - timedelta(days=1)).isoformat(), "by": "domain"}
    late = ok(client.get("/v1/kpis", params=query), "kpis")
    assert late["escalation_rate"]["n"] == 0
    query = {"to": now.isoformat(), "by": "domain"}
    early = ok(client.get("/v1/kpis", params=query), "kpis")
    assert [row["name"] for row in early["segments"]] == ["retail"]
    assert early["until"] == now.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    "query", [{"by": "mood"}, {"from": "today"}, {"from": "2026-11-01T00:00:00"}]
)
def test_a_window_or_breakdown_that_cannot_be_is_refused(
    client: TestClient, query: dict[str, str]
) -> None:
    """Unknown segments, and times without a zone, are the caller's mistake."""
    refused(client.get("/v1/kpis", params=query), 422, "malformed-request")
