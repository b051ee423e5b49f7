"""Backup: a store copied while it is in use, and brought back to an empty place.

A backup is a directory: the store as it was at one moment, the files that its events
name, and a manifest with the checkpoint of the audit log. What comes back is proven
against that checkpoint, or an earlier one that was noted elsewhere.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from serving.store import ledger, pg_connections, sqlite_files
from serving.store.opening import reading
from serving.store.verify import Report, verify_store
from serving.store.versions import HEAD
from serving.where import PostgresAddress, Where

_MANIFEST = "manifest.json"
_FILES = "attachments"
_NAMES = {True: "store.dump", False: "store.db"}


class BackupError(RuntimeError):
    """A backup that cannot be made, or not be brought back; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """What a backup holds.

    Attributes
    ----------
    revision : str
        Of the schema.
    size, root : int, str
        Checkpoint of the audit log when the backup began: the copy has at least that.
    sha256 : str
        Of the copy of the store.
    files : int
        How many attachments there are.
    """

    revision: str
    is_postgres: bool
    size: int
    root: str
    sha256: str
    files: int
    made_at: str

    def to_json(self) -> dict[str, Any]:
        """Return the manifest."""
        return {name: getattr(self, name) for name in self.__slots__}


def backup(where: Where, target: Path, *, attachments: Path | None = None) -> Backup:
    """Copy the store at `where` into `target`, whole or not at all.

    Parameters
    ----------
    where : Path or PostgresAddress
        May be in use: nobody has to stop, and nothing is held up.
    target : Path
        Directory to make.
    attachments : Path, optional
        Directory of the files that events name.

    Raises
    ------
    BackupError
        If `target` is there already, or a program of PostgreSQL is missing or fails.
    StoreError
        If there is no store, or it cannot be read.
    """
    is_postgres = isinstance(where, PostgresAddress)
    with reading(where) as reader:
        size, root = ledger.root(reader)
    with _whole(target) as draft:
        copy = draft / _NAMES[is_postgres]
        _copy(where, copy)
        # After the store: a file is on the disk before any row names it.
        n = _copy_files(attachments, draft / _FILES)
        made = Backup(
            revision=HEAD,
            is_postgres=is_postgres,
            size=size,
            root=root.hex(),
            sha256=_digest(copy),
            files=n,
            made_at=datetime.now(UTC).isoformat(),
        )
        manifest = orjson.dumps(made.to_json(), option=orjson.OPT_INDENT_2)
        (draft / _MANIFEST).write_bytes(manifest)
    return made


def restore(
    source: Path,
    where: Where,
    *,
    attachments: Path | None = None,
    expect: tuple[int, str] | None = None,
) -> Report:
    """Bring the backup in `source` back to `where`, and return what its proof found.

    Parameters
    ----------
    where : Path or PostgresAddress
        Where nothing is yet: a path, or an empty database. Of the same kind of store.
    attachments : Path, optional
        Where the files go.
    expect : tuple of (int, str), optional
        Size and root (hex) noted elsewhere; the manifest's, if not given.

    Raises
    ------
    BackupError
        If `source` is no backup, was changed, is of another kind of store, or something
        is at `where` already.
    StoreError
        If `where` cannot be written to.
    """
    made = manifest_of(source)
    is_postgres = isinstance(where, PostgresAddress)
    if made.is_postgres != is_postgres:
        msg = (
            f"{source} is of the other kind of store; restore it to one of its own kind"
        )
        raise BackupError(msg)
    copy = source / _NAMES[is_postgres]
    if _digest(copy) != made.sha256:
        msg = f"{copy} is not what its manifest says: it was changed, or cut short"
        raise BackupError(msg)
    _put(copy, where)
    kept = attachments if made.files else None
    if kept is not None:
        shutil.copytree(source / _FILES, kept, dirs_exist_ok=True)
    return verify_store(
        where, expect=expect or (made.size, made.root), attachments=kept
    )


def manifest_of(source: Path) -> Backup:
    """Return what the backup in `source` says of itself.

    Raises
    ------
    BackupError
        If it is none.
    """
    try:
        return Backup(**orjson.loads((source / _MANIFEST).read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        msg = f"expected a backup at {source}, found no {_MANIFEST} that can be read"
        raise BackupError(msg) from error


# --- one store ---------------------------------------------------------------


def _copy(where: Where, copy: Path) -> None:
    if isinstance(where, PostgresAddress):
        address, told = pg_connections.for_programs(where)
        how = ("--format=custom", "--no-owner", f"--file={copy}")
        _run("pg_dump", *how, f"--dbname={address}", told=told)
    else:
        sqlite_files.copy(where, copy)


def _put(copy: Path, where: Where) -> None:
    if isinstance(where, PostgresAddress):
        with pg_connections.connected(where) as connection:
            if not pg_connections.is_empty(connection):
                raise BackupError(_taken(where))
        address, told = pg_connections.for_programs(where)
        how = ("--exit-on-error", "--single-transaction", "--no-owner")
        _run("pg_restore", *how, f"--dbname={address}", str(copy), told=told)
        return
    if where.exists():
        raise BackupError(_taken(where))
    where.parent.mkdir(parents=True, exist_ok=True)
    draft = where.with_name(where.name + ".restoring")
    shutil.copyfile(copy, draft)
    _sync(draft)
    draft.rename(where)


def _taken(where: Where) -> str:
    return f"expected nothing at {where} yet; restore to an empty place"


def _run(program: str, *arguments: str, told: dict[str, str]) -> None:
    found = shutil.which(program)
    if found is None:
        msg = f"{program} is not on the PATH; install the client of PostgreSQL"
        raise BackupError(msg)
    done = subprocess.run(  # noqa: S603 - found on the path, no shell
        [found, *arguments],
        env={**os.environ, **told},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        msg = f"{program} failed: {done.stderr.strip().splitlines()[-1:]}"
        raise BackupError(msg)


# --- files -------------------------------------------------------------------


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """Yield a directory to fill, which becomes `target` once that went well."""
    if target.exists():
        msg = f"expected nothing at {target} yet; choose another directory"
        raise BackupError(msg)
    draft = target.with_name(target.name + ".making")
    with ExitStack() as undoing:
        undoing.callback(shutil.rmtree, draft, ignore_errors=True)
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        yield draft
        for path in draft.rglob("*"):
            _sync(path)
        draft.rename(target)
        _sync(target.parent)
        undoing.pop_all()


def _copy_files(source: Path | None, target: Path) -> int:
    if source is None or not source.is_dir():
        return 0
    shutil.copytree(source, target)
    return sum(path.is_file() for path in target.rglob("*"))


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
