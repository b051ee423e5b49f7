"""Tests of the degradation ladder with real bundles: model, last good one, rules."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
from starlette.testclient import TestClient

from features.signals import NAMES, schema_lines
from serving.api.app import make_api
from serving.engine.models import DirectoryModel
from serving.policy.rules import OnWithdrawal, Policy, Waiver
from serving.store import alarms
from tests.unit.serving.conftest import START
from training.bundle import Calibrator, Certificate, ModelBundle, Scorer, Sureness
from training.monitor.alarm import Alarm, Code, Severity

DAY = timedelta(days=1)
MOST = Policy.default().learned.max_age_days


def made(days_ago: float) -> str:
    """Return the time so many days before the clock of the desk, as bundles say it."""
    return (START - days_ago * DAY).isoformat().replace("+00:00", "Z")


@pytest.fixture(scope="module")
def sound() -> ModelBundle:
    """Make a sound bundle out of two trees on noise, made yesterday."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, len(NAMES))), rng.integers(0, 2, 200)
    parameters = {"objective": "binary", "num_leaves": 3, "verbose": -1, "seed": 0}
    data = lightgbm.Dataset(x, y, free_raw_data=False)
    trees = lightgbm.train(parameters | {"num_threads": 1}, data, 2)
    return ModelBundle(
        scorer=Scorer.alone(trees),
        calibrator=Calibrator(kind="raw", edges=(), a=(1.0,), b=(0.0,), c=(0.0,)),
        sureness=Sureness(edges=(), low=(0.2,), high=(0.4,)),
        certificate=Certificate(
            alpha=0.1,
            delta=0.1,
            n_needed=100,
            n_tasks=1_000,
            misses_allowed=5,
            method="test",
            threshold=0.99,
            escalation_rate=0.2,
            reason="for the test",
        ),
        signals=tuple(schema_lines()),
        facts={"version": "one", "made_at": made(1)},
    )


class Ladder:
    """A desk whose model lies in a directory, and what is seen of the rung it is on."""

    def __init__(self, desk: Any, path: Path) -> None:
        self.desk = desk
        self.path = path
        self.saved = 0
        desk.source = DirectoryModel(path, every=0.0)
        desk.close()
        desk.open()
        self.client = TestClient(make_api(desk.engine), base_url="http://localhost")

    def put(self, bundle: ModelBundle, **facts: str) -> None:
        """Put `bundle` into the directory, as a promotion does."""
        replace(bundle, facts={**bundle.facts, **facts}).save(self.path)
        self.saved += 1
        os.utime(self.path / "manifest.json", (2e9 + self.saved,) * 2)

    def step(self) -> dict[str, Any]:
        """Take a step of a task of its own, and return what was decided."""
        answer = self.desk.begin(f"t{self.desk.sent}")
        decision: dict[str, Any] = answer["decision"]
        return decision

    def rung(self) -> int:
        """Return the rung, which readiness and metrics must agree on."""
        ready = self.client.get("/readyz").json()
        line = f"escalon_degradation_rung {float(ready['degradation_rung'])}"
        assert line in self.client.get("/metrics").text
        return int(ready["degradation_rung"])

    def transitions(self) -> list[tuple[str, str | None]]:
        """Return type and fault of each record that a state of the model was entered."""
        return [
            (record["type"].removeprefix("model."), record["model"]["fault"])
            for record in self.desk.records()
            if record["type"].startswith("model.")
        ]


@pytest.fixture
def ladder(make_desk: Callable[..., Any], tmp_path: Path) -> Ladder:
    """Make a desk over an empty directory for models."""
    return Ladder(make_desk(), tmp_path / "model")


def test_down_the_ladder_and_up_again(ladder: Ladder, sound: ModelBundle) -> None:
    """Each rung decides as it says, and each change is audited exactly once."""
    assert (ladder.rung(), ladder.step()["source"]) == (2, "rules")
    ladder.put(sound)
    assert (ladder.rung(), ladder.step()["source"]) == (0, "model")
    (ladder.path / "booster.txt").write_text("not a model")
    assert (ladder.rung(), ladder.step()["source"]) == (1, "model")
    ladder.step()
    shutil.rmtree(ladder.path)
    assert (ladder.rung(), ladder.step()["source"]) == (1, "model")
    ladder.put(sound, version="two")
    step = ladder.step()
    assert (ladder.rung(), step["source"], step["model_version"]) == (0, "model", "two")
    assert ladder.transitions() == [
        ("loaded", None),
        ("fallback_entered", "absent"),
        ("loaded", None),
        ("rejected", "refused"),
        ("loaded", None),
    ]


def test_a_model_grows_too_old_while_it_decides(
    ladder: Ladder, sound: ModelBundle
) -> None:
    """On the last day it may, it decides; after that rules do, and an alarm says so."""
    ladder.put(sound, made_at=made(0))
    ladder.desk.clock.turn(MOST * DAY)
    assert (ladder.rung(), ladder.step()["source"]) == (0, "model")
    ladder.desk.clock.turn(timedelta(seconds=1))
    step = ladder.step()
    assert (ladder.rung(), step["source"], step["risk"]) == (2, "rules", None)
    ladder.step()
    assert ladder.transitions()[-2:] == [
        ("loaded", None),
        ("fallback_entered", "too_old"),
    ]
    assert (
        "older than the policy allows" in ladder.client.get("/readyz").json()["model"]
    )
    ladder.desk.engine.auditor.run()
    listed = ladder.client.get("/v1/alarms", params={"open": True}).json()["alarms"]
    said = {alarm["code"]: alarm["says"] for alarm in listed}
    assert "too_old" in said["model_degraded"]
    ladder.put(sound, version="two", made_at=made(-MOST))
    assert (ladder.rung(), ladder.step()["source"]) == (0, "model")
    ladder.desk.engine.auditor.run()
    listed = ladder.client.get("/v1/alarms", params={"open": True}).json()["alarms"]
    assert "model_degraded" not in {alarm["code"] for alarm in listed}


def test_an_old_model_is_audited_though_no_task_asks(
    ladder: Ladder, sound: ModelBundle
) -> None:
    """The auditor notes it once; the next step of a task says nothing new."""
    ladder.put(sound)
    ladder.step()
    ladder.desk.clock.turn(MOST * DAY)
    for _ in range(2):
        ladder.desk.engine.auditor.run()
    ladder.step()
    assert ladder.transitions()[-2:] == [
        ("loaded", None),
        ("fallback_entered", "too_old"),
    ]


def test_the_last_good_model_is_refused_too_once_it_is_old(
    ladder: Ladder, sound: ModelBundle
) -> None:
    """A newer one that does not load keeps nobody from seeing that this one is old."""
    ladder.put(sound)
    ladder.step()
    (ladder.path / "booster.txt").write_text("not a model")
    assert ladder.rung() == 1
    ladder.desk.clock.turn(MOST * DAY)
    assert (ladder.rung(), ladder.step()["source"]) == (2, "rules")


@pytest.mark.parametrize("told", [None, "last spring", 7])
def test_a_model_that_does_not_say_its_age_may_decide(
    ladder: Ladder, sound: ModelBundle, told: Any
) -> None:
    """Nothing speaks against it, and readiness says that its age is not known."""
    facts = {"version": "one"} if told is None else {"version": "one", "made_at": told}
    ladder.put(replace(sound, facts=facts))
    ladder.desk.clock.turn(1_000 * DAY)
    assert (ladder.rung(), ladder.step()["source"]) == (0, "model")
    assert ladder.client.get("/readyz").json()["model_made_at"] is None


def test_a_rule_still_hands_over_on_the_last_rung(
    ladder: Ladder, sound: ModelBundle
) -> None:
    """Rules alone are no pause: what they say is done."""
    ladder.put(sound, made_at=made(MOST + 1))
    assert ladder.rung() == 2
    ladder.desk.begin("wish")
    answer = ladder.desk.say("I want to speak to a human, please.", "wish")
    assert answer["decision"]["action"] == "ESCALATE"
    assert answer["handoff"] is not None


def test_with_neither_model_nor_rules_the_agent_is_stopped(
    make_desk: Callable[..., Any], tmp_path: Path, sound: ModelBundle
) -> None:
    """An old model, and a policy whose rules are all waived: no silent CONTINUE."""
    waiver = Waiver(by="a lead", why="a trial", until=date(2030, 1, 1))
    default = Policy.default()
    rules = tuple(r.model_copy(update={"waived": waiver}) for r in default.rules)
    bare = default.model_copy(update={"rules": rules})
    ladder = Ladder(make_desk(bare), tmp_path / "model")
    ladder.put(sound)
    assert ladder.step()["action"] == "CONTINUE"
    ladder.desk.clock.turn(MOST * DAY)
    assert ladder.step()["action"] == "SAFE_STOP"


def test_a_withdrawn_promise_under_rules_only_is_the_last_rung(
    make_desk: Callable[..., Any], tmp_path: Path, sound: ModelBundle
) -> None:
    """The model is there and sound, and decides no more: that is what the rung says."""
    default = Policy.default()
    learned = default.learned.model_copy(
        update={"on_withdrawal": OnWithdrawal.RULES_ONLY}
    )
    policy = default.model_copy(update={"learned": learned})
    ladder = Ladder(make_desk(policy), tmp_path / "model")
    ladder.put(sound)
    assert (ladder.rung(), ladder.step()["source"]) == (0, "model")
    engine, desk = ladder.desk.engine, ladder.desk
    digest = desk.source.current().digest
    alarm = Alarm(
        code=Code.MISS_RATE,
        segment="",
        evidence={},
        since=START.timestamp(),
        severity=Severity.CRITICAL,
        withdraws="",
        says="too many were missed",
    )
    desk.store.submit(lambda tx: alarms.add(tx, digest, alarm, START)).result()
    engine.monitors.begin()
    assert (ladder.rung(), ladder.step()["source"]) == (2, "rules")


def test_a_directory_that_cannot_be_read_for_a_moment_is_read_again(
    ladder: Ladder, sound: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of open files, the last good model decides; afterwards the new one does."""
    ladder.put(sound)
    assert ladder.rung() == 0
    ladder.put(sound, version="two")
    whole = Path.read_bytes

    def read(path: Path) -> bytes:
        if path.parent == ladder.path:
            raise OSError(24, "Too many open files")
        return whole(path)

    monkeypatch.setattr(Path, "read_bytes", read)
    step = ladder.step()
    assert (step["source"], step["model_version"], ladder.rung()) == ("model", "one", 1)
    monkeypatch.undo()
    assert (ladder.step()["model_version"], ladder.rung()) == ("two", 0)
