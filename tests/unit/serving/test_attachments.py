"""Attachments: bytes come in whole or not at all, and stay as long as they are named."""

from __future__ import annotations

import errno
import hashlib
import os
import warnings
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from serving.api.app import make_api
from serving.console.pages import make_console
from serving.engine import Engine
from serving.engine.attachments import SweptError
from serving.problems import Problem
from serving.store import attachments
from serving.store import files as files_module
from serving.store.files import AttachmentsFullError, Files
from serving.store.transaction import ConstraintError, StoreError
from serving.store.verify import verify_store
from serving.worker import rounds_of

with warnings.catch_warnings():
    # The test client would rather have another HTTP library, and says so.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

BASE = "http://127.0.0.1:3000"
BYTES = b"\x89PNG a picture of a parcel"
HASH = hashlib.sha256(BYTES).hexdigest()
DAY = timedelta(hours=24)
MOST = 300_000


class Kept:
    """A desk that keeps attachments, and its surface."""

    def __init__(self, desk: Any, home: Path) -> None:
        self.desk = desk
        self.home = home
        self.files = Files(home)
        self.engine = Engine(
            desk.store,
            desk.policy,
            desk.source,
            desk.clock,
            b"s" * 32,
            attachments=home,
        )
        desk.engine = self.engine
        self.api = TestClient(make_api(self.engine, max_attachment_bytes=MOST))

    def send(self, body: bytes = BYTES) -> str:
        """Send a file, and return its hash."""
        answer = self.api.post("/v1/attachments", content=body)
        assert answer.status_code in (200, 201)
        return str(answer.json()["sha256"])

    def name(self, sha256: str = HASH, **more: Any) -> None:
        """Have an event name a file."""
        named = {"sha256": sha256, "name": "parcel.png", **more}
        sent = self.desk.event(text="see", attachments=[named])
        self.engine.observe("t", [sent])

    def row(self, sha256: str = HASH) -> Any:
        """Return what the store knows of a file."""
        with self.desk.store.reading() as reader:
            found = reader.one("SELECT * FROM attachment WHERE sha256 = :s", s=sha256)
            return None if found is None else dict(found)

    def left(self) -> list[str]:
        """Return the hashes of all files, and the names of drafts."""
        return sorted(
            path.parent.name + path.name
            for path in self.home.rglob("*")
            if path.is_file()
        )

    def age(self, path: Path) -> None:
        """Make a file two days older than the desk's clock."""
        then = (self.desk.clock.now - 2 * DAY).timestamp()
        os.utime(path, (then, then))


@pytest.fixture
def kept(desk: Any, tmp_path: Path) -> Iterator[Kept]:
    """Make a desk that keeps attachments; its log is sound at the end."""
    made = Kept(desk, tmp_path / "attachments")
    yield made
    desk.close()
    report = verify_store(desk.path)
    assert report.is_sound, report.problems


# --- in ------------------------------------------------------------------------


def test_bytes_are_kept_under_their_hash(kept: Kept) -> None:
    """Sent again they are there already; the answer names hash and size."""
    put = kept.api.put(f"/v1/attachments/{HASH.upper()}", content=BYTES)
    assert put.status_code == 201
    assert put.json() == {"sha256": HASH, "size": len(BYTES), "is_new": True}
    again = kept.api.post("/v1/attachments", content=BYTES)
    assert (again.status_code, again.json()["is_new"]) == (200, False)
    assert again.headers["location"] == f"/v1/attachments/{HASH}"
    assert (kept.home / HASH[:2] / HASH[2:]).read_bytes() == BYTES
    assert kept.left() == [HASH]


def test_an_empty_file_is_a_file(kept: Kept) -> None:
    """It has a hash like any other."""
    assert kept.send(b"") == hashlib.sha256(b"").hexdigest()


def test_bytes_of_another_hash_are_refused(kept: Kept) -> None:
    """Both hashes are told and nothing stays behind."""
    answer = kept.api.put(f"/v1/attachments/{'0' * 64}", content=BYTES)
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (
        422,
        "urn:escalon:problem:wrong-hash",
    )
    assert problem["declared_sha256"] == "0" * 64
    assert problem["found_sha256"] == HASH
    assert kept.left() == []
    assert kept.row() is None


@pytest.mark.parametrize("is_declared", [True, False])
def test_what_is_too_large_is_refused_with_the_limit(
    kept: Kept, *, is_declared: bool
) -> None:
    """At once where its length is declared, else as soon as it is passed."""
    body = b"x" * (MOST + 1)

    def pieces() -> Iterator[bytes]:
        for first in range(0, len(body), 50_000):
            yield body[first : first + 50_000]

    answer = kept.api.post("/v1/attachments", content=body if is_declared else pieces())
    assert (answer.status_code, answer.json()["limit_bytes"]) == (413, MOST)
    assert str(MOST) in answer.json()["detail"]
    assert kept.left() == []
    assert kept.send(body[:-1]) == hashlib.sha256(body[:-1]).hexdigest()


def test_the_file_is_on_the_disk_before_a_row_names_it(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File and directory are synced first; a store that fails leaves no row."""
    synced: list[str] = []
    sync = os.fsync

    def noted(handle: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        assert kept.row() is None
        sync(handle)

    monkeypatch.setattr(files_module.os, "fsync", noted)
    kept.send()
    draft, directory, home = synced
    assert Path(draft).parent.name == "incoming"
    assert (directory, home) == (str(kept.home / HASH[:2]), str(kept.home))
    assert kept.row() is not None


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENOSPC, AttachmentsFullError), (errno.EROFS, StoreError)],
)
def test_a_disk_that_takes_nothing_is_told_as_unavailable(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    """503 with Retry-After; nothing half-written stays, and later it works."""

    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as broken:
        broken.setattr(files_module.os, "fsync", full)
        answer = kept.api.post("/v1/attachments", content=BYTES)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        with kept.engine.attachments.drafting() as draft, pytest.raises(error):
            kept.engine.attachments.keep(draft)
    assert kept.left() == []
    assert kept.send() == HASH


def test_a_damaged_file_is_told_and_mended_by_sending_it_again(kept: Kept) -> None:
    """Bytes are read and hashed before they are given out."""
    kept.send()
    kept.files.path(HASH).write_bytes(b"forged")
    answer = kept.api.get(f"/v1/attachments/{HASH}")
    assert answer.json()["type"] == "urn:escalon:problem:damaged-attachment"
    assert kept.api.post("/v1/attachments", content=BYTES).json()["is_new"] is True
    assert kept.api.get(f"/v1/attachments/{HASH}").content == BYTES


def test_a_service_without_a_directory_says_so(desk: Any) -> None:
    """Who sends a file learns that it must go elsewhere; events that name it land."""
    api = TestClient(make_api(desk.engine))
    answer = api.post("/v1/attachments", content=BYTES)
    assert (answer.status_code, answer.json()["title"]) == (
        501,
        "This service keeps no attachments",
    )
    assert desk.engine.attachments.sweep() == 0


def test_a_page_of_another_site_cannot_send_files(kept: Kept) -> None:
    """Nobody's browser is made to fill our disk."""
    headers = {"sec-fetch-site": "cross-site"}
    answer = kept.api.post("/v1/attachments", content=BYTES, headers=headers)
    assert answer.status_code == 403
    assert kept.left() == []


# --- out -----------------------------------------------------------------------


def test_bytes_come_out_as_a_download_that_can_do_nothing(kept: Kept) -> None:
    """Never shown, never run, under a name that does not mislead."""
    kept.send()
    kept.name(name="a/b\u202egnp.exe ü.png")
    for method in ("GET", "HEAD"):
        answer = kept.api.request(method, f"/v1/attachments/{HASH}")
        assert answer.status_code == 200
        assert answer.content == (BYTES if method == "GET" else b"")
        headers = answer.headers
        assert headers["content-type"] == "application/octet-stream"
        assert headers["content-disposition"] == (
            "attachment; filename*=UTF-8''a_b_gnp.exe%20%C3%BC.png"
        )
        assert headers["content-security-policy"] == "sandbox; default-src 'none'"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["etag"] == f'"{HASH}"'


@pytest.mark.parametrize("sha256", ["0" * 64, "x", "..%2f..%2fetc%2fpasswd", "%00"])
def test_what_is_not_there_is_unknown(kept: Kept, sha256: str) -> None:
    """No address leads out of the directory."""
    answer = kept.api.get(f"/v1/attachments/{sha256}")
    assert answer.status_code == 404


def test_the_console_gives_files_and_packages_to_who_is_signed_in(kept: Kept) -> None:
    """Links on the case's page lead to bytes that a browser only saves."""
    kept.send()
    kept.name()
    handoff = kept.engine.escalate("t", by="user", reason="wants a person")["handoff"]
    console = make_console(kept.engine, key=b"k" * 32, clock=kept.desk.clock)
    browser = TestClient(console, base_url=BASE, follow_redirects=False)
    at = f"/console/handoffs/{handoff['handoff_id']}"
    links = (f"{at}/package.json", f"/console/attachments/{HASH}")
    assert [browser.get(link).status_code for link in links] == [303, 303]
    ours = {"origin": BASE, "sec-fetch-site": "same-origin"}
    who = {"who": "general-1", "next": "/console"}
    browser.post("/console/sign-in", data=who, headers=ours)
    page = browser.get(at).text
    assert all(f'href="{link}"' in page for link in links)
    package, attachment = (browser.get(link) for link in links)
    stored = kept.engine.package(handoff["handoff_id"])
    assert package.content == stored.body
    assert attachment.content == BYTES
    for answer in (package, attachment):
        assert answer.headers["content-security-policy"].startswith("sandbox;")
        assert answer.headers["content-disposition"].startswith("attachment;")
        assert answer.headers["x-content-type-options"] == "nosniff"
    gone = browser.get(f"/console/attachments/{'0' * 64}")
    assert (gone.status_code, gone.headers["content-type"]) == (
        404,
        "text/html; charset=utf-8",
    )


# --- who names them ------------------------------------------------------------


def test_a_package_says_which_files_are_here(kept: Kept) -> None:
    """One that was never sent is listed, and the handover is made all the same."""
    kept.send()
    kept.name(size=len(BYTES))
    kept.name("0" * 64, name="gone.pdf")
    answer = kept.engine.escalate("t", by="user", reason="wants a person")
    assert "attachment" in answer["handoff"]["lacking"]
    package = kept.engine.handoff(answer["handoff"]["handoff_id"])["package"]
    assert [one["stored"] for one in package["attachments"]] == [len(BYTES), None]
    (said,) = [says for says in package["missing"] if says.startswith("attachment")]
    assert said == "attachment 'gone.pdf' of event 'e2': it was named and never sent"
    opened = kept.desk.records()[-1]
    assert opened["type"] == "handoff.opened"
    assert opened["lacking"] == answer["handoff"]["lacking"]
    assert "gone.pdf" not in str(opened)


def test_handovers_count_what_their_packages_lack(kept: Kept) -> None:
    """The metric names parts, never tasks or people."""
    event = kept.desk.event(text="I want a human, now.")
    kept.api.post("/v1/tasks/t/events", json=[event])
    wish = {"by": "user", "reason": "wants a person"}
    kept.api.post("/v1/tasks/t/escalate", json=wish)
    text = kept.api.get("/metrics").text
    assert 'escalon_packages_lacking_total{part="reasoning"}' in text


def test_an_event_that_names_a_file_marks_it_used(kept: Kept) -> None:
    """In the event's own transaction, whichever of the two came first."""
    kept.send()
    assert kept.row()["used_at"] is None
    kept.name()
    assert kept.row()["used_at"] is not None
    late = b"comes after its name"
    digest = hashlib.sha256(late).hexdigest()
    kept.name(digest)
    assert kept.row(digest) is None
    kept.send(late)
    assert kept.row(digest)["used_at"] is not None


def test_a_refused_batch_names_nothing(kept: Kept) -> None:
    """What is rolled back with its event is not used."""
    kept.send()
    kept.name()
    other = kept.send(b"other")
    sent = kept.desk.event(text="new", attachments=[{"sha256": other}])
    clash = {**kept.desk.event(text="changed"), "event_id": "e1"}
    with pytest.raises(Problem, match="event-conflict"):
        kept.engine.observe("t", [sent, clash])
    assert kept.row(other)["used_at"] is None


def test_what_nobody_named_for_a_day_goes(kept: Kept) -> None:
    """One that an event names stays; one sent again has another day."""
    kept.send()
    kept.name()
    orphan, again = kept.send(b"orphan"), kept.send(b"again")
    for sha256 in (HASH, orphan, again):
        kept.age(kept.files.path(sha256))
    kept.desk.clock.turn(DAY - timedelta(seconds=1))
    assert kept.engine.attachments.sweep() == 0
    kept.send(b"again")
    kept.desk.clock.turn(timedelta(seconds=2))
    assert kept.engine.attachments.sweep() == 1
    assert kept.left() == sorted([HASH, again])
    assert kept.row(orphan) is None
    kept.desk.clock.turn(30 * DAY)
    assert kept.engine.attachments.sweep() == 1
    assert kept.left() == [HASH]


def test_a_file_named_at_the_last_moment_stays(kept: Kept) -> None:
    """Between the look for orphans and the sweep an event may name one."""
    kept.send()
    kept.name()
    assert (
        kept.desk.store.submit(lambda tx: attachments.drop(tx, HASH)).result() is False
    )
    assert kept.row() is not None


def test_what_a_process_left_behind_goes_once_it_is_old(kept: Kept) -> None:
    """Drafts, and files whose process ended before a row knew of them."""
    kept.send()
    with kept.engine.attachments.drafting() as draft:
        draft.write(b"half a fi")
        draft.sync()
        stray = kept.files.path("ab" * 32)
        stray.parent.mkdir()
        stray.write_bytes(b"stray")
        assert kept.engine.attachments.sweep() == 0
        for path in (draft.path, stray, kept.files.path(HASH)):
            kept.age(path)
        assert kept.engine.attachments.sweep() == 2
    assert kept.left() == [HASH]


def test_a_file_swept_while_it_comes_is_asked_for_again(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No row is ever written for a file that has just gone."""
    place = Files.place

    def swept(self: Files, draft: Any) -> bool:
        is_new = place(self, draft)
        self.path(draft.sha256).unlink()
        return is_new

    monkeypatch.setattr(Files, "place", swept)
    with kept.engine.attachments.drafting() as draft:
        draft.write(BYTES)
        with pytest.raises(SweptError, match="send it again"):
            kept.engine.attachments.keep(draft)
    assert kept.row() is None


def test_the_worker_sweeps_each_hour(kept: Kept) -> None:
    """It is one of its rounds."""
    rounds = {one.name: one for one in rounds_of(kept.engine, monitor_seconds=0)}
    assert rounds["attachments"].every == 3600.0


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM attachment",
        "UPDATE attachment SET size = 1",
        "DELETE FROM attachment_use",
        "UPDATE attachment_use SET seq = 9",
    ],
)
def test_the_store_keeps_what_is_named(kept: Kept, statement: str) -> None:
    """The database refuses it as well as the code."""
    kept.send()
    kept.name()
    with pytest.raises(ConstraintError):
        kept.desk.store.submit(lambda tx: tx.run(statement)).result()


# --- proven --------------------------------------------------------------------


def test_verify_reads_the_bytes_where_it_is_asked_to(kept: Kept) -> None:
    """A file that is gone or changed is found; an orphan is nobody's loss."""
    kept.send()
    kept.name()
    orphan = kept.send(b"orphan")
    kept.files.path(orphan).unlink()
    assert verify_store(kept.desk.path, attachments=kept.home).is_sound
    kept.files.path(HASH).write_bytes(BYTES + b"!")
    assert verify_store(kept.desk.path).is_sound
    report = verify_store(kept.desk.path, attachments=kept.home)
    assert report.problems == (
        f"the bytes of attachment {HASH} are gone, or are others",
    )
