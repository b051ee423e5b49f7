"""`escalon <verb>`: every verb with its options, in the order a newcomer meets them.

What a verb does stands in another module, imported when it runs: `--help` must not wait
for a model's libraries.
"""

from __future__ import annotations

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")

import logging
from pathlib import Path
from typing import Annotated

import typer

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
audit = typer.Typer(no_args_is_help=True, help="The audit log.")
policy = typer.Typer(no_args_is_help=True, help="The policy document.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, not a table.")]
Events = Annotated[
    list[Path], typer.Option("--events", help="Events table; may be repeated.")
]
Mlruns = Annotated[Path, typer.Option("--mlruns", help="Folder of MLflow.")]
Out = Annotated[Path, typer.Option("--out", help="File to write.")]
PolicyFile = Annotated[
    Path | None, typer.Option("--policy", help="Policy document; the shipped one.")
]
Store = Annotated[Path, typer.Option("--store", help="The service's store.")]
Version = Annotated[str, typer.Argument(help="A number, or an alias.")]

_MLRUNS = Path("mlruns")
_STORE = Path("var/escalon.db")


@app.command()
def demo(
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Your own logs, any format; else a simulation."),
    ] = None,
    tasks: Annotated[int, typer.Option(min=200, help="Tasks to simulate.")] = 3_000,
    alpha: Annotated[float, typer.Option(help="Largest tolerated miss rate.")] = 0.2,
    once: Annotated[
        bool, typer.Option("--once", help="Stop the service and exit at the end.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port; a free one if it is taken.")] = 3000,
    home: Annotated[
        Path, typer.Option("--home", help="Folder, made anew at each demo.")
    ] = Path("var/demo"),
    mlruns: Mlruns = _MLRUNS,
) -> None:
    """Learn from logs, start the service, and play tasks until cases are queued.

    Without --data a world of support tasks is simulated, whose truth is known.

    Example: escalon demo --data runs.jsonl.gz
    """
    from escalon import demo as work

    work.run(
        work.Asked(data=data, tasks=tasks, alpha=alpha, once=once, port=port),
        home=home,
        mlruns=mlruns,
    )


@app.command()
def ingest(
    sources: Annotated[list[Path], typer.Argument(help="Log files; .gz is fine.")],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="auto, or: jsonl, chat, anthropic, otlp, openinference, langfuse, "
            "langsmith, openai-agents, mlflow, swe-agent, tau.",
        ),
    ] = "auto",
    out: Out = Path("events.parquet"),
    quality: Annotated[
        Path | None,
        typer.Option(help="Data-quality page (HTML, and JSON beside it); beside OUT."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first refusal; write nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read agent logs into an events table.

    Lines that break the contract are listed and left out; the rest lands.

    Example: escalon ingest runs.jsonl.gz --out events.parquet
    """
    from escalon import logs

    logs.ingest_logs(
        sources, form=form, target=out, page=quality, strict=strict, as_json=as_json
    )


@app.command()
def features(
    events: Annotated[Path, typer.Argument(help="Events table.")],
    out: Out = Path("signals.parquet"),
    engine: Annotated[
        str, typer.Option(help="local, or spark (needs the extra escalon[spark]).")
    ] = "local",
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes; as many as there are cores.")
    ] = None,
    master: Annotated[
        str, typer.Option(envvar="ESCALON_SPARK_MASTER", help="Where Spark runs.")
    ] = "local[*]",
    full: Annotated[
        bool, typer.Option("--full", help="Compute every task, changed or not.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compute every signal after every event.

    Over a log that has grown since OUT was written, only the tasks that changed are
    computed; the others are taken from OUT.

    Example: escalon features events.parquet --out signals.parquet
    """
    from escalon import extracting

    extracting.extract_features(
        events,
        target=out,
        where=extracting.Where(engine=engine, jobs=jobs, master=master),
        full=full,
        as_json=as_json,
    )


@app.command()
def train(
    events: Annotated[
        list[Path] | None,
        typer.Option("--events", help="Events table; may be repeated."),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option("--store", help="The service's store: its labels count too."),
    ] = None,
    alpha: Annotated[float, typer.Option(help="Largest tolerated miss rate.")] = 0.1,
    delta: Annotated[float, typer.Option(help="Doubt left in the certificate.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Same seed and data, same model.")] = 0,
    policy: PolicyFile = None,
    mlruns: Mlruns = _MLRUNS,
    as_json: AsJson = False,
) -> None:
    """Train, certify, evaluate and register a model; it becomes `challenger`.

    Prints models:/escalon/VERSION, the metrics on customers set aside, and the
    certificate, or why there is none.

    Example: escalon train --events events.parquet --store var/escalon.db
    """
    from escalon import learning

    learning.train_model(
        events or [],
        learning.Asked(store=store, alpha=alpha, delta=delta, seed=seed, policy=policy),
        mlruns=mlruns,
        as_json=as_json,
    )


@app.command()
def evaluate(
    model: Annotated[
        str,
        typer.Option("--model", help="models:/escalon/3, …@champion, or a folder."),
    ],
    events: Events,
    out: Out = Path("report.json"),
    policy: PolicyFile = None,
    mlruns: Mlruns = _MLRUNS,
    as_json: AsJson = False,
) -> None:
    """Measure a model on labelled tasks, beside the baselines.

    Example: escalon evaluate --model models:/escalon/1 --events later.parquet
    """
    from escalon import learning

    learning.evaluate_model(
        model, events, target=out, policy=policy, mlruns=mlruns, as_json=as_json
    )


@app.command()
def promote(
    version: Version = "challenger",
    into: Annotated[
        Path, typer.Option("--into", help="Folder that the service reads.")
    ] = Path("var/model"),
    mlruns: Mlruns = _MLRUNS,
) -> None:
    """Make a version `champion` and put its bundle where the service reads it.

    A running service takes it up by itself.

    Example: escalon promote 3
    """
    from escalon import learning

    learning.promote(version, into=into, mlruns=mlruns)


@app.command()
def card(
    version: Version = "champion",
    into: Annotated[Path, typer.Option("--into", help="Folder to write to.")] = Path(
        "var/cards"
    ),
    mlruns: Mlruns = _MLRUNS,
) -> None:
    """Write the model card of a version (HTML, Markdown, JSON).

    Example: escalon card champion
    """
    from escalon import learning

    learning.write_card(version, into=into, mlruns=mlruns)


@app.command()
def serve(
    store: Annotated[
        Path | None,
        typer.Option("--store", help="The service's store; var/escalon.db."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", help="Folder of the bundle; var/model, see promote."),
    ] = None,
    policy: PolicyFile = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; 127.0.0.1.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 3000.")] = None,
) -> None:
    """Start the service: decisions, handovers, console.

    Without a usable model hard rules decide, and /readyz says so. What is not given
    here comes from the environment, as ESCALATION_PORT and so on.

    Example: escalon serve --port 3000
    """
    from escalon import operating

    operating.serve(store=store, model=model, policy=policy, host=host, port=port)


@audit.command("verify")
def verify(
    store: Store = _STORE,
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
    from escalon import operating

    operating.verify(store, expect=expect, as_json=as_json)


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


app.add_typer(audit, name="audit")
app.add_typer(policy, name="policy")


@app.command()
def simulate(
    tasks: Annotated[int, typer.Option(min=1, help="How many tasks.")] = 3_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same log.")] = 0,
    labelled: Annotated[
        float, typer.Option(min=0, max=1, help="Share with a reviewer's verdict.")
    ] = 1.0,
    out: Out = Path("events.parquet"),
) -> None:
    """Write the log of a simulated world whose truth is known.

    Example: escalon simulate --tasks 3000 --out events.parquet
    """
    from escalon import logs

    logs.simulate(tasks, seed=seed, labelled=labelled, target=out)


def main() -> None:
    """Run the command line."""
    for chatty in ("alembic", "bentoml"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    app()
