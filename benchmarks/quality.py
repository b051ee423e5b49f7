"""Decision quality: what the risk is worth on real runs, and what its promises hold.

One table for all of it, each figure beside its goal and its baselines. Public data sets
are read from ``ESCALON_SHARED``; without one its figures are left out. Every study runs
with several seeds: a figure is the mean of the seeds, its interval the mean of their
95 % intervals over tasks or customers, or else the range of the seeds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import _packages_first  # noqa: F401 - `features` is the package
import _promises as promises
import _studies as studies
import numpy as np
from _found import Found
from _real import EVALUATOR
from harness import Measure, main

_SEEDS = 5
Study = Callable[..., Iterable[Found]]

_STUDIES: dict[str, Study] = {
    "tau": studies.tau,
    "intercode": studies.intercode,
    "servicenow": studies.servicenow,
    **{name: partial(studies.evaluator, name) for name in EVALUATOR},
    "certificate": promises.certificate,
    "drift": promises.drift,
    "missrate": promises.missrate,
    "gaming": promises.gaming,
    "refit": promises.refit,
}

# What each figure should reach, and from which side.
_GOALS: dict[str, tuple[float, str]] = {
    "tau.customers.auroc_end": (0.82, "higher"),
    "tau.customers.auroc_every_step": (0.68, "higher"),
    "tau.models.auroc_end": (0.74, "higher"),
    "tau.domains.auroc_end": (0.70, "higher"),
    "tau.stream.auroc_step8": (0.78, "higher"),
    "intercode.auroc_step3": (0.95, "higher"),
    "intercode.models.auroc_step3": (0.88, "higher"),
    "intercode.domains.auroc_step3": (0.89, "higher"),
    "servicenow.auroc_event3": (0.96, "higher"),
    "servicenow.ece_event3": (0.015, "lower"),
    "hotpotqa.flagged_at_fa05": (0.62, "higher"),
    "math.flagged_at_fa05": (0.20, "higher"),
    **{f"{name}.ece_every_step": (0.02, "lower") for name in EVALUATOR},
    **{f"{name}.ece_worst_stage": (0.04, "lower") for name in EVALUATOR},
    **{f"{name}.ece_end": (0.03, "lower") for name in EVALUATOR},
    "certificate.coverage": (0.9, "higher"),
    "certificate.bound_over_truth": (1.5, "lower"),
    "drift.tasks_to_alarm": (5_000, "lower"),
    "drift.false_alarms": (1.0, "lower"),
    "missrate.rmse": (0.035, "lower"),
    "gaming.auroc_lost": (0.01, "lower"),
    "gaming.misses_gained": (0.01, "lower"),
    "refit.seconds": (60.0, "lower"),
}
# A figure and the one it must lie below, times a factor.
_BELOW = {
    "tau.customers.log_loss_end": ("tau.customers.counts.log_loss_end", 0.9),
    "tau.models.log_loss_end": ("tau.models.counts.log_loss_end", 0.9),
    "tau.domains.log_loss_end": ("tau.domains.base_rate.log_loss_end", 1.0),
}
_UNITS = {"log_loss": "nats", "seconds": "s", "tasks_to": "tasks", "false": "/200k"}
_RISING = ("auroc", "flagged", "within", "coverage")


def _run(name: str, study: Study, seeds: int, *, quick: bool) -> Iterator[Measure]:
    """Yield the measures of a study over its seeds."""
    began = time.monotonic()
    found: dict[str, list[Found]] = {}
    for seed in range(1 if name in promises.ONCE else seeds):
        for figure in study(seed, quick=quick):
            found.setdefault(figure.name, []).append(figure)
    print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    for figures in found.values():
        yield _measure(figures)


def _measure(figures: list[Found]) -> Measure:
    name, note = figures[0].name, figures[0].note
    values = np.array([f.value for f in figures])
    low, high = _interval(figures)
    goal, better = _GOALS.get(name, (None, "higher" if _rises(name) else "lower"))
    seeds = f"{len(figures)} seeds" if len(figures) > 1 else ""
    return Measure(
        name=name,
        value=float(values.mean()),
        low=low,
        high=high,
        unit=next((u for part, u in _UNITS.items() if part in name), "1"),
        goal=goal,
        better=better,
        note=", ".join(filter(None, (note, seeds))),
    )


def _rises(name: str) -> bool:
    figure = name.rpartition(".")[2]
    return figure.startswith(_RISING)


def _interval(figures: list[Found]) -> tuple[float | None, float | None]:
    lows = [f.low for f in figures if f.low is not None]
    highs = [f.high for f in figures if f.high is not None]
    if len(lows) == len(highs) == len(figures):
        return float(np.mean(lows)), float(np.mean(highs))
    if len(figures) > 1:
        values = [f.value for f in figures]
        return min(values), max(values)
    return None, None


def _compared(measures: list[Measure]) -> Iterator[Measure]:
    """Yield the measures, with the goals that another measure sets."""
    value = {m.name: m.value for m in measures}
    for m in measures:
        other, factor = _BELOW.get(m.name, ("", 1.0))
        if other in value:
            fields = m.to_json() | {"goal": factor * value[other]}
            yield Measure(**{k: v for k, v in fields.items() if k != "met"})
        else:
            yield m


def measures(quick: bool) -> list[Measure]:  # noqa: FBT001 - the harness's one flag
    """Return every measure of decision quality."""
    seeds = 1 if quick else _SEEDS
    found = [
        m
        for name, study in _STUDIES.items()
        for m in _run(name, study, seeds, quick=quick)
    ]
    return list(_compared(found))


if __name__ == "__main__":
    main("quality", measures)
