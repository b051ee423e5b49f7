"""`escalon serve | audit | policy`: running the service, and answering for it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import typer

from escalon.terminal import err, fail, mistakes, out, print_json, print_pairs
from serving.policy.rules import Policy, PolicyError, check, json_schema
from serving.server import ServerError, run
from serving.settings import Settings, SettingsError
from serving.store.transaction import StoreError
from serving.store.verify import verify_store


def serve(**given: object) -> None:
    """Start the service with what is given of its settings; stay until it stops."""
    with mistakes(SettingsError, PolicyError, StoreError, ServerError):
        known = {name: value for name, value in given.items() if value is not None}
        settings = Settings.load(**known)
        out.print(f"API      {settings.url}/v1/openapi.json")
        out.print(f"console  {settings.url}/console")
        run(settings)


def verify(store: Path, *, expect: str | None, as_json: bool) -> None:
    """Prove the audit log of a store; exit code 1 if anything was changed."""
    with mistakes(StoreError):
        report = verify_store(store, expect=_checkpoint(expect))
    if as_json:
        print_json(report.to_json())
    else:
        held = report.events + report.decisions
        rows = [
            ("records", report.size),
            ("events and decisions held against them", held),
            ("checkpoint", f"{report.size}:{report.root}"),
            ("found", "nothing wrong" if report.is_sound else f"{report.found} wrong"),
            *(("", problem) for problem in report.problems),
        ]
        print_pairs(f"Audit log of {store}", rows)
    if not report.is_sound:
        raise typer.Exit(1)


def _checkpoint(expect: str | None) -> tuple[int, str] | None:
    if expect is None:
        return None
    size, _, root = expect.partition(":")
    if not size.isdigit() or not root:
        msg = f"--expect must be SIZE:ROOT, as `audit verify` prints, got {expect}"
        raise fail(msg)
    return int(size), root


def check_policy(document: Path) -> None:
    """Say whether a policy may go live, and what to know about it."""
    with mistakes(PolicyError):
        found = Policy.load(document)
    for warning in check(found, today=datetime.now(UTC).date()):
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
