"""Deadlines pass alike on each store, once for however many processes share it."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

from serving.store.verify import verify_store
from serving.where import where_of
from tests.contract.desks import StoreDesk

ANA, DUTY = "general-1", "duty-1"
MINUTE = timedelta(minutes=1)


def test_deadlines_pass_alike_on_each_store(desk: StoreDesk) -> None:
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
    one, other = (StoreDesk(where_of(postgres_url)) for _ in range(2))
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
