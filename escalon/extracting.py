"""`escalon features`: from an events table to a signals table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from escalon.terminal import counting, fail, mistakes, print_json, print_pairs, progress
from features import batch
from features.batch.spark import SparkMissingError, spark
from features.batch.workers import cores


class Engine(StrEnum):
    """What computes signals."""

    LOCAL = "local"
    SPARK = "spark"


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where signals are to be computed.

    Attributes
    ----------
    engine : str
        An `Engine`.
    jobs : int or None
        Processes of the local engine; as many as there are cores.
    master : str
        Address of the Spark.
    """

    engine: str
    jobs: int | None
    master: str


@contextmanager
def _started(where: Where) -> Iterator[batch.Engine]:
    if where.engine == Engine.LOCAL:
        with batch.local(where.jobs or cores()) as run:
            yield run
        return
    if where.engine != Engine.SPARK:
        known = ", ".join(Engine)
        msg = f"expected an engine of {known}, found {where.engine!r}"
        raise fail(msg)
    with ExitStack() as stack:
        with progress() as tell:
            tell(f"starting Spark at {where.master}")
            run = stack.enter_context(spark(where.master))
        yield run


def extract_features(
    events: Path,
    *,
    target: Path,
    where: Where,
    full: bool,
    as_json: bool,
) -> None:
    """Compute every signal after every event that is new."""
    with (
        mistakes(batch.EventsTableError, SparkMissingError),
        _started(where) as run,
        counting("computing signals") as tell,
    ):
        found = batch.extract(events, target, engine=run, full=full, progress=tell)
    if as_json:
        shown = {
            "rows": found.rows,
            "tasks_computed": found.computed,
            "tasks_kept": found.kept,
            "anew": found.anew,
            "out": str(target),
        }
        print_json(shown)
        return
    pairs = [
        ("rows", f"{found.rows:,}"),
        ("tasks computed", f"{found.computed:,}"),
        ("tasks kept", f"{found.kept:,}"),
        ("written to", str(target)),
    ]
    if found.anew is not None:
        pairs.append(("computed anew", found.anew))
    print_pairs("Signals", pairs)
