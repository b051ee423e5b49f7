"""Log files as streams of lines: opening, decompressing, decoding."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

import orjson

from features.ingest._files.split import Outline
from features.ingest._files.weight import is_heavy

MAX_LINE_BYTES = 32 * 2**20
MAX_WEIGHT = 64 * 2**20  # bytes that one line's values may occupy

_PIECE = 64 * 2**10
_SMALL_PIECE = 256  # where a single blank line is the rule
_MARGIN = 100  # bytes at either end of a line in which blanks are skipped
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


class RecordError(ValueError):
    """Something in a source that is not what its format asks for.

    Attributes
    ----------
    field : str
        What is wrong: a field of the record, or the ``line`` as such.
    expected, found : str
        What was asked for, and what stood there.
    """

    def __init__(
        self, *, expected: str, found: str, field: str = "line", advice: str = ""
    ) -> None:
        super().__init__(f"expected {expected}, found {found}" + advice)
        self.field = field
        self.expected = expected
        self.found = found


class MalformedLineError(RecordError):
    """A line that is not one JSON value, or is larger than the limits."""


class Line(int):
    """A line's number, from 1, that knows at which byte its text begins.

    A number like any other to whoever passes it on.

    Attributes
    ----------
    offset : int or None
        Byte of the file, of a compressed one once decompressed, from 0.
    """

    offset: int | None

    def __new__(cls, number: int, offset: int | None = None) -> Self:
        """Return the line `number`, whose text begins at byte `offset`."""
        line = super().__new__(cls, number)
        line.offset = offset
        return line


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
        If it is not one JSON value in UTF-8 (NaN is none), is too long, or holds so
        many values or wide characters that they would not fit in memory.
    """
    if len(line) > MAX_LINE_BYTES:
        raise MalformedLineError(
            expected=f"at most {MAX_LINE_BYTES} bytes of JSON", found="more"
        )
    if is_heavy(line, MAX_WEIGHT):
        raise MalformedLineError(
            expected=f"values that fit in {MAX_WEIGHT} bytes of memory",
            found=f"more in {len(line)} bytes of JSON",
            advice="; give each task, or each span, a line of its own",
        )
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise MalformedLineError(
            expected="one JSON value in UTF-8", found=str(error)
        ) from error


def _is_open(line: bytes) -> bool:
    """Return whether `line` begins a value that later lines close."""
    begin, end = line[:_MARGIN].lstrip()[:1], line[-_MARGIN:].rstrip()[-1:]
    return begin in (b"[", b"{") and end in (b"[", b"{", b",")


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
        The first line that is not blank, at most one byte over the limit. Where it
        begins a value laid out over several lines: up to the end of that value, or of
        the first element if it is an array.
    number : int
        The line `head` begins on, from 1.
    offset : int
        The byte `head` begins at, from 0.
    blank : bytes
        The blank lines before `head`, up to a few: a binary file may begin so.
    """

    path: Path
    stream: BinaryIO
    head: bytes = b""
    number: int = 1
    offset: int = 0
    blank: bytes = b""
    _ahead: BinaryIO = field(default_factory=io.BytesIO)

    def begin(self) -> None:
        """Read up to the first line that is not blank, and on if it is left open."""
        line = self._line()
        self.head = line.removeprefix(_BOM)
        self.offset = len(line) - len(self.head)
        while self.head.isspace():
            self.blank = (self.blank + self.head)[:_MARGIN]
            lines, size = self._skip_blank()
            self.number += 1 + lines
            self.offset += len(self.head) + size
            self.head = self._line()
        if _is_open(self.head):
            self._read_on()

    def _read_on(self) -> None:
        """Extend `head` by the lines that complete it; leave it if none does."""
        outline, ahead, line = Outline(), bytearray(), self.head
        is_array, cuts = line[:_MARGIN].lstrip()[:1] == b"[", 0
        while line and len(self.head) + len(ahead) <= MAX_LINE_BYTES:
            cuts += sum(1 for _ in outline.read(line))
            # the second cut of an array is the end of its first element
            if outline.closed or (is_array and cuts > 1):
                self.head += ahead
                return
            line = self._line()
            ahead += line
        self._ahead = io.BytesIO(ahead)

    @property
    def is_array(self) -> bool:
        """Whether the file is one array, to be read element by element.

        It is if the array is not closed on its first line, or too large to be read
        in one piece.
        """
        if self.head[:_MARGIN].lstrip()[:1] != b"[":
            return False
        whole = self.head[-_MARGIN:].rstrip().endswith(b"]")
        first = self.head[: self.head.find(b"\n") + 1] or self.head[-_MARGIN:]
        return (
            not whole
            or len(self.head) > MAX_LINE_BYTES
            or _is_open(b"[" + first[-_MARGIN:])
            or is_heavy(self.head, MAX_WEIGHT)
        )

    def lines(self) -> Iterator[tuple[Line, bytes]]:
        """Yield (number, line) of each line not blank; one too long comes cut.

        A first value over several lines comes as one.
        """
        number, offset = self.number, self.offset
        while self.head:
            passed, size = max(1, self.head.count(b"\n")), len(self.head)
            is_cut = not self.head.endswith(b"\n")
            if self.head.isspace():
                lines, blanks = self._skip_blank()
                passed, size = passed + lines, size + blanks
            else:
                yield Line(number, offset), self._pop_head()
            offset += size + (self._skip_line() if is_cut else 0)
            number += passed
            self.head = self._line()

    def _pop_head(self) -> bytes:
        """Return `head` and let go of it: whoever reads it alone decides how long."""
        head, self.head = self.head, b""
        return head

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes from `head` on, in pieces, never cut after a backslash."""
        piece, escape = self._pop_head(), b""
        while piece:
            piece = escape + piece
            # an odd one at the end belongs to what follows
            is_odd = (len(piece) - len(piece.rstrip(b"\\"))) % 2 == 1
            escape = b"\\" if is_odd else b""
            yield piece[:-1] if is_odd else piece
            piece = self._take(_PIECE)
        if escape:
            yield escape

    def beginning(self, size: int) -> bytes:
        """Return the first bytes of the file, `size` of them if it has so many.

        What is left of the last line they are from is read as well, and kept.
        """
        known = self.blank + self.head[:size]
        ahead = self._ahead.read()
        while len(known) + len(ahead) < size and (line := self._line()):
            ahead += line
        self._ahead = io.BytesIO(ahead)
        return (known + ahead[:size])[:size]

    def everything(self) -> Iterator[bytes]:
        """Yield the bytes of a binary file, in pieces."""
        if self.blank:
            yield self.blank
        yield from self.pieces()

    def _line(self) -> bytes:
        limit = MAX_LINE_BYTES + 1
        line = self._ahead.readline(limit)
        if line.endswith(b"\n") or len(line) == limit:
            return line
        return line + self.stream.readline(limit - len(line))

    def _take(self, size: int) -> bytes:
        return self._ahead.read(size) or self.stream.read(size)

    def _skip_blank(self) -> tuple[int, int]:
        """Read on to what is not blank; return the lines and bytes passed."""
        lines = size = 0
        while piece := self._take(_SMALL_PIECE if not lines else _PIECE):
            rest = piece.lstrip()
            passed = len(piece) - len(rest)
            lines += piece.count(b"\n", 0, passed)
            size += passed
            if rest:
                self._ahead = io.BytesIO(rest + self._ahead.read())
                break
        return lines, size

    def _skip_line(self) -> int:
        """Read to the end of the line; return how many bytes that were."""
        size, piece = 0, b"\0"
        while piece and not piece.endswith(b"\n"):
            piece = self._ahead.readline(_PIECE) or self.stream.readline(_PIECE)
            size += len(piece)
        return size


class _Guarded(io.RawIOBase):
    """Bytes whose reading fails with an error of ours."""

    def __init__(self, path: Path, inner: BinaryIO | gzip.GzipFile) -> None:
        super().__init__()
        self._path = path
        self._inner = inner

    def readable(self) -> bool:
        """Return that they can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer`; return how many bytes that were."""
        with _readable(self._path):
            piece = self._inner.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


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
    inner = gzip.GzipFile(fileobj=raw) if zipped else raw
    return io.BufferedReader(_Guarded(path, inner), _PIECE)
