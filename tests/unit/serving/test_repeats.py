"""Tests of repeats: without a key, too, the same call again is answered as it was."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from serving.api.app import make_api
from serving.store.verify import verify_store

ANA, BEN = "general-1", "general-2"
VERBS: dict[str, dict[str, Any]] = {
    "claim": {},
    "release": {},
    "resolve": {"needed": "yes", "note": "a refund was due", "minutes": 4.5},
    "return": {"guidance": "Ask for the order number"},
    "rate": {"sufficient": False, "missing": ["request"]},
}
OTHERS: dict[str, dict[str, Any]] = {
    "resolve": {**VERBS["resolve"], "minutes": 5.0},
    "return": {"guidance": "Ask for the name"},
}


@pytest.fixture
def client(desk: Any) -> TestClient:
    """Return a client of the surface over `desk`."""
    return TestClient(make_api(desk.engine))


def ready(desk: Any, verb: str) -> str:
    """Return the address of `verb` on a handoff that Ana may use it on."""
    handoff_id = desk.hand_over()
    if verb not in {"claim", "rate"}:
        desk.engine.claim(handoff_id, by=ANA)
    return f"/v1/handoffs/{handoff_id}/{verb}"


@pytest.mark.parametrize("verb", VERBS)
def test_same_call_again_is_answered_as_it_was(
    verb: str, desk: Any, client: TestClient
) -> None:
    """Whose answer was lost sends the same again and reads the same; no record more."""
    path, body = ready(desk, verb), {"by": ANA, **VERBS[verb]}
    first = client.post(path, json=body)
    assert first.status_code == 200, first.text
    before = desk.types()
    desk.clock.turn(timedelta(seconds=20))
    again = client.post(path, json=body)
    assert again.json() == first.json()
    assert desk.types() == before
    assert not verify_store(desk.path).problems


@pytest.mark.parametrize("verb", ["resolve", "return"])
def test_another_closing_is_refused(verb: str, desk: Any, client: TestClient) -> None:
    """Other words, or another person, meet a closed handoff, and are told who has it."""
    path, body = ready(desk, verb), {"by": ANA, **VERBS[verb]}
    client.post(path, json=body)
    for other in ({"by": ANA, **OTHERS[verb]}, {**body, "by": BEN}):
        refused = client.post(path, json=other)
        assert refused.status_code == 409
        problem = refused.json()
        assert problem["type"] == "urn:escalon:problem:illegal-transition"
        kind = "nobody" if verb == "resolve" else "agent"
        assert (problem["owner"]["kind"], problem["epoch"]) == (kind, 4)


def test_release_after_somebody_else_is_no_repeat(
    desk: Any, client: TestClient
) -> None:
    """Ana released; Ben claimed and released: Ana's word now is another one."""
    path = ready(desk, "release")
    client.post(path, json={"by": ANA})
    handoff_id = path.split("/")[3]
    desk.engine.claim(handoff_id, by=BEN)
    told = client.post(path, json={"by": ANA})
    assert told.status_code == 409
    assert told.json()["holder"] == BEN
    desk.engine.release(handoff_id, by=BEN)
    assert client.post(path, json={"by": ANA}).status_code == 409


@pytest.mark.parametrize("verb", VERBS)
def test_every_conflict_names_owner_and_epoch(
    verb: str, desk: Any, client: TestClient
) -> None:
    """Ben has it; Ana is told so, with the epoch, whatever she tries."""
    handoff_id = desk.hand_over()
    desk.engine.claim(handoff_id, by=BEN)
    body = {"by": ANA, **VERBS[verb]}
    answer = client.post(f"/v1/handoffs/{handoff_id}/{verb}", json=body)
    if verb == "rate":
        assert answer.status_code == 200
        return
    assert answer.status_code == 409
    assert answer.json()["owner"] == {"kind": "person", "id": BEN}
    assert answer.json()["epoch"] == 3


def test_changed_event_names_owner_and_epoch(desk: Any, client: TestClient) -> None:
    """An event that conflicts with the log says under whom the task stands."""
    desk.begin()
    event = desk.event(text="Hello?")
    path = "/v1/tasks/t/events"
    client.post(path, json=event)
    answer = client.post(path, json={**event, "text": "Hi?"})
    assert answer.status_code == 409
    assert answer.json()["owner"] == {"kind": "agent", "id": "bot"}
    assert answer.json()["epoch"] == 1
