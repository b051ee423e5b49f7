"""Records that tell one thing bit by bit, put together before they are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from features.ingest._talk.messages import Wire

PIECE = "\0piece"  # field of what is told of a thing after its end; no log has it


@dataclass(slots=True)
class Merger:
    """Holds what has begun until its end is told.

    What is told of a thing after its end comes as a piece of its own, with what the
    first telling said of its place.

    Attributes
    ----------
    place : tuple of str
        Fields that later records of a thing may leave out, beside its id.
    ends : tuple of str
        Fields of which one, not null, says that a thing has ended.
    """

    place: tuple[str, ...]
    ends: tuple[str, ...]
    _open: dict[str, tuple[int, Wire]] = field(default_factory=dict)
    _told: dict[str, tuple[int, Wire]] = field(default_factory=dict)

    def add(self, line: int, key: str, record: Wire) -> Iterator[tuple[int, Wire]]:
        """Yield (line, all that was told) of the thing `key` if it has ended."""
        record = {k: v for k, v in record.items() if v is not None and k != PIECE}
        if key in self._told:
            times, place = self._told[key]
            self._told[key] = times + 1, place
            yield line, place | record | {PIECE: f".{times}"}
            return
        line, before = self._open.pop(key, (line, {}))
        whole = before | record
        if any(name in whole for name in self.ends):
            yield self._whole(line, key, whole)
        else:
            self._open[key] = line, whole

    def rest(self) -> Iterator[tuple[int, Wire]]:
        """Yield what never ended."""
        for key, (line, whole) in self._open.items():
            yield self._whole(line, key, whole)
        self._open.clear()

    def _whole(self, line: int, key: str, whole: Wire) -> tuple[int, Wire]:
        place: dict[str, Any] = {n: whole[n] for n in self.place if n in whole}
        self._told[key] = 1, place
        return line, whole
