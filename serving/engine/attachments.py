"""Attachments: files that events name, taken in before anything speaks of them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import orjson

from serving.engine.ways import Answer, Ways
from serving.problems import Problem, ProblemType
from serving.store import attachments
from serving.store.attachments import ORPHAN_AFTER
from serving.store.files import Draft, Files
from serving.store.transaction import StoreError, Transaction

_HASH = re.compile(r"[0-9a-f]{64}")
_AT_ONCE = 100  # orphans of one transaction


class SweptError(StoreError):
    """A file went between being placed and being known; sent again, it stays."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that is whole, and what to call it.

    Attributes
    ----------
    sha256 : str
        Of its bytes.
    path : Path
        Where they are.
    name : str
        As the first event that names it calls it, else by its hash.
    """

    sha256: str
    path: Path
    name: str


class Attachments:
    """Takes files in, gives them out, and sweeps those that nobody named.

    Parameters
    ----------
    ways : Ways
        The engine's.
    directory : Path or None
        Where the files lie; None: none can be kept.
    """

    def __init__(self, ways: Ways, directory: Path | None) -> None:
        self._ways = ways
        self._directory = directory

    @property
    def _files(self) -> Files:
        if self._directory is None:
            raise Problem(
                ProblemType.NO_ATTACHMENTS,
                "the service was given no directory for them; its operator sets "
                "ESCALATION_ATTACHMENTS, until then name where the bytes are",
            )
        return Files(self._directory)

    def drafting(self) -> AbstractContextManager[Draft]:
        """Return a context with a file to be written; it goes unless `keep` takes it.

        Raises
        ------
        Problem
            no-attachments.
        StoreError
            If the disk does not take it.
        """
        return contextlib.closing(self._files.draft())

    def keep(self, draft: Draft, *, declared: str | None = None) -> Answer:
        """Keep what was written, and return its hash and size.

        Parameters
        ----------
        draft : Draft
            Written to its end.
        declared : str, optional
            The hash (hex) it must have.

        Raises
        ------
        Problem
            wrong-hash; nothing was kept.
        StoreError
            If disk or store do not take it.
        """
        sha256, size = draft.sha256, draft.size
        if declared is not None and declared != sha256:
            raise Problem(
                ProblemType.WRONG_HASH,
                f"expected bytes with SHA-256 {declared}, found {size} bytes with "
                f"{sha256}; nothing was kept, send them again or under their own hash",
                declared_sha256=declared,
                found_sha256=sha256,
            )
        draft.sync()
        is_new = self._files.place(draft)
        self._ways.do(lambda tx: self._known(tx, sha256, size))
        return {"sha256": sha256, "size": size, "is_new": is_new}

    def _known(self, tx: Transaction, sha256: str, size: int) -> None:
        # One look, no reading: a sweep runs in a transaction as well, so a file that
        # is here now stays.
        if not self._files.path(sha256).exists():
            msg = f"attachment {sha256} was swept just now; send it again"
            raise SweptError(msg)
        attachments.add(tx, sha256, size, self._ways.clock())

    def find(self, sha256: str) -> Kept:
        """Return the file with this hash, its bytes read and found to have it.

        Raises
        ------
        Problem
            unknown-attachment, damaged-attachment or no-attachments.
        """
        if _HASH.fullmatch(sha256) is None:
            raise _unknown(sha256)
        size, named = self._ways.read(
            lambda reader: (
                attachments.size_of(reader, sha256),
                attachments.naming(reader, sha256),
            )
        )
        if size is None:
            raise _unknown(sha256)
        if not self._files.is_sound(sha256):
            raise Problem(
                ProblemType.DAMAGED_ATTACHMENT,
                f"expected {size} bytes with SHA-256 {sha256}, found others or none; "
                "restore the file from a backup, or send it again",
                sha256=sha256,
            )
        name = None if named is None else _name_in(named, sha256)
        return Kept(
            sha256, self._files.path(sha256), name or f"attachment-{sha256[:12]}"
        )

    def sweep(self) -> int:
        """Remove what nobody named for a day; return how many files went.

        Files that were sent and no event names, and those that a process left behind
        which ended before a row knew of them. One that an event names stays for good.
        """
        if self._directory is None:
            return 0
        before = self._ways.clock() - ORPHAN_AFTER
        orphans = self._ways.read(
            lambda reader: attachments.orphans(reader, before, most=_AT_ONCE)
        )
        strays = self._ways.read(
            lambda reader: [
                found
                for found in self._files.old(before)
                if attachments.size_of(reader, found) is None
            ]
        )
        gone = [self._swept(sha256, attachments.drop) for sha256 in orphans]
        gone += [self._swept(sha256, attachments.is_unknown) for sha256 in strays]
        return sum(gone) + self._files.drop_drafts(before)

    def _swept(self, sha256: str, may_go: Callable[[Transaction, str], bool]) -> bool:
        def go(tx: Transaction) -> bool:
            goes = may_go(tx, sha256)
            if goes:
                # Here, not after: whoever takes in the same bytes meanwhile would
                # find the file, and then lose it.
                self._files.path(sha256).unlink(missing_ok=True)
            return goes

        return self._ways.do(go)


def _unknown(sha256: str) -> Problem:
    return Problem(
        ProblemType.UNKNOWN_ATTACHMENT,
        f"expected the SHA-256 (hex) of an attachment kept here, found {sha256!r}; PUT "
        "its bytes to /v1/attachments/{sha256} first",
        sha256=sha256,
    )


def _name_in(event: bytes, sha256: str) -> str | None:
    """Return what the event calls the file."""
    for one in orjson.loads(event)["attachments"]:
        if isinstance(one, dict) and one.get("sha256") == sha256:
            name = one.get("name")
            return name if isinstance(name, str) else None
    return None
