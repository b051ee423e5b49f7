"""Agents: whether those that said they would go on beating are still there."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from serving.engine import fencing
from serving.engine.checks import check
from serving.engine.ways import Answer, Ways
from serving.policy.audit import AuditType, rfc3339
from serving.policy.rules import AGENT_SILENT
from serving.policy.silence import MISSED_BEATS, OnSilence
from serving.policy.trigger import Firing
from serving.safely import Failure, attempt
from serving.store import agent_leases, ledger, tasks
from serving.store.agent_leases import AgentLease
from serving.store.tasks import Task
from serving.store.transaction import Transaction

SHORTEST_BEAT = 1.0
LONGEST_BEAT = 3_600.0
_AT_ONCE = 200


class Agents:
    """The beats of agents, and what follows when they stop.

    Parameters
    ----------
    ways : Ways
        The engine's.
    """

    def __init__(self, ways: Ways) -> None:
        self._ways = ways
        self._since = ways.clock()

    def beat(
        self, task_id: str, *, epoch: int | None, every: float, is_last: bool = False
    ) -> Answer:
        """Note that the agent of a task is there, and will say so again.

        Parameters
        ----------
        every : float
            Time to its next beat, in s.
        is_last : bool
            It is done, and must no longer be waited for.

        Raises
        ------
        Problem
            unknown-task, stale-epoch, malformed-request.
        """
        check(epoch is not None, "epoch", "the epoch the agent was told last", epoch)
        expected = f"in [{SHORTEST_BEAT:g}, {LONGEST_BEAT:g}] s"
        check(SHORTEST_BEAT <= every <= LONGEST_BEAT, "every_s", expected, every)
        at, span = self._ways.clock(), timedelta(seconds=every)
        policy = self._ways.policy

        def use_case(tx: Transaction) -> Answer:
            task = fencing.owned(tx, task_id, epoch or 0, policy, at)
            lease = AgentLease.beaten(task_id, task.epoch, span, at)
            if is_last:
                agent_leases.settle(tx, task_id, at)
            else:
                lease.write(tx)
            return {
                "task_id": task_id,
                "owner": task.owner,
                "epoch": task.epoch,
                "silent_at": None if is_last else rfc3339(lease.due_at),
            }

        return self._ways.do(use_case)

    def run(self) -> int:
        """Do what the policy says of each agent that fell silent; return how many.

        No agent is blamed for beats that this process was not there to hear: it starts
        to count with itself. One task that fails keeps no other from its turn.

        Raises
        ------
        StoreError
            The first that a task met with, once all have had their turn.
        """
        at = self._ways.clock()
        due = self._ways.read(
            lambda reader: list(agent_leases.due(reader, at, limit=_AT_ONCE))
        )
        done = [attempt(partial(self._over, lease, at)) for lease in due]
        for outcome in done:
            if isinstance(outcome, Failure):
                raise outcome.error
        return sum(map(bool, done))

    def _over(self, lease: AgentLease, at: datetime) -> bool:
        """Whether the agent is silent; if so, what has to be done was done."""
        if at < self._since + MISSED_BEATS * lease.every:
            return False
        return self._ways.do(lambda tx: self._expire(tx, lease.task_id, at))

    def _expire(self, tx: Transaction, task_id: str, at: datetime) -> bool:
        lease = agent_leases.find(tx, task_id)
        if lease is None or lease.due_at > at:
            return False
        agent_leases.settle(tx, task_id, at)
        task = tasks.get(tx, task_id)
        if not task.may_act(lease.epoch):
            return False
        self._silent(tx, task, lease, at)
        return True

    def _silent(
        self, tx: Transaction, task: Task, lease: AgentLease, at: datetime
    ) -> None:
        rule = self._ways.policy.agent_silence
        ledger.append(
            tx,
            AuditType.AGENT_LEASE_EXPIRED,
            at,
            task=task.task_id,
            epoch=task.epoch,
            lease={
                "due_at": rfc3339(lease.due_at),
                "every_ms": round(lease.every.total_seconds() * 1_000),
                "on_silence": str(rule.on_silence),
            },
        )
        if rule.on_silence is OnSilence.IGNORE:
            return
        firing = Firing(
            trigger=AGENT_SILENT,
            says=rule.says(at - lease.heard_at),
            priority=rule.priority,
            asks=rule.asks,
        )
        self._ways.steps.take(
            tx, task, task.task_id, (), at=at, accepted=(), wishes=(firing,)
        )
