"""Numbers as a reader of a card wants them."""

from __future__ import annotations

from collections.abc import Mapping

Interval = Mapping[str, float | None] | None

UNKNOWN = "–"  # noqa: RUF001 - typographic dash


def whole(share: float) -> str:
    """Return a share as percent, with a decimal only where it says something.

    >>> whole(0.1), whole(0.004), whole(0.256)
    ('10 %', '0.4 %', '26 %')
    """
    percent = 100 * share
    small = 0 < abs(percent) < 10 and abs(percent - round(percent)) > 0.05  # noqa: PLR2004
    return f"{percent:.1f} %" if small else f"{percent:.0f} %"


def points(value: float) -> str:
    """Return a number without needless zeros.

    >>> points(1.0), points(0.5)
    ('1', '0.5')
    """
    return f"{value:.3g}"


def value(found: Interval, *, percent: bool = False, digits: int = 3) -> str:
    """Return the value of an estimate; a dash where it is undefined."""
    if found is None or found["value"] is None:
        return UNKNOWN
    return (
        f"{100 * found['value']:.1f} %" if percent else f"{found['value']:.{digits}f}"
    )


def margin(found: Interval, *, percent: bool = False, digits: int = 3) -> str:
    """Return the interval of an estimate; nothing where there is none."""
    if found is None or found["low"] is None or found["high"] is None:
        return ""
    low, high = found["low"], found["high"]
    if low == high:  # known without an interval, such as what "always" escalates
        return ""
    if percent:
        return f"{100 * low:.1f} to {100 * high:.1f}"
    return f"{low:.{digits}f} to {high:.{digits}f}"


def estimate(found: Interval) -> str:
    """Return an estimated share with its interval, in percent.

    >>> estimate({"value": 0.25, "low": 0.2, "high": 0.301})
    '25.0 % (20.0 to 30.1)'
    """
    around = margin(found, percent=True)
    shown = value(found, percent=True)
    return f"{shown} ({around})" if around else shown
