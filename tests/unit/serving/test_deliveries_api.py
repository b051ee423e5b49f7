"""Tests of deliveries on the surface, in metrics, and on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from escalon.cli import app
from serving.api.app import make_api
from serving.api.delivery import DeliveryItem, DeliveryList
from serving.policy.delivery import Attempt, Ending
from serving.policy.rules import Policy
from tests.faults.faulty_channel import Act, FaultyChannel

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - of the standard
REFUSED = Attempt(ending=Ending.REFUSED, fault="status-400")
FAILED = Attempt(ending=Ending.FAILED, fault="status-503")


@pytest.fixture
def office(make_desk: Any) -> Any:
    """Make a desk whose queues tell the pager."""
    default = Policy.default()
    queues = [{**q.model_dump(), "notify": ["pager"]} for q in default.queues]
    return make_desk(default.model_copy(update={"queues": queues}))


def buried(desk: Any) -> str:
    """Have a delivery refused until it is dead, and return its id."""
    desk.hand_over()
    while not (found := desk.engine.deliveries.listed(status="dead")["deliveries"]):
        for sending in desk.engine.deliveries.take("w", "pager", limit=1):
            desk.engine.deliveries.ended(sending, REFUSED)
        desk.clock.turn(desk.clock.now.resolution * 60_000_000)
    return str(found[0]["outbox_id"])


def test_dead_letters_are_listed_and_sent_again(office: Any) -> None:
    """The answers are those of the document; the problems name what is wrong."""
    outbox_id = buried(office)
    client = TestClient(make_api(office.engine), base_url="http://localhost")
    found = client.get("/v1/deliveries", params={"status": "dead"}).json()
    DeliveryList.model_validate(found)
    assert [d["outbox_id"] for d in found["deliveries"]] == [outbox_id]
    assert found["channels"][0]["dead"] == 1
    path = f"/v1/deliveries/{outbox_id}/redrive"
    again = client.post(path, json={"by": "ops"})
    DeliveryItem.model_validate(again.json())
    assert (again.status_code, again.json()["status"]) == (200, "pending")
    refused = client.post(path, json={"by": "ops"})
    assert (refused.status_code, refused.json()["status"]) == (409, 409)
    assert refused.json()["type"] == "urn:escalon:problem:not-dead"
    missing = client.post("/v1/deliveries/out_x/redrive", json={"by": "ops"})
    assert missing.status_code == 404
    assert client.get("/v1/deliveries", params={"status": "x"}).status_code == 422


def test_metrics_show_what_waits_and_what_was_given_up(office: Any) -> None:
    """By channel: pending, the oldest, dead, and whether it is down."""
    buried(office)
    office.hand_over("second")
    for sending in office.engine.deliveries.take("w", "pager", limit=9):
        office.engine.deliveries.ended(sending, FAILED)
    office.clock.turn(office.clock.now.resolution * 90_000_000)
    client = TestClient(make_api(office.engine), base_url="http://localhost")
    text = client.get("/metrics").text
    assert 'escalon_outbox_pending{channel="pager"} 1.0' in text
    assert 'escalon_outbox_oldest_seconds{channel="pager"} 90.0' in text
    assert 'escalon_outbox_dead{channel="pager"} 1.0' in text
    assert 'escalon_outbox_channel_down{channel="pager"} 0.0' in text


def test_the_command_line_lists_what_a_store_holds(office: Any) -> None:
    """Of a store in use, as lines and as JSON."""
    outbox_id = buried(office)
    told = CliRunner().invoke(app, ["deliveries", "list", "--store", str(office.path)])
    assert told.exit_code == 0
    assert outbox_id in told.output
    assert "status-400" in told.output
    given = ["deliveries", "list", "--store", str(office.path), "--json"]
    assert f'"{outbox_id}"' in CliRunner().invoke(app, given).output


def test_a_test_message_reaches_the_channel(tmp_path: Path) -> None:
    """It says that it is a test; exit code 1 where it is not taken."""
    path = tmp_path / "channels.yaml"
    with FaultyChannel() as receiver:
        path.write_text(
            f"pager: {{kind: webhook, url: '{receiver.url}', secret: {SECRET}, "
            "allow_private: true}",
            encoding="utf-8",
        )
        given = ["channels", "test", str(path), "pager"]
        assert CliRunner().invoke(app, given).exit_code == 0
        (request,) = receiver.requests
        assert b"escalon.test.v1" in request.body
        receiver.play(Act.fail(503))
        assert CliRunner().invoke(app, given).exit_code == 1
        unknown = CliRunner().invoke(app, ["channels", "test", str(path), "fax"])
        assert unknown.exit_code == 2


def test_channels_are_checked_against_the_policy(tmp_path: Path) -> None:
    """A file that is good says so; one that lacks a channel is the user's mistake."""
    path = tmp_path / "channels.yaml"
    path.write_text("tray: {kind: file, path: x}", encoding="utf-8")
    good = CliRunner().invoke(app, ["channels", "check", str(path)])
    assert (good.exit_code, "tray" in good.output) == (0, True)
    path.write_text("tray: {kind: pigeon}", encoding="utf-8")
    assert CliRunner().invoke(app, ["channels", "check", str(path)]).exit_code == 2
