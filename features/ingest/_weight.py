"""What a JSON text will need in memory once decoded, estimated from its bytes.

A value costs far more as an object than as text: a two-byte number in a list twenty
times its text, an empty object thirty times, and one emoji makes every character of its
string four bytes. So a text is weighed before it is decoded. The figures are those of
CPython 3.11 on 64 bits, rounded up, with what the decoder itself needs meanwhile.
"""

from __future__ import annotations

import re

_STRING_COST = 76  # header of a string that is not ASCII
_SEPARATORS = {
    # an item: its place in a list, a number, the decoder's node
    b",": 56,
    # an entry of an object: its share of a table that grew, its key
    b":": 112,
    b"[": 96,
    b"{": 232,
}
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_ASTRAL = re.compile(rb"[\xf0-\xff]|\\u[dD][89aAbB]")
_WIDE = re.compile(rb"[\xc4-\xff]|\\u(?!00)")


def weight(text: bytes) -> int:
    """Return about how many bytes the value of `text` occupies; at most too many.

    Marks inside strings count as if they were structure; see `exact_weight`.
    """
    marks = sum(text.count(mark) * cost for mark, cost in _SEPARATORS.items())
    strings = text.count(b'"') // 2 * _STRING_COST
    return marks + strings + _width(text, 0, len(text)) * len(text)


def exact_weight(text: bytes) -> int:
    """Return the same, of structure alone and each string by its own characters.

    Takes a look at every string: some seconds for the largest text allowed.
    """
    total = sum(text.count(mark) * cost for mark, cost in _SEPARATORS.items())
    for string in _STRING.finditer(text):
        begin, end = string.span()
        inside = sum(text.count(m, begin, end) * c for m, c in _SEPARATORS.items())
        total += _STRING_COST + _width(text, begin, end) * (end - begin) - inside
    return total


def _width(text: bytes, begin: int, end: int) -> int:
    """Return the bytes per character of the widest string that may stand there."""
    if _ASTRAL.search(text, begin, end):
        return 4
    return 2 if _WIDE.search(text, begin, end) else 1
