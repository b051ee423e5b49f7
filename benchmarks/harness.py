"""What every benchmark shares: measures, their form in JSON, and the table."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

_MOST_ROWS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One figure, with an interval where it was measured more than once.

    Attributes
    ----------
    goal : float or None
        What it should reach; `better` says from which side.
    better : {"higher", "lower"}
    note : str
        What it is measured on.
    """

    name: str
    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    goal: float | None = None
    better: str = "lower"
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if self.goal is None:
            return None
        return (
            self.value >= self.goal
            if self.better == "higher"
            else self.value <= self.goal
        )

    def to_json(self) -> dict[str, Any]:
        """Return the measure as plain JSON data."""
        return asdict(self) | {"met": self.met}


def commit() -> str:
    """Return the commit measured, with a + where the tree differs from it."""

    def git(*words: str) -> str:
        command = ["git", *words]
        found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        return found.stdout.strip()

    return git("rev-parse", "--short", "HEAD") + (
        "+" if git("status", "--porcelain") else ""
    )


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _row(m: Measure) -> str:
    between = "" if m.low is None or m.high is None else f"{m.low:.3f} to {m.high:.3f}"
    sign = "≥" if m.better == "higher" else "≤"
    goal = "" if m.goal is None else f"{sign} {m.goal:g}"
    met = {None: "", True: "yes", False: "no"}[m.met]
    return f"| {m.name} | {m.value:.3f} | {between} | {goal} | {met} | {m.note} |"


def write_readme_table(name: str, found: Sequence[Measure], readme: Path) -> None:
    """Put the figures between the marks that the README has for this benchmark.

    Of very many, those with a goal; the JSON has them all.
    """
    if len(found) > _MOST_ROWS:
        found = [m for m in found if m.goal is not None]
    head = ("| measure | value | 95 % interval or range | goal | met | measured on |",)
    rule = ("| --- | --- | --- | --- | --- | --- |",)
    table = "\n".join([*head, *rule, *map(_row, found)])
    text = readme.read_text(encoding="utf-8")
    begin, end = f"<!-- bench:{name} -->\n", "<!-- /bench -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    readme.write_text(before + begin + table + "\n" + end + after, encoding="utf-8")


def main(name: str, measures: Callable[[bool], Sequence[Measure]]) -> None:
    """Run a benchmark from the command line: a table, or JSON."""
    parser = argparse.ArgumentParser(prog=f"benchmarks/{name}.py")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, a minute")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--out", type=Path, help="write the JSON here too")
    parser.add_argument("--readme", type=Path, help="put the table into this file")
    asked = parser.parse_args()
    found = measures(asked.quick)
    result = {
        "name": name,
        "machine": machine(),
        "commit": commit(),
        "quick": asked.quick,
        "measures": [m.to_json() for m in found],
    }
    text = orjson.dumps(result, option=orjson.OPT_INDENT_2).decode()
    if asked.out:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(text + "\n", encoding="utf-8")
    if asked.readme:
        write_readme_table(name, found, asked.readme)
    if asked.json:
        print(text)
    else:
        _print_table(name, found)


def _print_table(name: str, found: Sequence[Measure]) -> None:
    table = Table(title=name, title_justify="left")
    for column in ("measure", "value", "95 % interval", "unit", "goal", "met", "on"):
        table.add_column(column)
    for m in found:
        between = (
            "" if m.low is None or m.high is None else f"{m.low:.3f} to {m.high:.3f}"
        )
        sign = "≥" if m.better == "higher" else "≤"
        goal = "" if m.goal is None else f"{sign} {m.goal:g}"
        met = {None: "", True: "yes", False: "no"}[m.met]
        table.add_row(m.name, f"{m.value:.4g}", between, m.unit, goal, met, m.note)
    Console().print(table)
