"""`escalon monitor`: every monitor over the tasks of a store, and what it found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import typer
from rich.markup import escape

from escalon.rules import policy_at
from escalon.terminal import fail, mistakes, out, print_json, progress
from serving.engine.watch import Promises
from serving.policy.audit import rfc3339
from serving.policy.rules import PolicyError
from serving.store.opening import reading
from serving.store.transaction import StoreError
from serving.store.watched import loaded_at, watched
from serving.where import Where
from training.bundle import BundleError, ModelBundle
from training.monitor.alarm import Alarm, Severity
from training.monitor.alarms import Watch

ALARMS = 1
# Tasks between two words on how far it is.
_SLICE = 2_000
_FEWEST_IN_A_WINDOW = 50
_COLORS = {
    Severity.CRITICAL: "bold red",
    Severity.SERIOUS: "red",
    Severity.NOTICE: "yellow",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a user asks of the monitors; see `escalon monitor --help`."""

    model: Path | None = None
    policy: Path | None = None
    window: int = 1_000
    maturity: float = 7.0
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was looked at, and what was found."""

    tasks: int
    until: datetime
    model: str
    alarms: Sequence[Alarm]


def monitor(store: Where, asked: Asked, *, as_json: bool) -> None:
    """Print the alarms of a store; exit code 1 if there are any, 0 if none."""
    if asked.window < _FEWEST_IN_A_WINDOW:
        msg = (
            f"--window must be at least {_FEWEST_IN_A_WINDOW} tasks, found "
            f"{asked.window}: fewer say nothing of a distribution"
        )
        raise fail(msg)
    with mistakes(StoreError, BundleError, PolicyError), progress(quiet=as_json) as say:
        seen = _looked(store, asked, say)
    if as_json:
        print_json(_told(seen))
    else:
        _print(store, seen)
    if seen.alarms:
        raise typer.Exit(ALARMS)


def _looked(store: Where, asked: Asked, say: Callable[[str], None]) -> _Seen:
    bundle = None if asked.model is None else ModelBundle.load(asked.model)
    promises = Promises.of(bundle)
    matures = timedelta(days=asked.maturity)
    until = datetime.now(UTC) - matures
    say(f"reading {store}")
    with reading(store) as reader:
        since = asked.since
        if since is None and bundle is not None:
            since = loaded_at(reader, bundle.digest)
        tasks, signals = watched(
            reader, since=_aware(since), until=until, matures=matures
        )
    policy = policy_at(asked.policy)
    watched_by = replace(promises.watched(policy, {}), window=asked.window)
    watch = Watch(watched_by, promises.usual(policy))
    for start in range(0, len(tasks), _SLICE):
        rows = np.arange(start, min(start + _SLICE, len(tasks)))
        part = {name: values[rows] for name, values in signals.items()}
        watch.take(tasks.where(rows), part)
        say(f"watched {rows[-1] + 1:,} of {len(tasks):,} tasks")
    return _Seen(len(tasks), until, promises.version, watch.alarms())


def _aware(at: datetime | None) -> datetime | None:
    """Return `at`, in UTC where it names no timezone."""
    return at if at is None or at.tzinfo is not None else at.replace(tzinfo=UTC)


def _told(seen: _Seen) -> dict[str, Any]:
    return {
        "tasks": seen.tasks,
        "until": rfc3339(seen.until),
        "model": seen.model,
        "alarms": [
            {**alarm.to_json(), "since": rfc3339(_time(alarm))} for alarm in seen.alarms
        ],
    }


def _time(alarm: Alarm) -> datetime:
    return datetime.fromtimestamp(alarm.since, UTC)


def _print(store: Where, seen: _Seen) -> None:
    """Print each alarm on two lines: nothing of it is cut to a column."""
    judged = f"judged by {seen.model}, " if seen.model else ""
    out.print(
        f"[bold]{seen.tasks:,} tasks of {escape(str(store))}[/], {judged}last decided "
        f"on before {seen.until:%Y-%m-%d %H:%M}"
    )
    if not seen.alarms:
        out.print("  no alarm")
    for alarm in seen.alarms:
        where = escape(alarm.segment) or "all tasks"
        out.print(
            f"  [{_COLORS[alarm.severity]}]{alarm.severity}[/]  [bold]{alarm.code}[/]  "
            f"{where}, since about {_time(alarm):%Y-%m-%d %H:%M}"
        )
        out.print(f"      {escape(alarm.says)}")
