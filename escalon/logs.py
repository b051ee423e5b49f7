"""`escalon ingest | features | simulate`: from logs to events to signals."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from escalon.quality import quality_of, write_quality
from escalon.terminal import counting, fail, mistakes, print_json, print_pairs
from features import batch, ingest
from features.batch.workers import cores
from features.ingest import Account, Refusal
from features.quality.refused import Refused, shown
from training.simulate import World

_SHOWN = 5


class RefusedError(Exception):
    """The first refusal of a reading that must have none."""


@dataclass(slots=True)
class Reading:
    """What came of reading logs.

    Attributes
    ----------
    events : int
        Rows of the table.
    refused : Refused
        What did not land.
    accounts : list of Account
        What came of each source.
    """

    events: int = 0
    refused: Refused = field(default_factory=Refused)
    accounts: list[Account] = field(default_factory=list)


def read_sources(
    form: str, sources: list[Path], out: Path, *, strict: bool = False
) -> Reading:
    """Write the events of `sources` to `out`; return what came of it.

    With `strict` nothing is written if anything is refused.
    """
    reading = Reading()

    def refuse(refusal: Refusal) -> None:
        if strict:
            raise RefusedError(_place(refusal) + ": " + _says(refusal))
        reading.refused.add(refusal)

    errors = (ingest.SourceError, ingest.UnknownFormatError, RefusedError)
    with mistakes(*errors), counting("reading the log") as tell:
        events = ingest.read(
            form, sources, on_refused=refuse, on_source=reading.accounts.append
        )
        reading.events = batch.write_events(
            events, out, processes=cores(), progress=tell
        )
    return reading


def _place(refusal: Refusal) -> str:
    """Return the file, line and byte of a refusal."""
    at = "" if refusal.offset is None else f" (byte {refusal.offset})"
    return f"{refusal.source}:{refusal.line}{at}"


def _says(refusal: Refusal) -> str:
    """Return field, expectation and finding of a refusal."""
    if refusal.expected is None:
        return refusal.error
    named = f"event {refusal.event_id}, " if refusal.event_id else ""
    return (
        f"{named}`{refusal.field}`: expected {refusal.expected}, found {refusal.found}"
    )


def ingest_logs(
    sources: list[Path],
    *,
    form: str,
    target: Path,
    page: Path | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Read agent logs into an events table, and say what was refused."""
    reading = read_sources(form, sources, target, strict=strict)
    refused = reading.refused
    if reading.events == 0:
        reason = _says(refused.first[0]) if refused.first else "the sources are empty"
        msg = f"no event landed: {reason}"
        raise fail(msg)
    page = page or target.with_suffix(".quality.html")
    found = quality_of(target, reading.accounts, refused)
    write_quality(found, page)
    if as_json:
        told = {"events": reading.events, "out": target, "quality": page}
        counted = {"refused_total": refused.total}
        print_json(told | counted | {"refused": [shown(r) for r in refused.first]})
        return
    rows = [(f"refused, {_place(r)}", _says(r)) for r in refused.first[:_SHOWN]]
    if refused.total > _SHOWN:
        more = refused.total - _SHOWN
        rows.append(("", f"and {more} more; the quality page groups them by reason"))
    if refused.total:
        mend = "mend these at the source and ingest again; --strict stops at the first"
        rows.append(("what to do", mend))
    told_rows = [("events", reading.events), ("written to", target), ("quality", page)]
    print_pairs("Ingested", [*told_rows, *rows])


def simulate(tasks: int, *, seed: int, labelled: float, target: Path) -> None:
    """Write the log of a simulated world."""
    with counting("simulating") as tell:
        log = World(seed=seed).log(tasks, labelled=labelled)
        n = batch.write_events(log, target, processes=cores(), progress=tell)
    print_pairs("Simulated", [("tasks", tasks), ("events", n), ("written to", target)])
