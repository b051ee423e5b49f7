"""The public data sets as labelled snapshots, read once and kept in a folder.

What each set says, and what is kept out of it, stands in `_real_logs`. The events
table is kept under ``ESCALON_CACHE`` (`var/cache`) by a hash of the file and of the
code that reads it; signals are computed anew, since that takes seconds.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import _packages_first  # noqa: F401 - `features` is the package
import _real_logs as logs
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import features
from features import batch
from features.events import AgentEvent
from training.dataset import Floats, Mask, Snapshots, snapshots
from training.evaluate.stream import Timeline
from training.history import DELAY, stamped
from training.labels import labels_of

Steps = NDArray[np.int64]
_Read = Callable[[Path, Path], Iterator[AgentEvent]]

SETS: dict[str, tuple[str, _Read]] = {
    "tau": ("tau_runs.jsonl.gz", logs.tau),
    "intercode": ("intercode.jsonl.gz", logs.intercode),
    "servicenow": ("incidents_servicenow.jsonl.gz", logs.servicenow),
    "whoandwhen": ("whoandwhen.jsonl.gz", logs.whoandwhen),
    "hotpotqa": ("evaluator/hotpotqa.csv.gz", logs.evaluator),
    "math": ("evaluator/math.csv.gz", logs.evaluator),
    "mmlupro": ("evaluator/mmlupro.csv.gz", logs.evaluator),
    "gsm8k": ("evaluator/gsm8k.csv.gz", logs.evaluator),
    "chess": ("evaluator/chessgames.csv.gz", logs.evaluator),
}
TIMED = frozenset({"servicenow"})  # the others' tasks come in an order of our own
EVALUATOR = ("hotpotqa", "math", "mmlupro", "gsm8k", "chess")


@dataclass(frozen=True, slots=True, kw_only=True)
class Real:
    """One data set: its labelled snapshots, and the log's own steps.

    Attributes
    ----------
    rows : Snapshots
        One row per step of the log: what was known once the step was over. The head
        of a task is a row of its own, step 0.
    step : ndarray of int, shape (n_rows,)
        Steps of the log so far: messages, verifier scores, updates of an incident.
    known : ndarray of float, shape (n_rows,)
        When the task's label was known, by the clock of `rows.started`: s since 1970,
        or tasks begun so far where the log tells no time.
    """

    name: str
    rows: Snapshots
    step: Steps
    known: Floats

    def where(self, rows: Mask) -> Self:
        """Return the rows for which `rows`, shape (n_rows,), is true."""
        return replace(
            self,
            rows=self.rows.where(rows),
            step=self.step[rows],
            known=self.known[rows],
        )

    def at(self, step: int) -> Mask:
        """Return the row of each task that got to `step`, once it was over."""
        return np.asarray(self.step == step)

    def timeline(self) -> Timeline:
        """Return when each task began and when its label was known."""
        first = self.rows.starts
        return Timeline(began=self.rows.started[first], known=self.known[first])


def shared(name: str) -> Path:
    """Return where the file `name` of the public data lies."""
    return Path(os.environ.get("ESCALON_SHARED", "../shared")) / "data" / name


def load(name: str, *, seed: int = 0, delay: int = DELAY) -> Real | None:
    """Return the data set `name`, or None (and say so) where its file is not here.

    Parameters
    ----------
    seed : int
        Of the order in which the tasks come, where the log's times do not tell it: the
        outcome history of a task is that of the tasks before it.
    delay : int
        Further tasks that begin before a label is known, for the same logs.
    """
    file, read = SETS[name]
    source = shared(file)
    if not source.exists():
        print(f"no {source}: {name} is left out", file=sys.stderr)
        return None
    return real(name, _events(name, source, read), seed=seed, delay=delay)


def real(name: str, events: pa.Table, *, seed: int = 0, delay: int = DELAY) -> Real:
    """Return the data set that a table of labelled events holds; see `load`."""
    labels = labels_of(events)
    order = None if name in TIMED else shuffled(labels, seed)
    rows = snapshots(stamped(events, labels, order=order, delay=delay), labels)
    step = steps_of(batch.without_outcomes(events)["event_id"].to_pylist())
    known = np.array([labels[str(t)].matured_at.timestamp() for t in rows.task_ids])
    if order is not None:
        place = {task: i for i, task in enumerate(order)}
        began = np.array([place[str(t)] for t in rows.task_ids], dtype=np.float64)
        rows, known = replace(rows, started=began), began + delay + 1
    ends = np.append((step[1:] != step[:-1]) | rows.is_last[:-1], True)
    return Real(
        name=name, rows=_even(rows.where(ends)), step=step[ends], known=known[ends]
    )


def shuffled(task_ids: Iterable[str], seed: int) -> list[str]:
    """Return the tasks in an order that follows from the seed alone."""
    names = np.array(sorted(task_ids))
    return [str(t) for t in np.random.default_rng(seed).permutation(names)]


def _even(rows: Snapshots) -> Snapshots:
    """Return rows whose weights add up to one a task, as before some were left out."""
    lengths = np.diff(np.append(rows.starts, len(rows)))
    return replace(rows, weight=np.repeat(1.0 / lengths, lengths))


_STEP = re.compile(r"m(\d+)")


def steps_of(event_ids: list[str]) -> Steps:
    """Return how many steps of its log each event is part of, 0 before the first.

    Events that are of no step (a history stamped on the task) belong to the one before.
    """
    step, found = 0, np.empty(len(event_ids), dtype=np.int64)
    for i, event_id in enumerate(event_ids):
        if told := _STEP.match(event_id):
            step = int(told[1]) + 1
        elif event_id == "start":
            step = 0
        found[i] = step
    return found


def _events(name: str, source: Path, read: _Read) -> pa.Table:
    folder = Path(os.environ.get("ESCALON_CACHE", "var/cache"))
    kept = folder / f"{name}-{_key(source)}.parquet"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        batch.write_events(read(source, folder), kept, processes=1)
    return batch.read_events(kept)


def _key(source: Path) -> str:
    """Return a hash of the file and of all code that its events depend on."""
    digest = hashlib.sha256(source.read_bytes())
    for code in _code():
        digest.update(code.read_bytes())
    return digest.hexdigest()[:16]


def _code() -> list[Path]:
    root = Path(str(features.__file__)).parent
    alone = [root / name for name in ("text.py", "lexicons.py", "events.py")]
    read = [p for part in ("sources", "ingest") for p in (root / part).rglob("*.py")]
    table = [root / "batch" / name for name in ("table.py", "records.py")]
    return [*alone, *sorted(read), *table, Path(logs.__file__)]
