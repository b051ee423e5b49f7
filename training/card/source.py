"""The data of a card, and the cells that its sections make of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from training.card.blocks import Cell
from training.card.shown import Node, Phrase, Shown
from training.card.values import margin, value

SCOPES = {"every_step": "every step", "end_of_task": "end of task"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a card is made of: the report, the facts, and what follows from them.

    Attributes
    ----------
    data : mapping
        The three as plain JSON data; pointers of `Shown` lead into it.
    """

    data: Mapping[str, Any]

    @property
    def report(self) -> Node:
        """What the evaluation found."""
        return Node("", self.data)["report"]

    @property
    def facts(self) -> Node:
        """What `training.card.facts.CardFacts` says."""
        return Node("", self.data)["facts"]

    @property
    def derived(self) -> Node:
        """What `training.card.derived.derive` says."""
        return Node("", self.data)["derived"]

    @property
    def has_threshold(self) -> bool:
        """Whether anything was certified."""
        return self.facts["certificate"]["threshold"].value is not None


def cell(
    found: Node, *, as_percent: bool = False, digits: int = 3, flagged: bool = False
) -> Cell:
    """Return an estimate as a cell: the value, and below it the interval."""
    return Cell(
        text=value(found, as_percent=as_percent, digits=digits),
        margin=margin(found, as_percent=as_percent, digits=digits),
        flagged=flagged,
    )


def numbers_in(*phrases: Phrase) -> tuple[Shown, ...]:
    """Return what was read off the data in some phrases."""
    return tuple(part for p in phrases for part in p if isinstance(part, Shown))


def leaves(node: Node, keys: Iterable[str] = ()) -> Iterable[Shown]:
    """Yield every number below a node, as it would be looked up.

    Parameters
    ----------
    keys : iterable of str
        Only below members of these names; none: below all.
    """
    wanted = set(keys)
    match node.value:
        case dict() if wanted & node.value.keys():
            for key in wanted & node.value.keys():
                yield from leaves(node[key])
        case dict():
            for key in node.value:
                yield from leaves(node[key], keys)
        case list():
            for child in node:
                yield from leaves(child, keys)
        case int() | float() if not isinstance(node.value, bool) and not wanted:
            yield Shown(str(node.value), node.at, node.value)
        case _:
            return
