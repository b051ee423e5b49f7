"""Faults: what is lost, doubled or torn when any plug is pulled, on both stores.

Each measure is taken on SQLite and, where its programs are found or
``ESCALON_TEST_POSTGRES`` names a server, on PostgreSQL. ``ESCALON_FAULTS`` may name the
studies to run, with commas between them; all of them otherwise.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import _packages_first  # noqa: F401 - `features` is the package
import orjson
from _faults_actions import raced
from _faults_bundle import bundle
from _faults_outage import outage
from _faults_packages import packages
from _faults_rates import rate
from _faults_schedules import schedules
from _faults_stores import postgres
from harness import Measure, main

_KILLER = Path(__file__).with_name("_faults_kills.py")
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much of each."""

    kills: int
    handovers: int
    raced: int
    backlog: int
    schedules: int
    decisions: int
    repeats: int
    packages: int


_FULL = Sizes(
    kills=2_000,
    handovers=50_000,
    raced=100_000,
    backlog=10_000,
    schedules=10_000,
    decisions=10_000,
    repeats=5,
    packages=1_000,
)
_QUICK = Sizes(
    kills=20,
    handovers=0,
    raced=1_000,
    backlog=100,
    schedules=50,
    decisions=640,
    repeats=1,
    packages=30,
)


@dataclass(frozen=True, slots=True)
class On:
    """A store to measure on.

    Attributes
    ----------
    server : str
        Of PostgreSQL; not needed otherwise.
    """

    kind: str
    server: str
    sizes: Sizes

    def count(self, name: str, found: list[str] | int, note: str) -> Measure:
        """Return how many there are of what must not be; say the first of them."""
        n = found if isinstance(found, int) else len(found)
        for one in [] if isinstance(found, int) else found[:_SHOWN]:
            print(f"{self.kind} {name}: {one}", file=sys.stderr)
        return self.measure(name, n, note=note, goal=0)

    def measure(
        self,
        name: str,
        value: float,
        *,
        unit: str = "1",
        note: str = "",
        goal: float | None = None,
        better: str = "lower",
        low: float | None = None,
        high: float | None = None,
    ) -> Measure:
        """Return a measure of this store."""
        return Measure(
            name=f"{self.kind}.{name}",
            value=float(value),
            unit=unit,
            note=note,
            goal=goal,
            better=better,
            low=low,
            high=high,
        )


def _kills(on: On) -> Iterator[Measure]:
    sizes = on.sizes
    command = [sys.executable, str(_KILLER), on.kind, "--server", on.server]
    command += ["--kills", str(sizes.kills), "--handovers", str(sizes.handovers)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603
    found = orjson.loads(done.stdout)
    processes = "1 process" if on.kind == "sqlite" else "2 processes"
    note = (
        f"{processes}, every request sent twice; {found['by_themselves']} of the kills "
        "at a named place, the others at any"
    )
    # The goals are those of the full size.
    yield on.measure(
        "kills", found["kills"], note=note, goal=sizes.kills, better="higher"
    )
    yield on.measure(
        "handovers",
        found["handovers"],
        note="over all these kills",
        goal=sizes.handovers,
        better="higher",
    )
    yield on.count("lost", found["lost"], "answers of which nothing is there")
    yield on.count("doubled", found["doubled"], "done twice, or answered in two ways")
    yield on.count("torn", found["torn"], "states nobody should see")


def _raced(on: On) -> Iterator[Measure]:
    found = raced(on.kind, on.server, on.sizes.raced)
    note = f"{found.moves} changes of owner meanwhile, {found.refused} refused"
    yield on.measure(
        "raced_actions", found.raced, note=note, goal=on.sizes.raced, better="higher"
    )
    yield on.count(
        "executed_with_old_epoch", found.old, "by the order of the audit log"
    )


def _outage(on: On) -> Iterator[Measure]:
    found = outage(on.kind, on.server, on.sizes.backlog)
    note = f"24 h without the channel on a clock that is turned, {found.handovers} wait"
    yield on.count("outage_lost", [*found.lost, *found.doubled], note)
    yield on.measure(
        "visible_s",
        found.visible,
        unit="s",
        goal=2.0,
        note="longest from the answer until its queue's list shows it",
    )
    yield on.measure(
        "fallback_s",
        found.fallback,
        unit="s",
        goal=120.0,
        note="longest until the channel that stands in was told, of the turned clock",
    )
    yield on.measure(
        "drain_s",
        found.drain,
        unit="s",
        goal=600.0,
        note=f"real, one worker, {found.handovers} signed requests over HTTP",
    )


def _schedules(on: On) -> Iterator[Measure]:
    found = schedules(on.kind, on.server, on.sizes.schedules)
    note = (
        f"{found.schedules} handoffs under random policies, {found.deadlines} "
        "deadlines acted on"
    )
    yield on.count("schedules_stuck", found.stuck, note)


def _rates(on: On) -> Iterator[Measure]:
    with bundle() as model:
        for name, source in (("", None), (".with_model", model)):
            found = rate(
                on.kind,
                on.server,
                on.sizes.decisions,
                repeats=on.sizes.repeats,
                model=source,
            )
            share = found.median / found.floor
            yield on.measure(
                f"decisions_per_s{name}",
                found.median,
                unit="/s",
                low=min(found.rates),
                high=max(found.rates),
                goal=1_000 if on.kind == "sqlite" and not name else None,
                better="higher",
                note=f"32 callers, each waits until durable; {share:.0%} of bare rows",
            )


def _packages(on: On) -> Iterator[Measure]:
    found = packages(on.kind, on.server, on.sizes.packages)
    note = (
        f"{found.packages} random packages, {found.bytes / 1e6:.0f} MB, by API, "
        "console, webhook and file"
    )
    yield on.count("packages_changed", found.changed, note)


_STUDIES: dict[str, Callable[[On], Iterator[Measure]]] = {
    "kills": _kills,
    "raced": _raced,
    "outage": _outage,
    "schedules": _schedules,
    "rates": _rates,
    "packages": _packages,
}


def measures(quick: bool) -> list[Measure]:  # noqa: FBT001 - the harness's one flag
    """Return every measure of the faults."""
    # What is provoked here would be logged ten thousand times.
    logging.disable()
    sizes = _QUICK if quick else _FULL
    asked = os.environ.get("ESCALON_FAULTS", "")
    wanted = [name for name in asked.split(",") if name] or list(_STUDIES)
    found: list[Measure] = []
    with postgres() as server:
        if not server:
            print("no PostgreSQL here: its measures are left out", file=sys.stderr)
        for kind in ("sqlite", "postgresql") if server else ("sqlite",):
            for name in wanted:
                began = time.monotonic()
                found += _STUDIES[name](On(kind, server, sizes))
                took = time.monotonic() - began
                print(f"{kind} {name}: {took:.0f} s", file=sys.stderr)
    return found


if __name__ == "__main__":
    main("faults", measures)
