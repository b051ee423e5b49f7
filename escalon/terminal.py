"""What a person sees in the terminal: progress, tables, and errors in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

USER_MISTAKE = 2


def fail(message: str) -> typer.Exit:
    """Say what is wrong and return the exit for the user's mistake."""
    err.print(f"[bold red]escalon:[/] {escape(message)}")
    return typer.Exit(USER_MISTAKE)


@contextmanager
def mistakes(*kinds: type[Exception]) -> Iterator[None]:
    """Turn errors of these kinds into one line and exit code 2."""
    try:
        yield
    except kinds as error:
        raise fail(str(error)) from error


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Yield a function that says what is going on, with the time it has taken.

    On a terminal a line that moves; elsewhere one line per step on standard error.
    """
    if quiet:
        yield lambda _: None
    elif not err.is_terminal:
        yield lambda step: err.print(f"  {escape(step)}")
    else:
        columns = (SpinnerColumn(), TextColumn("{task.description}"))
        with Progress(*columns, TimeElapsedColumn(), console=err) as bar:
            line = bar.add_task("starting")
            yield lambda step: bar.update(line, description=escape(step))


def print_json(value: Any) -> None:
    """Print `value` as JSON on standard output."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
    sys.stdout.write(orjson.dumps(value, option=options, default=str).decode() + "\n")


def interval(value: Any) -> str:
    """Return a number, or a number with its interval, as a person reads it.

    Examples
    --------
    >>> interval({"value": 0.75, "low": 0.7, "high": 0.8})
    '0.750  (0.700 to 0.800)'
    >>> interval(None), interval(12), interval("ok")
    ('unknown', '12', 'ok')
    """
    if isinstance(value, Mapping):
        if value["value"] is None:
            return "unknown"
        return f"{value['value']:.3f}  ({value['low']:.3f} to {value['high']:.3f})"
    if value is None:
        return "unknown"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def print_pairs(title: str, pairs: Sequence[tuple[str, Any]]) -> None:
    """Print names and values in two columns.

    Nothing is cut or broken by us: an address must survive being copied.
    """
    width = max((len(name) for name, _ in pairs), default=0)
    out.print(f"[bold]{escape(title)}[/]")
    for name, value in pairs:
        out.print(f"  [dim]{escape(name.ljust(width))}[/]  {escape(interval(value))}")
