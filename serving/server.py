"""The server as a process: started, waited for, and stopped without remains."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Self

from serving.channels.config import Channels
from serving.policy.rules import Policy
from serving.settings import PREFIX, Settings, SettingsError
from serving.store.opening import open_store

_SERVICE = "serving.service:Escalon"
_PATIENCE = 60.0
_GRACE = 15.0
_PAUSE = 0.05
_TAIL = 2_000


class ServerError(RuntimeError):
    """The server did not start, or did not go on; says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server.

    Attributes
    ----------
    url : str
        Where it answers.
    log : Path
        What it writes.
    """

    url: str
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self.process.poll() is None

    def wait(self) -> int:
        """Return the exit code, once the server has ended."""
        return self.process.wait()

    def stop(self) -> None:
        """Stop the server; calls under way are answered. Stopping twice is harmless."""
        _stop(self.process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(settings: Settings, *, log: Path | None = None) -> Server:
    """Start a server in the background and return it once it is ready.

    Parameters
    ----------
    settings : Settings
        What to serve, and where.
    log : Path, optional
        Where its output goes; beside the store, if not given.

    Raises
    ------
    SettingsError, PolicyError, ChannelsError, StoreError
        If it cannot start, see `preflight`.
    ServerError
        If it is not ready in time; says why.
    """
    preflight(settings)
    written = log or settings.beside("log")
    written.parent.mkdir(parents=True, exist_ok=True)
    with written.open("wb") as output:
        process = _spawn(settings, output)
    server = Server(url=settings.url, log=written, process=process)
    try:
        _await_ready(server)
    except BaseException:
        server.stop()
        raise
    return server


def run(settings: Settings) -> None:
    """Serve until Ctrl-C or SIGTERM; return once everything is let go of.

    Raises
    ------
    SettingsError, PolicyError, ChannelsError, StoreError
        If it cannot start, see `preflight`.
    ServerError
        If it ends by itself.
    """
    preflight(settings)
    process = _spawn(settings, None)
    with _passing_on(process) as told:
        code = process.wait()
    if code != 0 and not told:
        msg = f"the server ended with code {code}; its output says why"
        raise ServerError(msg)


def preflight(settings: Settings) -> None:
    """Return if nothing that can be seen beforehand keeps a server from starting.

    A server that is running tells its callers what it lacks, and goes on trying; who
    starts one by hand wants to know at once.

    Raises
    ------
    SettingsError
        If a file cannot be read or written, or the port is taken.
    PolicyError
        If the policy must not go live.
    ChannelsError
        If the file of the channels must not, or lacks one that the policy notifies.
    StoreError
        If the store cannot be opened for writing.
    """
    try:
        path = settings.policy
        policy = Policy.default() if path is None else Policy.load(path)
        Channels.load(settings.channels).check(policy)
        open_store(settings.store).close()
    except OSError as error:
        msg = f"{error.filename or settings.store}: {error.strerror}; check the path"
        raise SettingsError(msg) from error
    _check_port(settings)


def _check_port(settings: Settings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            msg = (
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; "
                f"stop what does, or set {PREFIX}PORT"
            )
            raise SettingsError(msg) from error


# --- the process -------------------------------------------------------------


def _spawn(settings: Settings, output: IO[bytes] | None) -> subprocess.Popen[bytes]:
    command = (sys.executable, "-m", "bentoml", "serve", _SERVICE)
    where = ("--host", settings.host, "--port", str(settings.port))
    # A session of its own: Ctrl-C reaches us alone, and we pass it on once.
    return subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
        [*command, *where],
        env={**os.environ, **_environment(settings)},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        start_new_session=True,
    )


def _environment(settings: Settings) -> dict[str, str]:
    """Return what the process is told; its scratch files lie beside the store's."""
    home = settings.directory.absolute() / "bentoml"
    home.mkdir(parents=True, exist_ok=True)
    return {
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": os.environ.get("BENTOML_HOME", str(home)),
        **settings.environment(),
    }


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        # The group is its session: supervisor and worker go together.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def _passing_on(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Pass SIGINT and SIGTERM on to `process`; yield those that came."""
    told: list[int] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        told.append(number)
        process.terminate()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if process.poll() is None:
            _stop(process)


def _await_ready(server: Server) -> None:
    until = time.monotonic() + _PATIENCE
    said = "it did not answer"
    while time.monotonic() < until:
        if not server.is_running:
            said = f"it ended with code {server.process.returncode}"
            break
        try:
            with urllib.request.urlopen(f"{server.url}/readyz", timeout=5):  # noqa: S310 - ours
                return
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")
        except OSError:
            pass
        time.sleep(_PAUSE)
    tail = server.log.read_text(encoding="utf-8", errors="replace")[-_TAIL:]
    msg = f"the server at {server.url} is not ready: {said}\n{tail}"
    raise ServerError(msg)
