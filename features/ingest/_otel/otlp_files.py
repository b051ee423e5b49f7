"""Files of OTLP in protobuf, read message by message."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from features.ingest._files.sources import MAX_LINE_BYTES
from features.ingest._otel.otlp_protobuf import (
    LENGTH,
    MORE,
    VARINT_BYTES,
    broken,
    items_of,
    items_of_resource,
    varint,
)
from features.ingest._otel.spans import Item, MalformedSpanError

_PREFIX, _SKIPPED = 4, 64 * 2**10


@dataclass(slots=True)
class Bytes:
    """A stream of pieces, read by the number of bytes."""

    pieces: Iterator[bytes]
    offset: int = 0
    _held: bytearray = field(default_factory=bytearray)

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer at the end."""
        while len(self._held) < size and (piece := next(self.pieces, b"")):
            self._held += piece
        taken = bytes(memoryview(self._held)[:size])
        del self._held[:size]
        self.offset += len(taken)
        return taken

    def skip(self, size: int) -> None:
        """Read over `size` bytes."""
        while size > 0 and (taken := self.take(min(size, _SKIPPED))):
            size -= len(taken)

    def varint(self) -> int | None:
        """Return the next varint; None at the end.

        Raises
        ------
        MalformedSpanError
            If the stream ends within it, or it is too long.
        """
        read = bytearray()
        while byte := self.take(1):
            read += byte
            if byte[0] < MORE or len(read) > VARINT_BYTES:
                break
        return varint(memoryview(read), 0)[0] if read else None


Message = tuple[int, Iterable[Item]]  # where it begins, and what it holds


def prefixed(stream: Bytes) -> Iterator[Message]:
    """Yield the messages of a file in which each comes after its length.

    The length is four bytes, the highest first, as the Collector writes it.
    """
    while prefix := stream.take(_PREFIX):
        begun, size = stream.offset, int.from_bytes(prefix, "big")
        body = _body(stream, size)
        yield begun, [body] if isinstance(body, MalformedSpanError) else items_of(body)


def fields_in(stream: Bytes) -> Iterator[Message]:
    """Yield what each ResourceSpans or ResourceLogs of one message holds."""
    try:
        while (tag := stream.varint()) is not None:
            if tag != (1 << 3 | LENGTH):
                raise broken(found=f"a field of tag {tag}")
            begun, size = stream.offset, stream.varint()
            if size is None:
                raise broken(found="its end after a tag")
            body = _body(stream, size)
            if isinstance(body, MalformedSpanError):
                yield begun, [body]
            else:
                yield begun, items_of_resource(memoryview(body), "resource")
    except MalformedSpanError as error:
        yield stream.offset, [error]


def _body(stream: Bytes, size: int) -> bytes | MalformedSpanError:
    """Return the next `size` bytes, or why not; what is too long is read over."""
    if size > MAX_LINE_BYTES:
        stream.skip(size)
        return MalformedSpanError(
            place="message",
            expected=f"at most {MAX_LINE_BYTES} bytes; export smaller batches",
            found=f"{size}",
        )
    body = stream.take(size)
    if len(body) < size:
        return broken(found=f"{len(body)} of {size} bytes")
    return body
