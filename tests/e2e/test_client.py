"""The client against the real service: it stops, waits, and goes on as the task does."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from escalon_client import (
    Action,
    Escalon,
    OwnershipLost,
    Refused,
    SafeStop,
    ServiceAway,
)
from serving.server import Server, start
from serving.settings import Settings
from serving.store.verify import verify_store

pytestmark = pytest.mark.slow


class Killable:
    """A service that can be killed, and started again on the same store."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.server: Server | None = None

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self.server = start(self.settings)

    def kill(self) -> None:
        """Kill every process of it at once, so that nothing is said or closed."""
        assert self.server is not None
        for pid in _tree(self.server.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.server.wait()
        self.server = None


def _tree(root: int) -> list[int]:
    """Return a process and all that it has started."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                stat = (entry / "stat").read_text(encoding="utf-8")
                parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, free_port: int) -> Iterator[Any]:
    """Serve an empty store; rules decide."""
    home = tmp_path_factory.mktemp("client")
    made = Killable(
        Settings.load(
            store=str(home / "store.db"), model=home / "model", port=free_port
        )
    )
    made.start()
    yield made
    if made.server is not None:
        made.server.stop()
    assert verify_store(home / "store.db").problems == ()


@pytest.fixture
def client(service: Any, tmp_path: Path) -> Iterator[Escalon]:
    """Make a client that is not patient."""
    url = service.settings.url
    with Escalon(url, timeout=10, patience=0.5, spool=tmp_path / "spool") as made:
        yield made


def said(text: str, **more: Any) -> dict[str, Any]:
    """Return a message of the user."""
    return {"kind": "user_message", "text": text, **more}


def human(service: Any, handoff_id: str, verb: str, **body: str) -> None:
    """Have a member of the queue act."""
    url = f"{service.settings.url}/v1/handoffs/{handoff_id}"
    queue = httpx.get(url).json()["queue"]
    listed = httpx.get(f"{service.settings.url}/v1/queues").json()["queues"]
    member = next(q["members"][0] for q in listed if q["queue"] == queue)
    answer = httpx.post(f"{url}/{verb}", json={"by": member, **body})
    assert answer.status_code == 200, answer.text


def test_an_agent_goes_on_until_the_task_is_handed_over(
    service: Any, client: Escalon
) -> None:
    """Tools run, are used up in the log, and stop at once with the handover.

    Once a human has given the task back, with guidance, they run again.
    """
    task = client.task("whole")
    ran: list[int] = []
    pay = task.guard(ran.append, irreversible=True, name="pay")
    look = task.guard(ran.append, irreversible=False, name="look")
    with pytest.raises(Refused, match="unknown-task"):
        pay(0)
    assert task.send([said("Where is my parcel?")]).action is Action.CONTINUE
    pay(1)
    look(2)
    assert ran == [1, 2]

    decision = task.send([said("I want to speak to a human, please.")])
    assert (decision.action, decision.must_stop) == (Action.ESCALATE, True)
    assert decision.message
    assert decision.message_id
    for tool in (pay, look):
        with pytest.raises(OwnershipLost) as lost:
            tool(3)
        assert lost.value.message == decision.message
        assert lost.value.epoch == decision.epoch
    with pytest.raises(OwnershipLost) as lost:
        task.send([{"kind": "agent_message", "text": "One moment."}])
    assert (lost.value.owner["kind"], lost.value.task_id) == ("queue", "whole")
    assert task.send([said("Are you there?")]).must_stop
    assert ran == [1, 2]

    handoff_id = decision.answer["handoff"]["handoff_id"]
    human(service, handoff_id, "claim")
    human(service, handoff_id, "return", guidance="Refund it.")
    assert task.refresh()["guidance"] == "Refund it."
    pay(4)
    assert task.send([said("Thank you.")]).action is Action.CONTINUE
    assert ran == [1, 2, 4]


def test_a_handover_by_another_way_stops_the_next_tool(
    service: Any, client: Escalon
) -> None:
    """The user asked elsewhere; the agent learns of it before it acts."""
    ran: list[int] = []
    for n, irreversible in enumerate((True, False)):
        task = client.task(f"elsewhere-{n}")
        task.send([said("hello")])
        wish = {"by": "user", "reason": "asked by phone"}
        url = f"{service.settings.url}/v1/tasks/elsewhere-{n}/escalate"
        assert httpx.post(url, json=wish).status_code == 200
        with pytest.raises(OwnershipLost):
            task.guard(ran.append, irreversible=irreversible)(1)
    assert ran == []


def test_a_service_that_is_killed_loses_nothing(
    service: Any, client: Escalon, tmp_path: Path
) -> None:
    """Killed mid-way, what was said waits; back again, all of it is there, once.

    What went wrong meanwhile has stopped the agent here, and a human is asked for as
    soon as somebody can be. Of two tasks, one was begun before an outage of a process
    that is gone: another sends what that had left.
    """
    task, other = client.task("killed"), client.task("left")
    task.send([said("first", event_id="e0")])
    ran: list[int] = []
    pay = task.guard(ran.append, irreversible=True, name="pay")
    look = task.guard(ran.append, irreversible=False, name="look")
    service.kill()

    assert task.send([said("second", event_id="e1")]).is_local
    other.send([said("another", event_id="x1")])
    with pytest.raises(ServiceAway):
        pay(1)
    look(2)
    failed = {"kind": "tool_result", "error": True}
    stop = task.send([{**failed, "event_id": f"f{n}"} for n in range(3)])
    assert (stop.action, stop.must_stop) == (Action.SAFE_STOP, True)
    with pytest.raises(SafeStop):
        look(3)
    assert ran == [2]

    service.start()
    after = Escalon(service.settings.url, patience=30, spool=tmp_path / "spool")
    with after:
        assert after.replay() == 4
        assert list((tmp_path / "spool").iterdir()) == []
        assert after.replay() == 0
    standing = task.refresh()
    assert standing["owner"]["kind"] == "queue"
    with pytest.raises(OwnershipLost):
        pay(4)
    answer = httpx.get(f"{service.settings.url}/v1/handoffs/{standing['handoff_id']}")
    conversation = answer.json()["package"]["conversation"]
    texts = [part["text"] for part in conversation]
    assert texts.count("second") == 1
    assert texts.index("first") < texts.index("second")
    assert httpx.get(f"{service.settings.url}/v1/tasks/left").json()["events"] >= 1
    assert ran == [2]


def test_the_same_again_is_told_the_same(client: Escalon) -> None:
    """A call whose answer was lost is made again, and changes nothing."""
    task = client.task("again")
    event = said("hello", event_id="e1", at="2026-11-24T12:00:00Z")
    first = task.send([event])
    assert task.send([event]).answer == first.answer
