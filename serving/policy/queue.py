"""Queue: a place where handoffs wait, who answers for it, and what they can do."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from serving.policy.hours import Hours
from serving.policy.part import Name, Part, Positive, Span, Words


class OnOverload(StrEnum):
    """What becomes of a handoff for a queue that has more work than people."""

    KEEP = "keep"
    SHED = "shed"


class Queue(Part):
    """A place where handoffs wait, and the people who answer for it.

    Attributes
    ----------
    skills : Mapping of str to tuple of str
        What members can do, by member. Nothing said of anybody: all can do everything.
        Otherwise whoever is left out can do only what needs no skill.
    staff : int, optional
        How many of the members work at the same time; all of them where not given.
    acknowledge_within, resolve_within : timedelta
        Deadlines from the moment the handoff was queued, or the queue next opened.
    chain : tuple of str
        Queues that take over in turn when a deadline passes; the last is terminal.
    unattended : bool
        Whether there may be hours in which nobody is there on the whole chain. The
        agent is stopped safely then, and its user is told the wait.
    capacity : int, optional
        Most handoffs that should wait here.
    on_overload : OnOverload
        Where more would wait, or longer than to the first deadline. shed: the first
        open queue of the chain with room takes it, where there is one. keep: it
        waits here, and the wait that users are told says so.
    minutes_per_handoff : float
        Minutes of one person's time, on average.
    lease : timedelta
        How long a claim holds without a sign of life of whoever has it.
    notify : tuple of str
        Channels that are told of what comes here, beside the console: names that the
        deployment gives an address.
    """

    name: Name
    owner: str = ""
    members: tuple[Words, ...] = ()
    skills: Mapping[Words, tuple[Words, ...]] = {}
    staff: Annotated[int | None, Field(ge=1)] = None
    hours: Hours = Hours()
    acknowledge_within: Span = timedelta(minutes=15)
    resolve_within: Span = timedelta(hours=8)
    chain: tuple[Name, ...] = ()
    unattended: bool = False
    capacity: Annotated[int | None, Field(ge=1)] = None
    on_overload: OnOverload = OnOverload.KEEP
    minutes_per_handoff: Positive = 8.0
    lease: Span = timedelta(minutes=30)
    notify: tuple[Name, ...] = ()

    @property
    def is_owned(self) -> bool:
        """Whether somebody answers for what waits here."""
        return bool(self.owner.strip()) and len(self.members) > 0

    @property
    def rungs(self) -> tuple[str, ...]:
        """The queue itself and those that take over, in turn."""
        return (self.name, *self.chain)

    @property
    def at_work(self) -> int:
        """How many people work here at the same time while it is open."""
        return len(self.members) if self.staff is None else self.staff

    def able(self, skills: Collection[str]) -> tuple[str, ...]:
        """Return the members who can do all of `skills`."""
        if not self.skills:
            return self.members
        needed = set(skills)
        return tuple(m for m in self.members if needed <= set(self.skills.get(m, ())))
