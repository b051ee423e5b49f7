"""Tests of the heartbeat against a real server: it comes while all is well, only then."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from serving.channels.heartbeat import Heartbeat
from serving.policy.audit import rfc3339
from serving.store.transaction import StoreError

HOUR = timedelta(hours=1)


class Watch(http.server.ThreadingHTTPServer):
    """A watch elsewhere: counts the beats, answers as it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Hears)
        self.beats = 0
        self.status = 200

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}/beat/secret"


class _Hears(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Count one beat."""
        watch: Any = self.server
        watch.beats += 1
        self.send_response(watch.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Watch, until the test is over."""
    with Watch() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def attempt(work: Any) -> None:
    """Do one round, as the worker's thread does: what it raises ends nothing."""
    try:
        work()
    except (RuntimeError, StoreError):
        return


def test_it_beats_after_a_good_round(desk: Any, watch: Watch) -> None:
    """Each round in which all is well is one call."""
    desk.hand_over()
    work = Heartbeat(watch.url).after(desk.engine.auditor.check)
    work()
    work()
    assert watch.beats == 2


def test_it_stops_while_a_deadline_is_stuck(desk: Any, watch: Watch) -> None:
    """Nobody acts on what is due: no beat, until somebody does."""
    handoff_id = desk.hand_over()
    work = Heartbeat(watch.url).after(desk.engine.auditor.check)
    desk.clock.turn(HOUR)
    _beat(desk)
    attempt(work)
    assert watch.beats == 0
    desk.engine.claim(handoff_id, by="general-1")
    work()
    assert watch.beats == 1


def test_it_stops_when_the_worker_has_died(desk: Any, watch: Watch) -> None:
    """The rounds of the worker have not ended well for minutes; then they do again."""
    work = Heartbeat(watch.url).after(desk.engine.auditor.check)
    desk.clock.turn(HOUR)
    attempt(work)
    assert watch.beats == 0
    _beat(desk)
    work()
    assert watch.beats == 1


def test_it_stops_while_nothing_can_be_written(desk: Any, watch: Watch) -> None:
    """A store that only reads makes no good round, though nothing else is wrong."""
    work = Heartbeat(watch.url).after(desk.engine.auditor.check)
    _read_only(desk, is_so=True)
    with pytest.raises(StoreError, match="readonly"):
        work()
    assert watch.beats == 0
    _read_only(desk, is_so=False)
    work()
    assert watch.beats == 1


@pytest.mark.parametrize("trouble", ["status", "address", "refused"])
def test_a_beat_that_does_not_arrive_ends_no_round(
    watch: Watch, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    """It is logged, without the address: that may hold a secret."""
    urls = {
        "status": watch.url,
        "address": "http://[secret",
        "refused": "http://127.0.0.1:9/secret",
    }
    watch.status = 500
    assert not Heartbeat(urls[trouble], timeout=2).send()
    actions = [getattr(record, "action", "") for record in caplog.records]
    assert "heartbeat_failed" in actions
    assert "secret" not in "".join(
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("serving")
    )


def _beat(desk: Any) -> None:
    at = rfc3339(desk.clock())
    desk.store.submit(
        lambda tx: tx.run(
            "INSERT INTO worker (worker_id, started_at, seen_at, rounds)"
            " VALUES ('w', :at, :at, :none)",
            at=at,
            none=b"{}",
        )
    ).result()


def _read_only(desk: Any, *, is_so: bool) -> None:
    """Have the writing connection refuse to write, as on a disk that went read-only."""
    desk.store._connection.execute(f"PRAGMA query_only = {int(is_so)}")  # noqa: SLF001
