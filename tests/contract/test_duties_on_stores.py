"""Deadlines pass alike on each store, once for however many processes share it."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from serving.engine import Engine
from serving.store.opening import open_store
from serving.store.transaction import Store
from serving.store.verify import verify_store
from serving.where import Where, where_of

ANA, DUTY = "general-1", "duty-1"
MINUTE = timedelta(minutes=1)


def _loaded(path: Path) -> ModuleType:
    """Return the module at `path`: the desk that the engine's own tests work with."""
    spec = importlib.util.spec_from_file_location("desk_of_the_duties", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


desks = _loaded(Path(__file__).parents[1] / "unit" / "serving" / "conftest.py")


class Desk(desks.Desk):  # type: ignore[name-defined, misc]
    """A desk over a store of whichever kind; others may share that store."""

    def open(self) -> None:
        """Open the store, and an engine on it."""
        self.store: Store = open_store(self.path)
        self.engine = Engine(
            self.store, self.policy, self.source, self.clock, desks.SECRET
        )


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Where:
    """Return a place of each kind, with nothing there."""
    if request.param == "postgres":
        return where_of(request.getfixturevalue("postgres_url"))
    return tmp_path / "store.db"


@pytest.fixture
def desk(where: Where) -> Iterator[Desk]:
    """Make a desk."""
    desk = Desk(where)
    yield desk
    desk.close()


def test_deadlines_pass_alike_on_each_store(desk: Desk) -> None:
    """Climbed, called for again, claimed, lapsed, overdue: as rows, records and views."""
    handoff, clock, duties = desk.hand_over(), desk.clock, desk.engine.duties
    clock.turn(15 * MINUTE)
    assert duties.run() == 1
    assert desk.engine.handoff(handoff)["queue"] == "safety"
    clock.turn(5 * MINUTE)
    assert (duties.run(), duties.run()) == (1, 0)
    desk.engine.claim(handoff, by=DUTY)
    clock.turn(20 * MINUTE)
    assert desk.engine.renew(handoff, by=DUTY)["claimed_by"] == DUTY
    clock.turn(30 * MINUTE)
    assert duties.run() == 1
    clock.turn(60 * MINUTE)
    while duties.run() > 0:
        pass
    desk.engine.claim(handoff, by=DUTY)
    shown = {q["queue"]: q for q in desk.engine.queues()["queues"]}
    assert (shown["safety"]["claimed"], shown["safety"]["overdue"]) == (1, 0)
    clock.turn(20 * MINUTE)
    assert duties.run() == 1
    shown = {q["queue"]: q for q in desk.engine.queues()["queues"]}
    assert shown["safety"]["overdue"] == 1
    desk.engine.resolve(handoff, by=DUTY, needed="yes")
    shown = {q["queue"]: q for q in desk.engine.queues()["queues"]}
    assert shown["safety"]["closed_per_hour"] > 0
    told = [line["what"] for line in desk.engine.handoff(handoff)["history"]]
    assert told[:6] == [
        "opened",
        "climbed",
        "overdue",
        "claimed",
        "renewed",
        "lease_expired",
    ]
    assert verify_store(desk.path).problems == ()


def test_several_processes_act_once_on_each_deadline(postgres_url: str) -> None:
    """Two engines on one database, each with two workers: every handoff climbs once."""
    one, other = (Desk(where_of(postgres_url)) for _ in range(2))
    other.sent = 1_000
    for n in range(20):
        (one, other)[n % 2].hand_over(f"t{n}")
    for desk in (one, other):
        desk.clock.turn(15 * MINUTE)
    done: list[int] = []

    def work(engine: Any) -> None:
        done.append(engine.duties.run())

    workers = [
        threading.Thread(target=work, args=(desk.engine,)) for desk in (one, other) * 2
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sum(done) == 20
    items = other.engine.handoffs(limit=50)["handoffs"]
    assert {(item["queue"], item["climbs"]) for item in items} == {("safety", 1)}
    assert verify_store(one.path).problems == ()
    one.close()
    other.close()
