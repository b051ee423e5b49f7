"""Guarantee: no act is executed under an epoch that is no longer its agent's.

Gateways use tokens up while tasks change hands. What counts is the order of the audit
log: an act counts as executed if its record is there, and as old if the last record
before it that names an owner of the task does not name the agent under that epoch.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from serving.engine import Engine, Problem
from serving.engine.actions import Asked
from serving.engine.forgetting import Forgetting
from serving.engine.keys import Key, Replay, under
from serving.policy.rules import Policy
from serving.policy.tokens import LONGEST, Claims, digest_of
from serving.store import actions
from serving.store.opening import open_store
from serving.store.sqlite import SqliteStore
from serving.store.transaction import Store
from serving.store.verify import verify_store
from serving.where import PostgresAddress

SECRET = b"a secret of at least thirty-two bytes"
ARGUMENTS = digest_of({"order": "W1"})
WHO = "general-1"
# Some hundreds of acts here, by default; as many as one likes where it is asked for.
ROUNDS = int(os.environ.get("ESCALON_RACES", "25"))
THREADS, TASKS = 64, 16


class NoModel:
    """Without a model the rules decide; none fires here."""

    problem: str | None = None

    def current(self) -> None:
        """Return no model."""


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def engine_on(store: Store) -> Engine:
    """Return an engine over `store`, as every replica has it."""
    return Engine(store, Policy.default(), NoModel(), now, SECRET)


def begin(engine: Engine, task_id: str) -> None:
    """Begin a task of the bot."""
    started = {"event_id": "e0", "at": now().isoformat(), "kind": "task_started"}
    engine.observe(task_id, [{**started, "agent_id": "bot"}])


# --- judging by the log ------------------------------------------------------------


@dataclass(slots=True)
class Judged:
    """What the log says of the acts in it."""

    executed: int = 0
    old: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)


def judged(records: Iterator[dict[str, Any]]) -> Judged:
    """Hold every act against the last owner before it; nothing else is believed."""
    owners: dict[str, tuple[str, int]] = {}
    seen: Counter[str] = Counter()
    found = Judged()
    for record in records:
        if "owner" in record:
            owners[record["task"]] = record["owner"]["kind"], record["epoch"]
        if record["type"] == "action.authorized":
            jti = record["action"]["jti"]
            found.executed += 1
            seen[jti] += 1
            if owners[record["task"]] != ("agent", record["epoch"]):
                found.old.append(jti)
    found.twice = [jti for jti, n in seen.items() if n > 1]
    return found


def records_of(store: Store) -> Iterator[dict[str, Any]]:
    """Yield every record of a store."""
    with store.reading() as reader:
        for row in reader.all("SELECT body FROM audit_event ORDER BY seq"):
            yield orjson.loads(bytes(row["body"]))


# --- a race --------------------------------------------------------------------------


class Race:
    """Agents that act as fast as they can on tasks that change hands all the time."""

    def __init__(self, engines: tuple[Engine, ...], *, rounds: int) -> None:
        self.tried = self.done = 0
        self._engines = engines
        self._rounds = rounds
        self._tally = threading.Lock()
        self._start = threading.Barrier(THREADS)

    def run(self) -> None:
        """Begin the tasks, then have every thread do its rounds."""
        for n in range(TASKS):
            begin(self._engines[0], f"t{n}")
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(self._work, range(THREADS)))

    def _work(self, place: int) -> None:
        engine = self._engines[place % len(self._engines)]
        dice = random.Random(place)  # noqa: S311 - which task comes next
        # Of eight one hands tasks over and back; the others act on them.
        work = self._move if place % 8 == 0 else self._act
        self._start.wait()
        for _ in range(self._rounds):
            with contextlib.suppress(Problem):
                work(engine, f"t{dice.randrange(TASKS)}")

    def _act(self, engine: Engine, task_id: str) -> None:
        epoch = engine.task(task_id)["epoch"]
        given = engine.actions.authorize(
            task_id, epoch=epoch, tool="refund", args_sha256=ARGUMENTS
        )
        asked = Asked(task_id=task_id, token=given["token"], consume=True)
        may_act = engine.actions.verify(asked)["may_act"]
        # Used up or not: the same token a second time is no act.
        assert not engine.actions.verify(asked)["may_act"]
        with self._tally:
            self.tried += 1
            self.done += may_act

    def _move(self, engine: Engine, task_id: str) -> None:
        told = engine.escalate(task_id, by="user", reason="a person")
        handoff_id = told["handoff"]["handoff_id"]
        engine.claim(handoff_id, by=WHO)
        engine.return_(handoff_id, by=WHO, guidance="go on")


@pytest.fixture(params=["sqlite", "postgresql"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Store]]:
    """Open a store once where it is embedded, twice where several may use it."""
    opened: list[Store] = []
    if request.param == "sqlite":
        opened.append(SqliteStore(tmp_path / "race.db"))
    else:
        address = PostgresAddress(request.getfixturevalue("postgres_url"))
        opened += [open_store(address) for _ in range(2)]
    yield opened
    for store in opened:
        store.close()


def test_no_raced_act_is_executed_under_an_old_epoch(stores: list[Store]) -> None:
    """64 threads race acts against handovers; the log has every act in its place."""
    engines = tuple(engine_on(store) for store in stores)
    race = Race(engines, rounds=ROUNDS)
    race.run()
    found = judged(records_of(stores[0]))
    assert (found.old, found.twice) == ([], [])
    # What gateways were told and what the log holds is the same.
    assert found.executed == race.done
    assert race.done > 0


def test_what_one_process_keeps_every_other_knows(stores: list[Store]) -> None:
    """Beats, acts after the handover and answers under keys are the store's, not ours."""
    turned = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    times = [turned]
    first, last = (
        Engine(store, Policy.default(), NoModel(), lambda: times[-1], SECRET)
        for store in (stores[0], stores[-1])
    )
    begin(first, "t")
    first.agents.beat("t", epoch=1, every=1.0)
    times.append(turned + timedelta(seconds=3))
    assert last.agents.run() == 1
    assert first.agents.run() == 0
    times.append(turned + timedelta(seconds=9))
    event = {"event_id": "e1", "at": times[-1].isoformat(), "kind": "agent_message"}
    for engine in (first, last):
        with pytest.raises(Problem):
            engine.observe("t", [{**event, "text": "Done"}], epoch=1)
    assert [engine.acts_after_handover() for engine in (first, last)] == [1, 1]
    key = {"scope": "POST /x", "name": "k", "fingerprint": "a" * 64}
    with under(Key(**key)):
        assert first.ways.do(lambda _: {"n": 1}) == {"n": 1}
    with under(Key(**key)), pytest.raises(Replay):
        last.ways.do(lambda _: {"n": 2})
    times.append(turned + timedelta(days=4))
    assert Forgetting(last.ways).run() == 1


def test_the_judge_sees_an_act_that_is_old() -> None:
    """The judge is no rubber stamp: out of order, it says so."""
    log = [
        {"type": "step.scored", "task": "t", "epoch": 1, "owner": {"kind": "agent"}},
        {"type": "action.authorized", "task": "t", "epoch": 1, "action": {"jti": "a"}},
        {"type": "handoff.opened", "task": "t", "epoch": 2, "owner": {"kind": "queue"}},
        {"type": "action.authorized", "task": "t", "epoch": 1, "action": {"jti": "b"}},
        {"type": "action.authorized", "task": "t", "epoch": 2, "action": {"jti": "a"}},
    ]
    found = judged(iter(log))
    assert (found.executed, found.old, found.twice) == (3, ["b", "a"], ["a"])


# --- any interleaving ------------------------------------------------------------------


class Fence(RuleBasedStateMachine):
    """Handovers, claims, returns, acts and restarts in any order, on one task."""

    def __init__(self) -> None:
        super().__init__()
        self._home = Path(os.environ.get("TMPDIR", "/tmp"))  # noqa: S108 - of a test
        self.path = self._home / f"escalon-fence-{os.getpid()}-{id(self)}.db"
        self.tokens: list[tuple[int, str]] = []
        self.acted: list[str] = []
        # The model: who owns the task, and under which epoch.
        self.owner, self.epoch = "agent", 1
        self.handoff_id = ""

    @initialize()
    def starts(self) -> None:
        """Begin the task."""
        self.open()
        begin(self.engine, "t")

    def open(self) -> None:
        """Open the store, and an engine on it."""
        self.store = SqliteStore(self.path)
        self.engine = engine_on(self.store)

    @rule()
    def restart(self) -> None:
        """End the service, and start it again."""
        self.store.close()
        self.open()

    @rule()
    def hand_over(self) -> None:
        """Want a person, as the user."""
        told = self.engine.escalate("t", by="user", reason="a person")
        if self.owner in {"agent", "nobody"}:
            self.owner, self.epoch = "queue", self.epoch + 1
            self.handoff_id = told["handoff"]["handoff_id"]
        assert told["epoch"] == self.epoch

    @precondition(lambda self: self.owner == "queue")
    @rule()
    def claim(self) -> None:
        """Take it, as a person."""
        self.engine.claim(self.handoff_id, by=WHO)
        self.owner, self.epoch = "person", self.epoch + 1

    @precondition(lambda self: self.owner == "person")
    @rule(end=st.sampled_from(["release", "resolve", "return"]))
    def end(self, end: str) -> None:
        """Put it back, close it, or give it to the agent."""
        if end == "release":
            self.engine.release(self.handoff_id, by=WHO)
        elif end == "resolve":
            self.engine.resolve(self.handoff_id, by=WHO, needed="yes")
        else:
            self.engine.return_(self.handoff_id, by=WHO, guidance="go on")
        after = {"release": "queue", "resolve": "nobody", "return": "agent"}
        self.owner, self.epoch = after[end], self.epoch + 1

    @rule(back=st.integers(-1, 6))
    def authorize(self, back: int) -> None:
        """Ask for a token under the epoch of now, or an older or newer one."""
        epoch = max(0, self.epoch - back)
        ask = {"epoch": epoch, "tool": "refund", "args_sha256": ARGUMENTS}
        if self.owner == "agent" and epoch == self.epoch:
            given = self.engine.actions.authorize("t", **ask)
            self.tokens.append((epoch, given["token"]))
            return
        with pytest.raises(Problem) as caught:
            self.engine.actions.authorize("t", **ask)
        assert caught.value.kind.slug == "stale-epoch"
        assert caught.value.extra["epoch"] == self.epoch

    @precondition(lambda self: bool(self.tokens))
    @rule(which=st.integers(0, 99), keep=st.booleans())
    def act(self, which: int, keep: bool) -> None:  # noqa: FBT001
        """Use up a token of now or of before, or one used before."""
        place = which % len(self.tokens)
        epoch, token = self.tokens[place] if keep else self.tokens.pop(place)
        asked = Asked(task_id="t", token=token, consume=True)
        may_act = self.engine.actions.verify(asked)["may_act"]
        is_owner = self.owner == "agent" and epoch == self.epoch
        assert may_act is (is_owner and token not in self.acted)
        if may_act:
            self.acted.append(token)

    @invariant()
    def at_most_one_epoch_may_act(self) -> None:
        """Of all epochs there ever were, none but the agent's own may act."""
        if not hasattr(self, "engine"):
            return
        may = [
            epoch
            for epoch in range(self.epoch + 3)
            if self.engine.actions.verify(Asked(task_id="t", epoch=epoch))["may_act"]
        ]
        assert may == ([self.epoch] if self.owner == "agent" else [])

    def teardown(self) -> None:
        """Prove the log, and that no act in it is old."""
        if not hasattr(self, "store"):
            return
        found = judged(records_of(self.store))
        self.store.close()
        assert not verify_store(self.path).problems
        assert (found.executed, found.old) == (len(self.acted), [])
        for left in self._home.glob(self.path.name + "*"):
            left.unlink()


Fence.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    suppress_health_check=[HealthCheck.too_slow],
)
TestFence = Fence.TestCase


def test_the_proof_finds_an_act_that_is_old(tmp_path: Path) -> None:
    """Were an act in the log after the handover, `audit verify` would say so."""
    path = tmp_path / "forged.db"
    store = SqliteStore(path)
    engine = engine_on(store)
    begin(engine, "t")
    given = engine.actions.authorize("t", epoch=1, tool="refund", args_sha256=ARGUMENTS)
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TRIGGER action_fenced")
    connection.close()
    store = SqliteStore(path)
    engine = engine_on(store)
    engine.escalate("t", by="user", reason="x")
    store.submit(lambda tx: forged(tx, given["jti"])).result()
    store.close()
    problems = verify_store(path).problems
    assert any("not its agent's" in said for said in problems)


def forged(tx: Any, jti: str) -> None:
    """Write an act under the first epoch, as code without a fence would."""
    terms = {"task": "t", "epoch": 1, "tool": "refund", "args_sha256": ARGUMENTS}
    actions.add(tx, Claims.made(**terms, jti=jti, now=now(), lasts=LONGEST), now())
