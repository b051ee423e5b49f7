"""The past of many tasks at once: what the columnar form of an aggregate works on.

Cells stand by position: the first event of every task, then the second of every task
that has one, and so on, longest tasks first. What a task has gathered up to its k-th
event is then one vectorised operation on the cells before it, without padding, and in
the very order in which the online fold adds. Positions that few tasks reach stand task
by task at the end, so that one endless task costs no operation per event.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]
Cells = NDArray[np.int64]
Mask = NDArray[np.bool_]
NAN = float("nan")

_FEW = 16  # tasks at one position below which they are followed one by one


@dataclass(frozen=True)
class Layout:
    """Where the rows of tasks of given lengths stand, by position.

    Attributes
    ----------
    lengths : ndarray of int, shape (n_tasks,)
        Rows of each task; tasks stand one after the other in the table.
    """

    lengths: Cells

    @cached_property
    def _starts(self) -> Cells:
        return np.cumsum(self.lengths) - self.lengths

    @cached_property
    def _ranked(self) -> Cells:
        """Tasks, longest first."""
        return np.argsort(-self.lengths, kind="stable")

    @cached_property
    def _edges(self) -> Cells:
        """Where each shared position begins, and where the last one ends."""
        ordered = self.lengths[self._ranked]
        reach = int(ordered[_FEW - 1]) if len(ordered) >= _FEW else 0
        deep = np.searchsorted(-ordered, -np.arange(reach), side="left")
        return np.concatenate([[0], np.cumsum(deep)])

    @cached_property
    def _depth(self) -> int:
        return len(self._edges) - 1

    @cached_property
    def _long(self) -> Cells:
        """Tasks with rows beyond the shared positions."""
        return self._ranked[self.lengths[self._ranked] > self._depth]

    @cached_property
    def position(self) -> Cells:
        """Position in its task of each cell, shape (n_cells,)."""
        shared = np.repeat(np.arange(self._depth), np.diff(self._edges))
        alone = [np.arange(self._depth, n) for n in self.lengths[self._long]]
        return np.concatenate([shared, *alone]).astype(np.int64)

    @cached_property
    def task(self) -> Cells:
        """Task of each cell, shape (n_cells,)."""
        place = np.arange(self._edges[-1]) - np.repeat(
            self._edges[:-1], np.diff(self._edges)
        )
        alone = np.repeat(self._long, self.lengths[self._long] - self._depth)
        return np.concatenate([self._ranked[place], alone])

    @cached_property
    def rows(self) -> Cells:
        """Row of the table that stands in each cell, shape (n_cells,)."""
        return self._starts[self.task] + self.position

    @cached_property
    def cells(self) -> Cells:
        """Cell in which each row of the table stands, shape (n_rows,)."""
        cells = np.empty_like(self.rows)
        cells[self.rows] = np.arange(len(cells))
        return cells

    @cached_property
    def before(self) -> Cells:
        """Cell of the event before, -1 for a task's first, shape (n_cells,)."""
        first = self.position == 0
        return np.where(first, -1, self.cells[self.rows - np.where(first, 0, 1)])

    @cached_property
    def _steps(self) -> list[tuple[slice, slice]]:
        """Cells of each shared position, after those before them."""
        e = self._edges.tolist()
        return [
            (slice(a, a + c - b), slice(b, c))
            for a, b, c in zip(e, e[1:], e[2:], strict=False)
        ]

    @cached_property
    def _tails(self) -> list[tuple[int, slice]]:
        """Cells of each long task beyond those, after the cell before them."""
        ends = self._edges[-1] + np.cumsum(self.lengths[self._long] - self._depth)
        begins = [int(self._edges[-1]), *ends.tolist()]
        return [
            (int(self.before[b]), slice(b, e)) for b, e in itertools.pairwise(begins)
        ]

    def accumulate(self, ufunc: np.ufunc, values: NDArray[Any]) -> NDArray[Any]:
        """Gather `values` along each task, in place, one event after the other."""
        for past, now in self._steps:
            cells = values[now]
            ufunc(values[past], cells, out=cells)
        for last, now in self._tails:
            if last >= 0:
                values[now.start] = ufunc(values[last], values[now.start])
            values[now] = ufunc.accumulate(values[now])
        return values

    def shifted(self, values: Column, first: float) -> Column:
        """Return the value in the cell before, `first` where there is none."""
        return np.where(self.before < 0, first, values[self.before])


@dataclass(frozen=True)
class Given:
    """At which cells a source gives a value: shared by sources that give together."""

    layout: Layout
    mask: Mask

    @cached_property
    def seen(self) -> Column:
        """How many values each prefix holds."""
        return self.layout.accumulate(np.add, self.mask.astype(np.float64))

    @cached_property
    def some(self) -> Mask:
        """Whether a prefix holds a value."""
        return self.seen > 0

    @cached_property
    def last(self) -> Cells:
        """Cell of the latest value, -1 before the first."""
        cells = np.where(self.mask, np.arange(len(self.mask)), -1)
        found: Cells = self.layout.accumulate(np.maximum, cells)
        return found

    @cached_property
    def _first(self) -> Cells:
        # A later event stands in a later cell.
        n = len(self.mask)
        cells = np.where(self.mask, np.arange(n), n)
        found: Cells = self.layout.accumulate(np.minimum, cells)
        return np.where(found == n, -1, found)

    @cached_property
    def _previous(self) -> Cells:
        """Cell of the value before that of each cell, -1 for none; that of -1 too."""
        return np.append(np.append(self.last, -1)[self.layout.before], -1)

    @cached_property
    def _back(self) -> list[Cells]:
        return [self.last]

    def back(self, n: int) -> Cells:
        """Return the cell of the latest value but `n`, -1 where there are fewer."""
        while len(self._back) <= n:
            self._back.append(self._previous[self._back[-1]])
        return self._back[n]

    def latest(self, values: Column) -> Column:
        """Return the latest value, NaN before the first."""
        return np.where(self.some, values[self.last], NAN)

    def first(self, values: Column) -> Column:
        """Return the earliest value, NaN before it."""
        return np.where(self.some, values[self._first], NAN)


@dataclass(frozen=True)
class Past:
    """The values of one source, NaN where an event gives none, and what they gather.

    Attributes
    ----------
    layout : Layout
        Where each task's events stand.
    values : ndarray of float, shape (n_cells,)
        In the order of the layout.
    given : Given
        Where `values` are not NaN.
    """

    layout: Layout
    values: Column
    given: Given = field(repr=False)

    @classmethod
    def of(cls, lengths: Cells, values: Column) -> Past:
        """Return the past of tasks that stand one after the other in `values`."""
        layout = Layout(lengths)
        cells = values[layout.rows]
        return cls(layout, cells, Given(layout, ~np.isnan(cells)))

    def by_row(self, column: Column) -> Column:
        """Return a column of cells in the order of the table's rows."""
        return column[self.layout.cells]

    @cached_property
    def filled(self) -> Column:
        """The values, 0 where there is none."""
        # Adding makes a plain zero of -0.0, as a sum that starts at zero does.
        return np.where(self.given.mask, self.values, 0.0) + 0.0

    @cached_property
    def total(self) -> Column:
        """Sum of the values of each prefix."""
        return self.layout.accumulate(np.add, self.filled.copy())

    def running(self, ufunc: np.ufunc, values: Column | None = None) -> Column:
        """Return what `ufunc` gathers of the values (or of others) in each prefix."""
        start = self.values if values is None else values
        return self.layout.accumulate(ufunc, start.copy())

    def latest(self, k: int) -> Iterator[Column]:
        """Yield the latest value, then the one before it and so on; 0 where none."""
        filled = np.append(self.filled, 0.0)  # which is where cell -1 leads
        for n in range(k):
            yield filled[self.given.back(n)]

    @cached_property
    def times(self) -> Column:
        """The how-manieth time (1, 2 …) each value came in its task; 0 where none."""
        cells = np.flatnonzero(self.given.mask)
        keys, tasks = self.values[cells], self.layout.task[cells]
        order = np.lexsort((cells, keys, tasks))
        fresh = np.ones(len(order), dtype=bool)
        fresh[1:] = (np.diff(tasks[order]) != 0) | (np.diff(keys[order]) != 0)
        place = np.arange(len(order))
        began = np.maximum.accumulate(np.where(fresh, place, 0))
        times = np.zeros(len(self.values))
        times[cells[order]] = place - began + 1.0
        return times
