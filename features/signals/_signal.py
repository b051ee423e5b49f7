"""What a signal is, and how a group of them is declared."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from features.aggregates import Aggregate, leaves
from features.sources import AGENT_WORDS, SELF_REPORTED

Trust = Literal["observed", "agent_words", "self_reported"]


class Group(StrEnum):
    """What a signal speaks of."""

    CONFIDENCE = "confidence"
    VERIFIER = "verifier"
    LOOPS = "retries and loops"
    CONTRADICTION = "words against acts"
    ASKS = "unresolved asks"
    SILENT = "silent failure"
    AMBIGUITY = "ambiguity"
    SENTIMENT = "sentiment"
    SENSITIVITY = "sensitivity"
    ACCOUNT = "account"
    EFFORT = "effort"
    AGENT = "agent"
    HISTORY = "outcome history"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A named number read off a task's past.

    Attributes
    ----------
    name : str
        Column name everywhere.
    unit : str
        ``"s"``, ``"ms"``, ``"count"``, ``"ratio"``, ``"words"``, …
    doc : str
        One line for people: console, model card, reasons.
    group : Group
        What it speaks of.
    aggregate : Aggregate
        How it is computed, online and in batch.
    direction : -1, 0 or 1
        1: more of it never lowers the risk; -1: never raises it; 0: no constraint.
        Becomes LightGBM's monotone constraint.
    """

    name: str
    unit: str
    doc: str
    group: Group
    aggregate: Aggregate
    direction: Literal[-1, 0, 1] = 0

    @property
    def trust(self) -> Trust:
        """How far the agent can make it say what it likes.

        ``"self_reported"``: it is the agent's word for it. ``"agent_words"``: it
        depends on the words the agent chose. ``"observed"``: on neither.
        """
        sources = {leaf.source for leaf in leaves(self.aggregate)}
        if sources & SELF_REPORTED:
            return "self_reported"
        return "agent_words" if sources & AGENT_WORDS else "observed"

    def __str__(self) -> str:
        """Return the signal's line in a schema: what a change of it would change."""
        return (
            f"{self.name} [{self.unit}] {self.aggregate!r} "
            f"direction={self.direction} trust={self.trust}"
        )


def catalogue(
    group: Group,
    *rows: tuple[str, str, str, Aggregate, Literal[-1, 0, 1]],
) -> tuple[Signal, ...]:
    """Return the signals of `group`; a row is name, unit, doc, aggregate, direction."""
    return tuple(
        Signal(
            name=name,
            unit=unit,
            doc=doc,
            group=group,
            aggregate=aggregate,
            direction=direction,
        )
        for name, unit, doc, aggregate, direction in rows
    )
