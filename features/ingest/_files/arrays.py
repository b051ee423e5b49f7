"""A file that is one JSON array, element by element."""

from __future__ import annotations

from collections.abc import Iterator

from features.ingest._files import sources
from features.ingest._files.sources import Line, MalformedLineError, Source
from features.ingest._files.split import Outline, Splitter


def elements(source: Source) -> Iterator[tuple[Line, bytes]]:
    """Yield (line, JSON text) of each element of the array that `source` is.

    Raises
    ------
    MalformedLineError
        If the array is not closed by a bracket at the end, or more follows it.
    """
    outline = Outline(line=source.number)
    splitter = Splitter(
        outline=outline, limit=sources.MAX_LINE_BYTES + 1, offset=source.offset
    )
    begun, pieces = source.number, source.pieces()
    for piece in pieces:
        for line, offset, text in splitter.feed(piece):
            yield Line(line, offset), text
        if outline.closed:
            break
    else:
        raise MalformedLineError(
            field="array",
            expected=f"the array of line {begun} to be closed",
            found="its end",
        )
    if outline.closing != b"]":
        raise MalformedLineError(
            field="array",
            expected=f"the array of line {begun} to be closed by ]",
            found=f"}} on line {outline.line}",
        )
    if splitter.element.strip() or any(piece.strip() for piece in pieces):
        raise MalformedLineError(
            field="array",
            expected="nothing after the array",
            found=f"more after line {outline.line}",
        )


def first_element(source: Source) -> bytes:
    """Return the JSON text of the array's first element, as far as `head` has it."""
    splitter = Splitter(outline=Outline(), limit=sources.MAX_LINE_BYTES + 1)
    return next((text for _, _, text in splitter.feed(source.head)), b"")
