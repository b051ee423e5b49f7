"""Tests of the monitors in a service: alarm, withdrawal, and the safe side."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from serving.api.app import make_api
from serving.api.monitoring import MONITORING
from serving.clock import wall as now
from serving.engine.watch import Promises
from serving.engine.withdrawals import Withdrawals
from serving.policy.rules import OnWithdrawal, Policy
from serving.policy.trigger import Threshold
from serving.problems import Problem
from serving.rounds import Rounds
from serving.store.transaction import ConstraintError
from serving.store.verify import verify_store
from training.bundle import Certificate
from training.monitor.alarm import Alarm, Code, Severity
from training.monitor.reference import Rates, Reference

BASE = "http://127.0.0.1:3000"
MISSED = 45
WEEK = timedelta(days=8)


def certificate(threshold: float | None = 0.5, segment: str = "") -> Certificate:
    """Return a certificate of the miss rate 0.2."""
    return Certificate(
        alpha=0.2,
        delta=0.1,
        n_needed=100,
        n_tasks=500,
        misses_allowed=5,
        method="exact",
        threshold=threshold,
        escalation_rate=0.3,
        reason="made",
        segment=segment,
    )


def policy(**learned: Any) -> Policy:
    """Return the default policy, with what is said of its learned trigger."""
    default = Policy.default()
    return default.model_copy(
        update={"learned": {**default.learned.model_dump(), **learned}}
    )


def miss(desk: Any, n: int = MISSED) -> None:
    """Let `n` tasks go on whose users then complain, and let their labels mature."""
    first = desk.sent
    for i in range(n):
        task_id = f"m-{first}-{i}"
        desk.begin(task_id)
        said = desk.event("complaint", task_id=task_id, text="nobody helped")
        desk.engine.outcomes([said])
    desk.clock.turn(WEEK)


def look(desk: Any) -> list[Any]:
    """Have the monitors look once."""
    found: list[Any] = desk.engine.monitors.watcher.look()
    return found


@pytest.fixture
def broken(make_desk: Callable[..., Any]) -> Any:
    """Make a desk whose certificate has just been found not to hold."""
    desk = make_desk(policy())
    desk.model.certificate = certificate()
    desk.model.segments = ()
    miss(desk)
    look(desk)
    return desk


@pytest.fixture(scope="module")
def template() -> list[bytes]:
    """Keep a store with an alarm, to be copied."""
    return []


@pytest.fixture
def lived(
    template: list[bytes], tmp_path: Path, request: pytest.FixtureRequest
) -> Path:
    """Copy a closed store whose certificate was withdrawn."""
    if not template:
        desk = request.getfixturevalue("broken")
        desk.close()
        template.append(desk.path.read_bytes())
    path = tmp_path / "lived.db"
    path.write_bytes(template[0])
    return path


def alarms(desk: Any, **asked: Any) -> list[dict[str, Any]]:
    """Return what the service says of its alarms."""
    found: list[dict[str, Any]] = desk.engine.monitors.listed(**asked)["alarms"]
    return found


def action(desk: Any, task_id: str) -> str:
    """Begin a task and return what is decided."""
    return str(desk.begin(task_id)["decision"]["action"])


# --- from misses to the safe side --------------------------------------------


def test_a_quiet_service_raises_nothing(desk: Any) -> None:
    """Nothing is written, and nothing is withdrawn."""
    desk.model.certificate = certificate()
    for i in range(5):
        desk.begin(f"t{i}")
    desk.clock.turn(WEEK)
    before = len(desk.records())
    assert look(desk) == []
    assert len(desk.records()) == before
    assert action(desk, "later") == "CONTINUE"


def test_misses_raise_an_alarm_with_its_evidence(broken: Any) -> None:
    """It names what it withdraws, and the log has both records."""
    (alarm,) = [a for a in alarms(broken) if a["code"] == "miss_rate"]
    assert (alarm["segment"], alarm["withdraws"], alarm["severity"]) == (
        "",
        "",
        "critical",
    )
    assert alarm["evidence"]["reported"] >= 20
    assert alarm["evidence"]["alpha"] == 0.2
    assert alarm["model"] == broken.model.digest
    types = broken.types()
    assert types.count("alarm.raised") == len(alarms(broken))
    assert types.count("certificate.withdrawn") == 1


def test_once_withdrawn_every_task_goes_to_a_human(broken: Any) -> None:
    """The learned trigger is held against 0, and says why."""
    decision = broken.begin("next")["decision"]
    assert (decision["action"], decision["effective"]) == ("ESCALATE", True)
    assert decision["threshold"] == 0.0
    assert "no longer holds" in decision["reasons"][0]["says"]
    assert broken.engine.task("next")["owner"]["kind"] == "queue"


def test_labels_that_have_not_matured_are_waited_for(
    make_desk: Callable[..., Any],
) -> None:
    """Bad news is not taken early: it travels faster than good news."""
    desk = make_desk(policy())
    desk.model.certificate = certificate()
    miss(desk)
    desk.clock.turn(-WEEK + timedelta(days=6))
    assert look(desk) == []
    desk.clock.turn(timedelta(days=2))
    assert Code.MISS_RATE in {raised.alarm.code for raised in look(desk)}


def test_labels_that_come_too_late_do_not_count(make_desk: Callable[..., Any]) -> None:
    """What is found must not depend on when it was looked for."""
    desk = make_desk(policy())
    desk.model.certificate = certificate()
    for i in range(MISSED):
        desk.begin(f"t{i}")
    desk.clock.turn(WEEK)
    said = [desk.event("complaint", task_id=f"t{i}") for i in range(MISSED)]
    desk.engine.outcomes(said)
    assert look(desk) == []


def test_looking_again_changes_nothing(broken: Any) -> None:
    """One alarm, however often it is found."""
    before = broken.types()
    look(broken)
    assert broken.types() == before


def test_a_withdrawal_outlives_the_process(broken: Any) -> None:
    """Opened again, before any look, the service still knows."""
    broken.close()
    broken.open()
    assert action(broken, "next") == "ESCALATE"
    assert broken.engine.monitors.listed()["withdrawn"] == [""]


def test_monitors_that_start_anew_find_the_same(broken: Any) -> None:
    """What they know comes out of the store again."""
    before = [a["alarm_id"] for a in alarms(broken)]
    broken.close()
    broken.open()
    look(broken)
    assert [a["alarm_id"] for a in alarms(broken)] == before


def test_another_model_is_not_held_to_it(broken: Any) -> None:
    """Its hash differs; the alarm is cleared at the next look, as of the old one."""
    broken.model.digest, broken.model.version = "cd" * 32, "8"
    assert action(broken, "next") == "CONTINUE"
    look(broken)
    over = alarms(broken, is_open=False)
    assert {a["cleared_by"] for a in over} == {"monitor"}
    assert {a["why"] for a in over} == {"another model is in force"}
    assert "certificate.restored" not in broken.types()


def test_a_model_that_comes_back_comes_back_without_its_promise(broken: Any) -> None:
    """A roll-back must not restore what was found not to hold."""
    digest, broken.model.digest = broken.model.digest, "cd" * 32
    look(broken)
    broken.model.digest = digest
    assert action(broken, "next") == "ESCALATE"


def test_a_person_who_clears_it_restores_the_certificate(broken: Any) -> None:
    """By name and with a reason; what was answered for is not raised again."""
    (alarm,) = [a for a in alarms(broken) if a["code"] == "miss_rate"]
    over = broken.engine.monitors.clear(
        alarm["alarm_id"],
        by="Ada",
        why="a tool was down; those tasks are accounted for",
    )
    assert (over["cleared_by"], over["cleared_at"]) == ("Ada", over["cleared_at"])
    assert action(broken, "next") == "CONTINUE"
    assert broken.types()[-2:] != ["alarm.cleared", "alarm.cleared"]
    assert "certificate.restored" in broken.types()
    look(broken)
    assert not [a for a in alarms(broken, is_open=True) if a["code"] == "miss_rate"]
    assert action(broken, "later") == "CONTINUE"


def test_a_clearing_while_monitors_look_is_respected(broken: Any) -> None:
    """What they found before it must not raise the alarm again."""
    (alarm,) = [a for a in alarms(broken) if a["code"] == "miss_rate"]
    watcher, clock = broken.engine.monitors.watcher, broken.clock

    def cleared_meanwhile() -> Any:
        if alarms(broken, is_open=True):
            broken.engine.monitors.clear(alarm["alarm_id"], by="Ada", why="known")
        return clock.now

    watcher._clock = cleared_meanwhile  # noqa: SLF001
    watcher.look()
    assert not [a for a in alarms(broken, is_open=True) if a["code"] == "miss_rate"]
    assert action(broken, "next") == "CONTINUE"


def test_what_is_missed_after_a_clearing_is_found_again(broken: Any) -> None:
    """A certificate can be withdrawn twice."""
    (alarm,) = [a for a in alarms(broken) if a["code"] == "miss_rate"]
    broken.engine.monitors.clear(alarm["alarm_id"], by="Ada", why="accounted for")
    broken.clock.turn(timedelta(seconds=1))
    miss(broken)
    look(broken)
    assert action(broken, "next") == "ESCALATE"


@pytest.mark.parametrize(
    ("wish", "expected", "source"),
    [("rules_only", "CONTINUE", "rules"), ("keep", "CONTINUE", "model")],
)
def test_the_policy_says_what_becomes_of_the_trigger(
    make_desk: Callable[..., Any], wish: str, expected: str, source: str
) -> None:
    """Its owner may choose another side than the safe one."""
    desk = make_desk(policy(on_withdrawal=OnWithdrawal(wish)))
    desk.model.certificate = certificate()
    miss(desk)
    look(desk)
    decision = desk.begin("next")["decision"]
    assert (decision["action"], decision["source"]) == (expected, source)
    desk.model.value = 0.9
    kept = "ESCALATE" if wish == "keep" else "CONTINUE"
    assert action(desk, "risky") == kept


def test_a_returned_task_is_not_taken_back_at_once(broken: Any) -> None:
    """A human has answered this risk; only a higher one is news."""
    handoff = broken.begin("t")["handoff"]["handoff_id"]
    broken.engine.claim(handoff, by="general-1")
    broken.engine.return_(handoff, by="general-1", guidance="go on")
    assert broken.say("thanks", "t")["decision"]["action"] == "CONTINUE"
    broken.model.value = 0.3
    assert broken.say("and now?", "t")["decision"]["action"] == "ESCALATE"


# --- the stricter certificate ------------------------------------------------


class Bundle:
    """A model with a certificate of all tasks."""

    digest = "ab" * 32

    def __init__(self, threshold: float | None) -> None:
        self.certificate = Threshold(threshold=threshold)


def withdrawn(*segments: str) -> Withdrawals:
    """Return what is held once these are withdrawn."""
    held = Withdrawals()
    held._held = (0, {Bundle.digest: frozenset(segments)})  # noqa: SLF001
    return held


RETAIL = Threshold(threshold=0.6, segment="domain=retail")


@pytest.mark.parametrize(
    ("gone", "general", "threshold", "is_withdrawn"),
    [
        ((), 0.4, 0.6, False),
        (("",), 0.4, 0.6, False),
        (("domain=retail",), 0.4, 0.4, False),
        (("domain=retail",), 0.7, 0.6, True),
        (("domain=retail",), None, 0.6, True),
        (("domain=retail", ""), 0.4, 0.6, True),
    ],
)
def test_a_segment_falls_to_a_stricter_certificate_that_stands(
    gone: tuple[str, ...],
    general: float | None,
    threshold: float,
    *,
    is_withdrawn: bool,
) -> None:
    """Else to the safe side; never to a laxer threshold."""
    found, fallen = withdrawn(*gone).standing(Bundle(general), RETAIL)
    assert (found.threshold, fallen) == (threshold, is_withdrawn)


def test_a_refused_certificate_has_nothing_to_withdraw() -> None:
    """It promises nothing already."""
    refused = Threshold(threshold=None)
    assert withdrawn("").standing(Bundle(None), refused) == (refused, False)


def test_promises_are_those_certificates_that_were_made(desk: Any) -> None:
    """Refused ones are not watched."""
    desk.model.certificate = certificate(None)
    desk.model.segments = (certificate(0.3, "domain=retail"),)
    assert Promises.of(desk.model).promised == {"domain=retail": 0.2}
    assert Promises.of(None).promised == {}


def test_rates_of_training_are_not_held_against_a_policy_that_does_not_act(
    desk: Any,
) -> None:
    """In shadow nothing is handed over, and that is no drop."""
    usual = Reference(rates=Rates(tasks=100, escalated=30))
    desk.model.certificate = certificate()
    promises = replace(Promises.of(desk.model), reference=usual)
    assert promises.usual(policy()) == usual
    shadow = policy().model_copy(update={"mode": "shadow"})
    assert promises.usual(shadow).rates.tasks == 0


# --- the log -----------------------------------------------------------------


def test_alarms_are_part_of_what_is_proven(broken: Any) -> None:
    """Raised, withdrawn, cleared, restored: the check of the log knows them."""
    assert verify_store(broken.path).problems == ()
    (alarm,) = [a for a in alarms(broken) if a["code"] == "miss_rate"]
    broken.engine.monitors.clear(alarm["alarm_id"], by="Ada", why="accounted for")
    assert verify_store(broken.path).problems == ()
    broken.model.digest = "cd" * 32
    look(broken)
    assert verify_store(broken.path).problems == ()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE alarm SET withdraws = NULL",
        "UPDATE alarm SET withdraws = 'domain=retail' WHERE withdraws = ''",
        "UPDATE alarm SET severity = 'notice' WHERE code = 'miss_rate'",
        "UPDATE alarm SET model = 'other'",
        "UPDATE alarm SET body = replace(body, 'miss', 'kiss')",
        "UPDATE alarm SET raised_at = '2020-01-01T00:00:00.000000Z'",
        "UPDATE alarm SET cleared_at = raised_at, closing = '{}'",
        "UPDATE alarm SET audit_seq = 1",
        "DELETE FROM alarm",
    ],
)
def test_a_forged_alarm_is_found(lived: Path, change: str) -> None:
    """Neither can one vanish, nor say something else."""
    with closing(sqlite3.connect(lived)) as connection, connection:
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        for (name,) in connection.execute(query).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(change)
    found = verify_store(lived).problems
    assert any("alarm" in problem for problem in found), found


def run(desk: Any, statement: str) -> None:
    """Run a statement through the store, as a use case would."""
    desk.store.submit(lambda tx: tx.run(statement)).result()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM alarm",
        "UPDATE alarm SET severity = 'notice', audit_seq = audit_seq + 99",
        "UPDATE alarm SET cleared_at = raised_at, closing = '{}'",
    ],
)
def test_the_store_refuses_what_must_not_happen(broken: Any, statement: str) -> None:
    """An alarm is cleared under a record of its own, and in no other way changed."""
    with pytest.raises(ConstraintError, match="alarm"):
        run(broken, statement)


def test_a_failed_write_withdraws_nothing(make_desk: Callable[..., Any]) -> None:
    """What was rolled back was never said to the judge."""
    desk = make_desk(policy())
    held = desk.engine._judge.withdrawals  # noqa: SLF001
    alarm = Alarm(
        code=Code.MISS_RATE,
        segment="",
        evidence={},
        since=0.0,
        severity=Severity.CRITICAL,
        withdraws="",
        says="missed",
    )

    def use_case(tx: Any) -> None:
        from serving.store import alarms as stored  # noqa: PLC0415

        stored.add(tx, desk.model.digest, alarm, desk.clock())
        held.changed(tx)
        assert held.of(desk.model.digest) == {""}
        msg = "the disk is full"
        raise OSError(msg)

    with pytest.raises(OSError, match="full"):
        desk.store.submit(use_case).result()
    assert held.of(desk.model.digest) == frozenset()


# --- the surface -------------------------------------------------------------


def answer(name: str) -> Any:
    """Return the model that documents the answer of an operation."""
    return next(op.answer for op in MONITORING if op.name == name)


def test_the_surface_lists_and_clears(broken: Any) -> None:
    """Over HTTP, in the form that is documented."""
    with TestClient(make_api(broken.engine), base_url=BASE) as client:
        shown = client.get("/v1/alarms", params={"open": "true"})
        listed = answer("alarms").model_validate_json(shown.content, strict=True)
        assert listed.withdrawn == [""]
        first = next(a for a in listed.alarms if a.code is Code.MISS_RATE)
        path = f"/v1/alarms/{first.alarm_id}/clear"
        cleared = client.post(path, json={"by": "Ada", "why": "accounted for"})
        assert answer("clear_alarm").model_validate_json(cleared.content, strict=True)
        again = client.post(path, json={"by": "Ada", "why": "accounted for"})
        assert (again.status_code, again.json()["type"]) == (
            409,
            "urn:escalon:problem:already-cleared",
        )
        assert client.get("/v1/alarms").json()["withdrawn"] == []


def test_alarms_are_told_since_a_time(broken: Any) -> None:
    """Those raised or cleared then or later."""
    at = broken.clock()
    assert alarms(broken, since=at)
    assert alarms(broken, since=at + timedelta(seconds=1)) == []
    broken.clock.turn(timedelta(hours=1))
    (alarm,) = [a for a in alarms(broken) if a["code"] == "miss_rate"]
    broken.engine.monitors.clear(alarm["alarm_id"], by="Ada", why="accounted for")
    since = at + timedelta(seconds=1)
    assert [a["alarm_id"] for a in alarms(broken, since=since)] == [alarm["alarm_id"]]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"alarm_id": "alm_0", "by": "Ada", "why": "x"}, "GET /v1/alarms has them"),
        ({"alarm_id": "alm_0", "by": "monitor", "why": "x"}, "the name of a person"),
        ({"alarm_id": "alm_0", "by": "Ada", "why": " "}, "why it is over"),
        ({"alarm_id": "alm_0", "by": "", "why": "x"}, "who clears it"),
    ],
)
def test_what_cannot_be_cleared_is_said(
    desk: Any, said: dict[str, str], expected: str
) -> None:
    """Who, why and which are needed."""
    with pytest.raises(Problem, match=expected):
        desk.engine.monitors.clear(said["alarm_id"], by=said["by"], why=said["why"])


@pytest.mark.parametrize("asked", [{"limit": 0}, {"limit": 501}, {"offset": -1}])
def test_a_page_has_bounds(desk: Any, asked: dict[str, int]) -> None:
    """The answer names them."""
    with pytest.raises(Problem, match="must be in"):
        desk.engine.monitors.listed(**asked)


def test_a_time_without_a_zone_is_refused(desk: Any) -> None:
    """It would be another time elsewhere."""
    with pytest.raises(Problem, match="timezone"):
        desk.engine.monitors.listed(since=desk.clock().replace(tzinfo=None))


def test_metrics_count_alarms_and_withdrawals(broken: Any) -> None:
    """By code and severity; no label names a segment."""
    with TestClient(make_api(broken.engine), base_url=BASE) as client:
        text = client.get("/metrics").text
    assert 'escalon_alarms_open{code="miss_rate",severity="critical"} 1.0' in text
    assert "escalon_certificates_withdrawn 1.0" in text


# --- rounds ------------------------------------------------------------------


class Looks:
    """A watcher that counts, and fails at first."""

    def __init__(self) -> None:
        self.count = 0

    def look(self) -> list[Any]:
        """Count; fail the first time."""
        self.count += 1
        if self.count == 1:
            msg = "user text"
            raise RuntimeError(msg)
        return []


def test_rounds_go_on_after_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged by its class, without its message, and the next look comes."""
    looks = Looks()
    rounds = Rounds("looks", looks.look, every=0.01, clock=now)
    with caplog.at_level(logging.ERROR), closing(rounds):
        rounds.start()
        until = time.monotonic() + 5
        while looks.count < 3 and time.monotonic() < until:
            time.sleep(0.01)
    assert looks.count >= 3
    assert "RuntimeError" in caplog.text
    assert "user text" not in caplog.text
    stopped = looks.count
    time.sleep(0.05)
    assert looks.count == stopped


def test_rounds_that_never_began_can_be_closed(tmp_path: Path) -> None:
    """A service that fails to start closes what it has."""
    del tmp_path
    Rounds("looks", Looks().look, every=1.0, clock=now).close()


def test_a_model_that_cannot_be_read_is_no_withdrawal(desk: Any) -> None:
    """The list of alarms is answered all the same."""
    desk.source.error = RuntimeError("broken bundle")
    assert desk.engine.monitors.listed() == {"alarms": [], "withdrawn": []}
