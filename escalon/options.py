"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serving.where import where_of

if TYPE_CHECKING:
    from serving.where import Where
else:  # Typer knows no unions; the parser makes whichever it is.
    Where = Path

__all__ = ["STORE", "AsJson", "Attached", "PolicyFile", "Store", "Where"]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, not a table.")]
PolicyFile = Annotated[
    Path | None, typer.Option("--policy", help="Policy document; the shipped one.")
]
Store = Annotated[
    Where,
    typer.Option(
        "--store",
        parser=where_of,
        metavar="PLACE",
        help="The service's store: a file, or a postgresql:// address.",
    ),
]
Attached = Annotated[
    Path | None,
    typer.Option("--attachments", help="Their folder; beside the store's file."),
]

STORE: Where = Path("var/escalon.db")
