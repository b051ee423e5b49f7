"""Engine: the use cases, each one transaction, as the edge calls them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from features.events import AgentEvent
from serving.engine import loads, scoring, views
from serving.engine.actions import Actions
from serving.engine.agents import Agents
from serving.engine.alarming import Monitors
from serving.engine.attachments import Attachments
from serving.engine.auditor import Auditor
from serving.engine.calls import Answer, Calls, Clock, check_from_agent, check_outcome
from serving.engine.checks import check, is_amount
from serving.engine.deciding import Judge
from serving.engine.delivery import Deliveries
from serving.engine.duties import Duties
from serving.engine.live import Live
from serving.engine.memory import Waiting
from serving.engine.models import ModelSource
from serving.engine.oversight import Oversight
from serving.engine.ownership import NEEDED, Ownership
from serving.engine.rating import Rating
from serving.engine.reviewing import Desk
from serving.engine.steps import Steps, begin
from serving.engine.watch import MATURES
from serving.engine.ways import Ways
from serving.policy.rules import Policy
from serving.policy.tokens import LONGEST
from serving.problems import Problem, ProblemType
from serving.store import log, violations
from serving.store.intake import Batch
from serving.store.transaction import Store

__all__ = ["Engine", "Problem", "ProblemType"]


class Engine:
    """Decides, hands over, and accounts for it. Safe to call from many threads.

    Every method that changes something returns only once that is durable. Each
    returns the JSON of its answer, or raises a `Problem`, or a `StoreError` where the
    store failed and nothing was kept.

    Parameters
    ----------
    store : Store
        Where everything is kept.
    policy : Policy
        In force until another engine is made.
    model : ModelSource
        Where the model comes from; without one the rules decide.
    clock : callable
        Returns the time, timezone-aware.
    secret : bytes
        Key of the audit draw. Whoever has it knows which tasks will be audited.
    matures : timedelta
        How long the labels of a task are waited for before monitors count it.
    token_lasts : timedelta
        For how long an action token holds.
    attachments : Path, optional
        Directory of the files that events name; None: none are kept.

    Attributes
    ----------
    monitors : Monitors
        What watches the model in force, and the alarms it has raised.
    """

    def __init__(
        self,
        store: Store,
        policy: Policy,
        model: ModelSource,
        clock: Clock,
        secret: bytes,
        *,
        matures: timedelta = MATURES,
        token_lasts: timedelta = LONGEST,
        attachments: Path | None = None,
    ) -> None:
        self.policy = policy
        self._model = model
        self._clock = clock
        self._judge = Judge(policy, model, secret)
        self.monitors = Monitors(
            store, policy, model, self._judge.withdrawals, clock, matures=matures
        )
        waiting = Waiting()
        self._steps = Steps(self._judge, waiting)
        self.ways = ways = Ways.to(
            store,
            policy=policy,
            steps=self._steps,
            waiting=waiting,
            clock=clock,
            secret=secret,
        )
        self._do, self._read = ways.do, ways.read
        self._calls = Calls(self._steps, clock)
        self._people = Ownership(policy, waiting, clock)
        desk = Desk(policy.audit, self._steps, clock, secret)
        self.oversight = Oversight(desk, ways)
        self.actions = Actions(ways, lasts=token_lasts)
        self.agents = Agents(ways)
        self.live = Live(ways)
        self.deliveries = Deliveries(ways)
        self.attachments = Attachments(ways, attachments)
        self.duties = Duties(ways)
        self.auditor = Auditor(ways)
        self._do(lambda tx: begin(tx, self._steps, clock()))
        self.monitors.begin()

    # --- agents, users, systems of record ------------------------------------

    def observe(
        self,
        task_id: str,
        events: Sequence[Any],
        *,
        epoch: int | None = None,
        hears: bool = True,
    ) -> Answer:
        """Append `events` to a task, in their order, and decide whether to go on.

        The same events again get the same answer and change nothing.

        Parameters
        ----------
        hears : bool
            Whether the agent itself hears the answer, and so knows when to stop.

        Raises
        ------
        Problem
            malformed-event (the good events were kept, the answer is in `extra`),
            stale-epoch (what the user said was kept), event-conflict, unknown-task,
            malformed-request.
        """
        check(bool(task_id), "task_id", "a non-empty string", task_id)
        check(len(events) > 0, "events", "at least one event", "none")
        batch = Batch.read(events, task_id=task_id, check=check_from_agent)
        observe = partial(self._calls.observe, hears=hears)
        return self._do(lambda tx: observe(tx, task_id, batch, epoch))

    def escalate(
        self, task_id: str, *, by: str, reason: str, epoch: int | None = None
    ) -> Answer:
        """Hand a task to a human because `by` wishes it; under any epoch.

        Raises
        ------
        Problem
            unknown-task, malformed-request.
        """
        del epoch  # A wish for a human is honoured even from an agent that is late.
        check(bool(by.strip()), "by", "who asks: agent, user, or a name", by)
        calls = self._calls
        return self._do(lambda tx: calls.escalate(tx, task_id, by=by, reason=reason))

    def outcomes(self, events: Sequence[Any]) -> Answer:
        """Append outcomes to the logs of the tasks they name.

        Raises
        ------
        Problem
            malformed-event (the good ones were kept), unknown-task, event-conflict,
            malformed-request.
        """
        check(len(events) > 0, "events", "at least one event", "none")
        batch = Batch.read(events, check=check_outcome)
        return self._do(lambda tx: self._calls.outcomes(tx, batch))

    def score(self, events: Sequence[Any]) -> Answer:
        """Return risk and reasons for the events of a task; nothing is stored.

        Raises
        ------
        Problem
            malformed-event (the answer on the good ones is in `extra`),
            malformed-request.
        """
        check(len(events) > 0, "events", "at least one event", "none")
        return scoring.score(self._judge, events, self._clock())

    # --- people --------------------------------------------------------------

    def claim(self, handoff_id: str, *, by: str) -> Answer:
        """Give a waiting handoff to `by`; of two who try, one gets it.

        Raises
        ------
        Problem
            unknown-handoff, not-a-member, already-claimed, illegal-transition.
        """
        return self._do(lambda tx: self._people.claim(tx, handoff_id, by=by))

    def renew(self, handoff_id: str, *, by: str) -> Answer:
        """Have the claim of `by` last for another lease.

        Raises
        ------
        Problem
            unknown-handoff, not-a-member, already-claimed, illegal-transition.
        """
        return self._do(lambda tx: self._people.renew(tx, handoff_id, by=by))

    def release(self, handoff_id: str, *, by: str) -> Answer:
        """Put a claimed handoff back into its queue.

        Raises
        ------
        Problem
            unknown-handoff, not-a-member, already-claimed, illegal-transition.
        """
        return self._do(lambda tx: self._people.release(tx, handoff_id, by=by))

    def resolve(
        self,
        handoff_id: str,
        *,
        by: str,
        needed: str,
        note: str = "",
        minutes: float | None = None,
    ) -> Answer:
        """Close a claimed handoff with a verdict: yes, no or uncertain.

        Raises
        ------
        Problem
            unknown-handoff, not-a-member, already-claimed, illegal-transition,
            malformed-request.
        """
        check(needed in NEEDED, "needed", "one of " + ", ".join(NEEDED), needed)
        check(is_amount(minutes), "minutes", "a number >= 0, or nothing", minutes)
        return self._do(
            lambda tx: self._people.resolve(
                tx, handoff_id, by=by, needed=str(needed), note=note, minutes=minutes
            )
        )

    def return_(self, handoff_id: str, *, by: str, guidance: str) -> Answer:
        """Give a claimed task back to its agent, under a new epoch.

        Raises
        ------
        Problem
            unknown-handoff, not-a-member, already-claimed, illegal-transition,
            malformed-request.
        """
        check(bool(guidance.strip()), "guidance", "what the agent should do", guidance)
        return self._do(
            lambda tx: self._people.return_(tx, handoff_id, by=by, guidance=guidance)
        )

    def rate(
        self,
        handoff_id: str,
        *,
        by: str,
        sufficient: bool,
        missing: Sequence[str] = (),
        note: str = "",
    ) -> Answer:
        """Keep whether the package was enough for `by`, and which parts it lacked.

        Raises
        ------
        Problem
            unknown-handoff, not-a-member, malformed-request.
        """
        said = Rating.of(by=by, sufficient=sufficient, missing=missing, note=note)
        return self._do(lambda tx: self._people.rate(tx, handoff_id, said))

    # --- reading -------------------------------------------------------------

    def log(self, task_id: str) -> list[AgentEvent]:
        """Return the events of a task in their order; none of one that is unknown."""
        return self._read(
            lambda reader: list(
                log.history(reader, task_id, until=log.length(reader, task_id))
            )
        )

    def task(self, task_id: str) -> Answer:
        """Return how a task stands.

        Raises
        ------
        Problem
            unknown-task.
        """
        return self.live.task(task_id)

    def queues(self) -> Answer:
        """Return every queue with its load."""
        at = self._clock()
        return self._read(lambda reader: loads.queues(reader, self.policy, at))

    def handoffs(
        self,
        queue: str | None = None,
        status: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> Answer:
        """Return a page of handoffs, the most urgent of the open ones first.

        Raises
        ------
        Problem
            no-such-queue, malformed-request.
        """
        at = self._clock()
        return self._read(
            lambda reader: views.listed(
                reader,
                self.policy,
                queue=queue,
                status=status,
                limit=limit,
                offset=offset,
                at=at,
            )
        )

    def handoff(self, handoff_id: str) -> Answer:
        """Return one handoff with its whole package.

        Raises
        ------
        Problem
            unknown-handoff.
        """
        at = self._clock()
        return self._read(lambda reader: views.handoff(reader, handoff_id, at))

    def package(self, handoff_id: str) -> views.StoredPackage:
        """Return the package of a handoff as it is stored, byte for byte.

        Raises
        ------
        Problem
            unknown-handoff.
        """
        return self._read(lambda reader: views.package(reader, handoff_id))

    def acts_after_handover(self) -> int:
        """Return how often agents acted after they had lost their task."""
        return self._read(violations.acts)

    def audit_records(self, start: int = 0, limit: int = 100) -> Answer:
        """Return audit records from place `start` on, and the root over all.

        Raises
        ------
        Problem
            malformed-request.
        """
        return self._read(lambda reader: views.records(reader, start, limit))

    def health(self) -> Answer:
        """Return what works: store, model, policy."""
        _, model = self._judge.model(self._clock())
        problem, withdrawn = self._model.problem, self.monitors.withdrawn()
        return self._read(
            lambda reader: views.health(reader, self.policy, model, problem, withdrawn)
        )

    def ready(self) -> Answer:
        """Return the same once it is known that what is decided can be kept.

        Raises
        ------
        StoreError
            If the store cannot be written.
        """
        self.ways.writing.check(self._do)
        return self.health()
