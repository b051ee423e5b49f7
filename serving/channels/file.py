"""File: messages as lines of a file, for a laptop, for tests, for whoever tails it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import orjson

from serving.channels.channel import Message
from serving.policy.delivery import Attempt, Ending


class FileChannel:
    """Appends each message once, as a line; it is on the disk when it was told.

    Several processes may append to one file.

    Parameters
    ----------
    path : Path
        The file; made, with its directory, by the first message.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._gate = threading.Lock()
        self._seen: set[str] = set()
        self._read = 0

    def send(self, message: Message) -> Attempt:
        """Append `message` unless it is there, and return what came of it."""
        try:
            self._append(message)
        except OSError as error:
            fault = f"file-{(error.strerror or 'error').lower().replace(' ', '-')}"
            return Attempt(ending=Ending.FAILED, fault=fault)
        return Attempt(ending=Ending.TOLD, remote_id=message.message_id)

    def close(self) -> None:
        """Do nothing: the file is held only while it is written."""

    def _append(self, message: Message) -> None:
        with self._gate, self._locked() as file:
            self._catch_up(file)
            if message.message_id in self._seen:
                return
            self._write(file, message.body + b"\n")
            self._seen.add(message.message_id)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)

    def _catch_up(self, file: int) -> None:
        """Take in what others appended; drop a line that a crash has left half."""
        size = os.fstat(file).st_size
        if size < self._read:
            # Somebody has begun the file anew.
            self._read, self._seen = 0, set()
        new = os.pread(file, size - self._read, self._read)
        whole = new.rfind(b"\n") + 1
        if whole < len(new):
            os.ftruncate(file, self._read + whole)
        self._seen.update(_ids(new[:whole]))
        self._read += whole

    def _write(self, file: int, line: bytes) -> None:
        left, at = memoryview(line), self._read
        while left:
            written = os.pwrite(file, left, at)
            left, at = left[written:], at + written
        os.fsync(file)
        self._read = at


def _ids(lines: bytes) -> Iterator[str]:
    for line in lines.splitlines():
        with contextlib.suppress(orjson.JSONDecodeError, KeyError, TypeError):
            yield str(orjson.loads(line)["id"])
