"""A file that is one JSON array, element by element."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from features.ingest._sources import MAX_LINE_BYTES, MalformedLineError, Source

_MARK = re.compile(rb'\\.|["\[\]{},\n]', re.DOTALL)
_OPENING = (b"[", b"{")
_CLOSING = (b"]", b"}")


@dataclass(slots=True)
class _Splitter:
    """Cuts bytes at the commas of the outermost array; reads no value itself."""

    line: int
    depth: int = 0
    quoted: bool = False
    closed: bool = False
    begun: int = 0  # line on which the current element's bytes begin
    element: bytearray = field(default_factory=bytearray)

    def feed(self, piece: bytes) -> Iterator[tuple[int, bytes]]:
        begin = 0
        for mark in _MARK.finditer(piece):
            if not self._cuts(mark[0]):
                continue
            yield from self._cut(piece[begin : mark.start()])
            begin = mark.end()
            if self.closed:
                break
        self._keep(piece[begin:])

    def _cuts(self, mark: bytes) -> bool:
        """Follow one mark; tell whether an element begins or ends at it."""
        if mark == b"\n":
            self.line += 1
        elif mark == b'"':
            self.quoted = not self.quoted
        elif self.quoted:
            return False
        elif mark in _OPENING:
            self.depth += 1
            return self.depth == 1
        elif mark in _CLOSING:
            self.depth -= 1
            self.closed = self.depth == 0
            return self.closed
        return mark == b"," and self.depth == 1

    def _cut(self, rest: bytes) -> Iterator[tuple[int, bytes]]:
        self._keep(rest)
        whole, begun = bytes(self.element), self.begun
        self.element.clear()
        self.begun = self.line
        text = whole.lstrip()
        if text:
            yield begun + whole[: len(whole) - len(text)].count(b"\n"), whole

    def _keep(self, part: bytes) -> None:
        # one byte over the limit is enough for the element to be refused
        self.element += part[: MAX_LINE_BYTES + 1 - len(self.element)]


def elements(source: Source) -> Iterator[tuple[int, bytes]]:
    """Yield (line, JSON text) of each element of the array that `source` is.

    Raises
    ------
    MalformedLineError
        If the array is not closed at the end, or more follows it.
    """
    splitter = _Splitter(line=source.number, begun=source.number)
    for piece in source.pieces():
        if splitter.closed:
            splitter.element += piece.strip()[:1]
            continue
        yield from splitter.feed(piece)
    if not splitter.closed:
        msg = f"expected the array of line {source.number} to be closed, found its end"
        raise MalformedLineError(msg)
    if splitter.element.strip():
        msg = f"expected nothing after the array, found more on line {splitter.line}"
        raise MalformedLineError(msg)
