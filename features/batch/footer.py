"""Parquet files joined by their bytes: row groups are copied, footers are merged.

Encoding is what writing a wide table costs, and one writer encodes on one core. So each
process writes a file of its own, and the files become one: their row groups follow each
other as they are, and one footer is made of theirs, its offsets moved.

References
----------
Apache Parquet, "parquet.thrift" (FileMetaData, RowGroup, ColumnChunk, ColumnMetaData)
and Apache Thrift, "Thrift Compact protocol encoding".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

MAGIC = b"PAR1"
_TAIL = 8  # length of the footer (4 bytes, little endian), then the magic

# Types of the compact protocol.
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64 = 1, 2, 3, 4, 5, 6
_DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 7, 8, 9, 10, 12
_WHOLE = frozenset({_I16, _I32, _I64})

# Fields by their number in parquet.thrift.
_NUM_ROWS, _ROW_GROUPS = 3, 4
_COLUMNS, _GROUP_OFFSET, _ORDINAL = 1, 5, 7
_CHUNK_OFFSET, _CHUNK_META = 2, 3
_CHUNK_OFFSETS = (_CHUNK_OFFSET, 4, 6)  # and of the indices
_META_OFFSETS = (9, 10, 11, 14)  # data, index and dictionary pages, Bloom filter

Struct = dict[int, tuple[int, Any]]


class JoinError(ValueError):
    """Parquet files that cannot become one."""


class _Reader:
    """Reads a struct of the compact protocol, of whatever schema."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the bit that says "more follows"
                return value
            shift += 7

    def _whole(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _bytes(self, n: int) -> bytes:
        self._at += n
        return self._data[self._at - n : self._at]

    def _value(self, kind: int) -> Any:
        if kind in _WHOLE:
            return self._whole()
        match kind:
            case 12:
                return self.struct()
            case 8:
                return self._bytes(self._varint())
            case 9 | 10:
                return self._list()
            case 7:
                return self._bytes(8)
            case _:
                return self._byte()

    def _list(self) -> tuple[int, list[Any]]:
        head = self._byte()
        size = head >> 4
        kind = head & 0x0F
        if size == 15:  # noqa: PLR2004 - four bits that say "the size follows"
            size = self._varint()
        return kind, [self._value(kind) for _ in range(size)]

    def struct(self) -> Struct:
        """Return the struct's fields: type and value by number."""
        fields: Struct = {}
        number = 0
        while head := self._byte():
            kind = head & 0x0F
            number = number + (head >> 4) if head >> 4 else self._whole()
            value = kind == _TRUE if kind in {_TRUE, _FALSE} else self._value(kind)
            fields[number] = (kind, value)
        return fields


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _whole(value: int) -> bytes:
    return _varint(value << 1 if value >= 0 else (-value << 1) - 1)


def _encoded(kind: int, value: Any) -> bytes:
    if kind in _WHOLE:
        return _whole(value)
    match kind:
        case 12:
            return b"".join(_fields(value))
        case 8:
            return b"".join((_varint(len(value)), value))
        case 9 | 10:
            of, items = value
            few = len(items) < 15  # noqa: PLR2004 - what four bits can say
            size = bytes([len(items) << 4 | of]) if few else bytes([0xF0 | of])
            head = size if few else size + _varint(len(items))
            return head + b"".join(_encoded(of, item) for item in items)
        case 7:
            return bytes(value)
        case _:
            return bytes([value])


def _fields(struct: Struct) -> Iterator[bytes]:
    last = 0
    for number, (kind, value) in sorted(struct.items()):
        near = 0 < number - last < 16  # noqa: PLR2004 - what four bits can say
        tag = kind
        if kind in {_TRUE, _FALSE}:
            tag = _TRUE if value else _FALSE
        yield (
            bytes([(number - last) << 4 | tag])
            if near
            else (bytes([tag]) + _whole(number))
        )
        if kind not in {_TRUE, _FALSE}:
            yield _encoded(kind, value)
        last = number
    yield b"\0"


def _moved(struct: Struct, numbers: tuple[int, ...], by: int) -> None:
    for number in numbers:
        if number in struct:
            kind, value = struct[number]
            # Zero stands for "not told" where writers no longer tell it.
            struct[number] = (kind, value + by if value else 0)


def _move_group(group: Struct, by: int, ordinal: int) -> None:
    _moved(group, (_GROUP_OFFSET,), by)
    if _ORDINAL in group:
        group[_ORDINAL] = (_I16, ordinal)
    for chunk in group[_COLUMNS][1][1]:
        _moved(chunk, _CHUNK_OFFSETS, by)
        _moved(chunk[_CHUNK_META][1], _META_OFFSETS, by)


def _footer(file: BinaryIO, path: Path) -> tuple[Struct, int]:
    """Return the footer of a Parquet file, and where it begins."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _TAIL))
    tail = file.read(_TAIL)
    if tail[4:] != MAGIC:
        msg = f"{path} is no Parquet file"
        raise JoinError(msg)
    begin = size - _TAIL - int.from_bytes(tail[:4], "little")
    file.seek(begin)
    return _Reader(file.read(size - _TAIL - begin)).struct(), begin


class Joined:
    """One Parquet file made of others with the same schema, in the order added."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._footer: Struct | None = None
        self._groups: list[bytes] = []
        self._rows = 0
        target.write(MAGIC)

    def add(self, path: Path) -> int:
        """Append the row groups of the file at `path`; return its row count.

        Raises
        ------
        JoinError
            If it is no Parquet file, or its columns are not those of the others.
        """
        with path.open("rb") as file:
            footer, end = _footer(file, path)
            self._check_schema(footer, path)
            by = self._target.tell() - len(MAGIC)
            file.seek(len(MAGIC))
            left = end - len(MAGIC)
            while left and (chunk := file.read(min(left, 1 << 22))):
                self._target.write(chunk)
                left -= len(chunk)
        for group in footer[_ROW_GROUPS][1][1]:
            _move_group(group, by, len(self._groups))
            # As bytes: footers of thousands of groups are small, their trees are not.
            self._groups.append(_encoded(_STRUCT, group))
        rows = int(footer[_NUM_ROWS][1])
        self._rows += rows
        return rows

    def _check_schema(self, footer: Struct, path: Path) -> None:
        if self._footer is None:
            self._footer = {n: f for n, f in footer.items() if n != _ROW_GROUPS}
        elif footer[2] != self._footer[2]:
            msg = f"{path} has other columns than the files before it"
            raise JoinError(msg)

    def close(self) -> int:
        """Write the footer; return the row count of the whole.

        Raises
        ------
        JoinError
            If nothing was added.
        """
        if self._footer is None:
            msg = "no file was added: a Parquet file needs a schema"
            raise JoinError(msg)
        head = self._footer | {_NUM_ROWS: (_I64, self._rows)}
        groups = _list_head(len(self._groups)) + b"".join(self._groups)
        footer = b"".join(_with_groups(head, groups))
        self._target.write(footer)
        self._target.write(len(footer).to_bytes(4, "little") + MAGIC)
        return self._rows


def _list_head(size: int) -> bytes:
    return bytes([0xF0 | _STRUCT]) + _varint(size)


def _with_groups(head: Struct, groups: bytes) -> Iterator[bytes]:
    """Yield the footer's bytes; row groups, encoded already, stand between."""
    before = {n: f for n, f in head.items() if n < _ROW_GROUPS}
    after = {n: f for n, f in head.items() if n > _ROW_GROUPS}
    *parts, _ = _fields(before)
    yield from parts
    yield bytes([(_ROW_GROUPS - _NUM_ROWS) << 4 | _LIST]) + groups
    # The first field after is told by its distance from the row groups.
    parts = list(_fields({n - _ROW_GROUPS: f for n, f in after.items()}))
    yield from parts
