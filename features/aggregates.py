"""The algebra of aggregates: each one defined twice, online and columnar.

A *leaf* summarises the values that one source has given so far in a task. It has an
online form (`start`, `advance`, `read`: one event at a time, O(1)) and a columnar form
(`window`: all prefixes of many tasks at once). A *combination* is arithmetic on leaves
and needs no state of its own. The two forms add in the same order, so they agree to the
last bit; `tests/parity` holds them to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, overload

import numpy as np

from features.past import NAN, Column, Past


class Leaf(Protocol):
    """A summary of one source's values over the past of a task.

    Methods
    -------
    start()
        State before any event.
    advance(state, value, position)
        State after `value` (never NaN) came at `position` (0, 1, 2 … in the task).
        May reuse and change `state`.
    read(state, position)
        The summary once `position` events have passed; NaN while undefined.
    window(past)
        The same after every event of many tasks, shape (n_cells,), in the order of
        `past`. May return an array that `past` holds: not to be changed.
    """

    @property
    def source(self) -> str: ...
    def start(self) -> Any: ...
    def advance(self, state: Any, value: float, position: int) -> Any: ...
    def read(self, state: Any, position: int) -> float: ...
    def window(self, past: Past) -> Column: ...


@dataclass(frozen=True, slots=True)
class Last:
    """The latest value."""

    source: str

    def start(self) -> float:
        return NAN

    def advance(self, state: float, value: float, position: int) -> float:
        del state, position
        return value

    def read(self, state: float, position: int) -> float:
        del position
        return state

    def window(self, past: Past) -> Column:
        return past.given.latest(past.values)


@dataclass(frozen=True, slots=True)
class First:
    """The earliest value."""

    source: str

    def start(self) -> float:
        return NAN

    def advance(self, state: float, value: float, position: int) -> float:
        del position
        return value if state != state else state  # noqa: PLR0124 - NaN: no value yet

    def read(self, state: float, position: int) -> float:
        del position
        return state

    def window(self, past: Past) -> Column:
        return past.given.first(past.values)


@dataclass(frozen=True, slots=True)
class Count:
    """How many values there were; 0 before the first."""

    source: str

    def start(self) -> float:
        return 0.0

    def advance(self, state: float, value: float, position: int) -> float:
        del value, position
        return state + 1.0

    def read(self, state: float, position: int) -> float:
        del position
        return state

    def window(self, past: Past) -> Column:
        return past.given.seen


@dataclass(frozen=True, slots=True)
class Sum:
    """The total of all values; 0 before the first."""

    source: str

    def start(self) -> float:
        return 0.0

    def advance(self, state: float, value: float, position: int) -> float:
        del position
        return state + value

    def read(self, state: float, position: int) -> float:
        del position
        return state

    def window(self, past: Past) -> Column:
        return past.total


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of all values."""

    source: str

    def start(self) -> tuple[float, float]:
        return (0.0, 0.0)

    def advance(
        self, state: tuple[float, float], value: float, position: int
    ) -> tuple[float, float]:
        del position
        return (state[0] + value, state[1] + 1.0)

    def read(self, state: tuple[float, float], position: int) -> float:
        del position
        return state[0] / state[1] if state[1] else NAN

    def window(self, past: Past) -> Column:
        seen = past.given.seen
        return np.divide(
            past.total, seen, out=np.full_like(seen, NAN), where=past.given.some
        )


@dataclass(frozen=True, slots=True)
class Min:
    """The smallest value."""

    source: str

    def start(self) -> float:
        return NAN

    def advance(self, state: float, value: float, position: int) -> float:
        del position
        # Not `min`: it keeps the NaN that stands for "no value yet".
        return state if state <= value else value  # noqa: FURB136

    def read(self, state: float, position: int) -> float:
        del position
        return state

    def window(self, past: Past) -> Column:
        return past.running(np.fmin)


@dataclass(frozen=True, slots=True)
class Max:
    """The largest value."""

    source: str

    def start(self) -> float:
        return NAN

    def advance(self, state: float, value: float, position: int) -> float:
        del position
        # Not `max`: it keeps the NaN that stands for "no value yet".
        return state if state >= value else value  # noqa: FURB136

    def read(self, state: float, position: int) -> float:
        del position
        return state

    def window(self, past: Past) -> Column:
        return past.running(np.fmax)


@dataclass(frozen=True, slots=True)
class TailMean:
    """The mean of the `k` largest values: tail risk rather than the average.

    References
    ----------
    TRACER (arXiv 2602.11409), top-k focus of the task risk.
    """

    source: str
    k: int = 3

    def start(self) -> tuple[float, ...]:
        return ()

    def advance(
        self, state: tuple[float, ...], value: float, position: int
    ) -> tuple[float, ...]:
        del position
        return tuple(sorted((*state, value), reverse=True)[: self.k])

    def read(self, state: tuple[float, ...], position: int) -> float:
        del position
        total = 0.0
        for value in state:  # not `sum`: newer Pythons compensate what it loses
            total += value
        return total / len(state) if state else NAN

    def window(self, past: Past) -> Column:
        fresh = np.where(past.given.mask, past.values, -np.inf)
        total = np.zeros(len(fresh))
        for _ in range(self.k):  # largest first: the order the online form adds in
            top = past.running(np.maximum, fresh)
            total += np.where(top > -np.inf, top, 0.0)
            # What a larger value pushes down is news to the next rank.
            fresh = np.minimum(past.layout.shifted(top, -np.inf), fresh)
        held = np.minimum(past.given.seen, self.k)
        mean = np.full_like(total, NAN)
        return np.divide(total, held, out=mean, where=past.given.some)


@dataclass(frozen=True, slots=True)
class Recent:
    """The mean of the latest `k` values: how it goes now, whatever went before."""

    source: str
    k: int = 5

    def start(self) -> tuple[float, ...]:
        return ()

    def advance(
        self, state: tuple[float, ...], value: float, position: int
    ) -> tuple[float, ...]:
        del position
        return (value, *state[: self.k - 1])

    def read(self, state: tuple[float, ...], position: int) -> float:
        del position
        total = 0.0
        for value in state:  # newest first: the order the columnar form adds in
            total += value
        return total / len(state) if state else NAN

    def window(self, past: Past) -> Column:
        total = np.zeros(len(past.values))
        for values in past.latest(self.k):
            total += values
        held = np.minimum(past.given.seen, self.k)
        mean = np.full_like(total, NAN)
        return np.divide(total, held, out=mean, where=past.given.some)


@overload
def _slope(n: float, y: float, ny: float) -> float: ...
@overload
def _slope(n: Column, y: Column, ny: Column) -> Column: ...
def _slope(n: Any, y: Any, ny: Any) -> Any:
    """Least-squares slope of n values at 0, 1, … given sums of y and of index * y."""
    index = n * (n - 1.0) / 2.0
    index_squared = index * (2.0 * n - 1.0) / 3.0
    return (n * ny - index * y) / (n * index_squared - index * index)


@dataclass(frozen=True, slots=True)
class Slope:
    """Least-squares slope per value, in the order they came; NaN below two values."""

    source: str

    def start(self) -> tuple[float, float, float]:
        return (0.0, 0.0, 0.0)

    def advance(
        self, state: tuple[float, float, float], value: float, position: int
    ) -> tuple[float, float, float]:
        del position
        n, total, moment = state
        return (n + 1.0, total + value, moment + n * value)

    def read(self, state: tuple[float, float, float], position: int) -> float:
        del position
        return _slope(*state) if state[0] > 1.0 else NAN

    def window(self, past: Past) -> Column:
        seen = past.given.seen
        moment = past.running(np.add, (seen - 1.0) * past.filled)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(seen > 1, _slope(seen, past.total, moment), NAN)


@dataclass(frozen=True, slots=True)
class Streak:
    """How many values in a row, up to the latest, were above zero."""

    source: str

    def start(self) -> float:
        return NAN

    def advance(self, state: float, value: float, position: int) -> float:
        del position
        if value <= 0:
            return 0.0
        return state + 1.0 if state >= 0 else 1.0

    def read(self, state: float, position: int) -> float:
        del position
        return state

    def window(self, past: Past) -> Column:
        seen = past.given.seen
        broken = past.running(np.maximum, np.where(past.values <= 0, seen, 0.0))
        return np.where(past.given.some, seen - broken, NAN)


@dataclass(frozen=True, slots=True)
class SinceLast:
    """How many events ago a value above zero last came; NaN if it never did."""

    source: str

    def start(self) -> float:
        return NAN

    def advance(self, state: float, value: float, position: int) -> float:
        return float(position) if value > 0 else state

    def read(self, state: float, position: int) -> float:
        return position - 1.0 - state

    def window(self, past: Past) -> Column:
        position = past.layout.position.astype(np.float64)
        hit = past.running(np.maximum, np.where(past.values > 0, position, -1.0))
        return np.where(hit < 0, NAN, position - hit)


@dataclass(frozen=True, slots=True)
class Distinct:
    """How many different values there were. O(1) an event, O(distinct) memory."""

    source: str

    def start(self) -> set[float]:
        return set()

    def advance(self, state: set[float], value: float, position: int) -> set[float]:
        del position
        state.add(value)
        return state

    def read(self, state: set[float], position: int) -> float:
        del position
        return float(len(state))

    def window(self, past: Past) -> Column:
        return past.running(np.add, (past.times == 1.0).astype(np.float64))


@dataclass(frozen=True, slots=True)
class Repeats:
    """How often the most repeated value came again: 0 while all differ."""

    source: str

    def start(self) -> dict[float, int]:
        return {}

    def advance(
        self, state: dict[float, int], value: float, position: int
    ) -> dict[float, int]:
        del position
        times = state[value] = state.get(value, 0) + 1
        state[_MOST] = max(state.get(_MOST, 1), times)
        return state

    def read(self, state: dict[float, int], position: int) -> float:
        del position
        return state.get(_MOST, 1) - 1.0

    def window(self, past: Past) -> Column:
        return np.maximum(past.running(np.maximum, past.times) - 1.0, 0.0)


_MOST = -1.0  # keys are hashes, never negative, so this one is free


@dataclass(frozen=True, slots=True)
class Gap:
    """`a` minus `b`; NaN where either is undefined."""

    a: Aggregate
    b: Aggregate

    def combine(self, a: float, b: float) -> float:
        return a - b

    def combine_columns(self, a: Column, b: Column) -> Column:
        return a - b


@dataclass(frozen=True, slots=True)
class Ratio:
    """`a` over `b`; NaN where either is undefined or `b` is zero."""

    a: Aggregate
    b: Aggregate

    def combine(self, a: float, b: float) -> float:
        return a / b if b else NAN

    def combine_columns(self, a: Column, b: Column) -> Column:
        return np.divide(a, b, out=np.full_like(a, NAN), where=b != 0)


Aggregate = (
    Last
    | First
    | Count
    | Sum
    | Mean
    | Min
    | Max
    | TailMean
    | Recent
    | Slope
    | Streak
    | SinceLast
    | Distinct
    | Repeats
    | Gap
    | Ratio
)


def leaves(aggregate: Aggregate) -> Iterator[Leaf]:
    """Yield the leaves of `aggregate`, left to right."""
    match aggregate:
        case Gap(a, b) | Ratio(a, b):
            yield from leaves(a)
            yield from leaves(b)
        case _:
            yield aggregate


def combined(aggregate: Aggregate, columns: Mapping[Leaf, Column]) -> Column:
    """Return the column of `aggregate`, given that of each of its leaves."""
    match aggregate:
        case Gap(a, b) | Ratio(a, b):
            left, right = combined(a, columns), combined(b, columns)
            return aggregate.combine_columns(left, right)
        case _:
            return columns[aggregate]
