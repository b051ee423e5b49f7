"""What a JSON text will need in memory once decoded, estimated from its bytes.

A value costs far more as an object than as text: a two-byte number in a list twenty
times its text, an empty object thirty times, and one emoji makes every character of its
string four bytes. So a text is weighed before it is decoded. The figures are those of
CPython 3.11 on 64 bits, rounded up, with what the decoder itself needs meanwhile.
"""

from __future__ import annotations

import re
import sys
from typing import Any

_STRING_COST = 64  # header of a short string, rounded up as the allocator does
_NUMBER = 56  # its place in a list, the number, the decoder's node of it
_ENTRY = 24  # of an object: what a name that was seen before costs
_NEW_NAME = 32  # of an object: what a table that grows takes meanwhile
_OPENING = {b"[": 96, b"{": 232}
_NAMES = 2_048  # that the decoder remembers, up to a length
_LONGEST_NAME = 64

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+("?)(\s*:)?', re.DOTALL)
_NESTED = re.compile(rb'"(?:\s|\\[nrt])*(?:[\[{]|\\u00[57][bB])')
_ASTRAL = re.compile(rb"[\xf0-\xff]|\\u[dD][89aAbB]")
_WIDE = re.compile(rb"[\xc4-\xff]|\\u(?!00)")


def is_heavy(text: bytes, limit: int) -> bool:
    """Return whether the value of `text` may need more than `limit` bytes.

    A string that looks like JSON counts as what it says, for it may be decoded too.
    """
    strings = (text.count(b'"') - text.count(b'\\"')) // 2
    if len(text) + strings * _STRING_COST // 2 > limit:
        return True  # whatever the strings are; and few enough to look at each
    return _at_most(text) > limit and _weight(text, limit) > limit


def _at_most(text: bytes) -> int:
    """Return a bound: marks inside strings count as if they were structure."""
    strings = text.count(b'"') // 2 * (_STRING_COST + _NEW_NAME)
    whole = _structure(text, 0, len(text)) + _text(text, 0, len(text))
    return _NUMBER + whole + strings


def _weight(text: bytes, limit: int) -> int:
    """Return about how many bytes the value of `text` occupies, rather too many.

    Beyond `limit` it is told no closer.
    """
    structure, strings, names = _structure(text, 0, len(text)), 0, set[bytes]()
    for string in _STRING.finditer(text):
        begin, end = string.start(), string.end(1)
        if _NESTED.match(text, begin):
            quotes = text.count(b'\\"', begin, end)
            strings += quotes // 2 * (_STRING_COST + _NEW_NAME)
        else:
            structure -= _structure(text, begin, end)
        if string[2] and end - begin <= _LONGEST_NAME and len(names) < _NAMES:
            name = text[begin:end]
            if name in names:
                continue
            names.add(name)
        strings += _STRING_COST + _text(text, begin, end)
        strings += _NEW_NAME if string[2] else 0
        if strings > limit:
            break
    return _NUMBER + structure + strings


def _structure(text: bytes, begin: int, end: int) -> int:
    marks = text.count(b",", begin, end) * _NUMBER
    marks += text.count(b":", begin, end) * _ENTRY
    return marks + sum(
        text.count(mark, begin, end) * cost for mark, cost in _OPENING.items()
    )


def _text(text: bytes, begin: int, end: int) -> int:
    """Return the bytes of the characters there: four each if one of them is wide."""
    if _ASTRAL.search(text, begin, end):
        return 4 * (end - begin)
    return (2 if _WIDE.search(text, begin, end) else 1) * (end - begin)


def size_of(value: Any) -> int:
    """Return the bytes that a decoded value occupies, names of fields left out."""
    size, inside = 0, [value]
    while inside:
        one = inside.pop()
        size += sys.getsizeof(one)
        if isinstance(one, dict):
            inside.extend(one.values())
        elif isinstance(one, list):
            inside.extend(one)
    return size
