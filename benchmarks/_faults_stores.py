"""The stores under test: where each lies, how it is opened, read and verified."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from serving.store.opening import open_store, reading
from serving.store.transaction import Reader, Store
from serving.store.verify import Report, verify_store
from serving.where import Where, where_of

_ADMIN = "postgres"
_STARTING = 120  # patience with `initdb` and `pg_ctl`, in s


@dataclass(frozen=True, slots=True)
class Place:
    """A store that may be opened and left again and again.

    Attributes
    ----------
    kind : {"sqlite", "postgresql"}
    address : str
        Path, or URL.
    folder : Path
        For whatever else belongs to the run.
    """

    kind: str
    address: str
    folder: Path

    @property
    def where(self) -> Where:
        """The address as the product reads it."""
        return where_of(self.address)

    @property
    def writers(self) -> int:
        """How many processes may write at once."""
        return 1 if self.kind == "sqlite" else 2

    @property
    def tray(self) -> Path:
        """What was told to a channel that is a file."""
        return self.folder / "tray.jsonl"

    def open(self) -> Store:
        """Return the store, opened as the service opens it."""
        return open_store(self.where)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Reader]:
        """Yield a reader; nothing need have the store open."""
        with reading(self.where) as reader:
            yield reader

    def rows(self, query: str, **values: Any) -> list[Any]:
        """Return the rows of `query`, as they are on the disk."""
        with self.reading() as reader:
            return list(reader.all(query, **values))

    def verify(self, expect: tuple[int, str] | None = None) -> Report:
        """Return what `escalon audit verify` finds, beside a root noted earlier."""
        return verify_store(self.where, expect=expect)

    def faults(self) -> list[str]:
        """Return what the database itself finds wrong with its file."""
        if self.kind != "sqlite":
            return []
        found = [row[0] for row in self.rows("PRAGMA integrity_check")]
        return [] if found == ["ok"] else found


@contextlib.contextmanager
def fresh(kind: str, server: str = "") -> Iterator[Place]:
    """Yield an empty store with a folder of its own; both are gone afterwards.

    Parameters
    ----------
    kind : {"sqlite", "postgresql"}
    server : str
        Address of a PostgreSQL server, without the name of a database.
    """
    with contextlib.ExitStack() as stack:
        name = tempfile.TemporaryDirectory(prefix="escalon-faults-")
        folder = Path(stack.enter_context(name))
        if kind == "sqlite":
            yield Place(kind, str(folder / "store.db"), folder)
        else:
            yield Place(kind, stack.enter_context(_database(server)), folder)


@contextlib.contextmanager
def _database(server: str) -> Iterator[str]:
    name = f"faults_{uuid.uuid4().hex}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
    yield f"{server}/{name}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


# --- a server ----------------------------------------------------------------


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Yield the address of a PostgreSQL server, or nothing where there is none.

    That of `ESCALON_TEST_POSTGRES`, or one that is made for this and then removed.
    """
    given, programs = os.environ.get("ESCALON_TEST_POSTGRES", ""), _programs()
    if given or programs is None:
        yield given.rstrip("/")
        return
    with tempfile.TemporaryDirectory(prefix="escalon-pg-") as name:
        home = Path(name)
        if os.geteuid() == 0:
            shutil.chown(home, _ADMIN)
        port = _started(programs, home)
        try:
            yield f"postgresql://{_ADMIN}@127.0.0.1:{port}"
        finally:
            _run(programs / "pg_ctl", "stop", "-D", home / "data", "-m", "immediate")


def _programs() -> Path | None:
    """Return the directory of PostgreSQL's programs, of the newest version here."""
    found = shutil.which("pg_ctl")
    if found is not None:
        return Path(found).resolve().parent
    homes = Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")
    newest = max(homes, key=lambda path: int(path.parts[4]), default=None)
    return None if newest is None else newest.parent


def _started(programs: Path, home: Path) -> int:
    """Make a cluster that syncs each commit, and start it; return its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    data, log = home / "data", home / "log"
    who = ("-U", _ADMIN, "--auth=trust", "--encoding=UTF8", "--data-checksums")
    _run(programs / "initdb", "-D", data, "--locale=C.UTF-8", *who)
    how = (
        f"-c port={port} -c listen_addresses=127.0.0.1 -c fsync=on "
        f"-c synchronous_commit=on -c unix_socket_directories={home}"
    )
    _run(programs / "pg_ctl", "start", "-w", "-D", data, "-l", log, "-o", how)
    return port


def _run(*command: str | Path) -> None:
    """Run a program of the server's as somebody it runs as: it refuses to be root."""
    who = ("runuser", "-u", _ADMIN, "--") if os.geteuid() == 0 else ()
    words = [*who, *map(str, command)]
    subprocess.run(  # noqa: S603 - programs of the server, found above
        words, cwd="/", stdout=subprocess.DEVNULL, check=True, timeout=_STARTING
    )
