"""`escalon kpis`: the four figures, what they rest on, and how they go over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from rich.markup import escape
from rich.table import Table

from escalon.terminal import fail, mistakes, out, print_json
from serving.engine.figures import figures
from serving.store.opening import reading
from serving.store.transaction import StoreError
from serving.where import Where
from training.monitor.estimate import Estimate
from training.monitor.kpis import FIGURES, By, Kpis, Row

_NAMES = {
    "escalation_rate": "escalation rate",
    "appropriateness": "appropriateness",
    "miss_rate": "miss rate",
    "context_sufficiency": "context sufficiency",
}
_SERVICE = {
    "drain_rate": "drained",
    "asked_again": "user asked again",
    "announced_recorded": "announced, recorded",
}
_COUNTED = {
    "escalation_rate": "tasks",
    "appropriateness": "verdicts",
    "miss_rate": "labels",
    "context_sufficiency": "ratings",
}
_BARS = "▁▂▃▄▅▆▇█"
_UNKNOWN = "·"
_MINUTE, _HOUR, _DAY = 60.0, 3_600.0, 86_400.0


def show(
    store: Where,
    *,
    since: datetime | None,
    until: datetime | None,
    by: str | None,
    as_json: bool,
) -> None:
    """Print the KPIs of a store."""
    asked = _by(by)
    with mistakes(StoreError), reading(store) as reader:
        found = figures(
            reader,
            now=datetime.now(UTC),
            since=_aware(since),
            until=_aware(until),
            by=asked,
        )
    if as_json:
        print_json(found.to_json())
        return
    out.print(f"[bold]KPIs of {escape(str(store))}[/], {_window(found)}")
    out.print(_overall(found))
    for name, one in _lacking(found):
        if one.missing:
            out.print(f"[dim]{name}: {escape(_note(one))}[/]")
    if found.segments:
        out.print(_table(f"By {found.by}", found.segments))


def _by(by: str | None) -> By | None:
    if by is not None and by not in set(By):
        msg = f"--by must be one of {', '.join(By)}, found {by}"
        raise fail(msg)
    return None if by is None else By(by)


def _aware(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(tzinfo=at.tzinfo or UTC)


def _window(found: Kpis) -> str:
    ends = (found.since, "from {}"), (found.until, "until {}")
    told = [
        words.format(datetime.fromtimestamp(at, UTC).date())
        for at, words in ends
        if at is not None
    ]
    return " ".join(told) or "all tasks so far"


# --- the figures --------------------------------------------------------------------


def _overall(found: Kpis) -> Table:
    table = Table(box=None, pad_edge=False, title_justify="left")
    for column in ("", "value", "95 % interval", "rests on", "over time"):
        table.add_column(column, no_wrap=True)
    for name in FIGURES:
        one = getattr(found.overall, name)
        trend = sparkline([getattr(row, name).value for row in found.trend])
        table.add_row(_NAMES[name], *_cells(one, _COUNTED[name]), trend)
        for extra in _beside(name, found):
            table.add_row(*extra)
    table.add_row()
    for row in _service(found):
        table.add_row(*row)
    return table


def _cells(one: Estimate, counted: str) -> tuple[str, str, str]:
    if one.value is None:
        return "unknown", "", f"{one.n} {counted}"
    return f"{one.value:.1%}", _between(one), f"{one.n} {counted}"


def _between(one: Estimate) -> str:
    if one.low is None:
        return ""
    high = "nobody knows" if one.high is None else f"{one.high:.1%}"
    return f"{one.low:.1%} to {high}"


def _lacking(found: Kpis) -> Iterator[tuple[str, Estimate]]:
    """Yield each figure that could not be made, or leaves something out."""
    yield from ((_NAMES[name], getattr(found.overall, name)) for name in FIGURES)
    yield "kappa", found.kappa
    yield "bound of the miss rate", found.miss_bound
    yield "time to claim", found.service["time_to_claim_s"]


def _note(one: Estimate) -> str:
    """Return what is lacking, or left out."""
    if not one.missing:
        return ""
    return f"needs {one.missing}" if one.value is None else one.missing


def _beside(name: str, found: Kpis) -> Iterator[tuple[str, ...]]:
    """Yield what stands below a figure: how far reviewers agree; the bound."""
    if name == "appropriateness":
        for label, one in (("agreement", found.agreement), ("kappa", found.kappa)):
            value, between = _number(one) if label == "kappa" else _cells(one, "")[:2]
            yield f"  {label}", value, between, f"{one.n} pairs"
    if name == "miss_rate":
        one = found.miss_bound
        value = "unknown" if one.value is None else f"≤ {one.value:.1%}"
        yield "  at most", value, "", f"{one.n} audits"
    if name == "context_sufficiency":
        for part, one in found.missing_parts.items():
            yield f"  lacked {part}", *_cells(one, "ratings")


def _number(one: Estimate) -> tuple[str, str]:
    if one.value is None or one.low is None or one.high is None:
        return "unknown", ""
    return f"{one.value:.2f}", f"{one.low:.2f} to {one.high:.2f}"


def _service(found: Kpis) -> Iterator[tuple[str, ...]]:
    claim, oldest = found.service["time_to_claim_s"], found.service["oldest_waiting_s"]
    yield "time to claim", *_spans(claim), f"{claim.n} handoffs"
    age = "nothing waits" if oldest.value is None else span(oldest.value)
    yield "oldest waiting", age, "", f"{oldest.n} waiting"
    for name, counted in (
        ("drain_rate", "handoffs"),
        ("asked_again", "handoffs"),
        ("announced_recorded", "tasks"),
    ):
        yield _SERVICE[name], *_cells(found.service[name], counted)


def _spans(one: Estimate) -> tuple[str, str]:
    if one.value is None or one.low is None:
        return "unknown", ""
    high = "nobody knows" if one.high is None else span(one.high)
    return span(one.value), f"{span(one.low)} to {high}"


def span(seconds: float) -> str:
    """Return a span of time as people say it.

    Examples
    --------
    >>> span(42), span(90), span(7_500), span(200_000)
    ('42 s', '1.5 min', '2.1 h', '2.3 d')
    """
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= unit:
            return f"{timedelta(seconds=seconds) / timedelta(seconds=unit):.1f} {name}"
    return f"{seconds:.0f} s"


def sparkline(values: Sequence[float | None]) -> str:
    """Return values as a line of bars from the least to the greatest; · is unknown.

    Examples
    --------
    >>> sparkline([0.1, 0.2, None, 0.3])
    '▁▅·█'
    """
    known = [value for value in values if value is not None]
    if len(known) < 2:  # noqa: PLR2004 (one point is no line)
        return ""
    least, spread = min(known), max(known) - min(known)
    top = len(_BARS) - 1

    def bar(value: float) -> str:
        return _BARS[round(top * (value - least) / spread) if spread else top // 2]

    return "".join(_UNKNOWN if value is None else bar(value) for value in values)


# --- segments -----------------------------------------------------------------------


def _table(title: str, rows: Sequence[Row]) -> Table:
    table = Table(box=None, pad_edge=False, title=title, title_justify="left")
    table.add_column("")
    for name in FIGURES:
        table.add_column(_NAMES[name], overflow="fold")
    for row in rows:
        cells = (_short(getattr(row, name)) for name in FIGURES)
        table.add_row(escape(row.name or "(none)"), *cells)
    return table


def _short(one: Estimate) -> str:
    if one.value is None:
        return f"unknown, n {one.n}"
    return f"{one.value:.1%} ({_between(one)}), n {one.n}"
