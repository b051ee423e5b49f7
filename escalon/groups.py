"""Groups: verbs under a word of their own: store, log, policy, channels, deliveries."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from escalon.options import STORE, AsJson, Attached, PolicyFile, Store
from serving.store.versions import HEAD

audit = typer.Typer(no_args_is_help=True, help="The audit log.")
db = typer.Typer(no_args_is_help=True, help="The store: versions and backups.")
policy = typer.Typer(no_args_is_help=True, help="The policy document.")
channels = typer.Typer(no_args_is_help=True, help="Where handoffs are told.")
deliveries = typer.Typer(no_args_is_help=True, help="What channels were told.")


@audit.command("verify")
def verify(
    store: Store = STORE,
    expect: Annotated[
        str | None,
        typer.Option(help="SIZE:ROOT noted earlier: finds a log cut or rewritten."),
    ] = None,
    attachments: Annotated[
        Path | None,
        typer.Option(
            help="Directory of the attachments: reads and checks every file, too."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Prove the audit log of a store, offline, from its stored bytes.

    Exit code 1 if anything was changed. Note the checkpoint it prints somewhere else,
    and pass it as --expect the next time.

    Example: escalon audit verify --expect 1200:5bb19ac2…
    """
    from escalon import operating

    operating.verify(store, expect=expect, attachments=attachments, as_json=as_json)


@policy.command("check")
def check(
    document: Annotated[Path, typer.Argument(help="Policy document (YAML).")],
) -> None:
    """Say whether a policy may go live, and what to know about it.

    Example: escalon policy check policy.yaml
    """
    from escalon import operating

    operating.check_policy(document)


@policy.command("schema")
def schema() -> None:
    """Print the JSON Schema of the policy document, for editors.

    Example: escalon policy schema > policy.schema.json
    """
    from escalon import operating

    operating.print_schema()


@db.command("current")
def current(store: Store = STORE, as_json: AsJson = False) -> None:
    """Say which version of the schema a store has, and which this release wants.

    Example: escalon db current --store var/escalon.db
    """
    from escalon import database

    database.current(store, as_json=as_json)


@db.command("upgrade")
def upgrade(
    store: Store = STORE,
    to: Annotated[str, typer.Option("--to", help="Version; the newest.")] = HEAD,
) -> None:
    """Bring a store forward, its data with it. The service must be stopped.

    Example: escalon db upgrade --store var/escalon.db
    """
    from escalon import database

    database.upgrade(store, to)


@db.command("downgrade")
def downgrade(
    to: Annotated[str, typer.Option("--to", help="Version, such as 0002.")],
    store: Store = STORE,
    loses: Annotated[
        bool, typer.Option("--lose", help="Lose what has no place in that version.")
    ] = False,
) -> None:
    """Bring a store back to an earlier version; refuses if something would be lost.

    Example: escalon db downgrade --to 0002
    """
    from escalon import database

    database.downgrade(store, to, loses=loses)


@db.command("backup")
def backup(
    into: Annotated[Path, typer.Argument(help="Folder to make.")],
    store: Store = STORE,
    attachments: Attached = None,
    as_json: AsJson = False,
) -> None:
    """Copy a store and its attachments, while it is in use.

    Note the checkpoint it prints somewhere else, and pass it to restore as --expect.

    Example: escalon db backup backups/monday
    """
    from escalon import database

    database.make_backup(store, into, attachments=attachments, as_json=as_json)


@db.command("restore")
def restore(
    source: Annotated[Path, typer.Argument(help="Folder that `backup` made.")],
    store: Store = STORE,
    attachments: Attached = None,
    expect: Annotated[
        str | None, typer.Option(help="SIZE:ROOT noted elsewhere; the backup's own.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring a backup back to an empty place, and prove it.

    Example: escalon db restore backups/monday --store var/again.db
    """
    from escalon import database

    database.bring_back(
        source, store, attachments=attachments, expect=expect, as_json=as_json
    )


@db.command("check")
def check_store(
    store: Store = STORE, attachments: Attached = None, as_json: AsJson = False
) -> None:
    """Prove a store: its log, every row of state, its attachments. It is only read.

    Example: escalon db check --store var/escalon.db
    """
    from escalon import database

    database.check(store, attachments=attachments, as_json=as_json)


@channels.command("check")
def check_channels(
    document: Annotated[Path, typer.Argument(help="File of the channels (YAML).")],
    policy: PolicyFile = None,
) -> None:
    """Say whether the channels may go live, and whether the policy's are all there.

    Example: escalon channels check channels.yaml --policy policy.yaml
    """
    from escalon import delivering

    delivering.check(document, policy=policy)


@channels.command("test")
def test_channel(
    document: Annotated[Path, typer.Argument(help="File of the channels (YAML).")],
    name: Annotated[str, typer.Argument(help="Which one.")],
) -> None:
    """Send one message that says it is a test; exit code 1 unless it was taken.

    Example: escalon channels test channels.yaml pager
    """
    from escalon import delivering

    delivering.test(document, name)


@deliveries.command("list")
def list_deliveries(
    store: Store = STORE,
    status: Annotated[
        str | None, typer.Option(help="pending, done or dead; any, if not given.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List what channels were told, or are to be; the newest first.

    Example: escalon deliveries list --status dead
    """
    from escalon import delivering

    delivering.show(store, status=status, limit=limit, as_json=as_json)


@deliveries.command("redrive")
def redrive(
    outbox_id: Annotated[str, typer.Argument(help="The dead letter.")],
    by: Annotated[str, typer.Option(help="Who wants it; stands in the audit log.")],
    url: Annotated[
        str | None, typer.Option(help="Of the service; the one on this machine.")
    ] = None,
) -> None:
    """Have the service send a dead letter again, under the id it has had.

    Example: escalon deliveries redrive out_5f0c… --by ana
    """
    from escalon import delivering

    delivering.redrive(outbox_id, by=by, url=url)


GROUPS = {
    "audit": audit,
    "db": db,
    "policy": policy,
    "channels": channels,
    "deliveries": deliveries,
}
