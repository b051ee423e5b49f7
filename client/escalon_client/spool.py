"""Spool: what could not be sent, on the disk, in order, until it is.

One file for each task, one call for each line. A line is on the disk before anybody is
told that it is kept; a last line that a crash cut short was never told to anybody, and
is dropped. A file goes once all of it was sent: the service knows events by their ids,
so that sending some of them twice changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Line = Mapping[str, Any]


class Spool:
    """Keeps calls in a directory. Safe from many threads of one process.

    Parameters
    ----------
    directory : Path
        Made when it is first needed. It belongs to one process.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._gate = threading.Lock()

    def add(self, task_id: str, line: Line) -> None:
        """Keep `line`, behind all that is kept of its task; return once it is durable.

        Raises
        ------
        OSError
            If the disk cannot take it: then it is not kept.
        """
        data = _written({"task_id": task_id, **line})
        with self._gate:
            self._directory.mkdir(parents=True, exist_ok=True)
            path = self._path(task_id)
            is_new = not path.exists()
            with path.open("ab") as file:
                file.truncate(_whole(path))
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if is_new:
                self._sync()

    def lines(self, task_id: str) -> list[Line]:
        """Return what is kept of a task, in order."""
        with self._gate:
            return _read(self._path(task_id))

    def has(self, task_id: str) -> bool:
        """Whether anything is kept of a task."""
        return self._path(task_id).exists()

    def task_ids(self) -> Iterator[str]:
        """Yield the tasks of which something is kept."""
        for path in sorted(self._directory.glob("*.jsonl")):
            lines = _read(path)
            if lines:
                yield str(lines[0]["task_id"])

    def drop(self, task_id: str, sent: int) -> None:
        """Forget the first `sent` lines of a task, all of which the service has."""
        with self._gate:
            path = self._path(task_id)
            left = _read(path)[sent:]
            if not left:
                path.unlink(missing_ok=True)
                return
            # Came in while the others were sent: they stay, in their order.
            draft = path.with_suffix(".draft")
            with draft.open("wb") as file:
                file.writelines(map(_written, left))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            self._sync()

    def _path(self, task_id: str) -> Path:
        # An id may hold what no file name can.
        name = hashlib.sha256(task_id.encode("utf-8", "surrogatepass")).hexdigest()
        return self._directory / f"{name[:32]}.jsonl"

    def _sync(self) -> None:
        """Have the disk know the names in the directory."""
        directory = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _whole(path: Path) -> int:
    """Return how many bytes at the start of a file are whole lines."""
    return path.read_bytes().rfind(b"\n") + 1


def _read(path: Path) -> list[Line]:
    if not path.exists():
        return []
    whole = path.read_bytes()[: _whole(path)]
    return [json.loads(line) for line in whole.splitlines()]


def _written(line: Line) -> bytes:
    # ASCII: whatever the text of a user holds, a line ends where it ends.
    return json.dumps(line, allow_nan=False).encode("ascii") + b"\n"
