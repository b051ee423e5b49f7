"""Onward: where a handoff goes from a queue that did not take it up."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Protocol

from serving.policy.router import Asked, Destination, Load, first, place, wake_at
from serving.policy.rules import Policy, Priority


class Standing(Protocol):
    """What the router needs to know of a handoff that waits."""

    @property
    def queue(self) -> str:
        """Where it waits."""
        ...

    @property
    def rungs(self) -> tuple[str, ...]:
        """All queues that answer for it, the first one first."""
        ...

    @property
    def priority(self) -> Priority:
        """How soon a human must look."""
        ...

    @property
    def skills(self) -> tuple[str, ...]:
        """What that human must be able to do."""
        ...


def rungs_of(standing: Standing, policy: Policy) -> tuple[str, ...]:
    """Return the rungs of `standing` that `policy` still has.

    One that has dropped them all sends it where it sends what no other route takes.
    """
    known = tuple(name for name in standing.rungs if policy.find(name) is not None)
    return known or policy.rungs(policy.routes[-1].queue)


def onward(standing: Standing, policy: Policy, load: Load, at: datetime) -> Destination:
    """Return where a handoff goes from a queue that did not take it up; maybe the same.

    One rung up: to the next with people. With none ahead it stays where somebody is;
    where nobody is, it goes to any of its rungs that is open. With nobody anywhere it
    waits on the last rung, in sight, until somebody comes.
    """
    rungs, here = rungs_of(standing, policy), standing.queue
    asked = _asked(standing, rungs, load, at)
    ahead = rungs[rungs.index(here) + 1 :] if here in rungs else rungs
    stays = [here] if here in rungs else []
    name = (
        first(ahead, asked, policy)
        or first(stays, asked, policy)
        or first(rungs, asked, policy)
        or rungs[-1]
    )
    return place(name, asked, policy)


def again(
    standing: Standing, policy: Policy, load: Load, at: datetime
) -> Destination | None:
    """Return `standing` in its queue as if it came there now; None: that is gone."""
    rungs = rungs_of(standing, policy)
    if standing.queue not in rungs:
        return None
    return place(standing.queue, _asked(standing, rungs, load, at), policy)


def put_off(
    there: Destination, acknowledge_by: datetime, policy: Policy, at: datetime
) -> Destination:
    """Return `there` with another first deadline."""
    wake = wake_at(there.queue, there.rungs, policy, acknowledge_by, at)
    return replace(there, acknowledge_by=acknowledge_by, wake_at=wake)


def _asked(
    standing: Standing, rungs: tuple[str, ...], load: Load, at: datetime
) -> Asked:
    return Asked(
        priority=standing.priority,
        skills=standing.skills,
        rungs=rungs,
        load=load,
        at=at,
    )
