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
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from escalon.groups import GROUPS
from escalon.options import STORE, AsJson, PolicyFile, Store, Where
from serving.where import where_of

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
Events = Annotated[
    list[Path], typer.Option("--events", help="Events table; may be repeated.")
]
Mlruns = Annotated[Path, typer.Option("--mlruns", help="Folder of MLflow.")]
Out = Annotated[Path, typer.Option("--out", help="File to write.")]
Version = Annotated[str, typer.Argument(help="A number, or an alias.")]

_MLRUNS = Path("mlruns")


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
        Where | None,
        typer.Option(
            "--store",
            parser=where_of,
            metavar="PLACE",
            help="The service's store: its labels count too.",
        ),
    ] = None,
    alpha: Annotated[float, typer.Option(help="Largest tolerated miss rate.")] = 0.1,
    delta: Annotated[float, typer.Option(help="Doubt left in the certificate.")] = 0.1,
    by: Annotated[
        str | None,
        typer.Option(help="Certify each domain, agent_version or tier by itself too."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed and data, same model.")] = 0,
    search: Annotated[
        int,
        typer.Option(min=0, help="Recipes to try, each by cross-fitting; 0: none."),
    ] = 0,
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
        learning.Asked(
            store=store,
            alpha=alpha,
            delta=delta,
            by=by,
            seed=seed,
            policy=policy,
            trials=search,
        ),
        mlruns=mlruns,
        as_json=as_json,
    )


@app.command()
def evaluate(
    events: Events,
    model: Annotated[
        str,
        typer.Option("--model", help="models:/escalon/3, …@champion, or a folder."),
    ] = "",
    out: Out = Path("report.json"),
    confidence: Annotated[
        bool,
        typer.Option(
            "--confidence",
            help="Not a model: hold what the agent says of itself against outcomes.",
        ),
    ] = False,
    signal: Annotated[
        list[str] | None,
        typer.Option("--signal", help="With --confidence: which; may be repeated."),
    ] = None,
    stream: Annotated[
        bool,
        typer.Option(
            "--stream",
            help="Follow the tasks as they came; without --model, with one grown from "
            "what was known.",
        ),
    ] = False,
    delay: Annotated[
        str,
        typer.Option(
            help="With --stream: further tasks (50) or time (12h) until a label counts."
        ),
    ] = "50",
    refit: Annotated[
        int | None,
        typer.Option(min=1, help="With --stream: tasks after which it is grown anew."),
    ] = None,
    seed: Annotated[int, typer.Option(help="With --stream: same seed, same run.")] = 0,
    policy: PolicyFile = None,
    mlruns: Mlruns = _MLRUNS,
    as_json: AsJson = False,
) -> None:
    """Measure a model on labelled tasks, beside the baselines.

    With --confidence, measure per agent version whether its word tracks how tasks end,
    and print what a policy needs to threshold on it. With --stream, predict the later
    half of the tasks as they come in, and let a label count only once it was known.

    Example: escalon evaluate --model models:/escalon/1 --events later.parquet
    """
    if stream:
        from escalon import streaming

        if model and refit:
            msg = "a model that is named is followed as it is; give one or the other"
            raise typer.BadParameter(msg, param_hint="--refit")
        asked = streaming.Asked(
            model=model,
            delay=delay,
            refit=refit,
            seed=seed,
            policy=policy,
            mlruns=mlruns,
        )
        streaming.evaluate_stream(events, asked, target=out, as_json=as_json)
        return
    if confidence:
        from escalon import validating

        validating.audit_confidence(
            events, None, signals=signal or [], target=out, as_json=as_json
        )
        return
    if not model:
        msg = "say which, or give --confidence or --stream"
        raise typer.BadParameter(msg, param_hint="--model")
    from escalon import learning

    learning.evaluate_model(
        model, events, target=out, policy=policy, mlruns=mlruns, as_json=as_json
    )


@app.command()
def certify(
    model: Annotated[
        str,
        typer.Option("--model", help="models:/escalon/3, …@champion, or a folder."),
    ],
    events: Annotated[
        list[Path] | None,
        typer.Option("--events", help="Labelled tasks it has not learned from."),
    ] = None,
    store: Annotated[
        Where | None,
        typer.Option(
            "--store",
            parser=where_of,
            metavar="PLACE",
            help="The service's store: certify by its audits.",
        ),
    ] = None,
    alpha: Annotated[float, typer.Option(help="Largest tolerated miss rate.")] = 0.1,
    delta: Annotated[float, typer.Option(help="Doubt left in the certificate.")] = 0.1,
    by: Annotated[
        str | None,
        typer.Option(help="Certify each domain, agent_version or tier by itself too."),
    ] = None,
    capacity: Annotated[
        float | None,
        typer.Option(min=0, help="Escalations a day that humans can take."),
    ] = None,
    since: Annotated[
        datetime | None, typer.Option(help="With --store: decided from here on (UTC).")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(help="With --store: decided before (UTC).")
    ] = None,
    ahead: Annotated[
        bool,
        typer.Option(
            "--ahead", help="With --store: promise for tasks to come, if independent."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the same model with this certificate."),
    ] = None,
    policy: PolicyFile = None,
    mlruns: Mlruns = _MLRUNS,
    as_json: AsJson = False,
) -> None:
    """Say what miss rate can be promised of a model, and what it costs.

    Prints certificate or refusal, with what is still needed, and the frontier of other
    bounds. Exit code 1 if the certificate is refused.

    Example: escalon certify --model models:/escalon@champion --store var/escalon.db
    """
    from escalon import certifying

    certifying.certify_model(
        model,
        certifying.Asked(
            events=tuple(events or ()),
            store=store,
            alpha=alpha,
            delta=delta,
            by=by,
            capacity=capacity,
            since=since,
            until=until,
            ahead=ahead,
            policy=policy,
        ),
        target=out,
        mlruns=mlruns,
        as_json=as_json,
    )


@app.command()
def promote(
    version: Version = "challenger",
    events: Annotated[
        list[Path] | None,
        typer.Option("--events", help="Tasks to judge it on; those of its training."),
    ] = None,
    store: Annotated[
        Where | None,
        typer.Option(
            "--store",
            parser=where_of,
            metavar="PLACE",
            help="The service's store: judge on its tasks too.",
        ),
    ] = None,
    into: Annotated[
        Path, typer.Option("--into", help="Folder that the service reads.")
    ] = Path("var/model"),
    gates: Annotated[
        Path | None, typer.Option("--gates", help="Limits of the gates (YAML).")
    ] = None,
    force: Annotated[
        str,
        typer.Option("--force-with-reason", help="Promote against red gates, and why."),
    ] = "",
    refit: Annotated[
        bool, typer.Option(help="Grow it again to see that it is the same.")
    ] = True,
    policy: PolicyFile = None,
    mlruns: Mlruns = _MLRUNS,
    as_json: AsJson = False,
) -> None:
    """Run the release gates; if none blocks, make a version `champion`.

    Its bundle goes where the service reads it; a running service takes it up by itself.
    What the gates said is kept with the version. Exit code 1 if one blocks.

    Example: escalon promote 3 --events later.parquet
    """
    from escalon import promoting

    promoting.promote(
        version,
        promoting.Asked(
            events=tuple(events or ()),
            store=store,
            limits=gates,
            policy=policy,
            reason=force.strip(),
            refit=refit,
        ),
        into=into,
        mlruns=mlruns,
        as_json=as_json,
    )


@app.command()
def compare(
    challenger: Annotated[
        str, typer.Option("--challenger", help="models:/escalon/3, or a folder.")
    ] = "models:/escalon@challenger",
    champion: Annotated[
        str, typer.Option("--champion", help="What it is held against.")
    ] = "models:/escalon@champion",
    events: Annotated[
        list[Path] | None,
        typer.Option("--events", help="Events table; may be repeated."),
    ] = None,
    store: Annotated[
        Where | None,
        typer.Option(
            "--store",
            parser=where_of,
            metavar="PLACE",
            help="The service's store: its tasks, and what ran.",
        ),
    ] = None,
    out: Out = Path("comparison.json"),
    policy: PolicyFile = None,
    mlruns: Mlruns = _MLRUNS,
    as_json: AsJson = False,
) -> None:
    """Play stored tasks to two models: escalations added, removed, and misses.

    Tasks need no label: what is missed is estimated from those that have one. With
    --store, what ran in shadow or as a canary is told too.

    Example: escalon compare --challenger models:/escalon/3 --store var/escalon.db
    """
    from escalon import comparing

    comparing.compare_models(
        challenger,
        champion,
        comparing.Asked(
            events=tuple(events or ()),
            store=store,
            policy=policy,
            target=out,
            as_json=as_json,
        ),
        mlruns=mlruns,
    )


@app.command()
def replay(
    policy: Annotated[Path, typer.Option("--policy", help="The candidate (YAML).")],
    store: Store = STORE,
    out: Out = Path("replay.json"),
    as_json: AsJson = False,
) -> None:
    """Decide the stored decisions again under a candidate policy; change nothing.

    Example: escalon replay --policy candidate.yaml --store var/escalon.db
    """
    from escalon import comparing

    comparing.replay_policy(
        policy,
        comparing.Asked(
            events=(), store=store, policy=policy, target=out, as_json=as_json
        ),
    )


@app.command()
def card(
    version: Version = "champion",
    into: Annotated[
        Path, typer.Option("--out", "--into", help="Folder to write to.")
    ] = Path("var/cards"),
    against: Annotated[
        str, typer.Option("--against", help="Version to compare it with.")
    ] = "",
    policy: Annotated[
        Path | None,
        typer.Option("--policy", help="Whose owner, desks and review date to show."),
    ] = None,
    tasks_a_day: Annotated[
        float | None,
        typer.Option(help="Expected, for the staffing; as in the training data."),
    ] = None,
    approved_by: Annotated[
        str, typer.Option(help="Who lets it go live; blank until somebody does.")
    ] = "",
    store: Annotated[
        Where | None,
        typer.Option(
            "--store",
            parser=where_of,
            metavar="PLACE",
            help="The service's store: KPIs and alarms since.",
        ),
    ] = None,
    comparison: Annotated[
        Path | None,
        typer.Option("--comparison", help="What `escalon compare --out` wrote."),
    ] = None,
    mlruns: Mlruns = _MLRUNS,
) -> None:
    """Write the model card of a version: HTML, Markdown, JSON and an ML-BOM.

    Example: escalon card challenger --against champion --policy policy.yaml
    """
    from escalon import cards

    wanted = cards.Wanted(
        policy=policy,
        against=against,
        approved_by=approved_by,
        tasks_a_day=tasks_a_day,
        store=store,
        comparison=comparison,
    )
    cards.write(version, wanted, into=into, mlruns=mlruns)


@app.command()
def monitor(
    store: Store = STORE,
    model: Annotated[
        Path | None,
        typer.Option("--model", help="Folder of the bundle whose promises are held."),
    ] = None,
    window: Annotated[
        int, typer.Option(help="Tasks whose signals are compared at a time.")
    ] = 1_000,
    maturity: Annotated[
        float, typer.Option(min=0, help="Days for which labels are waited for.")
    ] = 7.0,
    since: Annotated[
        datetime | None,
        typer.Option(help="Tasks decided from here on (UTC); the model's first."),
    ] = None,
    policy: PolicyFile = None,
    as_json: AsJson = False,
) -> None:
    """Watch misses, calibration, drift and gaming over the tasks of a store.

    Exit code 0 if nothing was found, 1 if there are alarms. It only reads: the service
    runs the same monitors by itself, and there an alarm withdraws the certificate.

    Example: escalon monitor --store var/escalon.db --model var/model
    """
    from escalon import monitoring

    monitoring.monitor(
        store,
        monitoring.Asked(
            model=model, policy=policy, window=window, maturity=maturity, since=since
        ),
        as_json=as_json,
    )


@app.command()
def serve(
    store: Annotated[
        Where | None,
        typer.Option(
            "--store",
            parser=where_of,
            metavar="PLACE",
            help="The service's store; var/escalon.db.",
        ),
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


@app.command()
def worker(
    store: Annotated[
        Where | None,
        typer.Option(
            "--store",
            parser=where_of,
            metavar="PLACE",
            help="The services' store: a postgresql:// address.",
        ),
    ] = None,
    policy: PolicyFile = None,
    channels: Annotated[
        Path | None, typer.Option("--channels", help="File that names the channels.")
    ] = None,
) -> None:
    """Do what has to happen without anybody calling: deliveries, deadlines, monitors.

    For services that share a PostgreSQL store; run as many as you like, on as many
    hosts. A service on a SQLite file does all of it itself. What is not given here
    comes from the environment, as for serve.

    Example: escalon worker --store postgresql://escalon@db/escalon
    """
    from escalon import delivering

    delivering.worker(store=store, policy=policy, channels=channels)


@app.command()
def kpis(
    store: Store = STORE,
    since: Annotated[
        datetime | None, typer.Option("--from", help="Tasks from this time on (UTC).")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--to", help="Tasks before this time (UTC).")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(help="trigger, domain, agent_version, tier or model_version."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say how many tasks are escalated, rightly, missed, and handed over well.

    Each figure with its 95 % interval and what it rests on; where nothing can be said,
    what it would take. Reads the store of a running service, or one at rest.

    Example: escalon kpis --store var/escalon.db --by domain
    """
    from escalon import kpis as shown

    shown.show(store, since=since, until=until, by=by, as_json=as_json)


for _name, _group in GROUPS.items():
    app.add_typer(_group, name=_name)


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
