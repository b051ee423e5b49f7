"""`escalon serve | audit | policy`: running the service, and answering for it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import typer

from escalon.terminal import err, fail, mistakes, out, print_json, print_pairs
from serving.channels.config import ChannelsError
from serving.policy.attendance import attended
from serving.policy.rules import Policy, PolicyError, check, json_schema
from serving.server import ServerError, run
from serving.settings import Settings, SettingsError
from serving.store.transaction import StoreError
from serving.store.verify import Report, verify_store
from serving.where import Where

MISTAKES = (SettingsError, PolicyError, ChannelsError, StoreError, ServerError)


def serve(**given: object) -> None:
    """Start the service with what is given of its settings; stay until it stops."""
    with mistakes(*MISTAKES):
        known = {name: value for name, value in given.items() if value is not None}
        settings = Settings.load(**known)
        out.print(f"API      {settings.url}/v1/openapi.json")
        out.print(f"console  {settings.url}/console")
        run(settings)


def verify(
    store: Where, *, expect: str | None, attachments: Path | None, as_json: bool
) -> None:
    """Prove the audit log of a store; exit code 1 if anything was changed."""
    with mistakes(StoreError):
        found = verify_store(store, expect=checkpoint(expect), attachments=attachments)
    report(store, found, as_json=as_json)


def report(store: Where, found: Report, *, as_json: bool) -> None:
    """Print what a proof found; exit code 1 if anything was wrong."""
    if as_json:
        print_json(found.to_json())
    else:
        held = found.events + found.decisions
        rows = [
            ("records", found.size),
            ("events and decisions held against them", held),
            ("checkpoint", f"{found.size}:{found.root}"),
            ("found", "nothing wrong" if found.is_sound else f"{found.found} wrong"),
            *(("", problem) for problem in found.problems),
        ]
        print_pairs(f"Audit log of {store}", rows)
    if not found.is_sound:
        raise typer.Exit(1)


def checkpoint(expect: str | None) -> tuple[int, str] | None:
    """Return the size and root that --expect names; None if it was not given."""
    if expect is None:
        return None
    size, _, root = expect.partition(":")
    if not size.isdigit() or not root:
        msg = f"--expect must be SIZE:ROOT, as `audit verify` prints, got {expect}"
        raise fail(msg)
    return int(size), root


def check_policy(document: Path) -> None:
    """Say whether a policy may go live, and what to know about it."""
    today = datetime.now(UTC).date()
    with mistakes(PolicyError):
        found = attended(Policy.load(document), today)
    for warning in check(found, today=today):
        err.print(f"note: {warning}", markup=False)
    print_pairs(
        f"{document} may go live",
        [
            ("version", found.version),
            ("owner", found.owner),
            ("digest", found.digest),
            ("rules", len(found.rules)),
            ("queues", ", ".join(q.name for q in found.queues)),
        ],
    )


def print_schema() -> None:
    """Print the JSON Schema of the policy document."""
    print_json(json_schema())
