"""The HTTP surface: every call over a real engine, and every way to be refused."""

from __future__ import annotations

import asyncio
import re
import warnings
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from serving.api.app import make_api
from serving.api.health import readiness
from serving.api.surface import OPERATIONS
from serving.engine.ways import Written
from serving.store.transaction import StoreError

if TYPE_CHECKING:
    import httpx

    from serving.api.operation import Operation

with warnings.catch_warnings():
    # The test client would rather have another HTTP library, and says so.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

BASE = "http://127.0.0.1:3000"
MEMBER = "general-1"


@pytest.fixture
def client(desk: Any) -> Iterator[TestClient]:
    """Call a surface over the engine of the desk."""
    with TestClient(make_api(desk.engine), base_url=BASE) as client:
        yield client


def operation(name: str) -> Operation:
    """Return the operation called `name`."""
    return next(op for op in OPERATIONS if op.name == name)


def ok(answer: httpx.Response, name: str) -> Any:
    """Return the JSON of a good answer, held against the model it is documented by."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    operation(name).answer.model_validate_json(answer.content, strict=True)
    return answer.json()


def refused(answer: httpx.Response, status: int, slug: str) -> Any:
    """Return the problem of a refusal, held against status and type."""
    problem = answer.json()
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"] == f"urn:escalon:problem:{slug}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    return problem


def handed_over(desk: Any) -> str:
    """Return a handoff that waits in the general queue."""
    return str(desk.hand_over())


# --- the calls of an agent ---------------------------------------------------


def test_events_are_appended_and_decided_on(desk: Any, client: TestClient) -> None:
    """A step is answered with a decision, the owner and the epoch."""
    sent = {"events": [desk.event(text="hello"), desk.event(text="still there?")]}
    answer = ok(client.post("/v1/tasks/t/events", json=sent), "observe")
    assert answer["accepted"] == ["e1", "e2"]
    assert answer["epoch"] == 1
    assert answer["decision"]["action"] == "CONTINUE"
    assert answer["decision"]["source"] == "model"


@pytest.mark.parametrize("form", ["object", "list", "one"])
def test_events_come_in_three_forms(form: str, desk: Any, client: TestClient) -> None:
    """An object with events, a bare list and one event alone say the same."""
    event = desk.event(text="hello")
    body = {"object": {"events": [event], "epoch": 1}, "list": [event], "one": event}
    answer = ok(client.post("/v1/tasks/t/events", json=body[form]), "observe")
    assert answer["accepted"] == ["e1"]


def test_same_events_get_the_same_answer(desk: Any, client: TestClient) -> None:
    """A call that is sent again changes nothing and is answered as before."""
    body = [desk.event(text="hello")]
    first = ok(client.post("/v1/tasks/t/events", json=body), "observe")
    assert ok(client.post("/v1/tasks/t/events", json=body), "observe") == first
    assert desk.sent_events() == 1


def test_high_risk_hands_over(desk: Any, client: TestClient) -> None:
    """Risk above the threshold is answered with handoff, new owner and one message."""
    desk.model.value = 0.9
    body = [desk.event(text="hello")]
    answer = ok(client.post("/v1/tasks/t/events", json=body), "observe")
    assert answer["decision"]["action"] == "ESCALATE"
    assert answer["owner"]["kind"] == "queue"
    assert answer["handoff"]["queue"] == answer["owner"]["id"]
    assert answer["message"]


def test_malformed_event_keeps_the_good_ones(desk: Any, client: TestClient) -> None:
    """The bad event is named by field, expected and found; the good one is kept."""
    good, bad = desk.event(text="hello"), desk.event(kind="tool_call", arguments={})
    answer = client.post("/v1/tasks/t/events", json=[good, bad])
    problem = refused(answer, 422, "malformed-event")
    assert problem["accepted"] == ["e1"]
    assert problem["decision"]["action"] == "CONTINUE"
    assert problem["refused"] == [
        {
            "index": 1,
            "event_id": "e2",
            "field": "tool",
            "expected": "present, a non-empty string",
            "found": "nothing",
        }
    ]


def test_stale_epoch_is_told_to_stop(desk: Any, client: TestClient) -> None:
    """An agent that lost its task gets 409 with the owner and the user's message."""
    handed_over(desk)
    body = {"events": [desk.event(kind="plan", text="go on")], "epoch": 1}
    problem = refused(client.post("/v1/tasks/t/events", json=body), 409, "stale-epoch")
    assert problem["owner"] == {"kind": "queue", "id": "general"}
    assert problem["epoch"] == 2
    assert problem["message"]


def test_changed_event_is_a_conflict(desk: Any, client: TestClient) -> None:
    """Another event under an id already used is refused with both hashes."""
    event = desk.event(text="hello")
    client.post("/v1/tasks/t/events", json=event)
    answer = client.post("/v1/tasks/t/events", json={**event, "text": "bye"})
    problem = refused(answer, 409, "event-conflict")
    assert problem["stored_sha256"] != problem["sent_sha256"]


def test_score_stores_nothing(desk: Any, client: TestClient) -> None:
    """A score gives risk and, where it would hand over, contributions; no task is made."""
    desk.model.value = 0.9
    answer = ok(client.post("/v1/score", json=[desk.event(text="hello")]), "score")
    assert answer["risk"] == 0.9
    assert answer["action"] == "ESCALATE"
    assert answer["contributions"]
    assert desk.count("task") == 0


def test_wish_is_honoured(desk: Any, client: TestClient) -> None:
    """Asking for a human hands the task over whatever the model says."""
    desk.begin()
    body = {"by": "user", "reason": "wants to talk to a person"}
    answer = ok(client.post("/v1/tasks/t/escalate", json=body), "escalate")
    assert answer["owner"]["kind"] == "queue"
    assert "wants to talk" in answer["decision"]["reasons"][0]["says"]


def test_task_shows_owner_and_decision(desk: Any, client: TestClient) -> None:
    """A task is shown with owner, epoch and last decision; an unknown one is 404."""
    desk.begin()
    answer = ok(client.get("/v1/tasks/t"), "task")
    assert answer["owner"] == {"kind": "agent", "id": "bot"}
    assert answer["decision"]["action"] == "CONTINUE"
    refused(client.get("/v1/tasks/nobody"), 404, "unknown-task")


def test_gateway_asks_before_a_write(desk: Any, client: TestClient) -> None:
    """An epoch may act until the handover and not after it."""
    desk.begin()
    body = {"task_id": "t", "epoch": 1}
    assert ok(client.post("/v1/ownership/verify", json=body), "verify")["may_act"]
    desk.engine.escalate("t", by="user", reason="wants a person")
    answer = ok(client.post("/v1/ownership/verify", json=body), "verify")
    assert answer == {
        "may_act": False,
        "owner": {"kind": "queue", "id": "general"},
        "epoch": 2,
        "token": None,
    }


# --- the verbs of people -----------------------------------------------------


def test_person_takes_over_and_resolves(desk: Any, client: TestClient) -> None:
    """A handoff is listed, read, claimed, rated and resolved, and says so."""
    handoff_id = handed_over(desk)
    at = f"/v1/handoffs/{handoff_id}"
    listed = ok(client.get("/v1/handoffs?queue=general&status=QUEUED"), "handoffs")
    assert [one["handoff_id"] for one in listed["handoffs"]] == [handoff_id]
    assert ok(client.get(at), "handoff")["package"]["request"] == "Where is my parcel?"

    claimed = ok(client.post(f"{at}/claim", json={"by": MEMBER}), "claim")
    assert (claimed["status"], claimed["claimed_by"]) == ("CLAIMED", MEMBER)
    rating = {"by": MEMBER, "sufficient": False, "missing": ["attempts"]}
    ok(client.post(f"{at}/rate", json=rating), "rate")
    verdict = {"by": MEMBER, "needed": "yes", "note": "lost in transit", "minutes": 4}
    done = ok(client.post(f"{at}/resolve", json=verdict), "resolve")
    assert done["status"] == "RESOLVED"

    shown = ok(client.get(at), "handoff")
    assert shown["rating"]["missing"] == ["attempts"]
    assert shown["resolution"]["needed"] == "yes"
    assert [item["what"] for item in shown["history"]] == [
        "opened",
        "claimed",
        "rated",
        "resolved",
    ]


def test_person_returns_the_task(desk: Any, client: TestClient) -> None:
    """A returned task is the agent's again, under a new epoch, with guidance."""
    at = f"/v1/handoffs/{handed_over(desk)}"
    client.post(f"{at}/claim", json={"by": MEMBER})
    body = {"by": MEMBER, "guidance": "Ask for the postcode."}
    assert ok(client.post(f"{at}/return", json=body), "return")["status"] == "RETURNED"
    task = ok(client.get("/v1/tasks/t"), "task")
    assert task["owner"] == {"kind": "agent", "id": "bot"}
    assert task["epoch"] == 4
    assert task["guidance"] == "Ask for the postcode."


def test_person_releases(desk: Any, client: TestClient) -> None:
    """A released handoff waits in its queue again."""
    at = f"/v1/handoffs/{handed_over(desk)}"
    client.post(f"{at}/claim", json={"by": MEMBER})
    answer = ok(client.post(f"{at}/release", json={"by": MEMBER}), "release")
    assert (answer["status"], answer["claimed_by"]) == ("QUEUED", None)


def test_person_renews_a_claim(desk: Any, client: TestClient) -> None:
    """A claim lasts a whole lease more; what nobody has cannot be renewed."""
    at = f"/v1/handoffs/{handed_over(desk)}"
    refused(client.post(f"{at}/renew", json={"by": MEMBER}), 409, "illegal-transition")
    claimed = ok(client.post(f"{at}/claim", json={"by": MEMBER}), "claim")
    desk.clock.turn(timedelta(minutes=10))
    renewed = ok(client.post(f"{at}/renew", json={"by": MEMBER}), "renew")
    assert (claimed["lease_until"], renewed["lease_until"]) == (
        "2026-11-24T12:30:00Z",
        "2026-11-24T12:40:00Z",
    )


def test_second_claim_is_told_the_holder(desk: Any, client: TestClient) -> None:
    """Of two who claim, the second one learns who has it."""
    at = f"/v1/handoffs/{handed_over(desk)}"
    client.post(f"{at}/claim", json={"by": MEMBER})
    answer = client.post(f"{at}/claim", json={"by": "general-2"})
    assert refused(answer, 409, "already-claimed")["holder"] == MEMBER


def test_stranger_is_turned_away(desk: Any, client: TestClient) -> None:
    """Only members of the queue may take its handoffs."""
    at = f"/v1/handoffs/{handed_over(desk)}"
    refused(client.post(f"{at}/claim", json={"by": "mallory"}), 403, "not-a-member")
    answer = client.post(f"{at}/resolve", json={"by": MEMBER, "needed": "yes"})
    refused(answer, 409, "illegal-transition")
    refused(client.get("/v1/handoffs/none"), 404, "unknown-handoff")
    refused(client.get("/v1/handoffs?queue=none"), 404, "no-such-queue")


def test_queues_show_load(desk: Any, client: TestClient) -> None:
    """Every queue of the policy is shown with what waits there."""
    handed_over(desk)
    queues = ok(client.get("/v1/queues"), "queues")["queues"]
    waiting = {queue["queue"]: queue["waiting"] for queue in queues}
    assert waiting == {"general": 1, "billing": 0, "vip": 0, "safety": 0}


# --- the loop, the log, the policy -------------------------------------------


def test_outcomes_are_kept(desk: Any, client: TestClient) -> None:
    """An outcome of a known task is kept; one of an unknown task is 404."""
    desk.begin()
    outcome = desk.event("complaint", task_id="t", verified=True)
    answer = ok(client.post("/v1/outcomes", json=[outcome]), "outcomes")
    assert answer["accepted"] == [outcome["event_id"]]
    lost = desk.event("complaint", task_id="nobody", verified=True)
    refused(client.post("/v1/outcomes", json=[lost]), 404, "unknown-task")


def test_audit_shows_records_and_root(desk: Any, client: TestClient) -> None:
    """Records come in order from where one asks, with the root over all of them."""
    desk.begin()
    answer = ok(client.get("/v1/audit?start=1&limit=1"), "audit")
    assert [record["seq"] for record in answer["records"]] == [1]
    assert answer["size"] == len(desk.records())
    assert re.fullmatch("[0-9a-f]{64}", answer["root"])


def test_policy_is_shown(desk: Any, client: TestClient) -> None:
    """The document that decides is shown whole, with its digest."""
    answer = ok(client.get("/v1/policy"), "policy")
    assert answer["digest"] == desk.policy.digest
    assert answer["document"]["owner"] == desk.policy.owner


# --- what decides ------------------------------------------------------------


def test_readiness_names_the_model(desk: Any, client: TestClient) -> None:
    """Ready says which model decides, and what is wrong with a newer one."""
    assert ok(client.get("/readyz"), "readyz")["model"] == "7"
    desk.source.problem = "signals differ"
    answer = ok(client.get("/readyz"), "readyz")
    assert (answer["model"], answer["model_problem"]) == ("7", "signals differ")


def test_rules_alone_are_ready(desk: Any, client: TestClient) -> None:
    """Without a model the service is ready, says why, and decides by rules."""
    desk.source.model = None
    answer = ok(client.get("/readyz"), "readyz")
    assert answer["model"] == "rules only: no model was given"
    desk.source.problem = "booster.txt is not the file the manifest names"
    answer = ok(client.get("/readyz"), "readyz")
    assert answer["model"].startswith("rules only: booster.txt is not")
    body = [desk.event(text="hello")]
    step = ok(client.post("/v1/tasks/t/events", json=body), "observe")
    assert step["decision"]["source"] == "rules"


def test_broken_model_is_not_an_error(desk: Any, client: TestClient) -> None:
    """A model that raises turns a step over to the rules; the call succeeds."""
    desk.model.is_broken = True
    body = [desk.event(text="hello")]
    step = ok(client.post("/v1/tasks/t/events", json=body), "observe")
    assert step["decision"]["source"] == "rules"
    assert step["decision"]["action"] == "CONTINUE"


def test_readiness_explains_each_fault() -> None:
    """A fault without words is told by its name; none is left out."""
    health = {
        "model": {
            "version": None,
            "fault": "KeyError",
            "used": False,
            "problem": None,
            "made_at": None,
        },
        "rung": 2,
        "policy": {"version": "1", "mode": "enforce"},
        "store": {"records": 1, "root": "00"},
    }
    assert readiness(health)["model"] == "rules only: KeyError"


def test_process_says_it_lives(client: TestClient) -> None:
    """The process answers without asking the store."""
    assert ok(client.get("/healthz"), "healthz") == {"status": "alive"}


# --- refusals ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "line", "column"),
    [
        (b'{"events": [\n  {"a": 1,}\n]}', 2, 10),
        (b"", 1, 1),
        (b'[{"text": "\xff"}]', 1, 1),
        (b"[" * 2_000, 1, 1),
    ],
)
def test_malformed_json_is_placed(
    body: bytes, line: int, column: int, client: TestClient
) -> None:
    """What is no JSON is refused with line and column."""
    answer = client.post("/v1/tasks/t/events", content=body)
    problem = refused(answer, 400, "malformed-json")
    assert problem["line"] == line
    assert problem["column"] >= column
    assert f"line {line}" in problem["detail"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/handoffs/h/claim", {}, "by"),
        ("/v1/handoffs/h/claim", {"by": " "}, "by"),
        ("/v1/handoffs/h/resolve", {"by": "a", "needed": "perhaps"}, "needed"),
        (
            "/v1/handoffs/h/resolve",
            {"by": "a", "needed": "no", "minutes": -1},
            "minutes",
        ),
        ("/v1/handoffs/h/return", {"by": "a", "guidance": ""}, "guidance"),
        ("/v1/handoffs/h/rate", {"by": "a", "sufficient": "x"}, "sufficient"),
        ("/v1/ownership/verify", {"task_id": "t", "epoch": "one"}, "epoch"),
        ("/v1/tasks/t/escalate", {"by": "user"}, "reason"),
        ("/v1/tasks/t/events", {"events": {}}, "events"),
        ("/v1/tasks/t/events", {"events": [], "epok": 1}, "epok"),
        ("/v1/score", 17, "body"),
    ],
)
def test_unusable_request_names_the_field(
    path: str, body: Any, field: str, client: TestClient
) -> None:
    """A request that cannot be used is refused with field, expected and found."""
    problem = refused(client.post(path, json=body), 422, "malformed-request")
    wrong = {fault["field"]: fault for fault in problem["errors"]}
    assert wrong[field]["expected"]
    assert wrong[field]["found"]


def test_no_event_is_no_step(client: TestClient) -> None:
    """A step without events is refused; it would decide on nothing."""
    answer = client.post("/v1/tasks/t/events", json=[])
    refused(answer, 422, "malformed-request")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "offset=-1", "status=OPEN", "x=1"]
)
def test_unusable_query_is_refused(query: str, client: TestClient) -> None:
    """A query is checked as a body is."""
    problem = refused(client.get(f"/v1/handoffs?{query}"), 422, "malformed-request")
    assert problem["errors"][0]["field"] == query.partition("=")[0]


def test_large_body_is_refused_by_its_limit(desk: Any) -> None:
    """A body over the limit is refused, and the answer names the limit."""
    client = TestClient(make_api(desk.engine, max_body_bytes=2_000), base_url=BASE)
    answer = client.post("/v1/score", json=[desk.event(text="x" * 3_000)])
    problem = refused(answer, 413, "body-too-large")
    assert problem["limit_bytes"] == 2_000
    assert "2000 bytes" in problem["detail"]


def test_default_limit_is_one_mebibyte(desk: Any, client: TestClient) -> None:
    """Just under 1 MiB passes, more does not, however it is cut into chunks."""

    def chunks() -> Iterator[bytes]:
        for _ in range(17):
            yield b" " * 65_536

    wide = orjson.dumps([desk.event(text="x" * 1_000_000)])
    assert client.post("/v1/score", content=wide).status_code == 200
    answer = client.post("/v1/score", content=chunks())
    assert refused(answer, 413, "body-too-large")["limit_bytes"] == 1_048_576


def test_many_events_are_refused_by_their_limit(desk: Any, client: TestClient) -> None:
    """A thousand events pass in one call, one more is refused, and none is kept."""
    events = [desk.event(text="x") for _ in range(1_001)]
    answer = client.post("/v1/tasks/t/events", json=events)
    assert refused(answer, 413, "too-many-events")["limit_events"] == 1_000
    assert desk.sent_events() == 0
    assert client.post("/v1/tasks/t/events", json=events[:-1]).status_code == 200


def test_unknown_address_is_a_problem(client: TestClient) -> None:
    """An address nobody has, and a method it does not take, are problems too."""
    refused(client.get("/v2/tasks"), 404, "no-such-address")
    answer = client.get("/v1/score")
    refused(answer, 405, "no-such-method")
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": BASE},
    ],
)
def test_foreign_page_cannot_act(
    headers: dict[str, str], desk: Any, client: TestClient
) -> None:
    """A page of another site that makes a browser post is turned away."""
    at = f"/v1/handoffs/{handed_over(desk)}"
    answer = client.post(f"{at}/claim", json={"by": MEMBER}, headers=headers)
    refused(answer, 403, "foreign-page")
    assert client.get(at).json()["status"] == "QUEUED"


def test_own_page_may_act(desk: Any, client: TestClient) -> None:
    """A page of the same origin may call."""
    headers = {"origin": BASE, "sec-fetch-site": "same-origin"}
    answer = client.post("/v1/score", json=[desk.event(text="x")], headers=headers)
    assert answer.status_code == 200


def test_caller_that_leaves_is_no_failure(desk: Any) -> None:
    """A caller who goes away in mid-body is counted as a refusal; nothing is kept."""
    sent: list[dict[str, Any]] = []
    chunks = [
        {"type": "http.request", "body": b'[{"event_id"', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        return chunks.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/tasks/t/events",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1:3000")],
    }
    asyncio.run(make_api(desk.engine)(scope, receive, send))
    assert sent[0]["status"] == 400
    assert desk.sent_events() == 0


def test_closed_store_is_unavailable(desk: Any, client: TestClient) -> None:
    """Without a store the answer is 503, when to try again, and to stop safely."""
    body = [desk.event(text="hello")]
    desk.close()
    answer = client.post("/v1/tasks/t/events", json=body)
    assert "stop safely" in refused(answer, 503, "unavailable")["detail"]
    assert int(answer.headers["retry-after"]) > 0
    refused(client.get("/readyz"), 503, "unavailable")
    refused(client.get("/metrics"), 503, "unavailable")


class Broken:
    """An engine of which every call, of every part, fails in a way nobody foresaw."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.written = Written()

    def __getattr__(self, name: str) -> Any:
        """Return a part of which every call fails."""
        return Broken(self.error)

    def __call__(self, *_: Any, **__: Any) -> None:
        """Fail."""
        raise self.error


def test_unforeseen_failure_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A failure of ours is 500, logged with its place and without a word of the user."""
    broken: Any = Broken(KeyError("the user said: hunter2"))
    client = TestClient(make_api(broken), base_url=BASE)
    answer = client.get("/v1/queues")
    refused(answer, 500, "internal")
    assert "KeyError" in caplog.text
    assert "hunter2" not in answer.text + caplog.text


def test_store_failure_is_no_internal_error() -> None:
    """What the store cannot do may pass, so it is 503 and not 500."""
    broken: Any = Broken(StoreError("disk full"))
    client = TestClient(make_api(broken), base_url=BASE)
    refused(client.get("/v1/queues"), 503, "unavailable")


# --- metrics -----------------------------------------------------------------


def test_metrics_count_decisions(desk: Any, client: TestClient) -> None:
    """Decisions, risk, latency, queues and problems are counted."""
    client.post("/v1/tasks/t/events", json=[desk.event(text="hello")])
    desk.model.value = 0.9
    client.post("/v1/tasks/u/events", json=[desk.event(text="hello")])
    client.get("/v1/tasks/nobody")
    scraped = client.get("/metrics").text
    told = 'effective="true",source="model"'
    assert f'escalon_decisions_total{{action="CONTINUE",{told}}} 1.0' in scraped
    assert f'escalon_decisions_total{{action="ESCALATE",{told}}} 1.0' in scraped
    assert 'escalon_risk_bucket{le="0.1"} 1.0' in scraped
    assert "escalon_risk_count 2.0" in scraped
    assert "escalon_decision_seconds_count 2.0" in scraped
    assert 'escalon_queue_waiting{queue="general"} 1.0' in scraped
    assert 'escalon_queue_oldest_seconds{queue="general"}' in scraped
    assert 'escalon_problems_total{type="unknown-task"} 1.0' in scraped
    assert 'escalon_live_info{mode="enforce",model="7",policy="1"} 1.0' in scraped


def test_metrics_count_the_decision_of_a_bad_batch(
    desk: Any, client: TestClient
) -> None:
    """A decision on the good events of a bad batch is counted as well."""
    client.post("/v1/tasks/t/events", json=[desk.event(text="hello"), {}])
    assert "escalon_decision_seconds_count 1.0" in client.get("/metrics").text


def test_metrics_name_nobody(desk: Any, client: TestClient) -> None:
    """No task, person or account is ever a label."""
    desk.hand_over("task-of-somebody")
    scraped = client.get("/metrics").text
    assert "task-of-somebody" not in scraped
    labels = set(re.findall(r'[{,](\w+)="', scraped))
    assert labels == {"queue", "le", "model", "mode", "policy"}


# --- the document ------------------------------------------------------------


def test_document_has_every_route(desk: Any, client: TestClient) -> None:
    """The OpenAPI document names every route with its methods, and no other."""
    document = client.get("/v1/openapi.json").json()
    written = {
        (method.upper(), path)
        for path, item in document["paths"].items()
        for method in item
    }
    served = {
        (method, route.path)
        for route in make_api(desk.engine).routes
        for method in getattr(route, "methods", ())
        if method != "HEAD"
    }
    assert written == served
    assert document["openapi"].startswith("3.1")


def test_document_refers_to_what_it_has(client: TestClient) -> None:
    """Every reference in the document leads somewhere in it, and ids are unique."""
    text = client.get("/v1/openapi.json").text
    document = orjson.loads(text)
    schemas = document["components"]["schemas"]
    for name in re.findall(r'"\$ref":"#/components/schemas/(\w+)"', text):
        assert name in schemas
    ids = [
        op["operationId"] for item in document["paths"].values() for op in item.values()
    ]
    assert len(ids) == len(set(ids))


def test_document_lists_what_can_be_refused(client: TestClient) -> None:
    """A call's problems are documented by status and slug."""
    document = client.get("/v1/openapi.json").json()
    claim = document["paths"]["/v1/handoffs/{handoff_id}/claim"]["post"]
    assert claim["responses"]["409"]["description"] == (
        "already-claimed, illegal-transition"
    )
    assert "application/problem+json" in claim["responses"]["409"]["content"]
    assert claim["parameters"][0]["name"] == "handoff_id"


@pytest.mark.parametrize("op", OPERATIONS, ids=lambda op: op.name)
def test_operation_is_told_apart(op: Operation) -> None:
    """Each operation says in one sentence what it does, and who calls it."""
    assert op.says.endswith(".")
    assert op.who
    assert op.answer.__doc__
