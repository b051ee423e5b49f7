"""Tests of actions: tokens for single tool calls, over HTTP, against the store."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from starlette.testclient import TestClient

from serving.api.actions import ActionAnswer, KeysAnswer, OwnershipAnswer
from serving.api.app import make_api
from serving.engine.actions import Actions
from serving.policy.tokens import Claims, Refused, digest_of, verify
from serving.store.verify import verify_store

ARGUMENTS = {"order": "W1", "amount": 12.5}


@pytest.fixture
def client(desk: Any) -> TestClient:
    """Return a client of the surface over `desk`, on which a task has begun."""
    desk.begin()
    return TestClient(make_api(desk.engine))


def token_of(client: TestClient, *, epoch: int = 1, arguments: Any = ARGUMENTS) -> str:
    """Return a token for a refund."""
    asked = {"epoch": epoch, "tool": "refund", "arguments": arguments}
    answer = client.post("/v1/tasks/t/actions", json=asked)
    assert answer.status_code == 200, answer.text
    return ActionAnswer.model_validate(answer.json()).token


def asked(client: TestClient, **body: Any) -> dict[str, Any]:
    """Return what a gateway is answered."""
    answer = client.post("/v1/ownership/verify", json={"task_id": "t", **body})
    assert answer.status_code == 200, answer.text
    OwnershipAnswer.model_validate(answer.json())
    said: dict[str, Any] = answer.json()
    return said


# --- asking for a token -------------------------------------------------------


def test_the_owner_gets_a_token_that_gateways_check_offline(
    client: TestClient, desk: Any
) -> None:
    """With nothing but the published key, a gateway finds it good for that call alone."""
    token = token_of(client)
    published = KeysAnswer.model_validate(client.get("/v1/actions/key").json())
    keys = {key.kid: load_pem_public_key(key.pem.encode()) for key in published.keys}
    call = {"tool": "refund", "args_sha256": digest_of(ARGUMENTS)}
    good = verify(token, keys, now=desk.clock(), task="t", **call)  # type: ignore[arg-type]
    assert isinstance(good, Claims)
    assert good.epoch == 1
    late = verify(token, keys, now=desk.clock() + timedelta(seconds=10))  # type: ignore[arg-type]
    assert isinstance(late, Refused)


def test_no_token_after_the_handover(client: TestClient, desk: Any) -> None:
    """The agent that lost the task is told owner, epoch and message, and gets none."""
    told = desk.engine.escalate("t", by="user", reason="a person, please")
    body = {"epoch": 1, "tool": "refund", "arguments": ARGUMENTS}
    answer = client.post("/v1/tasks/t/actions", json=body)
    assert answer.status_code == 409
    problem = answer.json()
    assert problem["type"] == "urn:escalon:problem:stale-epoch"
    assert problem["owner"] == {"kind": "queue", "id": "general"}
    assert (problem["epoch"], problem["message"]) == (2, told["message"])


def test_epoch_may_stand_in_the_header(client: TestClient, desk: Any) -> None:
    """`X-Task-Epoch` is as good as the body's; an agent that names none gets nothing."""
    body = {"tool": "refund", "arguments": ARGUMENTS}
    path = "/v1/tasks/t/actions"
    assert client.post(path, json=body, headers={"X-Task-Epoch": "1"}).is_success
    assert client.post(path, json=body).status_code == 422
    wrong = client.post(path, json={**body, "epoch": 1}, headers={"X-Task-Epoch": "2"})
    assert wrong.json()["errors"][0]["field"] == "X-Task-Epoch"
    for text in ("one", "-1", "1.0", "9" * 40, ""):
        refused = client.post(path, json=body, headers={"X-Task-Epoch": text})
        assert refused.status_code == 422, text
    desk.engine.escalate("t", by="user", reason="x")
    stale = client.post(path, json=body, headers={"X-Task-Epoch": "1"})
    assert stale.status_code == 409


def test_epoch_header_guards_events(client: TestClient, desk: Any) -> None:
    """An event sent alone under an old epoch in the header is refused."""
    desk.engine.escalate("t", by="user", reason="x")
    event = desk.event("agent_message", text="Done")
    path, old = "/v1/tasks/t/events", {"X-Task-Epoch": "1"}
    assert client.post(path, json=event, headers=old).status_code == 409


@pytest.mark.parametrize(
    "body",
    [
        {"epoch": 1, "tool": "refund"},
        {"epoch": 1, "tool": "refund", "arguments": 1, "arguments_sha256": "a" * 64},
        {"epoch": 1, "tool": "refund", "arguments_sha256": "A" * 64},
        {"epoch": 1, "tool": " ", "arguments": {}},
    ],
)
def test_unusable_action_is_refused(client: TestClient, body: Any) -> None:
    """A call names one tool and its arguments once."""
    assert client.post("/v1/tasks/t/actions", json=body).status_code == 422


def test_arguments_or_their_hash_are_the_same(client: TestClient, desk: Any) -> None:
    """The gateway may hold the hash against a token made of the arguments; null too."""
    token = token_of(client)
    named = {"token": token, "arguments_sha256": digest_of(ARGUMENTS)}
    assert asked(client, **named)["may_act"]
    nothing = token_of(client, arguments=None)
    assert asked(client, token=nothing, arguments=None)["may_act"]
    assert not asked(client, token=nothing, arguments={})["may_act"]
    assert desk.count("action") == 0


# --- asking whether it is good -------------------------------------------------


def test_verify_sees_the_handover_at_once(client: TestClient, desk: Any) -> None:
    """A token whose ten seconds run is not good from the handover on."""
    token = token_of(client)
    assert asked(client, token=token)["may_act"]
    desk.engine.escalate("t", by="user", reason="x")
    said = asked(client, token=token)
    assert (said["may_act"], said["token"]["fault"]) == (False, "old_epoch")
    assert said["owner"] == {"kind": "queue", "id": "general"}


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"tool": "transfer"}, "other_tool"),
        ({"arguments": {"order": "W2"}}, "other_arguments"),
        ({"epoch": 2}, "old_epoch"),
    ],
)
def test_bad_token_may_not_act(client: TestClient, body: Any, fault: str) -> None:
    """Whoever looks only at `may_act` is safe; the reason stands beside it."""
    said = asked(client, token=token_of(client), **body)
    assert (said["may_act"], said["token"]["fault"]) == (False, fault)


def test_epoch_beside_a_good_token_must_hold_too(client: TestClient) -> None:
    """An older epoch than the task's may not act, whatever token is with it."""
    said = asked(client, token=token_of(client), epoch=0)
    assert (said["may_act"], said["token"]["good"]) == (False, True)


def test_token_of_another_task_is_not_good(client: TestClient, desk: Any) -> None:
    """What was given for one task opens no other."""
    desk.begin("u")
    answer = client.post(
        "/v1/ownership/verify", json={"task_id": "u", "token": token_of(client)}
    )
    assert answer.json()["token"]["fault"] == "other_task"


@pytest.mark.parametrize("body", [{}, {"consume": True}, {"epoch": 1, "consume": True}])
def test_nothing_to_verify_is_refused(client: TestClient, body: Any) -> None:
    """There must be an epoch or a token, and what is consumed is a token."""
    answer = client.post("/v1/ownership/verify", json={"task_id": "t", **body})
    assert answer.status_code == 422


# --- using it up ----------------------------------------------------------------


def test_a_token_is_used_up_once(client: TestClient, desk: Any) -> None:
    """The first gateway may act and the log says so; any other is told it was used."""
    token = token_of(client)
    first = asked(client, token=token, consume=True)
    assert (first["may_act"], first["token"]["consumed"]) == (True, True)
    second = asked(client, token=token, consume=True)
    assert (second["may_act"], second["token"]["fault"]) == (False, "used")
    assert not asked(client, token=token)["may_act"]
    record = desk.records()[-1]
    assert record["type"] == "action.authorized"
    assert (record["task"], record["epoch"]) == ("t", 1)
    assert record["action"]["tool"] == "refund"
    assert digest_of(ARGUMENTS) not in str(record)
    assert desk.count("action") == 1


def test_what_is_refused_uses_nothing_up(client: TestClient, desk: Any) -> None:
    """A gateway that asks about the wrong tool spoils no token and writes nothing."""
    token = token_of(client)
    assert not asked(client, token=token, tool="other", consume=True)["may_act"]
    assert not asked(client, token=token, epoch=0, consume=True)["may_act"]
    assert desk.count("action") == 0
    assert asked(client, token=token, consume=True)["may_act"]


def test_consumption_after_the_handover_fails(client: TestClient, desk: Any) -> None:
    """An act that was not in the log before the handover cannot come after it."""
    token = token_of(client)
    desk.engine.escalate("t", by="user", reason="x")
    said = asked(client, token=token, consume=True)
    assert (said["may_act"], said["token"]["consumed"]) == (False, False)
    assert "action.authorized" not in desk.types()


def test_lost_answer_of_a_consumption_is_given_again(client: TestClient) -> None:
    """Under its Idempotency-Key the same call is answered as it was: it may act."""
    body = {"task_id": "t", "token": token_of(client), "consume": True}
    key = {"Idempotency-Key": "gateway-1"}
    first = client.post("/v1/ownership/verify", json=body, headers=key)
    again = client.post("/v1/ownership/verify", json=body, headers=key)
    assert first.json()["may_act"]
    assert first.content == again.content


def test_replicas_honour_each_others_tokens(client: TestClient, desk: Any) -> None:
    """After a restart, as in another replica, the key is the same one."""
    token = token_of(client)
    desk.close()
    desk.open()
    again = TestClient(make_api(desk.engine))
    assert asked(again, token=token, consume=True)["may_act"]


def test_deployment_shortens_tokens(desk: Any) -> None:
    """Tokens hold for as long as the deployment says."""
    desk.begin()
    short = Actions(desk.engine.ways, lasts=timedelta(seconds=3))
    said = short.authorize("t", epoch=1, tool="x", args_sha256=digest_of(None))
    assert said["expires_at"] == "2026-11-24T12:00:03.000000Z"


# --- who had it when -------------------------------------------------------------


def test_returned_task_is_the_new_epochs(client: TestClient, desk: Any) -> None:
    """After a return, over a restart too, the new epoch may act and the old may not."""
    old = token_of(client)
    held = desk.engine.escalate("t", by="user", reason="x")["handoff"]["handoff_id"]
    desk.engine.claim(held, by="general-1")
    returned = desk.engine.return_(held, by="general-1", guidance="Ask for the order")
    desk.close()
    desk.open()
    again = TestClient(make_api(desk.engine))
    task = again.get("/v1/tasks/t").json()
    assert (task["epoch"], task["guidance"]) == (4, "Ask for the order")
    assert returned["status"] == "RETURNED"
    assert not asked(again, token=old, consume=True)["may_act"]
    assert not asked(again, epoch=1)["may_act"]
    for epoch in (1, 2, 3, 5):
        body = {"epoch": epoch, "tool": "refund", "arguments": {}}
        assert again.post("/v1/tasks/t/actions", json=body).status_code == 409
    new = token_of(again, epoch=4)
    assert asked(again, token=new, consume=True)["may_act"]
    assert not verify_store(desk.path).problems


# --- what the log proves ---------------------------------------------------------


def tamper(desk: Any, *statements: str) -> tuple[str, ...]:
    """Change the file behind the service's back; return what is then found."""
    desk.close()
    with sqlite3.connect(desk.path) as connection:
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            assert connection.execute(statement).rowcount > 0
    connection.close()
    return tuple(verify_store(desk.path).problems)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE action SET tool = 'look_up'",
        "UPDATE action SET args_sha256 = replace(args_sha256, 'a', 'b') || ''",
        "UPDATE action SET epoch = 2",
        "UPDATE action SET audit_seq = audit_seq - 1",
        "UPDATE action SET jti = 'act_other'",
        "DELETE FROM action",
    ],
)
def test_tampered_action_is_found(
    client: TestClient, desk: Any, statement: str
) -> None:
    """Any change of what was authorised differs from its record."""
    assert asked(client, token=token_of(client), consume=True)["may_act"]
    assert not verify_store(desk.path).problems
    assert any("action" in said for said in tamper(desk, statement))


def test_database_refuses_an_act_of_an_old_epoch(client: TestClient, desk: Any) -> None:
    """Code that forgot the fence would be stopped by the schema."""
    assert asked(client, token=token_of(client), consume=True)["may_act"]
    desk.engine.escalate("t", by="user", reason="x")
    desk.close()
    with (
        sqlite3.connect(desk.path) as connection,
        pytest.raises(sqlite3.IntegrityError, match="does not own"),
    ):
        connection.execute(
            "INSERT INTO action SELECT 'act_2', task_id, epoch, tool, args_sha256, "
            "salt, audit_seq FROM action"
        )
    connection.close()
