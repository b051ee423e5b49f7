"""`escalon ingest | features | simulate`: from logs to events to signals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pyarrow.parquet as pq
import typer

from escalon.terminal import fail, mistakes, print_json, print_pairs, progress
from features import batch, ingest
from features.events import AgentEvent
from features.ingest import Refusal
from training.simulate import World

_SHOWN = 5

Out = Annotated[Path, typer.Option("--out", help="Parquet file to write.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, not a table.")]


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


def ingest_logs(
    sources: Annotated[list[Path], typer.Argument(help="Log files; .gz is fine.")],
    form: Annotated[
        str,
        typer.Option("--format", help=f"auto, or one of {', '.join(ingest.FORMATS)}."),
    ] = ingest.AUTO,
    out: Out = Path("events.parquet"),
    as_json: AsJson = False,
) -> None:
    """Read agent logs into an events table.

    Lines that break the contract are listed and left out; the rest lands.

    Example: escalon ingest runs.jsonl.gz --out events.parquet
    """
    n, refused = read_sources(form, sources, out)
    if n == 0:
        reason = refused[0].error if refused else "the sources are empty"
        msg = f"no event landed: {reason}"
        raise fail(msg)
    if as_json:
        shown = [
            {"source": r.source, "line": r.line, "error": r.error} for r in refused
        ]
        print_json({"events": n, "out": out, "refused": shown})
        return
    rows = [(f"refused, {r.source}:{r.line}", r.error) for r in refused[:_SHOWN]]
    if len(refused) > _SHOWN:
        rows.append(("", f"and {len(refused) - _SHOWN} more; --json lists them all"))
    print_pairs("Ingested", [("events", n), ("written to", out), *rows])


def extract_features(
    events: Annotated[Path, typer.Option("--events", help="Events table.")],
    out: Out = Path("signals.parquet"),
    as_json: AsJson = False,
) -> None:
    """Compute every signal after every event.

    Example: escalon features --events events.parquet --out signals.parquet
    """
    with mistakes(batch.EventsTableError), progress() as tell:
        table = batch.read_events(events)
        tell(f"computing signals after {table.num_rows:,} events")
        signals = batch.signals_table(table)
        out.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(signals, out, compression="zstd")
    found = {"rows": signals.num_rows, "columns": signals.num_columns, "out": str(out)}
    if as_json:
        print_json(found)
    else:
        print_pairs("Signals", list(found.items()))


def simulate(
    tasks: Annotated[int, typer.Option(min=1, help="How many tasks.")] = 3_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same log.")] = 0,
    labelled: Annotated[
        float, typer.Option(min=0, max=1, help="Share with a reviewer's verdict.")
    ] = 1.0,
    out: Out = Path("events.parquet"),
) -> None:
    """Write the log of a simulated world whose truth is known.

    Example: escalon simulate --tasks 3000 --out events.parquet
    """
    with progress() as tell:
        log = World(seed=seed).log(tasks, labelled=labelled)
        n = batch.write_events(_counted(log, tell), out)
    print_pairs("Simulated", [("tasks", tasks), ("events", n), ("written to", out)])
