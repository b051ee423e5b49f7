"""Tests of the client while nobody answers: what waits, what stops, what is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escalon_client import Action, Escalon, LocalRules, SafeStop, ServiceAway
from escalon_client.rules import Watch
from escalon_client.spool import Spool


@pytest.fixture
def nobody(tmp_path: Path, another_port: int) -> Iterator[Escalon]:
    """Make a client of an address where nobody listens."""
    url = f"http://127.0.0.1:{another_port}"
    with Escalon(url, patience=0, spool=tmp_path / "spool") as client:
        yield client


def said(text: str = "hello", **more: Any) -> dict[str, Any]:
    """Return a message of the user."""
    return {"kind": "user_message", "text": text, **more}


def call(n: int = 0) -> dict[str, Any]:
    """Return a call of a tool."""
    return {"kind": "tool_call", "tool": "find", "arguments": {"n": n}}


FAILED = {"kind": "tool_result", "error": True}


def waiting(spool: Path) -> list[dict[str, Any]]:
    """Return every line that waits in `spool`."""
    files = sorted(spool.glob("*.jsonl"))
    return [json.loads(ln) for f in files for ln in f.read_text().splitlines()]


# --- what an agent may do by itself ------------------------------------------------


def test_an_irreversible_tool_waits(nobody: Escalon) -> None:
    """Nobody can say that it may be called: it does not run, and the error says so."""
    ran: list[int] = []
    pay = nobody.task("t").guard(ran.append, irreversible=True, name="pay")
    with pytest.raises(ServiceAway, match=r"the service to allow 'pay'.*did not run"):
        pay(5)
    assert ran == []


def test_another_tool_goes_on(nobody: Escalon) -> None:
    """What can be undone is done; the event of it waits on the disk."""
    ran: list[int] = []
    nobody.task("t").guard(ran.append, irreversible=False, name="look")(5)
    assert ran == [5]


def test_a_coroutine_is_guarded_like_a_function(nobody: Escalon) -> None:
    """An irreversible one does not run, another does."""
    ran: list[str] = []

    async def act(what: str) -> str:
        ran.append(what)
        return what

    task = nobody.task("t")
    with pytest.raises(ServiceAway):
        asyncio.run(task.guard(act)("pay"))  # type: ignore[arg-type]
    looked = task.guard(act, irreversible=False)("look")
    assert asyncio.run(looked) == "look"  # type: ignore[arg-type]
    assert ran == ["look"]


def test_events_wait_on_the_disk_in_order(nobody: Escalon, tmp_path: Path) -> None:
    """Each with its id and its time, made once; the agent goes on."""
    task = nobody.task("t/1 ü")
    for n in range(3):
        decision = task.send([said(f"words {n}\u2028")])
        assert (decision.action, decision.is_local) == (Action.CONTINUE, True)
        assert not decision.must_stop
    lines = waiting(tmp_path / "spool")
    texts = [line["events"][0]["text"] for line in lines]
    assert texts == [f"words {n}\u2028" for n in range(3)]
    assert len({line["events"][0]["event_id"] for line in lines}) == 3
    assert {line["task_id"] for line in lines} == {"t/1 ü"}


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([FAILED] * 3, "3 tool calls in a row failed"),
        ([call(1)] * 3, "the same tool call was made 3 times"),
        ([call(n) for n in range(50)], "50 tool calls were made"),
    ],
    ids=["errors", "loop", "budget"],
)
def test_a_local_rule_stops_the_agent(
    nobody: Escalon, tmp_path: Path, events: list[dict[str, Any]], reason: str
) -> None:
    """It is told to stop, with words for the user; tools stop; a human is asked for."""
    task = nobody.task("t")
    assert not task.send(events[:-1]).must_stop
    decision = task.send(events[-1:])
    assert (decision.action, decision.must_stop) == (Action.SAFE_STOP, True)
    assert decision.reasons == (reason,)
    assert decision.message == LocalRules().message
    with pytest.raises(SafeStop, match="while the service is away") as stopped:
        task.permit("look", {}, irreversible=False)
    assert stopped.value.message == LocalRules().message
    assert task.send([said()]).message_id == decision.message_id
    wishes = [ln["escalate"] for ln in waiting(tmp_path / "spool") if "escalate" in ln]
    assert wishes == [reason]


def test_a_tool_that_works_again_is_no_reason_to_stop() -> None:
    """Only failures in a row count; the same event sent again counts once."""
    watch = Watch(LocalRules())
    well = {"kind": "tool_result"}
    watch.take(
        [dict(e, event_id=n) for n, e in enumerate([FAILED, FAILED, well, FAILED])]
    )
    assert watch.reason() is None
    for _ in range(3):
        watch.take([{**FAILED, "event_id": "same"}])
    assert watch.reason() is None


def test_what_is_no_json_is_refused_at_once(nobody: Escalon, tmp_path: Path) -> None:
    """Nothing of it waits: it could never be sent."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        nobody.task("t").send([said(score=float("nan"))])
    assert waiting(tmp_path / "spool") == []


# --- the spool ---------------------------------------------------------------------

_LINES = st.lists(st.dictionaries(st.text(), st.text() | st.integers()), max_size=6)


@given(_LINES, st.text(min_size=1), st.binary(max_size=30))
def test_a_spool_gives_back_what_it_was_given(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[dict[str, Any]],
    task_id: str,
    torn: bytes,
) -> None:
    """In order, whatever is in it; what a crash cut short is dropped, alone."""
    directory = tmp_path_factory.mktemp("spool")
    expected = []
    for line in lines:
        whole = {k: v for k, v in line.items() if k != "task_id"}
        Spool(directory).add(task_id, whole)
        expected.append({"task_id": task_id, **whole})
        with next(directory.glob("*.jsonl")).open("ab") as file:
            file.write(torn.replace(b"\n", b""))
    assert Spool(directory).lines(task_id) == expected
    if lines:
        assert list(Spool(directory).task_ids()) == [task_id]


def test_what_came_in_meanwhile_stays(tmp_path: Path) -> None:
    """Only what was sent is forgotten; with the last line the file goes."""
    spool = Spool(tmp_path)
    for n in range(3):
        spool.add("t", {"n": n})
    spool.drop("t", 2)
    assert [line["n"] for line in spool.lines("t")] == [2]
    spool.drop("t", 1)
    assert list(tmp_path.iterdir()) == []
