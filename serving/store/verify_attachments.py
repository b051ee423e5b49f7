"""Verify attachments: what events name, what is kept of it, and its very bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import orjson

from serving.store import attachments
from serving.store.files import Files
from serving.store.transaction import Reader

_EVENTS = "SELECT task_id, seq, body FROM event"
_USES = "SELECT sha256, task_id, seq FROM attachment_use"
_ROWS = "SELECT sha256, size, used_at FROM attachment ORDER BY sha256"
_PACKAGES = "SELECT handoff_id, body FROM package"

Note = Callable[[str], None]
Use = tuple[str, str, int]


def check(reader: Reader, note: Note) -> None:
    """Hold the rows against the events that name files, and packages against both."""
    named = set(_named(reader))
    kept = {(r["sha256"], r["task_id"], r["seq"]) for r in reader.all(_USES)}
    for sha256, task_id, seq in sorted(named ^ kept):
        note(
            f"attachment {sha256} of event {seq} of task {task_id!r} is in the log or "
            "in its table alone"
        )
    sizes: dict[str, int] = {}
    used = {sha256 for sha256, _, _ in named}
    for row in reader.all(_ROWS):
        sizes[row["sha256"]] = row["size"]
        if (row["used_at"] is not None) != (row["sha256"] in used):
            note(f"attachment {row['sha256']} is not marked as events name it")
    for handoff_id, sha256, size in _packed(reader):
        if sizes.get(sha256) != size:
            note(
                f"the package of handoff {handoff_id!r} has {size} bytes as "
                f"attachment {sha256}, which are not known any more"
            )


def check_files(reader: Reader, files: Files, note: Note) -> None:
    """Read the bytes of every file that an event names, and hold them to its hash."""
    for row in reader.all(_ROWS):
        sha256 = row["sha256"]
        if row["used_at"] is not None and not files.is_sound(sha256):
            note(f"the bytes of attachment {sha256} are gone, or are others")


def _named(reader: Reader) -> Iterator[Use]:
    for row in reader.all(_EVENTS):
        body = bytes(row["body"])
        # Only what may name a file is read: an event can be large.
        if b'"attachments"' in body:
            listed = orjson.loads(body).get("attachments")
            for sha256 in attachments.hashes_of(listed):
                yield sha256, row["task_id"], row["seq"]


def _packed(reader: Reader) -> Iterator[tuple[str, str, int]]:
    """Yield each file that a package says is kept: handoff, hash, size in bytes."""
    for row in reader.all(_PACKAGES):
        for one in orjson.loads(bytes(row["body"])).get("attachments", ()):
            if one["stored"] is not None:
                yield row["handoff_id"], one["sha256"], one["stored"]
