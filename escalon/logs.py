"""`escalon ingest | features | simulate`: from logs to events to signals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from escalon.terminal import fail, mistakes, print_json, print_pairs, progress
from features import batch, ingest
from features.events import AgentEvent
from features.ingest import Refusal
from training.simulate import World

_SHOWN = 5


def _counted(events: Iterator[AgentEvent], tell: object) -> Iterator[AgentEvent]:
    every = 20_000
    for n, event in enumerate(events, start=1):
        if n % every == 0 and callable(tell):
            tell(f"{n:,} events read")
        yield event


def read_sources(
    form: str, sources: list[Path], out: Path
) -> tuple[int, list[Refusal]]:
    """Write the events of `sources` to `out`; return how many, and what was refused."""
    refused: list[Refusal] = []
    errors = (ingest.SourceError, ingest.UnknownFormatError)
    with mistakes(*errors), progress() as tell:
        events = ingest.read(form, sources, on_refused=refused.append)
        return batch.write_events(_counted(events, tell), out), refused


def ingest_logs(sources: list[Path], *, form: str, target: Path, as_json: bool) -> None:
    """Read agent logs into an events table, and say what was refused."""
    n, refused = read_sources(form, sources, target)
    if n == 0:
        reason = refused[0].error if refused else "the sources are empty"
        msg = f"no event landed: {reason}"
        raise fail(msg)
    if as_json:
        shown = [
            {"source": r.source, "line": r.line, "error": r.error} for r in refused
        ]
        print_json({"events": n, "out": target, "refused": shown})
        return
    rows = [(f"refused, {r.source}:{r.line}", r.error) for r in refused[:_SHOWN]]
    if len(refused) > _SHOWN:
        rows.append(("", f"and {len(refused) - _SHOWN} more; --json lists them all"))
    print_pairs("Ingested", [("events", n), ("written to", target), *rows])


def extract_features(events: Path, *, target: Path, as_json: bool) -> None:
    """Compute every signal after every event."""
    with mistakes(batch.EventsTableError), progress() as tell:
        table = batch.read_events(events)
        tell(f"computing signals after {table.num_rows:,} events")
        signals = batch.signals_table(table)
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(signals, target, compression="zstd")
    found = {
        "rows": signals.num_rows,
        "columns": signals.num_columns,
        "out": str(target),
    }
    if as_json:
        print_json(found)
    else:
        print_pairs("Signals", list(found.items()))


def simulate(tasks: int, *, seed: int, labelled: float, target: Path) -> None:
    """Write the log of a simulated world."""
    with progress() as tell:
        log = World(seed=seed).log(tasks, labelled=labelled)
        n = batch.write_events(_counted(log, tell), target)
    print_pairs("Simulated", [("tasks", tasks), ("events", n), ("written to", target)])
