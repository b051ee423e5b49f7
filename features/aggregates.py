"""The algebra of aggregates: each one defined twice, online and columnar.

A *leaf* summarises the values that one source has given so far in a task. It has an
online form (`start`, `advance`, `read`: one event at a time, O(1)) and a columnar form
(`window`: all prefixes of many tasks at once). A *combination* is arithmetic on leaves
and needs no state of its own. The two forms add in the same order, so they agree to the
last bit; `tests/parity` holds them to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
NAN = float("nan")


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
    window(values)
        The same for every prefix: `values` is (n_tasks, n_events), NaN where an event
        gives no value; returns the same shape.
    """

    @property
    def source(self) -> str: ...
    def start(self) -> Any: ...
    def advance(self, state: Any, value: float, position: int) -> Any: ...
    def read(self, state: Any, position: int) -> float: ...
    def window(self, values: Matrix) -> Matrix: ...


def _seen(values: Matrix) -> Matrix:
    """Return how many values each prefix holds, shape of `values`."""
    return np.cumsum(~np.isnan(values), axis=1, dtype=np.float64)


def _forward_filled(values: Matrix) -> Matrix:
    """Return the latest value at each place, NaN before the first."""
    columns = np.arange(values.shape[1])
    latest = np.maximum.accumulate(np.where(np.isnan(values), -1, columns), axis=1)
    filled = np.take_along_axis(values, np.maximum(latest, 0), axis=1)
    return np.where(latest < 0, NAN, filled)


def _undefined_until_seen(result: Matrix, values: Matrix) -> Matrix:
    return np.where(_seen(values) > 0, result, NAN)


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

    def window(self, values: Matrix) -> Matrix:
        return _forward_filled(values)


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

    def window(self, values: Matrix) -> Matrix:
        first = np.where(_seen(values) == 1, values, NAN)
        return _forward_filled(first)


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

    def window(self, values: Matrix) -> Matrix:
        return _seen(values)


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

    def window(self, values: Matrix) -> Matrix:
        return np.cumsum(np.nan_to_num(values), axis=1)


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

    def window(self, values: Matrix) -> Matrix:
        seen = _seen(values)
        total = np.cumsum(np.nan_to_num(values), axis=1)
        return np.divide(total, seen, out=np.full_like(total, NAN), where=seen > 0)


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

    def window(self, values: Matrix) -> Matrix:
        return np.fmin.accumulate(values, axis=1)


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

    def window(self, values: Matrix) -> Matrix:
        return np.fmax.accumulate(values, axis=1)


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
        return sum(state) / len(state) if state else NAN

    def window(self, values: Matrix) -> Matrix:
        top = np.full((len(values), self.k), -np.inf)
        result = np.empty_like(values)
        for column in range(values.shape[1]):
            fresh = np.where(np.isnan(values[:, column]), -np.inf, values[:, column])
            ranked = np.sort(np.column_stack([top, fresh]), axis=1)[:, ::-1]
            top = ranked[:, : self.k]
            result[:, column] = self._mean(top)
        return result

    def _mean(self, top: Matrix) -> Matrix:
        held = top > -np.inf
        total = np.zeros(len(top))
        for rank in range(self.k):  # one by one: the order `sum` adds in
            total = total + np.where(held[:, rank], top[:, rank], 0.0)
        count = held.sum(axis=1)
        mean = np.full(len(top), NAN)
        np.divide(total, count, out=mean, where=count > 0)
        return mean


@overload
def _slope(n: float, y: float, ny: float) -> float: ...
@overload
def _slope(n: Matrix, y: Matrix, ny: Matrix) -> Matrix: ...
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

    def window(self, values: Matrix) -> Matrix:
        seen = _seen(values)
        y = np.nan_to_num(values)
        total = np.cumsum(y, axis=1)
        moment = np.cumsum((seen - 1.0) * y, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(seen > 1, _slope(seen, total, moment), NAN)


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

    def window(self, values: Matrix) -> Matrix:
        seen = _seen(values)
        broken = np.maximum.accumulate(np.where(values <= 0, seen, 0.0), axis=1)
        return np.where(seen > 0, seen - broken, NAN)


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

    def window(self, values: Matrix) -> Matrix:
        columns = np.arange(values.shape[1], dtype=np.float64)
        hit = np.maximum.accumulate(np.where(values > 0, columns, -1.0), axis=1)
        return np.where(hit < 0, NAN, columns - hit)


def _occurrence(values: Matrix) -> Matrix:
    """Return the how-manieth time (1, 2 …) each value stands in its row; 0 for NaN."""
    rows, columns = np.nonzero(~np.isnan(values))
    keys = values[rows, columns]
    order = np.lexsort((columns, keys, rows))
    fresh = np.ones(len(order), dtype=bool)
    fresh[1:] = (np.diff(rows[order]) != 0) | (np.diff(keys[order]) != 0)
    place = np.arange(len(order))
    started = np.maximum.accumulate(np.where(fresh, place, 0))
    result = np.zeros_like(values)
    result[rows[order], columns[order]] = place - started + 1.0
    return result


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

    def window(self, values: Matrix) -> Matrix:
        return np.cumsum(_occurrence(values) == 1.0, axis=1, dtype=np.float64)


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

    def window(self, values: Matrix) -> Matrix:
        most = np.maximum.accumulate(_occurrence(values), axis=1)
        return np.maximum(most - 1.0, 0.0)


_MOST = -1.0  # keys are hashes, never negative, so this one is free


@dataclass(frozen=True, slots=True)
class Gap:
    """`a` minus `b`; NaN where either is undefined."""

    a: Aggregate
    b: Aggregate

    def combine(self, a: float, b: float) -> float:
        return a - b

    def combine_columns(self, a: Matrix, b: Matrix) -> Matrix:
        return a - b


@dataclass(frozen=True, slots=True)
class Ratio:
    """`a` over `b`; NaN where either is undefined or `b` is zero."""

    a: Aggregate
    b: Aggregate

    def combine(self, a: float, b: float) -> float:
        return a / b if b else NAN

    def combine_columns(self, a: Matrix, b: Matrix) -> Matrix:
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


def combined(aggregate: Aggregate, values: dict[Leaf, Any], *, columns: bool) -> Any:
    """Return the value of `aggregate`, given that of each of its leaves.

    Parameters
    ----------
    values : dict
        Value by leaf: a float each or, with `columns`, a matrix each.
    """
    match aggregate:
        case Gap(a, b) | Ratio(a, b):
            left = combined(a, values, columns=columns)
            right = combined(b, values, columns=columns)
            if columns:
                return aggregate.combine_columns(left, right)
            return aggregate.combine(left, right)
        case _:
            return values[aggregate]
