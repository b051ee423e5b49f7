"""`escalon promote`: the release gates, and the one way to become champion."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import typer
import yaml

from escalon.learning import MISTAKES, costs_in, gather
from escalon.rules import policy_at
from escalon.terminal import mistakes, out, print_json, print_pairs, progress
from features.signals import schema_lines
from serving.policy import yaml12
from serving.where import Where, where_of
from training.bundle import ModelBundle, now
from training.dataset import snapshots
from training.gates import SCHEMA, Evidence, Gate, Limits, LimitsError, Parts, judge
from training.gates.trials import leaks, made_again
from training.judged import judged
from training.labels import labels_of
from training.registry import Registry, Version

Progress = Callable[[str], None]

PROMOTED, REFUSED = "promoted", "refused"
FORCED = "promoted against the gates"
_EXIT = 1


class GateError(ValueError):
    """Gates that cannot be run; says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a user asks of a promotion; see `escalon promote --help`.

    Attributes
    ----------
    events : tuple of Path
        Events tables to judge on; with no store either, those of the training.
    store : Path, PostgresAddress or None
        The service's store, to judge on.
    limits, policy : Path or None
        Limits of the gates; the policy, for its costs.
    reason : str
        Why to promote against a red gate; empty: do not.
    refit : bool
        Grow the model again to see that it is the same.
    """

    events: tuple[Path, ...] = ()
    store: Where | None = None
    limits: Path | None = None
    policy: Path | None = None
    reason: str = ""
    refit: bool = True


def promote(
    version: str, asked: Asked, *, into: Path, mlruns: Path, as_json: bool
) -> None:
    """Run the gates; make a version `champion` if they allow it, or say why not.

    Raises
    ------
    typer.Exit
        With code 1 where a blocking gate is red and no reason to override is given.
    """
    registry = Registry(mlruns)
    with mistakes(*MISTAKES, GateError, LimitsError), progress() as tell:
        found = registry.find(version)
        gates, told = decide(registry, found, asked, into=into, tell=tell)
    _print(told, gates, into, as_json=as_json)
    if told["verdict"] == REFUSED:
        raise typer.Exit(_EXIT)


def decide(
    registry: Registry, found: Version, asked: Asked, *, into: Path, tell: Progress
) -> tuple[tuple[Gate, ...], dict[str, Any]]:
    """Return the gates and gates.json; promote the version if that is the verdict."""
    limits = limits_at(asked.limits)
    gates = judge(evidence_of(registry, found, asked, tell), limits)
    told = _told(registry, found, gates, asked, limits)
    if told["verdict"] == REFUSED:
        registry.keep_gates(found.number, told)
    else:
        registry.promote(found.number, told)
        registry.fetch(found.uri, into)
    return gates, told


def limits_at(path: Path | None) -> Limits:
    """Return the limits in the document at `path`, or the usual ones."""
    if path is None:
        return Limits()
    try:
        return Limits.of(yaml12.read(path.read_text(encoding="utf-8")) or {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        msg = f"{path} must be a YAML document of limits, found: {error}"
        raise LimitsError(msg) from error


def _told(
    registry: Registry,
    found: Version,
    gates: tuple[Gate, ...],
    asked: Asked,
    limits: Limits,
) -> dict[str, Any]:
    """Return the content of gates.json."""
    red = any(gate.blocks for gate in gates)
    verdict = PROMOTED if not red else FORCED if asked.reason else REFUSED
    forced = {"reason": asked.reason, "by": getpass.getuser()}
    champion = registry.champion()
    return {
        "schema": SCHEMA,
        "model": found.uri,
        "champion": None if champion is None else champion.uri,
        "made_at": now(),
        "verdict": verdict,
        "override": forced if verdict == FORCED else None,
        "limits": {f.name: getattr(limits, f.name) for f in fields(limits)},
        "gates": [gate.to_json() for gate in gates],
    }


# --- evidence ----------------------------------------------------------------


def evidence_of(
    registry: Registry, found: Version, asked: Asked, tell: Any
) -> Evidence:
    """Return all that the gates look at for a version.

    Raises
    ------
    GateError
        If there are no tasks to judge on.
    """
    tell("fetching the model")
    bundle, parts = _model(registry, found)
    champion = registry.champion()
    rival, rival_parts = (None, None)
    if champion is not None and champion.number != found.number:
        rival, rival_parts = _model(registry, champion)
    table = _table(registry, found, asked)
    tell("computing signals")
    labels = labels_of(table)
    data = snapshots(table, labels)
    fair = judged(data, labels)
    unseen = fair if parts is None else fair.where(~parts.learned.holds(fair))
    if len(unseen) == 0:
        msg = (
            f"{found.uri} has learned from every customer in these tasks; give tasks "
            "of later customers by --events or --store"
        )
        raise GateError(msg)
    tell(f"judging on {unseen.n_tasks} tasks it has not learned from")
    return Evidence(
        bundle=bundle,
        data=unseen,
        labels=labels,
        parts=parts,
        champion=rival,
        champion_parts=rival_parts,
        gaming=registry.kept(found, "gaming.json"),
        leaks=leaks(table),
        refit=made_again(bundle, data, labels, tell) if asked.refit else None,
        now=datetime.now(UTC),
        costs=costs_in(policy_at(asked.policy)),
        here=tuple(schema_lines()),
    )


def _model(registry: Registry, found: Version) -> tuple[ModelBundle, Parts | None]:
    with TemporaryDirectory() as scratch:
        bundle = ModelBundle.load(registry.fetch(found.uri, Path(scratch) / "bundle"))
    stored = registry.kept(found, "parts.json")
    return bundle, None if stored is None else Parts.of(stored)


def _table(registry: Registry, found: Version, asked: Asked) -> pa.Table:
    if asked.events or asked.store is not None:
        return gather(list(asked.events), asked.store)
    sources = registry.kept(found, "sources.json") or {}
    events = [Path(path) for path in sources.get("events", ())]
    store = sources.get("store")
    missing = [str(path) for path in events if not path.exists()]
    if missing or (not events and store is None):
        gone = f" ({', '.join(missing)} is gone)" if missing else ""
        msg = (
            f"what {found.uri} was trained on is not at hand{gone}; give tasks to "
            "judge it on by --events or --store"
        )
        raise GateError(msg)
    return gather(events, None if store is None else where_of(store))


# --- what a person sees ------------------------------------------------------


def _print(
    told: Mapping[str, Any], gates: tuple[Gate, ...], into: Path, *, as_json: bool
) -> None:
    if as_json:
        print_json(told)
        return
    rows = [
        (f"{gate.code} {_mark(gate)}", f"{gate.title}: {gate.says}") for gate in gates
    ]
    print_pairs(f"Gates of {told['model']}", rows)
    red = [gate.code for gate in gates if gate.blocks]
    if told["verdict"] == REFUSED:
        pages = ", ".join(f"docs/reference/gates/{code}.md" for code in red)
        out.print(
            f"[bold red]not promoted[/]: {', '.join(red)}. What to do: {pages}. To "
            "promote all the same, say why: --force-with-reason TEXT"
        )
        return
    rows = [
        ("champion", told["model"]),
        ("bundle", str(into)),
        ("gates", told["verdict"]),
    ]
    if told["override"]:
        rows.append(("reason", told["override"]["reason"]))
    print_pairs("Promoted", rows)


def _mark(gate: Gate) -> str:
    if gate.passed:
        return "ok"
    return "RED" if gate.blocks else "note"
