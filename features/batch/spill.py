"""A log larger than memory, parted by a hash of the task into files that fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from features.batch.records import decoded, task_key

_BITS = 6  # of the hash that part a log: 64 files are open at once
_DEEPEST = 64 // _BITS - 1  # tasks whose hashes agree so far are not parted
_BUFFER = 1 << 18


@dataclass(slots=True)
class Bucket:
    """Lines of the tasks whose hashes begin alike.

    Attributes
    ----------
    path : Path
        One line per event, in log order.
    size : int
        Its length, bytes.
    task_id : str
        A task in it.
    is_mixed : bool
        Whether it holds another one, so that it can be parted.
    """

    path: Path
    size: int
    task_id: str
    is_mixed: bool


def spill(
    lines: Iterable[bytes], folder: Path, *, most: int, depth: int = 0
) -> Iterator[Bucket]:
    """Yield the buckets of `lines`, in the order of the tasks' hashes.

    Parameters
    ----------
    folder : Path
        Where their files are made; whoever takes a bucket removes its file.
    most : int
        Bytes above which a bucket is parted again.
    """
    for bucket in _parted(lines, folder, depth):
        if bucket.size > most and bucket.is_mixed and depth < _DEEPEST:
            inside = folder / f"{bucket.path.name}-"
            inside.mkdir()
            yield from spill(lines_of(bucket.path), inside, most=most, depth=depth + 1)
            bucket.path.unlink()
        else:
            yield bucket


def lines_of(path: Path) -> Iterator[bytes]:
    """Yield the lines of a bucket's file, without their ends."""
    with path.open("rb") as file:
        for line in file:
            yield line[:-1]


def _parted(lines: Iterable[bytes], folder: Path, depth: int) -> list[Bucket]:
    found: dict[int, Bucket] = {}
    files: dict[int, BinaryIO] = {}
    with ExitStack() as stack:
        for line in lines:
            task_id = decoded(line).task_id
            number = _digit(task_key(task_id), depth)
            bucket = found.get(number)
            if bucket is None:
                path = folder / f"{number:02}"
                bucket = found[number] = Bucket(path, 0, task_id, is_mixed=False)
                file = path.open("wb", buffering=_BUFFER)
                files[number] = stack.enter_context(file)
            files[number].write(line + b"\n")
            bucket.size += len(line) + 1
            bucket.is_mixed |= bucket.task_id != task_id
    return [found[number] for number in sorted(found)]


def _digit(key: bytes, depth: int) -> int:
    """Return the `depth`-th group of bits of a task's place."""
    bits = int.from_bytes(key[:8]) << _BITS * depth
    return bits >> (64 - _BITS) & ((1 << _BITS) - 1)
