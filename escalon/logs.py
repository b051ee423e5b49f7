"""`escalon ingest | features | simulate`: from logs to events to signals."""

from __future__ import annotations

from pathlib import Path

from escalon.terminal import counting, fail, mistakes, print_json, print_pairs
from features import batch, ingest
from features.batch.workers import cores
from features.ingest import Refusal
from training.simulate import World

_SHOWN = 5


def read_sources(
    form: str, sources: list[Path], out: Path
) -> tuple[int, list[Refusal]]:
    """Write the events of `sources` to `out`; return how many, and what was refused."""
    refused: list[Refusal] = []
    errors = (ingest.SourceError, ingest.UnknownFormatError)
    with mistakes(*errors), counting("reading the log") as tell:
        events = ingest.read(form, sources, on_refused=refused.append)
        n = batch.write_events(events, out, processes=cores(), progress=tell)
    return n, refused


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


def simulate(tasks: int, *, seed: int, labelled: float, target: Path) -> None:
    """Write the log of a simulated world."""
    with counting("simulating") as tell:
        log = World(seed=seed).log(tasks, labelled=labelled)
        n = batch.write_events(log, target, processes=cores(), progress=tell)
    print_pairs("Simulated", [("tasks", tasks), ("events", n), ("written to", target)])
