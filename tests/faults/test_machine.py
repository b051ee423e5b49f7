"""The guarantee: a handover holds, whatever agents, people and machines do.

A state machine sends steps, duplicates, stale epochs, actions, wishes and the people's
verbs in any order; a channel goes away, a worker dies between sending and noting, the
clock is turned, models come and break, the service crashes in the middle of
transactions and after them. After every move the store itself is asked, not the engine,
whether the promises hold. ``ESCALON_FAULTS_EXAMPLES`` says how many runs of it there are.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import orjson
import pytest
from _faults_check import standing
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle as Known
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from serving.engine import Problem
from serving.engine.actions import Asked
from serving.engine.keys import Key, Replay, under
from serving.store.transaction import Row, StoreError
from tests.faults.world import ANA, BEN, CHANNEL, Json, World

TASKS = ("a", "b", "c")
DIGEST = "0" * 64
# Runs of the machine: a server takes its time to make a database for each.
EXAMPLES = {"sqlite": 80, "postgresql": 15}
ASKED = os.environ.get("ESCALON_FAULTS_EXAMPLES")

_OPEN = "SELECT * FROM handoff WHERE status IN ('QUEUED', 'CLAIMED')"
_TIMERS = "SELECT handoff_id, kind FROM timer WHERE settled_at IS NULL"


class Handover(RuleBasedStateMachine):
    """Agents, people, channels and crashes over one store."""

    answers = Known("answers")
    handoffs = Known("handoffs")
    tokens = Known("tokens")

    def __init__(self, where: tuple[str, str]) -> None:
        super().__init__()
        self.world = World(*where)
        self.sent = 0
        # What was promised: epochs seen, events answered, tokens used, roots noted.
        self.epochs: dict[str, int] = {}
        self.answered: set[tuple[str, str]] = set()
        self.used: set[str] = set()
        self.root: tuple[int, str] | None = None
        # Who did what to a handoff last.
        self.last: dict[str, tuple[str, object]] = {}

    def teardown(self) -> None:
        """Remove the store."""
        self.world.end()

    # --- what the store says -------------------------------------------------

    def owner(self, task_id: str) -> tuple[str, int]:
        """Return the kind of owner of a task, and its epoch; of none, its beginning."""
        query = "SELECT owner_kind, epoch FROM task WHERE task_id = :task_id"
        found = self.world.rows(query, task_id=task_id)
        return (found[0]["owner_kind"], found[0]["epoch"]) if found else ("agent", 1)

    def status(self, handoff_id: str) -> Row:
        """Return how a handoff stands."""
        query = "SELECT * FROM handoff WHERE handoff_id = :handoff_id"
        return self.world.rows(query, handoff_id=handoff_id)[0]

    def settled(self, task_id: str) -> float:
        """Return the highest risk at which a human gave the task back, else 0."""
        query = "SELECT body FROM handoff WHERE task_id = :t AND status = 'RETURNED'"
        rows = self.world.rows(query, t=task_id)
        bodies = (orjson.loads(bytes(row["body"])) for row in rows)
        return max((body["risk"] or 0.0 for body in bodies), default=0.0)

    def exists(self, task_id: str) -> bool:
        """Whether a task has begun."""
        return bool(self.world.rows("SELECT 1 FROM task WHERE task_id = :t", t=task_id))

    # --- what agents and users do --------------------------------------------

    def event(self, kind: str, text: str) -> Json:
        """Return an event that was not sent before."""
        self.sent += 1
        self.world.now += timedelta(seconds=1)
        at = self.world.now.isoformat()
        return {"event_id": f"e{self.sent}", "at": at, "kind": kind, "text": text}

    def promised(self, task_id: str, event: Json, answer: Json) -> Any:
        """Remember what was answered."""
        self.answered.add((task_id, event["event_id"]))
        return multiple((task_id, event, answer))

    @initialize()
    def begin(self) -> None:
        """Let two tasks be there; the third may come later, or never."""
        for task_id in TASKS[:2]:
            self.world.engine.observe(task_id, [self.event("user_message", "hello")])

    @rule(
        target=answers,
        task_id=st.sampled_from(TASKS),
        risk=st.sampled_from((0.1, 0.1, 0.9, 0.95)),
        names_epoch=st.booleans(),
    )
    def step(self, task_id: str, risk: float, *, names_epoch: bool) -> Any:
        """Take a step as the agent, which may own the task or have lost it."""
        self.world.model.value = risk
        kind, epoch = self.owner(task_id)
        event = self.event("agent_message", f"step {self.sent}")
        named = epoch if names_epoch else None
        if kind != "agent":
            with pytest.raises(Problem) as refused:
                self.world.engine.observe(task_id, [event], epoch=named)
            assert refused.value.kind.slug == "stale-epoch"
            assert refused.value.extra["message"]
            return multiple()
        is_risky = risk >= 0.9 and risk > self.settled(task_id)
        hands_over = is_risky and self.world.model.decides
        answer = self.world.engine.observe(task_id, [event], epoch=named)
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
            self.world.engine.observe(task_id, [event], epoch=epoch - back)
        assert refused.value.kind.slug == "stale-epoch"
        assert not self.world.rows(
            "SELECT 1 FROM event WHERE task_id = :t AND event_id = :e",
            t=task_id,
            e=event["event_id"],
        )

    @rule(target=answers, task_id=st.sampled_from(TASKS))
    def user_speaks(self, task_id: str) -> Any:
        """Pass on what the user says: it is kept, whoever owns the task."""
        self.world.model.value = 0.1
        event = self.event("user_message", f"words {self.sent}")
        answer = self.world.engine.observe(task_id, [event])
        assert event["event_id"] in answer["accepted"]
        assert (answer["decision"] is None) == (answer["owner"]["kind"] != "agent")
        return self.promised(task_id, event, answer)

    @rule(told=answers, risk=st.sampled_from((0.1, 0.9)))
    def duplicate(self, told: tuple[str, Json, Json], risk: float) -> None:
        """Send the same event again, under any epoch: the same answer, nothing new."""
        task_id, event, answer = told
        self.world.model.value = risk
        before = self.world.count("audit_event")
        assert self.world.engine.observe(task_id, [event], epoch=1) == answer
        assert self.world.count("audit_event") == before

    @rule(told=answers)
    def conflict(self, told: tuple[str, Json, Json]) -> None:
        """Send other content under the same id: refused, and nothing changes."""
        task_id, event, _ = told
        with pytest.raises(Problem) as refused:
            self.world.engine.observe(task_id, [{**event, "text": "something else"}])
        assert refused.value.kind.slug == "event-conflict"

    @rule(target=handoffs, task_id=st.sampled_from(TASKS), by=st.sampled_from("ua"))
    def wish(self, task_id: str, by: str) -> Any:
        """Ask for a human: there is one handoff after it, new or the one there was."""
        if not self.exists(task_id):
            return multiple()
        by = {"u": "user", "a": "agent"}[by]
        answer = self.world.engine.escalate(task_id, by=by, reason="I want one")
        assert answer["owner"]["kind"] in ("queue", "person")
        again = self.world.engine.escalate(task_id, by="user", reason="again")
        assert again["handoff"]["handoff_id"] == answer["handoff"]["handoff_id"]
        assert again["message_id"] == answer["message_id"]
        return str(answer["handoff"]["handoff_id"])

    # --- actions -------------------------------------------------------------

    @rule(target=tokens, task_id=st.sampled_from(TASKS), back=st.integers(0, 2))
    def authorize(self, task_id: str, back: int) -> Any:
        """Ask for a token: given to whoever owns the task, under its epoch alone."""
        if not self.exists(task_id):
            return multiple()
        kind, epoch = self.owner(task_id)
        ask = partial(
            self.world.engine.actions.authorize, tool="refund", args_sha256=DIGEST
        )
        if kind != "agent" or back:
            with pytest.raises(Problem) as refused:
                ask(task_id, epoch=epoch - back)
            assert refused.value.kind.slug == "stale-epoch"
            return multiple()
        return ask(task_id, epoch=epoch)

    @rule(given=tokens)
    def act(self, given: Json) -> None:
        """Use a token: it works once, in time, and while its epoch lasts."""
        world, task_id = self.world, given["task_id"]
        in_time = world.now < datetime.fromisoformat(given["expires_at"])
        owned = self.owner(task_id) == ("agent", given["epoch"])
        may_act = in_time and owned and given["jti"] not in self.used
        asked = Asked(task_id=task_id, token=given["token"], consume=True)
        assert world.engine.actions.verify(asked)["may_act"] == may_act
        if may_act:
            self.used.add(given["jti"])

    @rule(task_id=st.sampled_from(TASKS), every=st.sampled_from((10.0, 300.0)))
    def beat(self, task_id: str, every: float) -> None:
        """Beat as the agent; what comes of silence is seen when the clock is turned."""
        kind, epoch = self.owner(task_id)
        if kind == "agent" and self.exists(task_id):
            self.world.engine.agents.beat(task_id, epoch=epoch, every=every)

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
        before, claim = self.status(handoff), self.world.engine.claim
        with ThreadPoolExecutor(2) as pool:
            calls = [
                pool.submit(self.attempted, partial(claim, handoff, by=who))
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

    @rule(handoff=handoffs, name=st.sampled_from("kl"))
    def keyed(self, handoff: str, name: str) -> None:
        """Claim under a key, twice: done once, answered once; never for other words."""
        claim = partial(self.world.engine.claim, handoff, by=ANA)
        asked = partial(Key, scope=f"claim {handoff}", name=f"{name}{self.sent}")
        first = self.under(asked(fingerprint="1" * 64), claim)
        before = self.world.count("audit_event")
        assert self.under(asked(fingerprint="1" * 64), claim) == first
        if isinstance(first, dict):
            other = self.under(asked(fingerprint="2" * 64), claim)
            assert other == "key-reused"
        assert self.world.count("audit_event") == before

    def under(self, key: Key, verb: Callable[[], Json]) -> Json | str:
        """Return what `verb` is answered under `key`, kept or new, or its problem."""
        try:
            with under(key):
                # As JSON: that is how an answer is kept.
                return orjson.loads(orjson.dumps(verb()))
        except Replay as replay:
            return orjson.loads(replay.kept.body)
        except Problem as problem:
            return problem.kind.slug

    def held(self, handoff: str, verb: Callable[..., Json], **said: Any) -> None:
        """Let the holder use `verb`, whoever it takes to be one; nobody else may."""
        act, doing = partial(verb, handoff, **said), (verb.__name__, said)
        status = self.status(handoff)["status"]
        if status == "QUEUED":
            self.not_done(handoff, act, BEN, doing)
            self.world.engine.claim(handoff, by=BEN)
        holder = self.status(handoff)["claimed_by"]
        if status in ("RESOLVED", "RETURNED"):
            self.not_done(handoff, act, holder, doing)
            return
        other = BEN if holder == ANA else ANA
        assert self.attempted(partial(act, by=other)) == "already-claimed"
        assert self.attempted(partial(act, by=holder)) is None
        self.last[handoff] = (holder, doing)

    def not_done(
        self, handoff: str, act: Callable[..., Json], by: str, doing: object
    ) -> None:
        """Try what cannot be done; only what was just done so may be told again."""
        before = self.world.count("audit_event")
        slug = self.attempted(partial(act, by=by))
        is_repeat = self.last.get(handoff) == (by, doing)
        assert slug == "illegal-transition" or (slug is None and is_repeat)
        assert self.world.count("audit_event") == before

    @rule(handoff=handoffs, verb=st.sampled_from(("release", "renew")))
    def hold(self, handoff: str, verb: str) -> None:
        """Put it back, or say that one is still at it."""
        self.held(handoff, getattr(self.world.engine, verb))

    @rule(handoff=handoffs, needed=st.sampled_from(("yes", "no", "uncertain")))
    def resolve(self, handoff: str, needed: str) -> None:
        """Close it with a verdict."""
        self.held(handoff, self.world.engine.resolve, needed=needed)

    @rule(handoff=handoffs, back=st.integers(1, 4))
    def give_back(self, handoff: str, back: int) -> None:
        """Return the task to its agent; a run that had lost it stays out."""
        self.held(handoff, self.world.engine.return_, guidance="x")
        self.act_late(self.status(handoff)["task_id"], back)

    @rule(handoff=handoffs, sufficient=st.booleans())
    def rate(self, handoff: str, *, sufficient: bool) -> None:
        """Say whether the package was enough."""
        self.world.engine.rate(handoff, by=ANA, sufficient=sufficient)

    # --- what machines do ----------------------------------------------------

    @rule(seconds=st.sampled_from((2, 65, 1_000, 3_700, 40_000)))
    def turn(self, seconds: int) -> None:
        """Let time pass: deadlines, leases, silent agents, deliveries."""
        before = {row["handoff_id"]: row for row in self.world.rows(_OPEN)}
        self.world.turn(timedelta(seconds=seconds))
        for handoff_id, was in before.items():
            now = self.status(handoff_id)
            assert now["status"] == self.stands_after(was)

    def stands_after(self, was: Row) -> str:
        """Return how a handoff must stand that nobody has touched since `was`."""
        lease = was["lease_until"]
        is_over = lease and datetime.fromisoformat(lease) <= self.world.now
        return "QUEUED" if is_over else str(was["status"])

    @rule(is_away=st.booleans())
    def channel_goes(self, *, is_away: bool) -> None:
        """Have the channel go away, or come back."""
        self.world.desk.is_away = is_away

    @rule()
    def worker_dies(self) -> None:
        """Let a worker die after it sent something, and before it could say so."""
        world = self.world
        for sending in world.engine.deliveries.take("dead", CHANNEL, limit=2):
            world.desk.send(world.courier.message(sending))

    @rule(change=st.sampled_from(("promoted", "gone", "broken", "well")))
    def model_changes(self, change: str) -> None:
        """Put another model in force, or lose it, or break it."""
        model = self.world.model
        model.number += change == "promoted"
        model.is_there = change != "gone"
        model.is_broken = change == "broken"

    @rule(task_id=st.sampled_from(TASKS))
    def crash_half_way(self, task_id: str) -> None:
        """End the writer inside a handover: nothing of it is there afterwards."""
        world = self.world
        if self.owner(task_id)[0] != "agent" or not world.model.decides:
            return
        before = world.count("audit_event")
        # Higher than any risk that a human has answered by giving the task back.
        world.model.value = 0.96 + self.sent * 1e-6
        world.model.ends_the_process = True
        event = self.event("agent_message", "the last one before the crash")
        with pytest.raises(StoreError):
            world.engine.observe(task_id, [event])
        world.model.ends_the_process = False
        world.stop()
        assert world.count("audit_event") == before
        world.start()

    @rule()
    def crash_after_commit(self) -> None:
        """Leave the files as they are, as if the power went, and start on a copy."""
        self.world.lose_power()

    # --- what must hold ------------------------------------------------------

    @invariant()
    def nothing_is_torn(self) -> None:
        """Check owners, epochs, packages, notices and deadlines against the log."""
        assert standing(self.world.place) == []

    @invariant()
    def epochs_never_fall(self) -> None:
        """Check that no epoch that was seen is undercut, crash or not."""
        for task in self.world.rows("SELECT task_id, epoch FROM task"):
            assert task["epoch"] >= self.epochs.get(task["task_id"], 1)
            self.epochs[task["task_id"]] = task["epoch"]

    @invariant()
    def every_answered_event_is_stored_once(self) -> None:
        """Check that what was answered is in the log, once, and places have no gap."""
        stored = [
            (row["task_id"], row["event_id"], row["seq"])
            for row in self.world.rows("SELECT * FROM event ORDER BY task_id, seq")
        ]
        pairs = [(task_id, event_id) for task_id, event_id, _ in stored]
        assert self.answered <= set(pairs)
        assert len(set(pairs)) == len(pairs)
        for task_id in TASKS:
            places = [seq for task, _, seq in stored if task == task_id]
            assert places == list(range(len(places)))

    @invariant()
    def somebody_or_a_deadline_has_every_handoff(self) -> None:
        """Check that each open handoff will be looked at again without anybody's call."""
        pending = {(row["handoff_id"], row["kind"]) for row in self.world.rows(_TIMERS)}
        for row in self.world.rows(_OPEN):
            kind = "acknowledge" if row["status"] == "QUEUED" else "lease"
            assert (row["handoff_id"], kind) in pending

    @invariant()
    def the_channel_has_one_ticket(self) -> None:
        """Check that the receiver was told each thing under one id alone."""
        assert all(len(ids) == 1 for ids in self.world.desk.tickets.values())

    @invariant()
    def used_tokens_are_kept(self) -> None:
        """Check that the acts that were let through are in the store, and no others."""
        kept = {row["jti"] for row in self.world.rows("SELECT jti FROM action")}
        assert kept == self.used

    @invariant()
    def the_audit_log_holds(self) -> None:
        """Check everything against the log, and the log against its earlier root."""
        report = self.world.place.verify(expect=self.root)
        assert report.problems == ()
        self.root = (report.size, report.root)


@pytest.mark.slow
@pytest.mark.filterwarnings(
    # A crash ends the writer's thread on purpose.
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)
def test_handovers_hold(where: tuple[str, str]) -> None:
    """Whatever happens in whatever order, the promises hold after each move."""
    run_state_machine_as_test(
        partial(Handover, where),
        settings=settings(
            max_examples=int(ASKED or EXAMPLES[where[0]]),
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
