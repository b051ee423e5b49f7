"""Log files as streams of lines: opening, decompressing, decoding."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

MAX_LINE_BYTES = 32 * 2**20

_PIECE = 64 * 2**10
_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"


class SourceError(Exception):
    """A source that cannot be read; the subclasses say why."""

    def __init__(self, path: Path, expected: str, found: str) -> None:
        super().__init__(f"source {str(path)!r}: expected {expected}, found {found}")
        self.path = path


class MissingSourceError(SourceError):
    """A source that does not exist."""


class NotAFileError(SourceError):
    """A source that is a directory."""


class UnreadableSourceError(SourceError):
    """A source that the operating system will not let us read."""


class BrokenGzipError(SourceError):
    """A source whose gzip stream is damaged, cut short or not gzip at all."""


class MalformedLineError(ValueError):
    """A line that is not one JSON value, or is larger than the limit."""


def check_exists(path: Path) -> None:
    """Raise unless `path` names something that can be opened.

    Raises
    ------
    MissingSourceError
        If nothing is there.
    NotAFileError
        If it is a directory.
    UnreadableSourceError
        If the operating system will not say.
    """
    with _readable(path):
        found = path.exists()
    if not found:
        raise MissingSourceError(path, "a file", "nothing at this path")
    if path.is_dir():
        raise NotAFileError(path, "a file", "a directory; name the files in it")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what reading raises into an error of ours."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BrokenGzipError(path, "a whole gzip file", str(error)) from error
    except OSError as error:
        raise UnreadableSourceError(path, "a readable file", str(error)) from error


def decode(line: bytes) -> Any:
    """Return the JSON value of `line`.

    Raises
    ------
    MalformedLineError
        If it is not one JSON value in UTF-8 (NaN is none), or is too long.
    """
    if len(line) > MAX_LINE_BYTES:
        msg = f"expected at most {MAX_LINE_BYTES} bytes of JSON, found more"
        raise MalformedLineError(msg)
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        msg = f"expected one JSON value in UTF-8, found: {error}"
        raise MalformedLineError(msg) from error


@dataclass(slots=True)
class Source:
    """One open file, read once from front to back.

    Attributes
    ----------
    path : Path
        Where it is.
    stream : BinaryIO
        Its bytes, decompressed.
    head : bytes
        The first line that is not blank, at most one byte over the limit.
    number : int
        The line `head` stands on, from 1.
    """

    path: Path
    stream: BinaryIO
    head: bytes = b""
    number: int = 1

    def begin(self) -> None:
        """Read up to the first line that is not blank."""
        self.head = self._line().removeprefix(_BOM)
        while self.head.isspace():
            self.head = self._line()
            self.number += 1

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield (number, line) of each line not blank; one too long comes cut."""
        number, line = self.number, self.head
        while line:
            if not line.isspace():
                yield number, line
            if not line.endswith(b"\n"):
                self._skip_line()
            number, line = number + 1, self._line()

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes from `head` on, in pieces, never cut after a backslash."""
        piece = self.head
        while piece:
            while piece.endswith(b"\\") and (more := self._take(_PIECE)):
                piece += more
            yield piece
            piece = self._take(_PIECE)

    def _line(self) -> bytes:
        return self._guarded(self.stream.readline, MAX_LINE_BYTES + 1)

    def _take(self, size: int) -> bytes:
        return self._guarded(self.stream.read, size)

    def _skip_line(self) -> None:
        piece = b"\0"
        while piece and not piece.endswith(b"\n"):
            piece = self._guarded(self.stream.readline, _PIECE)

    def _guarded(self, reader: Callable[[int], bytes], size: int) -> bytes:
        with _readable(self.path):
            return reader(size)


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """Open `path`, gzip or not, as a `Source` that has begun.

    Gzip is told by its first bytes; a name in ``.gz`` without them is an error.

    Raises
    ------
    MissingSourceError, NotAFileError, UnreadableSourceError
        If there is no file, or none that may be read.
    BrokenGzipError
        If the gzip stream is damaged. What came before the damage has landed.
    """
    check_exists(path)
    with _readable(path):
        raw = path.open("rb")
    with raw:
        stream = _plain(path, raw)
        source = Source(path, stream)
        source.begin()
        yield source


def _plain(path: Path, raw: io.BufferedReader) -> BinaryIO:
    """Return `raw`, decompressed where its first bytes say gzip."""
    with _readable(path):
        zipped = raw.peek(len(_GZIP))[: len(_GZIP)] == _GZIP
    if path.suffix == ".gz" and not zipped:
        raise BrokenGzipError(
            path, "gzip, as the name says", "other bytes; rename or compress it"
        )
    return io.BufferedReader(gzip.GzipFile(fileobj=raw)) if zipped else raw
