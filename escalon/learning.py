"""`escalon train | evaluate`: from events to a model in use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pyarrow as pa

from escalon.rules import fired, policy_at
from escalon.terminal import fail, mistakes, out, print_json, print_pairs, progress
from features import batch
from serving.policy.rules import Policy, PolicyError
from serving.store.log import read_log
from serving.store.transaction import StoreError
from serving.where import Where, resolved
from training.bundle import BundleError, Certificate, ModelBundle, SegmentBy
from training.certify import CertificateError
from training.costs import Costs
from training.dataset import TooFewLabelsError, snapshots
from training.labels import labels_of
from training.model import Recipe
from training.registry import Registry, RegistryError, Version
from training.train import Order, Trained, evaluate_bundle, summary, train

MISTAKES = (
    batch.EventsTableError,
    BundleError,
    CertificateError,
    PolicyError,
    RegistryError,
    StoreError,
    TooFewLabelsError,
)


def gather(events: list[Path], store: Where | None) -> pa.Table:
    """Return one events table of all `events` files and of the service's own log."""
    if not events and store is None:
        msg = "nothing to learn from: give --events, --store, or both"
        raise fail(msg)
    tables = [batch.read_events(path) for path in events]
    if store is not None:
        tables.append(batch.events_table(read_log(store)))
    return pa.concat_tables(tables)


def costs_in(policy: Policy) -> Costs:
    """Return the prices of a policy as training knows them."""
    return Costs(**policy.costs.model_dump())


def order_for(policy: Policy, **asked: Any) -> Order:
    """Return the order of a training under `policy`."""
    return Order(rules=fired(policy), costs=costs_in(policy), **asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a user asks of a training; see `escalon train --help`."""

    store: Where | None
    alpha: float
    delta: float
    seed: int
    policy: Path | None
    by: str | None = None
    trials: int = 0


def train_model(
    events: list[Path], asked: Asked, *, mlruns: Path, as_json: bool
) -> None:
    """Train, certify, evaluate and register a model."""
    with mistakes(*MISTAKES), progress() as tell:
        order = order_for(
            policy_at(asked.policy),
            alpha=asked.alpha,
            delta=asked.delta,
            by=segment_by(asked.by),
            recipe=Recipe(seed=asked.seed),
            trials=asked.trials,
            progress=tell,
        )
        trained = train(gather(events, asked.store), order)
        tell("registering with MLflow")
        registry = Registry(mlruns)
        version = registry.log(trained, order)
        registry.keep(version.number, "sources.json", _sources(events, asked.store))
    _print_trained(trained, version, as_json=as_json)


def _sources(events: list[Path], store: Where | None) -> dict[str, Any]:
    """Return where the tasks of a training lie, for who asks for them later."""
    return {
        "events": [str(path.resolve()) for path in events],
        "store": None if store is None else str(resolved(store)),
    }


def segment_by(text: str | None) -> SegmentBy | None:
    """Return what tasks are parted by; exits where it is not one of the three."""
    if text is None:
        return None
    try:
        return SegmentBy(text)
    except ValueError as error:
        msg = f"--by must be one of {', '.join(SegmentBy)}, found {text!r}"
        raise fail(msg) from error


def segment_rows(segments: Sequence[Certificate]) -> list[tuple[str, str]]:
    """Return what each segment is promised, as pairs to print."""
    return [(one.segment, one.reason) for one in segments]


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
                "segments": trained.bundle.segments,
                "other_bounds": trained.others,
                "label_sources": trained.label_sources,
            }
        )
        return
    out.print(version.uri)
    print_pairs("On customers set aside (95 % intervals)", [*summary(trained).items()])
    rows = [("certified", certificate.reason), ("other bounds", costs_of(trained))]
    rows += segment_rows(trained.bundle.segments)
    print_pairs("Certificate", rows)
    out.print(f"next: escalon promote {version.number}", style="dim")


def evaluate_model(
    model: str,
    events: list[Path],
    *,
    target: Path,
    policy: Path | None,
    mlruns: Path,
    as_json: bool,
) -> None:
    """Measure a model on labelled tasks, and write the report."""
    with mistakes(*MISTAKES), progress() as tell, TemporaryDirectory() as scratch:
        tell("fetching the model")
        folder = Registry(mlruns).fetch(model, Path(scratch) / "bundle")
        tell("computing signals")
        table = gather(events, None)
        data = snapshots(table, labels_of(table))
        tell(f"evaluating on {data.n_tasks} tasks")
        rules = policy_at(policy)
        found = evaluate_bundle(
            ModelBundle.load(folder), data, rules=fired(rules), costs=costs_in(rules)
        ).to_json()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    if as_json:
        print_json(found)
    else:
        _print_report(model, found)
        out.print(f"written to {target}", style="dim")


_SCORES = ("auroc", "auprc", "log_loss", "brier", "ece_debiased", "smece")
_DECIDED = ("escalation_rate", "miss_rate", "precision", "lead_steps_median")


def _print_report(model: str, found: dict[str, Any]) -> None:
    scores = [
        (f"{scope}, {name}", found[scope][name])
        for scope in ("every_step", "end_of_task")
        for name in _SCORES
    ]
    decided = [(name, found[name]) for name in _DECIDED]
    print_pairs(f"{model} on {found['n_tasks']} tasks", [*scores, *decided])
