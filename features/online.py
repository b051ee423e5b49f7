"""One task's signals, kept up to date event by event."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from features.aggregates import Aggregate, Gap, Leaf, Ratio, SinceLast, leaves
from features.events import AgentEvent
from features.signals import SIGNALS
from features.sources import Reader

_Read = Callable[[Sequence[Any], int], float]
_Advance = Callable[[Any, float, int], Any]

# Signals share leaves: each is folded once.
_LEAVES: tuple[Leaf, ...] = tuple(
    dict.fromkeys(leaf for signal in SIGNALS for leaf in leaves(signal.aggregate))
)
_INDEX: Mapping[Leaf, int] = {leaf: index for index, leaf in enumerate(_LEAVES)}


def _compiled(aggregate: Aggregate) -> _Read:
    """Return how `aggregate` is read off the states of all leaves and the position."""
    match aggregate:
        case Gap(a, b) | Ratio(a, b):
            left, right, combine = _compiled(a), _compiled(b), aggregate.combine
            return lambda states, n: combine(left(states, n), right(states, n))
        case _:
            index, read = _INDEX[aggregate], aggregate.read
            return lambda states, n: read(states[index], n)


def _by_source() -> tuple[dict[str, list[tuple[int, _Advance]]], dict[str, list[int]]]:
    """Return, by source, the leaves to advance and the signals that may change."""
    advanced, changed = defaultdict(list), defaultdict(list)
    for index, leaf in enumerate(_LEAVES):
        advanced[leaf.source].append((index, leaf.advance))
    for number, signal in enumerate(SIGNALS):
        for source in {leaf.source for leaf in leaves(signal.aggregate)}:
            changed[source].append(number)
    return dict(advanced), dict(changed)


_ADVANCED, _CHANGED = _by_source()
_READ: tuple[_Read, ...] = tuple(_compiled(signal.aggregate) for signal in SIGNALS)
# These change though nothing happened to them: time passes.
_AGING: tuple[int, ...] = tuple(
    number
    for number, signal in enumerate(SIGNALS)
    if any(isinstance(leaf, SinceLast) for leaf in leaves(signal.aggregate))
)


class _Reads(Protocol):
    """Gives the sources of an event, as `Reader` does."""

    def read(self, event: AgentEvent) -> Mapping[str, float]: ...


class TaskState:
    """What the signals need to remember of a task's past.

    Feed it every event of one task in log order. Outcome events change nothing.

    Parameters
    ----------
    reader : optional
        What reads the sources off an event; a `Reader` of its own by default.
    """

    __slots__ = ("_fresh", "_position", "_reader", "_signals", "_states")

    def __init__(self, reader: _Reads | None = None) -> None:
        self._reader: _Reads = Reader() if reader is None else reader
        self._position = 0
        self._states: list[Any] = [leaf.start() for leaf in _LEAVES]
        # Only what an event touched is read again.
        self._fresh: set[int] = set(range(len(SIGNALS)))
        self._signals = np.full(len(SIGNALS), np.nan)

    def advance(self, event: AgentEvent) -> None:
        """Take `event` in. Costs the same however long the task already is."""
        states, position, fresh = self._states, self._position, self._fresh
        for source, value in self._reader.read(event).items():
            for index, advance in _ADVANCED.get(source, ()):
                states[index] = advance(states[index], value, position)
            fresh.update(_CHANGED.get(source, ()))
        self._position += not event.is_outcome

    def read(self) -> NDArray[np.float64]:
        """Return the signals now, shape (n_signals,), catalogue order, NaN unknown."""
        states, position, signals = self._states, self._position, self._signals
        self._fresh.update(_AGING)
        for number in self._fresh:
            signals[number] = _READ[number](states, position)
        self._fresh.clear()
        return signals.copy()
