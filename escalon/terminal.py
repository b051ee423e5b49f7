"""What a person sees in the terminal: progress, tables, and errors in one line."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

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


@contextmanager
def counting(doing: str) -> Iterator[Callable[[int, int | None], None]]:
    """Yield a function that shows how many events are done, the rate and time left.

    On a terminal a bar that moves; elsewhere a line every few seconds on standard
    error.
    """
    if not err.is_terminal:
        yield _Lines(doing)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    rate = _Rate()
    with Progress(*columns, console=err) as bar:
        line = bar.add_task(doing, total=None, rate="")

        def tell(done: int, total: int | None) -> None:
            if rate.restarts(done):
                bar.reset(line)
            told = f"{rate.after(done):,.0f} events/s"
            bar.update(line, completed=done, total=total, rate=told)

        yield tell


class _Rate:
    """Events per second since the count last began at zero."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._done = 0

    def restarts(self, done: int) -> bool:
        """Return whether a new pass over the events has begun."""
        if is_new := done < self._done:
            self._began = time.monotonic()
        self._done = done
        return is_new

    def after(self, done: int) -> float:
        return done / max(time.monotonic() - self._began, 1e-9)


_SECONDS_BETWEEN_LINES = 5.0


class _Lines:
    """Says how far it is, now and then."""

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._said = time.monotonic()
        self._rate = _Rate()

    def __call__(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        if self._rate.restarts(done):
            self._said = now  # what it does per second is not known yet
        if now - self._said < _SECONDS_BETWEEN_LINES:
            return
        self._said = now
        rate = self._rate.after(done)
        of = left = ""
        if total is not None:
            of = f" of {total:,}"
            left = f", {(total - done) / rate:,.0f} s left" if rate else ""
        err.print(f"  {self._doing}: {done:,}{of} events, {rate:,.0f}/s{left}")


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
