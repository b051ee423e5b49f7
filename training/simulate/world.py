"""A seeded world of support tasks, with the exact risk of each at every event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from features.events import AgentEvent
from training.simulate.blocks import BLOCK, Block
from training.simulate.chain import Chain, Floats
from training.simulate.outcomes import FollowUp, outcomes
from training.simulate.read import read
from training.simulate.render import Sheet, render
from training.simulate.tables import WorldError, standard
from training.simulate.truth import follow


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedTask:
    """One task: its log, what became of it, and what could be known when.

    Attributes
    ----------
    task_id : str
    group : str
        The customer; the same ones come back with other tasks.
    events : tuple of AgentEvent
        The log, without outcomes, as if the agent had gone on to the end.
    truth : ndarray of shape (n_events,), float in [0, 1]
        P(needs a human | ``events[: k + 1]``), exact. Tasks are independent given their
        facts, so the logs of other tasks could not improve it.
    needed : bool
        Whether it did: one draw with probability ``truth[-1]``, given the log.
    outcomes : tuple of AgentEvent
        What is heard of it later, in time order: `completed`, and for some tasks a
        reviewer's `verdict`, a `complaint`.
    """

    task_id: str
    group: str
    events: tuple[AgentEvent, ...]
    truth: Floats
    needed: bool
    outcomes: tuple[AgentEvent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A world of support tasks, the same for the same parameters.

    Task i depends on the parameters and on i alone, so a longer run starts with the
    shorter one.

    Parameters
    ----------
    seed : int
        At least 0.
    base_rate : float
        P(a task needs a human) for the mix of domains, versions and tiers.
    start : datetime
        Timezone-aware; when the first day begins.
    tasks_per_day : int
        The same every day, more of them at noon than at midnight.
    customers : int
        How many there are. A few bring many tasks.
    complaint_share : float
        P(a complaint comes | needed). It comes late, and only tells of some.
    complaint_delay : timedelta
        Median of its delay after the task's end.

    Raises
    ------
    WorldError
        If a parameter is out of its range.

    Examples
    --------
    >>> task = next(World(seed=1).tasks(1))
    >>> str(task.events[0].kind), len(task.events) == len(task.truth)
    ('task_started', True)
    """

    seed: int = 0
    base_rate: float = 0.2
    start: datetime = datetime(2026, 1, 5, tzinfo=UTC)
    tasks_per_day: int = 2000
    customers: int = 4000
    complaint_share: float = 0.25
    complaint_delay: timedelta = timedelta(days=3)

    def __post_init__(self) -> None:
        for name, low in (("seed", 0), ("tasks_per_day", 1), ("customers", 1)):
            if getattr(self, name) < low:
                msg = f"{name} must be at least {low}, found {getattr(self, name)}"
                raise WorldError(msg)
        if self.start.utcoffset() is None:
            msg = f"start must be timezone-aware, found {self.start}; attach UTC"
            raise WorldError(msg)
        _check_share("complaint_share", self.complaint_share)
        standard(self.base_rate)

    @property
    def chain(self) -> Chain:
        """The hidden Markov chain that the tasks are drawn from."""
        return standard(self.base_rate)

    def tasks(self, n: int, *, labelled: float = 1.0) -> Iterator[SimulatedTask]:
        """Return the first `n` tasks one by one, in order of arrival.

        Parameters
        ----------
        n : int
        labelled : float in [0, 1]
            Share of tasks, drawn regardless of everything else, that a reviewer gives a
            verdict on. The others are only heard of if somebody complains.

        Raises
        ------
        WorldError
            If `labelled` is out of its range.
        """
        _check_share("labelled", labelled)
        after = FollowUp(
            labelled=labelled,
            complaint_share=self.complaint_share,
            complaint_delay=self.complaint_delay,
        )
        return self._written(n, after)

    def log(self, n: int, *, labelled: float = 1.0) -> Iterator[AgentEvent]:
        """Yield the events of the first `n` tasks, task by task, outcomes included."""
        for task in self.tasks(n, labelled=labelled):
            yield from task.events
            yield from task.outcomes

    def truth(self, events: Sequence[AgentEvent]) -> Floats:
        """Return P(needs a human | ``events[: k + 1]``) for a log of this world.

        Read off the events and nothing else: the best that a model could answer.

        Parameters
        ----------
        events : sequence of AgentEvent
            A task's log or a prefix of it, without outcomes.

        Returns
        -------
        ndarray of shape (n_events,), float in [0, 1]

        Raises
        ------
        ForeignEventError
            If this world cannot have written it.
        """
        seen, places = read(events, self.chain.n_turns)
        risks: Floats = follow(self.chain, seen)[0, places]
        return risks

    def _written(self, n: int, after: FollowUp) -> Iterator[SimulatedTask]:
        for first in range(0, n, BLOCK):
            block = Block.draw(
                self.chain,
                first // BLOCK,
                seed=self.seed,
                customers=self.customers,
                per_day=self.tasks_per_day,
            )
            for i in range(min(BLOCK, n - first)):
                yield self._task(f"sim-{self.seed}-{first + i:07d}", block, i, after)

    def _task(
        self, task_id: str, block: Block, i: int, after: FollowUp
    ) -> SimulatedTask:
        sheet = self._sheet(task_id, block, i)
        needed = block.needed[i]
        return SimulatedTask(
            task_id=task_id,
            group=sheet.facts["group"],
            events=render(sheet),
            truth=block.truth[i, block.present[i]],
            needed=needed,
            outcomes=outcomes(
                after, block.fates[i], task_id=task_id, needed=needed, end=sheet.at[-1]
            ),
        )

    def _sheet(self, task_id: str, block: Block, i: int) -> Sheet:
        turns = int(block.seen.last[i]) + 1
        begin = self.start + timedelta(days=block.arrival[i])
        elapsed = block.elapsed[i, block.present[i]].tolist()
        return Sheet(
            task_id=task_id,
            facts=block.facts_of(i),
            request=int(block.seen.request[i]),
            turns=block.seen.observed[i, :turns].tolist(),
            dice=block.dice[i, :turns].tolist(),
            at=[begin + timedelta(microseconds=m) for m in elapsed],
            phrase=block.phrase[i],
        )


def _check_share(name: str, share: float) -> None:
    if not 0 <= share <= 1:
        msg = f"{name} must be in [0, 1], found {share}"
        raise WorldError(msg)
