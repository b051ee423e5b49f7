"""Export requests in JSON too large to be decoded whole, span by span.

The Collector writes a batch of thousands of spans on one line. As text that is little;
decoded it may be more than memory should hold. So the spans are cut out of the text,
each to be decoded when its turn comes, and what is left, with a number in each one's
place, is decoded as the request.
"""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass
from typing import Any

from features.ingest._files.sources import MalformedLineError, decode
from features.ingest._otel.spans import MalformedSpanError

# A key is never inside of a string: there its quotes would have a backslash.
_ITEMS = re.compile(rb'"(?:spans|logRecords|log_records|logs)"\s*+:\s*+\[')
_MARK = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{},]', re.DOTALL)
_LEAST = 32  # bytes; the ids of a span alone take more
_OPENING, _CLOSING = (b"[", b"{"), (b"]", b"}")


@dataclass(frozen=True, slots=True)
class Parts:
    """A request whose spans are numbers: places of their text.

    Attributes
    ----------
    text : bytes
        The whole request.
    request : Any
        The request, decoded, with numbers for spans and log records.
    begins, ends : array of int
        Where each one's text stands.
    """

    text: bytes
    request: Any
    begins: array[int]
    ends: array[int]

    def item(self, raw: Any) -> Any:
        """Return the span or log record that stands in the place of `raw`.

        Raises
        ------
        MalformedSpanError
            If its text is no JSON, or too large.
        """
        try:
            return decode(self.text[self.begins[raw] : self.ends[raw]])
        except MalformedLineError as error:
            raise MalformedSpanError(
                place="", expected=error.expected, found=error.found
            ) from error


def parts_of(text: bytes) -> Parts:
    """Return the request that `text` is, taken apart.

    Raises
    ------
    MalformedLineError
        If it is no JSON, or too large even without its spans.
    """
    begins, ends = array("Q"), array("Q")
    kept, at = [], 0
    while found := _ITEMS.search(text, at):
        first = len(begins)
        kept.append(text[at : found.end()])
        at = _elements(text, found.end(), begins, ends)
        if len(begins) == first + 1 and not text[begins[first] : ends[first]].strip():
            del begins[first], ends[first]  # an empty array
        kept.append(b",".join(b"%d" % number for number in range(first, len(begins))))
    kept.append(text[at:])
    return Parts(text, decode(b"".join(kept)), begins, ends)


def _elements(text: bytes, at: int, begins: array[int], ends: array[int]) -> int:
    """Note where the elements of the array open at `at` stand; return where it ends.

    One that is not closed ends with the text, so that nothing is looked at twice.
    """
    depth, begin = 0, at
    for mark in _MARK.finditer(text, at):
        byte = mark[0]
        if byte in _OPENING:
            depth += 1
        elif byte in _CLOSING:
            depth -= 1
        if depth < 0 or (byte == b"," and depth == 0):
            begins.append(begin)
            ends.append(mark.start())
            begin = mark.end()
        if depth < 0:
            return mark.start()
        if len(begins) * _LEAST > len(text):
            raise MalformedLineError(
                expected="spans and log records", found="too many values of no size"
            )
    return len(text)
