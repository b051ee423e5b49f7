"""JSON values in a stream of bytes, cut apart without reading any of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_MARK = re.compile(rb'\\.|["\[\]{},\n]', re.DOTALL)
_OPENING = (b"[", b"{")
_CLOSING = (b"]", b"}")


@dataclass(slots=True)
class Outline:
    """How deep the bytes read so far stand inside brackets.

    Attributes
    ----------
    line : int
        Line of the last byte read.
    depth : int
        Brackets open.
    quoted : bool
        Whether a string is open.
    closed : bool
        Whether the outermost bracket was closed.
    closing : bytes
        By which mark it was.
    """

    line: int = 1
    depth: int = 0
    quoted: bool = False
    closed: bool = False
    closing: bytes = b""

    def read(self, piece: bytes) -> Iterator[tuple[int, int]]:
        """Yield (begin, end) of each mark at which an outermost element ends or begins.

        A piece must not end in a backslash. Stops where the outermost bracket closes.
        """
        for mark in _MARK.finditer(piece):
            if self._cuts(mark[0]):
                yield mark.span()
                if self.closed:
                    return

    def _cuts(self, mark: bytes) -> bool:
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
            self.closing = mark
            return self.closed
        return mark == b"," and self.depth == 1


@dataclass(slots=True)
class Splitter:
    """Cuts bytes at the commas of the outermost array.

    Attributes
    ----------
    outline : Outline
        Where the bytes read so far end.
    limit : int
        Bytes kept of one element: one more than is allowed suffices to refuse it.
    offset : int
        Bytes read so far.
    element : bytearray
        What was read of the current element.
    """

    outline: Outline
    limit: int
    offset: int = 0
    element: bytearray = field(default_factory=bytearray)
    _begun: tuple[int, int] = (1, 0)  # line and offset of the current element

    def feed(self, piece: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Yield (line, offset, JSON text) of each element that ends in `piece`."""
        at, base = 0, self.offset
        for begin, end in self.outline.read(piece):
            self._keep(piece, at, begin)
            yield from self._cut(base + end)
            at = end
        self._keep(piece, at, len(piece))
        self.offset = base + len(piece)

    def _cut(self, offset: int) -> Iterator[tuple[int, int, bytes]]:
        whole, (line, begun) = bytes(self.element), self._begun
        self.element = bytearray()
        self._begun = (self.outline.line, offset)
        blank = len(whole) - len(whole.lstrip())
        if blank < len(whole):
            yield line + whole.count(b"\n", 0, blank), begun + blank, whole

    def _keep(self, piece: bytes, begin: int, end: int) -> None:
        room = self.limit - len(self.element)
        self.element += memoryview(piece)[begin : min(end, begin + room)]
