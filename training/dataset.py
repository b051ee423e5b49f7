"""Labelled snapshots of tasks, and splits that never part a task or a customer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.batch import signal_matrix, starts_of, without_outcomes
from features.events import EventKind
from features.signals import schema_digest
from training.history import stamped
from training.labels import Label, group_of

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class TooFewLabelsError(ValueError):
    """Not enough labelled tasks to learn from; says how many more are needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshots:
    """Every prefix of every labelled task: what was known, and what became of it.

    Rows of one task stand together, in log order. All arrays have shape (n_rows,),
    but `x` of shape (n_rows, n_signals).

    Attributes
    ----------
    task_ids, groups : ndarray of str
        The task, and the customer whose tasks must not be parted by a split.
    domain, agent_version, tier : ndarray of str
        Facts of the task; slices, never signals.
    started : ndarray of float
        When the task began, s since 1970.
    position : ndarray of int
        0, 1, … in the task.
    x : ndarray of float
        Signals, NaN where unknown.
    y : ndarray of float
        1 if the task needed a human, else 0.
    weight : ndarray of float
        1 / n_steps of the task / propensity of its label: each task weighs 1.
    """

    task_ids: NDArray[np.str_]
    groups: NDArray[np.str_]
    domain: NDArray[np.str_]
    agent_version: NDArray[np.str_]
    tier: NDArray[np.str_]
    started: Floats
    position: NDArray[np.int64]
    x: Floats
    y: Floats
    weight: Floats

    def __len__(self) -> int:
        return len(self.y)

    @property
    def starts(self) -> NDArray[np.int64]:
        """First row of each task, shape (n_tasks,)."""
        return starts_of(self.task_ids)

    @property
    def is_last(self) -> Mask:
        """Whether a row is the last of its task, shape (n_rows,)."""
        return np.append(self.task_ids[1:] != self.task_ids[:-1], len(self) > 0)

    @property
    def n_tasks(self) -> int:
        """Number of tasks."""
        return len(self.starts)

    @property
    def n_needed(self) -> int:
        """Number of tasks that needed a human."""
        return int(self.y[self.starts].sum())

    def where(self, rows: Mask) -> Self:
        """Return the rows for which `rows`, shape (n_rows,), is true."""
        return type(self)(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def thinned(self, most: int) -> Self:
        """Return at most `most` rows of each task, evenly spread, first and last too.

        Each takes over the weight of the rows it stands for. Steps of one task say
        nearly the same, so that little is lost.
        """
        lengths = np.diff(np.append(self.starts, len(self)))
        kept, weights = [], []
        for start, length in zip(self.starts, lengths, strict=True):
            places = np.unique(
                np.linspace(0, length - 1, min(most, length)).round().astype(np.int64)
            )
            middles = (places[1:] + places[:-1] + 1) / 2
            ends = np.concatenate([[0.0], middles, [float(length)]])
            # Rows that were thinned before differ in weight.
            until = np.append(0.0, np.cumsum(self.weight[start : start + length]))
            kept.append(start + places)
            weights.append(np.diff(np.interp(ends, np.arange(length + 1), until)))
        if not kept:
            return self
        rows = np.concatenate(kept)
        chosen = {f.name: getattr(self, f.name)[rows] for f in fields(self)}
        return type(self)(**(chosen | {"weight": np.concatenate(weights)}))

    def running_maximum(self, risk: Floats) -> Floats:
        """Return the highest risk each task reaches, shape (n_tasks,)."""
        return np.maximum.reduceat(risk, self.starts)

    def fingerprint(self) -> str:
        """Return a SHA-256 (hex) of tasks, labels, weights and signals."""
        digest = hashlib.sha256(schema_digest().encode())
        for values in (self.task_ids, self.y, self.weight, self.x):
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()


def _facts(events: pa.Table) -> dict[str, dict[str, Any]]:
    """Return what each task's `task_started` say, by task; a later one only adds."""
    started = events.filter(pc.equal(events["kind"], str(EventKind.TASK_STARTED)))
    facts: dict[str, dict[str, Any]] = {}
    for row in started.select(["task_id", "body"]).to_pylist():
        known = facts.get(row["task_id"], {})
        facts[row["task_id"]] = orjson.loads(row["body"]) | known
    return facts


def snapshots(
    events: pa.Table,
    labels: Mapping[str, Label],
    *,
    order: Sequence[str] | None = None,
) -> Snapshots:
    """Return the snapshots of the labelled tasks of an events table.

    Tasks that carry no stamp of their outcome history are stamped, see
    `training.history`. A stamp and the event it follows are one step.

    Parameters
    ----------
    order : sequence of str, optional
        Tasks in the order in which they came, where the log's times do not say.

    Raises
    ------
    TooFewLabelsError
        If no task of the table has a label.
    """
    facts = _facts(events)
    seen = without_outcomes(stamped(events, labels, order=order))
    seen = seen.filter(pc.is_in(seen["task_id"], pa.array(list(labels), pa.string())))
    if seen.num_rows == 0:
        msg = (
            f"none of the {len(facts)} tasks has a label; resolve handoffs with a "
            "verdict, or send verdicts to POST /v1/outcomes"
        )
        raise TooFewLabelsError(msg)
    x = signal_matrix(seen)
    shown = _decided_at(seen)
    seen, x = seen.filter(pa.array(shown)), x[shown]
    task_ids = seen["task_id"].to_numpy(zero_copy_only=False).astype(np.str_)
    starts = starts_of(task_ids)
    lengths = np.diff(np.append(starts, len(task_ids)))
    tasks = [str(t) for t in task_ids[starts]]
    known = [facts.get(t, {}) for t in tasks]

    def per_row(values: list[Any]) -> NDArray[Any]:
        return np.repeat(np.array(values), lengths)

    propensity = np.array([labels[t].propensity for t in tasks])
    at = seen["at"].cast(pa.int64()).to_numpy() / 1e6
    return Snapshots(
        task_ids=task_ids,
        groups=per_row([group_of(t, f) for t, f in zip(tasks, known, strict=True)]),
        domain=per_row([str(f.get("domain") or "unknown") for f in known]),
        agent_version=per_row([str(f.get("agent_version") or "?") for f in known]),
        tier=per_row([str((f.get("account") or {}).get("tier") or "?") for f in known]),
        started=np.repeat(at[starts], lengths),
        position=np.arange(len(task_ids)) - np.repeat(starts, lengths),
        x=x,
        y=per_row([float(labels[t].needed) for t in tasks]),
        weight=np.repeat(1.0 / lengths / propensity, lengths),
    )


def _decided_at(events: pa.Table) -> Mask:
    """Return at which events the service decides: not between one and its stamp."""
    is_stamp = pc.equal(events["kind"], str(EventKind.HISTORY)).to_numpy()
    task_ids = events["task_id"].to_numpy(zero_copy_only=False)
    follows = is_stamp[1:] & (task_ids[1:] == task_ids[:-1])
    return ~np.append(follows, np.zeros(1, dtype=bool))


def folds(groups: NDArray[np.str_], *, k: int, seed: int) -> NDArray[np.int64]:
    """Return the fold, 0 … k - 1, of each row; rows of a group share theirs.

    Groups are shuffled and dealt, largest first, to the fold with the fewest rows,
    so that folds are of like size however uneven the groups are.
    """
    names, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    load = np.zeros(k)
    fold_of = np.empty(len(names), dtype=np.int64)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        fold_of[group] = np.argmin(load)
        load[fold_of[group]] += sizes[group]
    return fold_of[inverse]


def splits(
    groups: NDArray[np.str_], *, k: int, seed: int
) -> Iterator[tuple[Mask, Mask]]:
    """Yield k pairs (train, test) of row masks that part no group."""
    fold = folds(groups, k=k, seed=seed)
    for i in range(k):
        yield fold != i, fold == i


def later_groups(data: Snapshots, share: float, *, fewest: int = 1) -> Mask:
    """Return the rows of the groups that began last, about `share` of the tasks.

    No group is parted, and every group set aside began after every group kept: a
    certificate is made on customers and times that the model has not seen. However
    uneven the groups, at least `fewest` are kept and one is set aside.
    """
    first = data.starts
    names, inverse = np.unique(data.groups[first], return_inverse=True)
    began = np.full(len(names), np.inf)
    np.minimum.at(began, inverse, data.started[first])
    order = np.lexsort((_shuffle_key(names), began))
    kept = np.cumsum(np.bincount(inverse)[order])[:-1]
    off = np.abs(kept - (1.0 - share) * len(first))[fewest - 1 :]
    cut = int(off.argmin()) + fewest if len(off) else 0
    return np.isin(data.groups, names[order[cut:]])


def _shuffle_key(names: NDArray[np.str_]) -> NDArray[np.str_]:
    """Break ties in time by a hash of the name: not by the alphabet."""
    return np.array([hashlib.sha256(str(n).encode()).hexdigest() for n in names])
