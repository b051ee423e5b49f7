"""The price of forged self-reports, measured on models whose weakness is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from features.signals import NAMES
from training.dataset import Snapshots
from training.gaming import (
    EVERY_WORD,
    EVERYTHING,
    FULL_CONFIDENCE,
    SELF_REPORTED,
    Gaming,
    price_of_forgery,
    selection,
)

CONFIDENCE = NAMES.index("confidence_last")
READINGS = NAMES.index("interpretations_max")
HEDGES = NAMES.index("hedges")
ERRORS = NAMES.index("tool_errors")
THRESHOLD = 0.5
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Model:
    """A logistic model with one weight per signal it reads."""

    weight: dict[int, float]
    asked: list[Floats] = field(default_factory=list)

    def risks(self, x: Floats) -> Floats:
        """Return sigmoid of the weighted signals; an unknown one counts as zero."""
        self.asked.append(x)
        z = sum(w * np.nan_to_num(x[:, i]) for i, w in self.weight.items())
        return np.asarray(1 / (1 + np.exp(-np.asarray(z))))


def tasks(n: int = 300, seed: int = 0) -> Snapshots:
    """Return tasks of two steps; confidence and tool errors both tell of the need."""
    rng = np.random.default_rng(seed)
    needed = (rng.random(n) < 0.4).astype(float)
    x = np.full((n, len(NAMES)), np.nan)
    x[:, CONFIDENCE] = np.clip(rng.normal(0.7 - 0.3 * needed, 0.15), 0, 1)
    x[:, READINGS] = 1 + (rng.random(n) < 0.5 * needed)
    x[:, HEDGES] = rng.poisson(1 + 2 * needed)
    x[:, ERRORS] = rng.poisson(0.5 + 2 * needed)

    def rows(values: Any) -> Any:
        return np.repeat(np.asarray(values), 2, axis=0)

    return Snapshots(
        task_ids=rows([f"t{i:05d}" for i in range(n)]),
        groups=rows([f"c{i // 2}" for i in range(n)]),
        domain=rows(np.full(n, "retail")),
        agent_version=rows(np.full(n, "1")),
        tier=rows(np.full(n, "?")),
        started=rows(np.arange(n, dtype=float)),
        position=np.tile(np.arange(2), n),
        x=rows(x),
        y=rows(needed),
        weight=np.full(2 * n, 0.5),
    )


def priced(weight: dict[int, float], threshold: float | None = THRESHOLD) -> Gaming:
    """Return the price of lying to a model with these weights."""
    return price_of_forgery(Model(weight=weight), tasks(), threshold, replicates=50)


def attack(gaming: Gaming, name: str) -> Any:
    """Return one attack by its name."""
    return next(a for a in gaming.attacks if a.name == name)


def test_a_model_that_does_not_listen_cannot_be_lied_to() -> None:
    """Where no self-report counts, no forgery costs anything."""
    found = priced({ERRORS: 1.0})
    for name in (FULL_CONFIDENCE, EVERYTHING, *(s.name for s in SELF_REPORTED)):
        one = attack(found, name)
        assert one.auroc_end.lost.value == one.auroc_every_step.lost.value == 0.0
        assert one.misses_gained.value == one.escalations_suppressed.value == 0.0


def test_a_model_that_believes_confidence_pays_for_it() -> None:
    """Full confidence turns its ranking round and hides those who need a human."""
    found = priced({CONFIDENCE: -8.0, ERRORS: 0.2})
    one = attack(found, FULL_CONFIDENCE)
    assert one.auroc_end.honest > 0.85
    assert one.auroc_end.forged < 0.3
    assert one.auroc_end.lost.low > 0.4
    assert found.worst.name in {EVERYTHING, FULL_CONFIDENCE, "confidence_last"}


def test_misses_gained_are_those_that_no_longer_reach_the_threshold() -> None:
    """Suppressed escalations and misses gained are counted on the needed tasks."""
    data, weight = tasks(), {CONFIDENCE: -4.0, ERRORS: 1.0}
    model = Model(weight=weight)
    found = price_of_forgery(model, data, THRESHOLD, replicates=50)
    needed = data.y > 0
    before = (model.risks(data.x[needed]) >= THRESHOLD)[::2]
    forged = data.x[needed].copy()
    forged[:, CONFIDENCE] = 1.0
    after = (model.risks(forged) >= THRESHOLD)[::2]
    one = attack(found, FULL_CONFIDENCE)
    assert one.escalations_suppressed.value == pytest.approx(
        (before & ~after).sum() / before.sum()
    )
    assert one.misses_gained.value == pytest.approx(before.mean() - after.mean())
    assert one.misses_gained.value > 0.1


def test_everything_is_at_least_as_dear_as_each_signal_alone() -> None:
    """Two signals that both count are forged together, each its own way."""
    found = priced({CONFIDENCE: -3.0, READINGS: 1.0, ERRORS: 0.3})
    whole = attack(found, EVERYTHING)
    assert whole.values["confidence_last"] == 1.0
    assert whole.values["interpretations_max"] in (0.0, 1.0) or np.isnan(
        whole.values["interpretations_max"]
    )
    for signal in SELF_REPORTED:
        assert whole.auroc_end.forged <= attack(found, signal.name).auroc_end.forged


def test_words_have_a_price_of_their_own() -> None:
    """Words the agent chose are forged apart, and do not count as self-reports."""
    found = priced({HEDGES: 2.0, ERRORS: 0.3})
    assert attack(found, EVERY_WORD).auroc_end.lost.value > 0.1
    assert found.worst.auroc_lost.value == 0.0


def test_only_tasks_that_needed_a_human_are_forged() -> None:
    """The others keep the signals they had."""
    data, model = tasks(), Model(weight={CONFIDENCE: -1.0})
    price_of_forgery(model, data, THRESHOLD, replicates=10)
    honest, *forged = model.asked
    assert len(honest) == len(data)
    assert all(len(x) <= (data.y > 0).sum() for x in forged)


def test_the_gap_to_the_verifier_follows_what_is_claimed() -> None:
    """Who claims to be certain is seen to exceed the verifier by the rest."""
    data = tasks()
    data.x[:, NAMES.index("verifier_last")] = 0.25
    model = Model(weight={CONFIDENCE: -1.0})
    price_of_forgery(model, data, THRESHOLD, replicates=10)
    forged = [x for x in model.asked[1:] if (x[:, CONFIDENCE] == 1.0).all()]
    gaps = {float(x[0, NAMES.index("confidence_gap")]) for x in forged}
    assert 0.75 in gaps


def test_without_a_threshold_only_the_ranking_is_priced() -> None:
    """Misses are not defined there, and stand as null."""
    told = priced({CONFIDENCE: -4.0}, threshold=None).to_json()
    assert told["worst"]["misses_gained"] is None
    assert told["attacks"][0]["escalations_suppressed"] is None
    assert told["worst"]["auroc_lost"]["value"] > 0.3


def test_large_data_are_priced_on_an_even_selection() -> None:
    """Of many tasks 2,000 are taken, whole, from first to last."""
    data = tasks(2_500)
    part = selection(data)
    assert part.n_tasks == 2_000
    assert len(part) == 4_000
    assert {part.task_ids[0], part.task_ids[-1]} == {"t00000", "t02499"}
    few = tasks(30)
    assert selection(few) is few


def test_without_a_task_that_needed_a_human_nothing_is_known() -> None:
    """There is nobody to lie about: every figure is undefined."""
    data = tasks()
    data.y[:] = 0.0
    told = price_of_forgery(Model(weight={CONFIDENCE: -1.0}), data, THRESHOLD).to_json()
    assert told["n_needed"] == 0
    assert told["worst"]["auroc_lost"] is None
