"""The guarantee: a handover holds, whatever agents, people and machines do.

A state machine sends steps, duplicates, stale epochs, wishes and the people's verbs in
any order, with crashes in the middle of transactions and after commits. After every
move the store itself is asked, not the engine, whether the promises hold.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle as Known
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)
from numpy.typing import NDArray

from serving.engine import Engine, Problem
from serving.policy.rules import Policy
from serving.policy.trigger import Threshold
from serving.store.sqlite import SqliteStore, read_only
from serving.store.transaction import Row, StoreError
from serving.store.verify import verify_store

ANA, BEN = "general-1", "general-2"
TASKS = ("a", "b", "c")
POLICY = Policy.default()

Json = dict[str, Any]


class Model:
    """A model whose risk is set, and that can take the process down with it."""

    version = "1"
    digest = "0" * 64
    certificate = Threshold(threshold=0.5)
    base = 0.0
    problem = None

    def __init__(self) -> None:
        self.value = 0.0
        self.ends_the_process = False

    def current(self) -> Model:
        """Return itself: it is its own source."""
        return self

    def certificate_for(self, _: Mapping[str, str], /) -> Threshold:
        """Return the threshold: it is the same for all tasks."""
        return self.certificate

    def risk(self, _: NDArray[np.float64], /) -> float:
        """Return the risk."""
        return self.value

    def score(self, _: NDArray[np.float64], /) -> float:
        """Return what the contributions add up to."""
        return 0.0

    def between(self, _: NDArray[np.float64], /) -> tuple[float, float]:
        """Return no more than the risk can be."""
        return 0.0, 1.0

    def explain(self, _: NDArray[np.float64], /) -> tuple[()]:
        """Return no contributions; or end the thread, half way through a handover."""
        if self.ends_the_process:
            raise SystemExit
        return ()


class Handover(RuleBasedStateMachine):
    """Agents, people and crashes over one store."""

    answers = Known("answers")
    handoffs = Known("handoffs")

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.path = self.directory / "store-0.db"
        self.now = datetime(2026, 11, 24, 12, tzinfo=UTC)
        self.model = Model()
        self.sent = 0
        self.crashes = 0
        # What was promised: epochs seen, events answered.
        self.epochs: dict[str, int] = {}
        self.answered: set[tuple[str, str]] = set()
        self.start()

    def start(self) -> None:
        """Open the store as a service does when it starts."""
        self.store = SqliteStore(self.path)
        self.engine = Engine(
            self.store, POLICY, self.model, lambda: self.now, b"a secret of the test"
        )

    def teardown(self) -> None:
        """Close and remove the store."""
        self.store.close()
        shutil.rmtree(self.directory)

    # --- what the store says -------------------------------------------------

    def rows(self, query: str, **values: Any) -> list[Row]:
        """Return rows as they are on the disk."""
        with read_only(self.path) as reader:
            return list(reader.all(query, **values))

    def owner(self, task_id: str) -> tuple[str, int]:
        """Return the kind of owner of a task, and its epoch; of none, its beginning."""
        query = "SELECT owner_kind, epoch FROM task WHERE task_id = :task_id"
        found = self.rows(query, task_id=task_id)
        return (found[0]["owner_kind"], found[0]["epoch"]) if found else ("agent", 1)

    def status(self, handoff_id: str) -> Row:
        """Return how a handoff stands."""
        query = "SELECT * FROM handoff WHERE handoff_id = :handoff_id"
        return self.rows(query, handoff_id=handoff_id)[0]

    def settled(self, task_id: str) -> float:
        """Return the highest risk at which a human gave the task back, else 0."""
        query = "SELECT body FROM handoff WHERE task_id = :t AND status = 'RETURNED'"
        bodies = (orjson.loads(row["body"]) for row in self.rows(query, t=task_id))
        return max((body["risk"] or 0.0 for body in bodies), default=0.0)

    # --- what agents and users do --------------------------------------------

    def event(self, kind: str, text: str) -> Json:
        """Return an event that was not sent before."""
        self.sent += 1
        self.now += timedelta(seconds=1)
        at = self.now.isoformat()
        return {"event_id": f"e{self.sent}", "at": at, "kind": kind, "text": text}

    def promised(self, task_id: str, event: Json, answer: Json) -> Any:
        """Remember what was answered; tell of the handoff if there is a new one."""
        self.answered.add((task_id, event["event_id"]))
        return multiple((task_id, event, answer))

    @initialize()
    def begin(self) -> None:
        """Let two tasks be there; the third may come later, or never."""
        for task_id in TASKS[:2]:
            self.engine.observe(task_id, [self.event("user_message", "hello")])

    @rule(
        target=answers,
        task_id=st.sampled_from(TASKS),
        risk=st.sampled_from((0.1, 0.1, 0.9, 0.95)),
        names_epoch=st.booleans(),
    )
    def step(self, task_id: str, risk: float, *, names_epoch: bool) -> Any:
        """Take a step as the agent, which may own the task or have lost it."""
        self.model.value = risk
        kind, epoch = self.owner(task_id)
        event = self.event("agent_message", f"step {self.sent}")
        named = epoch if names_epoch else None
        if kind != "agent":
            with pytest.raises(Problem) as refused:
                self.engine.observe(task_id, [event], epoch=named)
            assert refused.value.kind.slug == "stale-epoch"
            assert refused.value.extra["message"]
            return multiple()
        hands_over = risk >= 0.9 and risk > self.settled(task_id)
        answer = self.engine.observe(task_id, [event], epoch=named)
        assert (answer["handoff"] is not None) == hands_over
        assert answer["epoch"] == epoch + hands_over
        return self.promised(task_id, event, answer)

    @rule(task_id=st.sampled_from(TASKS), back=st.integers(1, 3))
    def stale_step(self, task_id: str, back: int) -> None:
        """Act under an epoch that has passed."""
        self.act_late(task_id, back)

    def act_late(self, task_id: str, back: int) -> None:
        """Act under an epoch that has passed: never accepted, never stored."""
        _, epoch = self.owner(task_id)
        if epoch - back < 1:
            return
        event = self.event("tool_call", "") | {"tool": "refund", "is_write": True}
        with pytest.raises(Problem) as refused:
            self.engine.observe(task_id, [event], epoch=epoch - back)
        assert refused.value.kind.slug == "stale-epoch"
        assert not self.rows(
            "SELECT 1 FROM event WHERE task_id = :t AND event_id = :e",
            t=task_id,
            e=event["event_id"],
        )

    @rule(target=answers, task_id=st.sampled_from(TASKS))
    def user_speaks(self, task_id: str) -> Any:
        """Pass on what the user says: it is kept, whoever owns the task."""
        self.model.value = 0.1
        event = self.event("user_message", f"words {self.sent}")
        answer = self.engine.observe(task_id, [event])
        assert event["event_id"] in answer["accepted"]
        assert (answer["decision"] is None) == (answer["owner"]["kind"] != "agent")
        return self.promised(task_id, event, answer)

    @rule(told=answers, risk=st.sampled_from((0.1, 0.9)))
    def duplicate(self, told: tuple[str, Json, Json], risk: float) -> None:
        """Send the same event again, under any epoch: the same answer, nothing new."""
        task_id, event, answer = told
        self.model.value = risk
        before = self.rows("SELECT count(*) AS n FROM audit_event")[0]["n"]
        assert self.engine.observe(task_id, [event], epoch=1) == answer
        assert self.rows("SELECT count(*) AS n FROM audit_event")[0]["n"] == before

    @rule(told=answers)
    def conflict(self, told: tuple[str, Json, Json]) -> None:
        """Send other content under the same id: refused, and nothing changes."""
        task_id, event, _ = told
        with pytest.raises(Problem) as refused:
            self.engine.observe(task_id, [{**event, "text": "something else"}])
        assert refused.value.kind.slug == "event-conflict"

    @rule(target=handoffs, task_id=st.sampled_from(TASKS), by=st.sampled_from("ua"))
    def wish(self, task_id: str, by: str) -> Any:
        """Ask for a human: there is one handoff after it, new or the one there was."""
        if not self.rows("SELECT 1 FROM task WHERE task_id = :t", t=task_id):
            return multiple()
        by = {"u": "user", "a": "agent"}[by]
        answer = self.engine.escalate(task_id, by=by, reason="I want one")
        assert answer["owner"]["kind"] in ("queue", "person")
        again = self.engine.escalate(task_id, by="user", reason="again")
        assert again["handoff"] == answer["handoff"]
        return str(answer["handoff"]["handoff_id"])

    # --- what people do ------------------------------------------------------

    def attempted(self, verb: Callable[[], Json]) -> str | None:
        """Return None if `verb` was done, else the slug it was refused with."""
        try:
            verb()
        except Problem as problem:
            return problem.kind.slug
        return None

    @rule(handoff=handoffs)
    def claim_race(self, handoff: str) -> None:
        """Let two people claim at once: one gets it, or neither if it is taken."""
        before = self.status(handoff)
        with ThreadPoolExecutor(2) as pool:
            calls = [
                pool.submit(
                    self.attempted, lambda who=who: self.engine.claim(handoff, by=who)
                )
                for who in (ANA, BEN)
            ]
        outcomes = [call.result() for call in calls]
        after = self.status(handoff)
        if before["status"] == "QUEUED":
            assert sorted(outcomes, key=str) == [None, "already-claimed"]
            assert after["claimed_by"] == (ANA, BEN)[outcomes.index(None)]
        elif before["status"] == "CLAIMED":
            assert outcomes.count("already-claimed") == 1
            assert after["claimed_by"] == before["claimed_by"]
        else:
            assert outcomes == ["illegal-transition"] * 2

    def held(self, handoff: str, verb: Callable[[str], Json]) -> None:
        """Let the holder use `verb`, whoever it takes to be one; nobody else may."""
        status = self.status(handoff)["status"]
        if status == "QUEUED":
            assert self.attempted(lambda: verb(BEN)) == "illegal-transition"
            self.engine.claim(handoff, by=BEN)
        holder = self.status(handoff)["claimed_by"]
        other = BEN if holder == ANA else ANA
        if status in ("RESOLVED", "RETURNED"):
            assert self.attempted(lambda: verb(holder)) == "illegal-transition"
            return
        assert self.attempted(lambda: verb(other)) == "already-claimed"
        assert self.attempted(lambda: verb(holder)) is None

    @rule(handoff=handoffs)
    def release(self, handoff: str) -> None:
        """Put it back."""
        self.held(handoff, lambda by: self.engine.release(handoff, by=by))

    @rule(handoff=handoffs, needed=st.sampled_from(("yes", "no", "uncertain")))
    def resolve(self, handoff: str, needed: str) -> None:
        """Close it with a verdict."""
        self.held(
            handoff, lambda by: self.engine.resolve(handoff, by=by, needed=needed)
        )

    @rule(handoff=handoffs, back=st.integers(1, 4))
    def give_back(self, handoff: str, back: int) -> None:
        """Return the task to its agent; a run that had lost it stays out."""
        self.held(handoff, lambda by: self.engine.return_(handoff, by=by, guidance="x"))
        self.act_late(self.status(handoff)["task_id"], back)

    @rule(handoff=handoffs, sufficient=st.booleans())
    def rate(self, handoff: str, *, sufficient: bool) -> None:
        """Say whether the package was enough."""
        self.engine.rate(handoff, by=ANA, sufficient=sufficient)

    # --- what machines do ----------------------------------------------------

    @rule(task_id=st.sampled_from(TASKS))
    def crash_half_way(self, task_id: str) -> None:
        """End the writer inside a handover: nothing of it is there afterwards."""
        if self.owner(task_id)[0] != "agent":
            return
        before = self.rows("SELECT count(*) AS n FROM audit_event")[0]["n"]
        # Higher than any risk that a human has answered by giving the task back.
        self.model.value = 0.96 + self.sent * 1e-6
        self.model.ends_the_process = True
        event = self.event("agent_message", "the last one before the crash")
        with pytest.raises(StoreError):
            self.engine.observe(task_id, [event])
        self.model.ends_the_process = False
        self.store.close()
        assert self.rows("SELECT count(*) AS n FROM audit_event")[0]["n"] == before
        self.start()

    @rule()
    def crash_after_commit(self) -> None:
        """Leave the files as they are, as if the power went, and start on a copy."""
        self.crashes += 1
        copy = self.directory / f"store-{self.crashes}.db"
        for suffix in ("", "-wal"):
            shutil.copy(f"{self.path}{suffix}", f"{copy}{suffix}")
        self.store.close()
        self.path = copy
        self.start()

    # --- what must hold ------------------------------------------------------

    @invariant()
    def every_task_has_one_owner(self) -> None:
        """Check owners: queue or person exactly where a handoff is active, and of it."""
        active = self.rows("SELECT * FROM handoff WHERE status IN ('QUEUED','CLAIMED')")
        by_task = {row["task_id"]: row for row in active}
        assert len(by_task) == len(active)
        for task in self.rows("SELECT * FROM task"):
            handoff = by_task.get(task["task_id"])
            owner = (task["owner_kind"], task["owner_id"])
            if handoff is None:
                assert owner in (("agent", ""), ("nobody", ""))
            elif handoff["status"] == "QUEUED":
                assert owner == ("queue", handoff["queue"])
            else:
                assert owner == ("person", handoff["claimed_by"])

    @invariant()
    def epochs_never_fall(self) -> None:
        """Check that no epoch that was seen is undercut, crash or not."""
        for task in self.rows("SELECT task_id, epoch FROM task"):
            assert task["epoch"] >= self.epochs.get(task["task_id"], 1)
            self.epochs[task["task_id"]] = task["epoch"]

    @invariant()
    def every_answered_event_is_stored_once(self) -> None:
        """Check that what was answered is in the log, once, and places have no gap."""
        stored = [
            (row["task_id"], row["event_id"], row["seq"])
            for row in self.rows("SELECT * FROM event ORDER BY task_id, seq")
        ]
        pairs = [(task_id, event_id) for task_id, event_id, _ in stored]
        assert self.answered <= set(pairs)
        assert len(set(pairs)) == len(pairs)
        for task_id in TASKS:
            places = [seq for task, _, seq in stored if task == task_id]
            assert places == list(range(len(places)))

    @invariant()
    def every_handover_is_whole(self) -> None:
        """Check that packages, outbox rows and deadlines are as many as handovers."""
        tables = {"handoff": 1, "package": 1, "outbox": 1, "timer": 2}
        counts = {
            table: self.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"]  # noqa: S608
            for table in tables
        }
        opened = "SELECT 1 FROM audit_event WHERE body ->> '$.type' = 'handoff.opened'"
        n = len(self.rows(opened))
        assert counts == {table: n * times for table, times in tables.items()}

    @invariant()
    def the_audit_log_holds(self) -> None:
        """Check everything in the store against the log, from the first record on."""
        report = verify_store(self.path)
        assert report.problems == ()


TestHandover = pytest.mark.filterwarnings(
    # A crash ends the writer's thread on purpose.
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)(Handover.TestCase)
TestHandover.settings = settings(
    max_examples=30,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
