"""One task's signals, kept up to date event by event."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.aggregates import Leaf, combined, leaves
from features.events import AgentEvent
from features.signals import SIGNALS
from features.sources import Reader

# Signals share leaves: each is folded once.
_LEAVES: tuple[Leaf, ...] = tuple(
    dict.fromkeys(leaf for signal in SIGNALS for leaf in leaves(signal.aggregate))
)
_BY_SOURCE: dict[str, list[int]] = defaultdict(list)
for _index, _leaf in enumerate(_LEAVES):
    _BY_SOURCE[_leaf.source].append(_index)


class TaskState:
    """What the signals need to remember of a task's past.

    Feed it every event of one task in log order. Outcome events change nothing.
    """

    __slots__ = ("_position", "_reader", "_states")

    def __init__(self) -> None:
        self._reader = Reader()
        self._position = 0
        self._states: list[Any] = [leaf.start() for leaf in _LEAVES]

    def advance(self, event: AgentEvent) -> None:
        """Take `event` in. Costs the same however long the task already is."""
        for source, value in self._reader.read(event).items():
            for index in _BY_SOURCE.get(source, ()):
                self._states[index] = _LEAVES[index].advance(
                    self._states[index], value, self._position
                )
        self._position += not event.is_outcome

    def read(self) -> NDArray[np.float64]:
        """Return the signals now, shape (n_signals,), catalogue order, NaN unknown."""
        values = {
            leaf: leaf.read(state, self._position)
            for leaf, state in zip(_LEAVES, self._states, strict=True)
        }
        return np.array([combined(s.aggregate, values, columns=False) for s in SIGNALS])
