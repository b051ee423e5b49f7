"""`escalon serve | audit | policy`: running the service, and answering for it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from escalon.terminal import err, fail, mistakes, out, print_json, print_pairs
from serving.policy.rules import Policy, PolicyError, check, json_schema
from serving.server import ServerError, run
from serving.settings import Settings, SettingsError
from serving.store.transaction import StoreError
from serving.store.verify import verify_store

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, not a table.")]
Store = Annotated[Path, typer.Option("--store", help="The service's store.")]

audit = typer.Typer(no_args_is_help=True, help="The audit log.")
policy = typer.Typer(no_args_is_help=True, help="The policy document.")


def serve(
    store: Store = Path("var/escalon.db"),
    model: Annotated[
        Path, typer.Option("--model", help="Folder of the bundle; see promote.")
    ] = Path("var/model"),
    policy: Annotated[
        Path | None, typer.Option("--policy", help="Policy document; the shipped one.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 3000,
) -> None:
    """Start the service: decisions, handovers, console.

    Without a usable model hard rules decide, and /readyz says so. Settings may also
    come from the environment, as ESCALATION_STORE and so on.

    Example: escalon serve --port 3000
    """
    with mistakes(SettingsError, PolicyError, StoreError, ServerError):
        settings = Settings.load(
            store=store, model=model, policy=policy, host=host, port=port
        )
        if policy is not None:
            Policy.load(policy)
        out.print(f"API      {settings.url}/v1/openapi.json")
        out.print(f"console  {settings.url}/console")
        run(settings)


@audit.command("verify")
def verify(
    store: Store = Path("var/escalon.db"),
    expect: Annotated[
        str | None,
        typer.Option(help="SIZE:ROOT noted earlier: finds a log cut or rewritten."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Prove the audit log of a store, offline, from its stored bytes.

    Exit code 1 if anything was changed. Note the checkpoint it prints somewhere else,
    and pass it as --expect the next time.

    Example: escalon audit verify --expect 1200:5bb19ac2…
    """
    with mistakes(StoreError):
        report = verify_store(store, expect=_checkpoint(expect))
    if as_json:
        print_json(report.to_json())
    else:
        rows = [
            ("records", report.size),
            (
                "events and decisions held against them",
                report.events + report.decisions,
            ),
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


@policy.command("check")
def check_policy(
    document: Annotated[Path, typer.Argument(help="Policy document (YAML).")],
) -> None:
    """Say whether a policy may go live, and what to know about it.

    Example: escalon policy check policy.yaml
    """
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


@policy.command("schema")
def schema() -> None:
    """Print the JSON Schema of the policy document, for editors.

    Example: escalon policy schema > policy.schema.json
    """
    print_json(json_schema())
