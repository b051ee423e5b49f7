"""`escalon train | evaluate | promote | card`: from events to a model in use."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import orjson
import pyarrow as pa
import typer

from escalon.rules import fired, policy_at
from escalon.terminal import mistakes, out, print_json, print_pairs, progress
from features import batch
from serving.policy.rules import Policy, PolicyError
from serving.store.log import read_log
from serving.store.transaction import StoreError
from training.bundle import BundleError, ModelBundle
from training.certify import CertificateError
from training.dataset import TooFewLabelsError, snapshots
from training.evaluate.decisions import Costs
from training.labels import labels_of
from training.model import Recipe
from training.registry import Registry, RegistryError, Version
from training.train import Order, Trained, evaluate_bundle, summary, train

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, not a table.")]
Mlruns = Annotated[Path, typer.Option("--mlruns", help="Folder of MLflow.")]
PolicyFile = Annotated[
    Path | None, typer.Option("--policy", help="Policy document; the shipped one.")
]
MISTAKES = (
    batch.EventsTableError,
    BundleError,
    CertificateError,
    PolicyError,
    RegistryError,
    StoreError,
    TooFewLabelsError,
)


def gather(events: list[Path], store: Path | None) -> pa.Table:
    """Return one events table of all `events` files and of the service's own log."""
    tables = [batch.read_events(path) for path in events]
    if store is not None:
        tables.append(batch.events_table(read_log(store)))
    return pa.concat_tables(tables)


def _costs(policy: Policy) -> Costs:
    costs = policy.costs
    return Costs(review=costs.review, miss=costs.miss, fixable=costs.fixable)


def order_for(policy: Policy, **asked: Any) -> Order:
    """Return the order of a training under `policy`."""
    return Order(rules=fired(policy), costs=_costs(policy), **asked)


def train_model(
    events: Annotated[
        list[Path], typer.Option("--events", help="Events table; may be repeated.")
    ],
    store: Annotated[
        Path | None,
        typer.Option("--store", help="The service's store: its labels count too."),
    ] = None,
    alpha: Annotated[float, typer.Option(help="Largest tolerated miss rate.")] = 0.1,
    delta: Annotated[float, typer.Option(help="Doubt left in the certificate.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Same seed and data, same model.")] = 0,
    policy: PolicyFile = None,
    mlruns: Mlruns = Path("mlruns"),
    as_json: AsJson = False,
) -> None:
    """Train, certify, evaluate and register a model; it becomes `challenger`.

    Prints models:/escalon/VERSION, the metrics on customers set aside, and the
    certificate, or why there is none.

    Example: escalon train --events events.parquet --store var/escalon.db
    """
    with mistakes(*MISTAKES), progress() as tell:
        asked = order_for(
            policy_at(policy),
            alpha=alpha,
            delta=delta,
            recipe=Recipe(seed=seed),
            progress=tell,
        )
        trained = train(gather(events, store), asked)
        tell("registering with MLflow")
        version = Registry(mlruns).log(trained, asked)
    _print_trained(trained, version, as_json=as_json)


def costs_of(trained: Trained) -> str:
    """Return what other miss bounds would cost, in one line."""
    return ", ".join(
        f"{c.alpha:.0%} missed: {c.escalation_rate:.0%} escalated"
        for c in trained.others
        if c.escalation_rate is not None
    )


def _print_trained(trained: Trained, version: Version, *, as_json: bool) -> None:
    certificate = trained.bundle.certificate
    if as_json:
        print_json(
            {
                "model": version.uri,
                "metrics": summary(trained),
                "certificate": certificate,
                "other_bounds": trained.others,
                "label_sources": trained.label_sources,
            }
        )
        return
    out.print(version.uri)
    print_pairs("On customers set aside (95 % intervals)", [*summary(trained).items()])
    rows = [("certified", certificate.reason), ("other bounds", costs_of(trained))]
    print_pairs("Certificate", rows)
    out.print(f"next: escalon promote {version.number}", style="dim")


def evaluate_model(
    model: Annotated[
        str, typer.Option("--model", help="models:/escalon/3, @champion, or a folder.")
    ],
    events: Annotated[
        list[Path], typer.Option("--events", help="Events table; may be repeated.")
    ],
    report: Annotated[Path, typer.Option("--out", help="Where the report goes.")] = (
        Path("report.json")
    ),
    policy: PolicyFile = None,
    mlruns: Mlruns = Path("mlruns"),
    as_json: AsJson = False,
) -> None:
    """Measure a model on labelled tasks, beside the baselines.

    Example: escalon evaluate --model models:/escalon/1 --events later.parquet
    """
    with mistakes(*MISTAKES), progress() as tell, TemporaryDirectory() as scratch:
        tell("fetching the model")
        folder = Registry(mlruns).fetch(model, Path(scratch) / "bundle")
        tell("computing signals")
        table = gather(events, None)
        data = snapshots(table, labels_of(table))
        tell(f"evaluating on {data.n_tasks} tasks")
        rules = policy_at(policy)
        found = evaluate_bundle(
            ModelBundle.load(folder), data, rules=fired(rules), costs=_costs(rules)
        ).to_json()
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    if as_json:
        print_json(found)
        return
    scores = [
        (f"{scope}, {name}", found[scope][name])
        for scope in ("every_step", "end_of_task")
        for name in ("auroc", "auprc", "log_loss", "brier", "ece_debiased", "smece")
    ]
    decided = [
        (name, found[name])
        for name in ("escalation_rate", "miss_rate", "precision", "lead_steps_median")
    ]
    print_pairs(f"{model} on {found['n_tasks']} tasks", [*scores, *decided])
    out.print(f"written to {report}", style="dim")


def promote(
    version: Annotated[str, typer.Argument(help="A number, or an alias.")] = (
        "challenger"
    ),
    into: Annotated[
        Path, typer.Option("--into", help="Folder that the service reads.")
    ] = Path("var/model"),
    mlruns: Mlruns = Path("mlruns"),
) -> None:
    """Make a version `champion` and put its bundle where the service reads it.

    A running service takes it up by itself.

    Example: escalon promote 3
    """
    with mistakes(*MISTAKES):
        registry = Registry(mlruns)
        found = registry.promote(version)
        folder = registry.fetch(found.uri, into)
    print_pairs("Promoted", [("champion", found.uri), ("bundle", folder)])


def show_card(
    version: Annotated[str, typer.Argument(help="A number, or an alias.")] = "champion",
    into: Annotated[Path, typer.Option("--into", help="Folder to write to.")] = Path(
        "var/cards"
    ),
    mlruns: Mlruns = Path("mlruns"),
) -> None:
    """Write the model card of a version (HTML, Markdown, JSON).

    Example: escalon card champion
    """
    with mistakes(*MISTAKES):
        registry = Registry(mlruns)
        found = registry.find(version)
        page = registry.card_of(found, into / f"version-{found.number}")
    print_pairs("Card", [("model", found.uri), ("open", page)])
