"""Files: content-addressed, whole and on the disk, or not there at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from serving import crash
from serving.crash import CrashPoint
from serving.store.transaction import StoreError

_INCOMING = "incoming"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class AttachmentsFullError(StoreError):
    """There is no room on the disk for an attachment; nothing of it was kept."""


class Draft:
    """A file on its way in: written piece by piece, hashed meanwhile.

    Attributes
    ----------
    size : int
        Bytes so far.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._hash = hashlib.sha256()
        with _disk():
            self._file = path.open("xb")

    @property
    def sha256(self) -> str:
        """Hash (hex) of what was written so far."""
        return self._hash.hexdigest()

    def write(self, chunk: bytes | bytearray) -> None:
        """Write the next piece.

        Raises
        ------
        StoreError
            If the disk does not take it.
        """
        with _disk():
            self._file.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)

    def sync(self) -> None:
        """Have it all on the disk.

        Raises
        ------
        StoreError
            If the disk does not take it.
        """
        with _disk():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def close(self) -> None:
        """Remove it, unless it was placed. Closing twice is harmless."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


class Files:
    """Files in a directory, each at ``ab/cdef…`` by the SHA-256 of its bytes.

    Parameters
    ----------
    directory : Path
        Made when the first file comes. Several hosts must share it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, sha256: str) -> Path:
        """Return where the file with this hash lies, or would."""
        return self.directory / sha256[:2] / sha256[2:]

    def draft(self) -> Draft:
        """Return a new draft; closed, nothing of it stays behind.

        Raises
        ------
        StoreError
            If the disk does not take it.
        """
        incoming = self.directory / _INCOMING
        with _disk():
            incoming.mkdir(parents=True, exist_ok=True)
        return Draft(incoming / secrets.token_hex(16))

    def place(self, draft: Draft) -> bool:
        """Put a synced draft to its place, at once or not at all; whether it was new.

        A file that is there and sound stays as it is; a damaged one is mended.

        Raises
        ------
        StoreError
            If the disk does not take it.
        """
        target = self.path(draft.sha256)
        if self.is_sound(draft.sha256):
            return False
        with _disk():
            target.parent.mkdir(exist_ok=True)
            draft.path.replace(target)
            for directory in (target.parent, self.directory):
                _sync_directory(directory)
        crash.passing(CrashPoint.AFTER_BLOB_FSYNC)
        return True

    def is_sound(self, sha256: str) -> bool:
        """Whether a file is there whose bytes have this hash."""
        try:
            with self.path(sha256).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
        except OSError:
            return False
        return digest.hexdigest() == sha256

    def old(self, before: datetime) -> Iterator[str]:
        """Yield the hashes of files that were last written before a moment."""
        for directory in _entries(self.directory):
            if directory.name != _INCOMING:
                for file in _entries(directory):
                    if _is_older(file, before):
                        yield directory.name + file.name

    def drop_drafts(self, before: datetime) -> int:
        """Remove drafts that were last written before a moment; return how many."""
        drafts = _entries(self.directory / _INCOMING)
        dead = [draft for draft in drafts if _is_older(draft, before)]
        for draft in dead:
            draft.unlink(missing_ok=True)
        return len(dead)


def _entries(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []


def _is_older(file: Path, before: datetime) -> bool:
    try:
        return file.stat().st_mtime < before.timestamp()
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _disk() -> Iterator[None]:
    """Have what the disk refuses read as an error of the store.

    Raises
    ------
    AttachmentsFullError
        If there is no room.
    StoreError
        If the disk fails otherwise.
    """
    try:
        yield
    except OSError as error:
        msg = f"the disk of the attachments answered: {error.strerror}; nothing is kept"
        if error.errno in _FULL:
            raise AttachmentsFullError(msg) from error
        raise StoreError(msg) from error


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
