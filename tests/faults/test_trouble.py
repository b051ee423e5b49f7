"""Trouble below: disk, files, locks and clocks fail; callers are told, nothing is lost.

In each of them a call answers 503 with Retry-After, never 500; `/readyz` is red; what
was answered before, and after, is there; and nobody restarts anything.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from serving.api.app import make_api
from serving.clock import SteadyClock
from serving.composition import steady
from serving.engine import Engine
from serving.engine.models import NoModel
from serving.policy.rules import Policy
from serving.server import Server, start
from serving.settings import Settings
from serving.store.sqlite import SqliteStore
from serving.store.transaction import StoreError
from serving.store.verify import verify_store

SECRET = b"a secret of at least thirty-two bytes"
AT = "2026-11-24T12:00:00Z"
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


class Machine:
    """A machine whose clock can be set, beside a monotonic one that cannot."""

    def __init__(self) -> None:
        self.says = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
        self.ran = 0.0

    def run(self, span: timedelta) -> None:
        """Let `span` pass on both clocks."""
        self.says += span
        self.ran += span.total_seconds()


class Service:
    """The whole surface over one store, and what callers were told was kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.machine = Machine()
        self.kept: list[str] = []
        self.sent = 0
        self.store = SqliteStore(path)
        machine = self.machine
        clock = SteadyClock(now=lambda: machine.says, elapsed=lambda: machine.ran)
        self.engine = Engine(self.store, Policy.default(), NoModel(), clock, SECRET)
        self.client = TestClient(make_api(self.engine), base_url="http://localhost")

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection that writes."""
        return self.store._connection  # noqa: SLF001

    def send(self, task_id: str = "t", text: str = "hello") -> httpx.Response:
        """Send one event; note it if the answer says that it was kept."""
        self.sent += 1
        event_id = f"e{self.sent}"
        answer = post(self.client, task_id, event_id, text)
        if answer.status_code == 200:
            self.kept.append(event_id)
        return answer

    def events(self) -> list[str]:
        """Return the ids of the events that are there, in order, without stamps."""
        return [e.event_id for e in self.engine.log("t") if e.kind == "user_message"]


def post(
    client: httpx.Client | TestClient, task_id: str, event_id: str, text: str
) -> httpx.Response:
    """Send one message of the user."""
    event = {"event_id": event_id, "at": AT, "kind": "user_message", "text": text}
    answer: httpx.Response = client.post(
        f"/v1/tasks/{task_id}/events", json={"events": [event]}
    )
    return answer


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Serve a store that works."""
    made = Service(tmp_path / "store.db")
    yield made
    made.store.close()


def unavailable(answer: httpx.Response) -> None:
    """Hold an answer against what a caller in trouble must get."""
    assert answer.status_code == 503, answer.text
    assert answer.json()["type"] == "urn:escalon:problem:unavailable"
    assert int(answer.headers["retry-after"]) > 0


# --- a store that cannot be written -----------------------------------------------


@contextlib.contextmanager
def full(service: Service) -> Iterator[None]:
    """Have the database at its largest: SQLite answers as on a disk that is full."""
    pages = service.connection.execute("PRAGMA page_count").fetchone()[0]
    service.connection.execute(f"PRAGMA max_page_count = {pages}")
    yield
    service.connection.execute("PRAGMA max_page_count = 1073741823")


@contextlib.contextmanager
def read_only(service: Service) -> Iterator[None]:
    """Have the connection refuse to write, as on a file system that went read-only."""
    service.connection.execute("PRAGMA query_only = 1")
    yield
    service.connection.execute("PRAGMA query_only = 0")


@contextlib.contextmanager
def failing_disk(_: Service) -> Iterator[None]:
    """Have the system refuse to make any file longer: an error of input and output."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def locked(service: Service) -> Iterator[None]:
    """Have another process hold the database, for longer than we wait."""
    service.connection.execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(service.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()


TROUBLES = [full, read_only, failing_disk, locked]
Trouble = Callable[[Service], contextlib.AbstractContextManager[None]]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_callers_are_told_and_nothing_answered_is_lost(
    service: Service, trouble: Trouble
) -> None:
    """503 while it lasts, red readiness, and all goes on once it is over."""
    for _ in range(3):
        assert service.send().status_code == 200
    long = "x" * 15_000
    with trouble(service):
        answers = [service.send(text=long) for _ in range(5)]
        # A database that is full may have room for a first small thing.
        refused = [answer for answer in answers if answer.status_code != 200]
        assert refused
        for answer in refused:
            unavailable(answer)
        unavailable(service.client.get("/readyz"))
        assert service.client.get("/healthz").status_code == 200
        assert "escalon_store_writable 0.0" in service.client.get("/metrics").text
    assert service.client.get("/readyz").status_code == 200
    assert "escalon_store_writable 1.0" in service.client.get("/metrics").text
    assert service.send().status_code == 200
    assert service.events() == service.kept
    assert verify_store(service.path).problems == ()


@pytest.mark.parametrize("trouble", TROUBLES)
def test_what_was_refused_can_be_sent_again(service: Service, trouble: Trouble) -> None:
    """The same event again is taken once, in the place of when it was taken."""
    post(service.client, "t", "first", "hello")
    with trouble(service):
        for n in range(3):
            post(service.client, "t", f"long-{n}", "x" * 15_000)
        refused = post(service.client, "t", "again", "x" * 15_000)
        unavailable(refused)
    for _ in range(2):
        assert post(service.client, "t", "again", "x" * 15_000).status_code == 200
    assert service.events().count("again") == 1


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_round_of_the_auditor_sees_it_without_any_caller(
    service: Service, trouble: Trouble
) -> None:
    """Nobody has called: readiness is red all the same once the auditor has looked."""
    with trouble(service):
        with pytest.raises(StoreError):
            service.engine.auditor.run()
        unavailable(service.client.get("/readyz"))
    assert service.client.get("/readyz").status_code == 200


def test_a_broken_rule_of_the_schema_is_no_trouble_of_the_disk(
    service: Service,
) -> None:
    """What the store refuses for its own good leaves readiness as it is."""
    with pytest.raises(RuntimeError):
        service.engine.ways.do(lambda tx: tx.run("DELETE FROM audit_event"))
    assert service.client.get("/readyz").status_code == 200
    assert service.engine.ways.writing.is_well


# --- open files -------------------------------------------------------------------


def test_out_of_open_files_is_told_and_passes(service: Service) -> None:
    """With no file to be had, calls answer or say 503; then all of them answer."""
    assert service.send().status_code == 200
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, limit[1]))
        with pytest.raises(OSError, match="Too many open files"):  # noqa: PT012
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        # The client needs a few of its own; the service shall find none.
        for fd in [held.pop() for _ in range(2)]:
            os.close(fd)
        while service.store._idle:  # noqa: SLF001
            service.store._idle.pop().close()  # noqa: SLF001
        answers = [service.client.get("/v1/queues") for _ in range(8)]
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert service.client.get("/v1/queues").status_code == 200
    assert service.send().status_code == 200
    assert service.events() == service.kept


# --- clocks -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "jump", [HOUR, -HOUR, -5 * SECOND], ids=["1 h on", "1 h back", "5 s back"]
)
def test_records_never_go_back_in_time(service: Service, jump: timedelta) -> None:
    """Whatever the machine's clock does, each record is no earlier than the last."""
    for step in range(6):
        if step == 3:
            service.machine.says += jump
        service.machine.run(SECOND)
        assert service.send().status_code == 200
        service.client.post(
            "/v1/tasks/t/escalate", json={"by": "user", "reason": "wants one"}
        )
    records = service.engine.audit_records(0, 1_000)["records"]
    times = [record["body"]["at"] for record in records]
    assert all(before <= after for before, after in pairwise(times))
    assert verify_store(service.path).problems == ()


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["1 h on", "1 h back"])
def test_deadlines_pass_whatever_the_clock_does(
    service: Service, jump: timedelta
) -> None:
    """An hour on, what is due is due; an hour back, it is due within twice the time."""
    service.send()
    service.client.post(
        "/v1/tasks/t/escalate", json={"by": "user", "reason": "wants one"}
    )
    service.machine.says += jump
    service.engine.duties.run()
    if jump < timedelta(0):
        for _ in range(12):
            service.machine.run(timedelta(minutes=5))
            service.engine.duties.run()
    types = [r["body"]["type"] for r in service.engine.audit_records(0, 999)["records"]]
    assert {"handoff.climbed", "handoff.overdue"} & set(types)
    found = {str(look.code): look for look in service.engine.auditor.run().looks}
    assert found["timers_late"].passed


def test_a_service_begins_after_the_last_record(tmp_path: Path) -> None:
    """Its machine's clock was set back while it was down: records go on in order."""
    service = Service(tmp_path / "store.db")
    service.machine.says = ahead = datetime.now(UTC) + HOUR
    service.send()
    service.store.close()
    again = SqliteStore(tmp_path / "store.db")
    assert steady(again)() >= ahead
    again.close()


# --- the real service, on a real disk ---------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of a few megabytes, or skip saying that we may not."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)],
        check=False,
        capture_output=True,
    )
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted: {done.stderr.decode()}")
    yield disk
    subprocess.run(["/bin/umount", "-l", str(disk)], check=True)


@pytest.fixture
def server(small_disk: Path, tmp_path: Path, free_port: int) -> Iterator[Server]:
    """Serve a store on the small disk."""
    settings = Settings.load(
        store=str(small_disk / "store.db"),
        model=tmp_path / "model",
        port=free_port,
        console=False,
    )
    with start(settings, log=tmp_path / "log") as running:
        yield running


def _wait_until_ready(client: httpx.Client) -> None:
    until = time.monotonic() + 20
    while client.get("/readyz").status_code != 200:
        assert time.monotonic() < until
        time.sleep(0.1)


def _fill(disk: Path) -> Path:
    """Fill the disk to its last byte, and return the file that does."""
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as written:
        while True:
            written.write(b"\0" * 4096)
    return ballast


def _processes_of(server: Server) -> list[int]:
    """Return the process of `server` and all that it has started."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                stat = (entry / "stat").read_text(encoding="utf-8")
                parent = int(stat.rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found = [server.process.pid]
    for pid in found:
        found += children.get(pid, [])
    return found


@contextlib.contextmanager
def _limited(server: Server, what: int, most: int) -> Iterator[None]:
    """Have the system allow the running `server` no more than `most` of something."""
    before = {pid: resource.prlimit(pid, what) for pid in _processes_of(server)}
    for pid, (_, hard) in before.items():
        resource.prlimit(pid, what, (most, hard))
    yield
    for pid, limits in before.items():
        resource.prlimit(pid, what, limits)


def _hammered(client: httpx.Client, name: str) -> tuple[list[str], int]:
    """Send events of some size; return those that were kept, and how many were not."""
    kept: list[str] = []
    refused = 0
    for n in range(40):
        answer = post(client, "t", f"{name}-{n}", "x" * 15_000)
        if answer.status_code == 200:
            kept.append(f"{name}-{n}")
        else:
            unavailable(answer)
            refused += 1
    return kept, refused


@pytest.mark.slow
def test_a_real_service_comes_through_a_full_and_a_failing_disk(
    server: Server, small_disk: Path
) -> None:
    """503 and red while it lasts, by itself well after it; every answer was kept.

    First the disk has no byte left; then the kernel refuses each write; then it gives
    no more open files. The process is the same from the first to the last.
    """
    path = small_disk / "store.db"
    with httpx.Client(base_url=server.url, timeout=30) as client:
        assert post(client, "t", "first", "hello").status_code == 200
        ballast = _fill(small_disk)
        kept, refused = _hammered(client, "full")
        assert refused
        unavailable(client.get("/readyz"))
        ballast.unlink()
        _wait_until_ready(client)

        with _limited(server, resource.RLIMIT_FSIZE, 1):
            failing, refused = _hammered(client, "failing")
            assert (failing, refused) == ([], 40)
            unavailable(client.get("/readyz"))
        _wait_until_ready(client)

        with _limited(server, resource.RLIMIT_NOFILE, 3):
            answers = [client.get("/v1/queues") for _ in range(5)]
            poor, _ = _hammered(client, "poor")
            assert {answer.status_code for answer in answers} <= {200, 503}
        _wait_until_ready(client)
        assert post(client, "t", "last", "hello").status_code == 200
    assert server.is_running
    server.stop()
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as reader:
        rows = reader.execute("SELECT event_id FROM event WHERE kind = 'user_message'")
        found = {row[0] for row in rows}
    reader.close()
    assert found >= {"first", "last", *kept, *poor}
    assert verify_store(path).problems == ()
