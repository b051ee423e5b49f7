"""What stands in the queues, as one person sees it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from serving.console.views import by_urgency
from serving.engine import Engine

Answer = Mapping[str, Any]
PAGE = 50
_MOST = 200


class View(StrEnum):
    """Which handoffs a page lists."""

    WAITING = "waiting"
    MINE = "mine"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One page of one view.

    Attributes
    ----------
    rows : sequence of Mapping
        Handoffs, as the engine lists them.
    offset : int
        How many come before.
    is_last : bool
        Whether none comes after.
    """

    rows: Sequence[Answer]
    offset: int
    is_last: bool

    @property
    def stamp(self) -> str:
        """Changes when a row comes, goes, or changes hands."""
        return stamp_of(self.rows)


def stamp_of(handoffs: Sequence[Answer]) -> str:
    """Return a short text that changes when one of `handoffs` changes hands."""
    keys = ("handoff_id", "status", "queue", "claimed_by")
    told = orjson.dumps([[one[key] for key in keys] for one in handoffs])
    return hashlib.sha256(told).hexdigest()[:16]


class Queues:
    """The queues of one engine, read as pages.

    Parameters
    ----------
    engine : Engine
        Answers.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def people(self) -> Mapping[str, Sequence[str]]:
        """Return the queues of each person the policy names, by person."""
        people: dict[str, list[str]] = {}
        for queue in self._engine.policy.queues:
            for member in queue.members:
                people.setdefault(member, []).append(queue.name)
        return dict(sorted(people.items()))

    def listing(self, view: View, me: str, offset: int) -> Listing:
        """Return the page of `view` that begins after `offset` handoffs."""
        if view is View.ALL:
            found = self._engine.handoffs(limit=PAGE + 1, offset=offset)["handoffs"]
        else:
            rows = self._waiting(me) if view is View.WAITING else self._mine(me)
            found = by_urgency(list(rows))[offset : offset + PAGE + 1]
        return Listing(rows=found[:PAGE], offset=offset, is_last=len(found) <= PAGE)

    def counts(self, me: str) -> Mapping[View, int | None]:
        """Return how many handoffs each view has; None where nobody counts."""
        mine = self.people().get(me, ())
        waiting = sum(
            queue["waiting"]
            for queue in self._engine.queues()["queues"]
            if queue["queue"] in mine
        )
        held = sum(1 for _ in self._mine(me))
        return {View.WAITING: waiting, View.MINE: held, View.ALL: None}

    def _waiting(self, me: str) -> Iterator[Answer]:
        """Yield what waits in the queues of `me`; of each, the first by urgency."""
        for queue in self.people().get(me, ()):
            page = self._engine.handoffs(queue=queue, status="QUEUED", limit=_MOST)
            yield from page["handoffs"]

    def _mine(self, me: str) -> Iterator[Answer]:
        offset = 0
        while True:
            page = self._engine.handoffs(status="CLAIMED", limit=_MOST, offset=offset)
            found = page["handoffs"]
            yield from (one for one in found if one["claimed_by"] == me)
            if len(found) < _MOST:
                return
            offset += _MOST
