"""`escalon <verb>`: every verb, in the order a newcomer meets them."""

from __future__ import annotations

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")

import logging

import typer

from escalon import demo, learning, logs, operating

app = typer.Typer(
    name="escalon",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help=(
        "Decides when an AI agent must hand its whole task to a human, and makes the "
        "handover hold. Start with [bold]escalon demo[/], or with your own logs: "
        "ingest, train, promote, serve."
    ),
)

app.command("demo")(demo.demo)
app.command("ingest")(logs.ingest_logs)
app.command("features")(logs.extract_features)
app.command("train")(learning.train_model)
app.command("evaluate")(learning.evaluate_model)
app.command("promote")(learning.promote)
app.command("card")(learning.show_card)
app.command("serve")(operating.serve)
app.add_typer(operating.audit, name="audit")
app.add_typer(operating.policy, name="policy")
app.command("simulate")(logs.simulate)


def main() -> None:
    """Run the command line."""
    for chatty in ("mlflow", "alembic", "bentoml"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    app()
