"""`escalon db`: a store's version, its backups, and whether it is sound."""

from __future__ import annotations

from pathlib import Path

from escalon.operating import checkpoint, report
from escalon.terminal import mistakes, out, print_json, print_pairs
from serving.store import backup, migrations
from serving.store.backup import Backup, BackupError
from serving.store.transaction import StoreError
from serving.store.verify import verify_store
from serving.store.versions import HEAD, WouldLoseError
from serving.where import Where


def current(store: Where, *, as_json: bool) -> None:
    """Say which version of the schema a store has, and which this release wants."""
    with mistakes(StoreError):
        found = migrations.current(store)
    if as_json:
        print_json({"current": found, "head": HEAD})
    else:
        rows = [("has", found), ("this release wants", HEAD)]
        print_pairs(f"Schema of {store}", rows)


def upgrade(store: Where, to: str) -> None:
    """Bring a store forward to a version."""
    with mistakes(StoreError):
        migrations.upgrade(store, to)
    out.print(f"{store} is at {migrations.current(store)}", markup=False)


def downgrade(store: Where, to: str, *, loses: bool) -> None:
    """Bring a store back to an earlier version."""
    with mistakes(StoreError, WouldLoseError):
        migrations.downgrade(store, to, loses=loses)
    out.print(f"{store} is at {migrations.current(store)}", markup=False)


def make_backup(
    store: Where, target: Path, *, attachments: Path | None, as_json: bool
) -> None:
    """Copy a store into a directory, while it is in use."""
    with mistakes(StoreError, BackupError):
        files = _files_of(store, attachments)
        made = backup.backup(store, target, attachments=files)
    if as_json:
        print_json(made.to_json())
    else:
        print_pairs(f"Backup of {store} in {target}", _told(made))


def _told(made: Backup) -> list[tuple[str, object]]:
    return [
        ("version", made.revision),
        ("checkpoint, note it elsewhere", f"{made.size}:{made.root}"),
        ("attachments", made.files),
    ]


def bring_back(
    source: Path,
    store: Where,
    *,
    attachments: Path | None,
    expect: str | None,
    as_json: bool,
) -> None:
    """Bring a backup back to an empty place, and prove it; exit code 1 if it is not."""
    with mistakes(StoreError, BackupError):
        proof = backup.restore(
            source,
            store,
            attachments=attachments or _beside(store),
            expect=checkpoint(expect),
        )
    report(store, proof, as_json=as_json)


def check(store: Where, *, attachments: Path | None, as_json: bool) -> None:
    """Prove a store: its version, its log, its rows, its attachments."""
    with mistakes(StoreError):
        proof = verify_store(store, attachments=_files_of(store, attachments))
    report(store, proof, as_json=as_json)


def _files_of(store: Where, attachments: Path | None) -> Path | None:
    """Return where attachments lie: as told, or beside the file, if there are any."""
    place = attachments or _beside(store)
    return place if place is not None and place.is_dir() else None


def _beside(store: Where) -> Path | None:
    if not isinstance(store, Path):
        return None
    return store.with_name(store.name + ".attachments")
