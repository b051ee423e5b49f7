"""`escalon compare | replay`: a challenger or a candidate policy on stored tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson

from escalon.learning import MISTAKES, costs_in, gather
from escalon.rules import policy_at
from escalon.terminal import mistakes, out, print_json, print_pairs, progress
from serving.policy.rules import Mode, Policy
from serving.policy.trigger import replay
from serving.store.decided import Decided, decided, first_step
from serving.store.opening import reading
from serving.store.outcomes import outcomes
from serving.where import Where
from training.bundle import ModelBundle
from training.compare import ComparisonError, Tasks, Way, compare
from training.gates.parts import Parts
from training.labels import labels_of
from training.monitor.outcome import Outcomes
from training.registry import Registry
from training.replay import everything, peaks_at, tasks_of

Progress = Callable[[str], None]
_UNKNOWN_RISK = 0.5  # the guess where no model gave a risk


class CompareError(ValueError):
    """Models or policies that cannot be compared; says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a user asks of a comparison; see `escalon compare --help`.

    Attributes
    ----------
    events : tuple of Path
        Events tables.
    store : Path, PostgresAddress or None
        The service's store: its tasks count too, and what ran there in shadow or as a
        canary is told beside.
    policy : Path or None
        For its costs and the minutes of its queues.
    target : Path
        Where to write what was found, as JSON.
    """

    events: tuple[Path, ...]
    store: Where | None
    policy: Path | None
    target: Path
    as_json: bool


def compare_models(
    challenger: str, champion: str, asked: Asked, *, mlruns: Path
) -> None:
    """Play stored tasks to two models, and say what changes."""
    with mistakes(*MISTAKES, ComparisonError, CompareError), progress() as tell:
        policy = policy_at(asked.policy)
        found = _models(Registry(mlruns), (challenger, champion), asked, policy, tell)
        if asked.store is not None:
            tell("reading what ran in shadow or as a canary")
            found["trials"] = trials(asked.store, policy)
    _write(found, asked)


def replay_policy(candidate: Path, asked: Asked) -> None:
    """Decide the stored decisions again under a candidate policy, and say what changes.

    What came after a handover is not known: where the candidate would have let the
    agent go on, nothing is said of what would have followed.
    """
    with mistakes(*MISTAKES, ComparisonError, CompareError), progress() as tell:
        if asked.store is None:
            msg = "decisions are replayed from a store; give --store"
            raise CompareError(msg)
        policy = Policy.load(candidate)
        tell("deciding again")
        found = replayed(asked.store, policy)
    _write(found, asked)


# --- models ------------------------------------------------------------------


def _models(
    registry: Registry,
    uris: tuple[str, str],
    asked: Asked,
    policy: Policy,
    tell: Progress,
) -> dict[str, Any]:
    tell("fetching the models")
    (ours, mine), (theirs, its) = (_model(registry, uri) for uri in uris)
    table = gather(list(asked.events), asked.store)
    tell("computing signals")
    labels = labels_of(table)
    data = everything(table, labels)
    known = [part for part in (mine, its) if part is not None]
    seen = np.any([p.learned.holds(data) for p in known], axis=0) if known else None
    if seen is not None:
        data = data.where(~seen)
    tell(f"playing {data.n_tasks} tasks that neither has learned from")
    ways, guess = [], np.zeros(data.n_tasks)
    for uri, bundle in zip(uris, (ours, theirs), strict=True):
        threshold = bundle.certificate.threshold
        if threshold is None:
            msg = f"{uri} has no threshold to compare at: {bundle.certificate.reason}"
            raise CompareError(msg)
        risk = bundle.risks(data.x)
        guess += risk[data.is_last] / 2
        ways.append(Way(name=uri, step=peaks_at(data, risk, threshold)))
    return {
        **compare(
            tasks_of(data, labels, guess),
            ways[0],
            ways[1],
            costs=costs_in(policy),
            minutes=_minutes(policy),
        ),
        "excluded_as_learned_from": int(0 if seen is None else len(seen) - len(data)),
    }


def _model(registry: Registry, uri: str) -> tuple[ModelBundle, Parts | None]:
    with TemporaryDirectory() as scratch:
        bundle = ModelBundle.load(registry.fetch(uri, Path(scratch) / "bundle"))
    prefix, _, version = uri.replace("@", "/").rpartition("/")
    if not prefix.startswith("models:"):
        return bundle, None
    stored = registry.kept(registry.find(version), "parts.json")
    return bundle, None if stored is None else Parts.of(stored)


def _minutes(policy: Policy) -> float:
    """Return minutes per handoff, averaged over the policy's queues."""
    return float(np.mean([queue.minutes_per_handoff for queue in policy.queues]))


# --- what the store tells ----------------------------------------------------


def _known(store: Where) -> tuple[list[Decided], Outcomes]:
    """Return decisions and outcomes of the same tasks, in the same order."""
    with reading(store) as reader:
        by_task = {one.task_id: one for one in decided(reader)}
        found = [one for one in outcomes(reader) if one.task_id in by_task]
    told = Outcomes.of(found)
    return [by_task[str(task)] for task in told.task_id], told


def _tasks(told: Outcomes, held: Sequence[Decided]) -> Tasks:
    risk = np.nan_to_num(told.risk, nan=_UNKNOWN_RISK)
    return Tasks(
        ids=told.task_id,
        customers=told.group,
        needed=told.needed,
        propensity=np.maximum(told.propensity, 1e-9),
        guess=risk,
        n_steps=np.array([len(one.decisions) for one in held], dtype=np.float64),
    )


def _way(name: str, steps: Iterable[int | None]) -> Way:
    known = [np.nan if step is None else float(step) for step in steps]
    return Way(name=name, step=np.array(known, dtype=np.float64))


def replayed(store: Where, candidate: Policy) -> dict[str, Any]:
    """Return what a candidate policy would have changed on the tasks of a store."""
    held, told = _known(store)
    again = [tuple(replay(d, candidate) for d in one.decisions) for one in held]
    ours = [first_step(decisions) for decisions in again]
    theirs = [one.first for one in held]
    found = compare(
        _tasks(told, held),
        _way(f"policy {candidate.version}", ours),
        _way("as decided", theirs),
        costs=costs_in(candidate),
        minutes=_minutes(candidate),
    )
    triggers = {
        "added": Counter(
            again[i][step - 1].firings[0].trigger
            for i, step in enumerate(ours)
            if step is not None and theirs[i] is None
        ),
        "removed": Counter(
            held[i].decisions[step - 1].firings[0].trigger
            for i, step in enumerate(theirs)
            if step is not None and ours[i] is None
        ),
    }
    for name, counts in triggers.items():
        found[name]["by_trigger"] = dict(counts.most_common())
    return found


def trials(store: Where, policy: Policy) -> list[dict[str, Any]]:
    """Return what policies and models that ran in shadow or as a canary would change.

    Each run, by mode, policy and model, is held against what really happened to the
    tasks it was not allowed to act on. Of a canary both arms are told.
    """
    held, told = _known(store)
    runs: dict[tuple[str, str, str], list[int]] = {}
    for i, one in enumerate(held):
        last = one.decisions[-1]
        if last.mode is not Mode.ENFORCE:
            key = (str(last.mode), last.policy_version, last.model_version or "rules")
            runs.setdefault(key, []).append(i)
    return [
        _trial(key, [held[i] for i in rows], told.where(np.array(rows)), policy)
        for key, rows in sorted(runs.items())
    ]


def _trial(
    key: tuple[str, str, str], held: list[Decided], told: Outcomes, policy: Policy
) -> dict[str, Any]:
    mode, version, model = key
    idle = np.array([not one.decisions[-1].effective for one in held])
    found: dict[str, Any] = {
        "mode": mode,
        "policy": version,
        "model": model,
        "n_tasks": len(held),
        "n_acted_on": int((~idle).sum()),
    }
    if idle.any():
        quiet = [one for one, is_idle in zip(held, idle, strict=True) if is_idle]
        found["would_change"] = compare(
            _tasks(told.where(idle), quiet),
            _way("would have decided", (one.first for one in quiet)),
            _way("what happened", (one.handed for one in quiet)),
            costs=costs_in(policy),
            minutes=_minutes(policy),
        )
    if not idle.all():
        acted = [one for one, is_idle in zip(held, idle, strict=True) if not is_idle]
        way = _way("acted on", (one.handed for one in acted))
        tasks = _tasks(told.where(~idle), acted)
        found["acted_on"] = compare(tasks, way, way, costs=costs_in(policy))["ways"][
            "challenger"
        ]
    return found


# --- what a person sees ------------------------------------------------------

_FIGURES = {
    "escalation_rate": "escalated",
    "miss_rate": "missed of those in need",
    "precision": "needed of those escalated",
    "cost_per_task": "cost per task",
    "minutes_per_1000_tasks": "minutes per 1,000 tasks",
    "lead_steps_median": "lead, steps (median)",
}


def _write(found: Mapping[str, Any], asked: Asked) -> None:
    asked.target.parent.mkdir(parents=True, exist_ok=True)
    asked.target.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    if asked.as_json:
        print_json(found)
        return
    _print(found)
    for trial in found.get("trials", ()):
        if "would_change" in trial:
            out.print(
                f"{trial['mode']}, policy {trial['policy']}, model {trial['model']}: "
                f"{trial['n_tasks']} tasks, {trial['n_acted_on']} acted on",
                markup=False,
            )
            _print(trial["would_change"])
    out.print(f"written to {asked.target}", style="dim")


def _print(found: Mapping[str, Any]) -> None:
    rows: list[tuple[str, Any]] = [
        (f"{words}, difference", found["difference"][name])
        for name, words in _FIGURES.items()
    ]
    for name in ("added", "removed"):
        part = found[name]
        rows.append((f"escalations {name}", part["n"]))
        if part["share_needed"] is not None:
            rows.append(("  of which needed a human", part["share_needed"]))
        if part["examples"]:
            rows.append(("  for example", ", ".join(part["examples"][:3])))
        if part.get("by_trigger"):
            counts = (f"{k} {v}" for k, v in part["by_trigger"].items())
            rows.append(("  by trigger", ", ".join(counts)))
    title = (
        f"{found['challenger']} against {found['champion']} on {found['n_tasks']} "
        f"tasks, {found['n_labelled']} labelled"
    )
    print_pairs(title, rows)
