"""Decided: every decision of a task, as it was made, to be made again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import orjson

from serving.policy.decision import Action, Decision
from serving.store.transaction import Reader

_EVERYTHING = """
SELECT task_id, position, body FROM decision ORDER BY task_id, audit_seq, position
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The decisions on one task, in the order in which they were made.

    Attributes
    ----------
    positions : tuple of int
        How many events each had seen.
    """

    task_id: str
    decisions: tuple[Decision, ...]
    positions: tuple[int, ...]

    @property
    def first(self) -> int | None:
        """The step at which it was first decided that a human is needed, from 1."""
        return first_step(self.decisions)

    @property
    def handed(self) -> int | None:
        """The step at which that took effect; None: the agent went on."""
        return first_step(self.decisions, effective=True)


def first_step(
    decisions: tuple[Decision, ...], *, effective: bool = False
) -> int | None:
    """Return the first step, from 1, that is no CONTINUE; None if all are."""
    for step, decision in enumerate(decisions, start=1):
        counts = decision.effective or not effective
        if counts and decision.action is not Action.CONTINUE:
            return step
    return None


def decided(reader: Reader) -> Iterator[Decided]:
    """Yield the decisions of each task of a store, by task id."""
    for task_id, rows in groupby(reader.all(_EVERYTHING), key=itemgetter("task_id")):
        held = list(rows)
        yield Decided(
            task_id=task_id,
            decisions=tuple(Decision.from_json(orjson.loads(r["body"])) for r in held),
            positions=tuple(int(r["position"]) for r in held),
        )
