"""Values of the data as a reader of a card wants them."""

from __future__ import annotations

from training.card.shown import UNKNOWN, Node, Phrase, Shown, say

_NOTHING: Phrase = (UNKNOWN,)
_MANY = 100


def _shown(node: Node, text: str) -> Phrase:
    return (Shown(text, node.at, node.value),)


def word(node: Node) -> Phrase:
    """Return text of the data as it stands; a dash where there is none."""
    return _shown(node, str(node.value)) if node.value not in {None, ""} else _NOTHING


def count(node: Node) -> Phrase:
    """Return a number of things, with separators.

    >>> count(Node("/n", 1200))[0].text
    '1,200'
    """
    return _shown(node, f"{node.value:,}") if node else _NOTHING


def number(node: Node, digits: int = 3) -> Phrase:
    """Return a number with so many decimals; a dash where it is undefined."""
    return _shown(node, f"{node.value:,.{digits}f}") if node else _NOTHING


def amount(node: Node) -> Phrase:
    """Return a number of things that need not be whole, as exact as is of use.

    >>> amount(Node("/n", 1250.0))[0].text, amount(Node("/n", 4.13))[0].text
    ('1,250', '4.1')
    """
    return number(node, 0 if node and node.value >= _MANY else 1)


def points(node: Node) -> Phrase:
    """Return a number without needless zeros.

    >>> points(Node("/x", 1.0))[0].text, points(Node("/x", 0.5))[0].text
    ('1', '0.5')
    """
    return _shown(node, f"{node.value:.3g}") if node else _NOTHING


def whole(node: Node) -> Phrase:
    """Return a share as percent, with a decimal only where it says something.

    >>> [whole(Node("/x", share))[0].text for share in (0.1, 0.004, 0.256)]
    ['10 %', '0.4 %', '26 %']
    """
    if not node:
        return _NOTHING
    percent = 100 * node.value
    small = 0 < abs(percent) < 10 and abs(percent - round(percent)) > 0.05  # noqa: PLR2004
    return _shown(node, f"{percent:.1f} %" if small else f"{percent:.0f} %")


def percent(node: Node) -> Phrase:
    """Return a share as percent with one decimal; a dash where it is undefined."""
    return _shown(node, f"{100 * node.value:.1f} %") if node else _NOTHING


def signed(node: Node, digits: int = 1, scale: float = 100.0) -> Phrase:
    """Return a difference with its sign, in points unless `scale` says otherwise."""
    return _shown(node, f"{scale * node.value:+z.{digits}f}") if node else _NOTHING


def value(found: Node, *, as_percent: bool = False, digits: int = 3) -> Phrase:
    """Return the value of an estimate; a dash where it is undefined."""
    node = found.get("value")
    return percent(node) if as_percent else number(node, digits)


def margin(found: Node, *, as_percent: bool = False, digits: int = 3) -> Phrase:
    """Return the interval of an estimate; nothing where there is none."""
    low, high = found.get("low"), found.get("high")
    # Known without an interval, such as what "always" escalates.
    if not low or not high or low.value == high.value:
        return ()
    if as_percent:
        ends = [_shown(end, f"{100 * end.value:.1f}") for end in (low, high)]
    else:
        ends = [number(end, digits) for end in (low, high)]
    return say("{low} to {high}", low=ends[0], high=ends[1])


def estimate(found: Node, *, as_percent: bool = True, digits: int = 3) -> Phrase:
    """Return an estimate with its interval in brackets.

    >>> from training.card.shown import flat
    >>> flat(estimate(Node("", {"value": 0.25, "low": 0.2, "high": 0.301})))
    '25.0 % (20.0 to 30.1)'
    """
    shown = value(found, as_percent=as_percent, digits=digits)
    around = margin(found, as_percent=as_percent, digits=digits)
    return (*shown, " (", *around, ")") if around else shown


def in_points(node: Node) -> Phrase:
    """Return a share as a number of percentage points, without the sign of percent."""
    return _shown(node, f"{100 * node.value:.3g}") if node else _NOTHING


def ends_in_points(found: Node) -> Phrase:
    """Return the interval of a difference of shares in points; nothing without one."""
    low, high = found.get("low"), found.get("high")
    if not low or not high:
        return ()
    return say("{low} to {high}", low=signed(low), high=signed(high))


def moved_points(found: Node) -> Phrase:
    """Return a difference of shares in points, with its interval in brackets."""
    around = ends_in_points(found)
    shown = signed(found.get("value"))
    return (*shown, " (", *around, ")") if around else shown
