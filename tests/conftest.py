"""What every test shares: hypothesis without deadlines, real data, a real PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings

# Machines are shared and noisy: a slow example is not a wrong one. In CI the examples
# follow from the code alone, so that a red run is red again; elsewhere they are new ones.
settings.register_profile(
    "escalon",
    deadline=None,
    print_blob=True,
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("escalon")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real runs, or skip saying that it is not here."""
    root = Path(os.environ.get("ESCALON_SHARED", "../shared")) / "data"
    if not root.is_dir():
        pytest.skip(f"no real data at {root}; set ESCALON_SHARED to where they lie")
    return root


def _unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def free_port() -> int:
    """Return a port of the loopback interface on which nobody listens."""
    return _unused_port()


@pytest.fixture
def another_port() -> int:
    """Return a port for a second server beside the one on `free_port`."""
    return _unused_port()


# --- PostgreSQL --------------------------------------------------------------

_ADMIN = "postgres"


def _programs() -> Path | None:
    """Return the directory of `initdb` and `pg_ctl`, those of the newest server."""
    found = shutil.which("pg_ctl")
    if found is not None:
        return Path(found).resolve().parent
    homes = Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")
    newest = max(homes, key=lambda path: int(path.parts[4]), default=None)
    return None if newest is None else newest.parent


def _as_server(*command: str | Path) -> None:
    """Run `command` as somebody the server runs as: it refuses to be root."""
    who = ("runuser", "-u", _ADMIN, "--") if os.geteuid() == 0 else ()
    done = subprocess.run(
        [*who, *map(str, command)],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


class PostgresServer:
    """A cluster of its own, to be started, stopped and crashed. Commits are synced."""

    def __init__(self, programs: Path, home: Path, port: int) -> None:
        self._programs = programs
        self._home = home
        self._port = port

    @property
    def url(self) -> str:
        """Its address, without the name of a database."""
        return f"postgresql://{_ADMIN}@127.0.0.1:{self._port}"

    def make(self) -> None:
        """Make the cluster. Its texts sort as people do, unless we say otherwise."""
        sorts = ("--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en")
        who = ("-U", _ADMIN, "--auth=trust", "--encoding=UTF8", "--data-checksums")
        _as_server(self._programs / "initdb", "-D", self._home / "data", *sorts, *who)

    def start(self) -> None:
        """Start the server and return once it answers."""
        how = (
            f"-c port={self._port} -c listen_addresses=127.0.0.1 -c fsync=on "
            f"-c synchronous_commit=on -c unix_socket_directories={self._home}"
        )
        where = ("-D", self._home / "data", "-l", self._home / "log")
        _as_server(self._programs / "pg_ctl", "start", "-w", *where, "-o", how)

    def stop(self, mode: str = "immediate") -> None:
        """Stop it; ``"immediate"`` is as good as a crash."""
        _as_server(
            self._programs / "pg_ctl", "stop", "-D", self._home / "data", "-m", mode
        )


@contextlib.contextmanager
def _running_server() -> Iterator[PostgresServer]:
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL here: neither pg_ctl nor /usr/lib/postgresql")
    # Not below pytest's own directory: that is closed to the server's user.
    with tempfile.TemporaryDirectory(prefix="escalon-pg-") as name:
        home = Path(name)
        if os.geteuid() == 0:
            shutil.chown(home, _ADMIN)
        server = PostgresServer(programs, home, _unused_port())
        server.make()
        server.start()
        try:
            yield server
        finally:
            with contextlib.suppress(AssertionError):  # a test has stopped it
                server.stop()


@pytest.fixture(scope="session")
def postgres_programs() -> Path:
    """Return the directory of the server's programs, pg_dump among them, or skip."""
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL here: neither pg_ctl nor /usr/lib/postgresql")
    return programs


@pytest.fixture(scope="session")
def postgres_address() -> Iterator[str]:
    """Return the address of a PostgreSQL server, without the name of a database.

    That of `ESCALON_TEST_POSTGRES` if it is given; else of one started for these tests.
    """
    given = os.environ.get("ESCALON_TEST_POSTGRES")
    if given:
        yield given.rstrip("/")
        return
    with _running_server() as server:
        yield server.url


@pytest.fixture
def postgres_url(postgres_address: str) -> Iterator[str]:
    """Return the address of a fresh and empty database, dropped after the test."""
    name = f"escalon_{uuid.uuid4().hex}"
    with psycopg.connect(f"{postgres_address}/postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
        yield f"{postgres_address}/{name}"
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def postgres_server() -> Iterator[PostgresServer]:
    """Start a server of this test's own, which it may stop and crash."""
    with _running_server() as server:
        yield server
