"""The confidence audit: validated where confidence tracks, refused where it does not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from features.signals import NAMES
from training.confidence import (
    ConfidenceError,
    Standard,
    Validation,
    audit_confidence,
)
from training.dataset import Snapshots
from training.judged import judged
from training.labels import Evidence, Label

LAST, VERIFIER = NAMES.index("confidence_last"), NAMES.index("verifier_last")


def tasks(n: int = 400, *, seed: int = 0, honesty: float = 1.0) -> Snapshots:
    """Return tasks of two steps of two agent versions.

    Version "1" says how likely it is to succeed, as far as `honesty` goes; version
    "2" always says .9. A verifier says little of either.
    """
    rng = np.random.default_rng(seed)
    chance = rng.beta(2, 2, n)
    needed = (rng.random(n) < 1 - chance).astype(float)
    version = np.where(np.arange(n) % 2 == 0, "1", "2")
    said = np.where(version == "1", honesty * chance + (1 - honesty) * 0.9, 0.9)
    x = np.full((n, len(NAMES)), np.nan)
    x[:, LAST] = said
    x[:, VERIFIER] = np.clip(0.5 + 0.1 * rng.normal(0, 1, n) - 0.05 * needed, 0, 1)

    def rows(values: Any) -> Any:
        return np.repeat(np.asarray(values), 2, axis=0)

    return Snapshots(
        task_ids=rows([f"t{i:05d}" for i in range(n)]),
        groups=rows([f"c{i // 4}" for i in range(n)]),
        domain=rows(np.where(rng.random(n) < 0.5, "retail", "airline")),
        agent_version=rows(version),
        tier=rows(np.full(n, "?")),
        started=rows(np.arange(n, dtype=float)),
        position=np.tile(np.arange(2), n),
        x=rows(x),
        y=rows(needed),
        weight=np.full(2 * n, 0.5),
    )


def audited(data: Snapshots, **asked: Any) -> dict[str, Validation]:
    """Return the audits of the latest confidence, by agent version."""
    found = audit_confidence(data, signals=["confidence_last"], replicates=200, **asked)
    return {one.agent_version: one for one in found}


def test_honest_confidence_is_validated_with_its_figures() -> None:
    """A version that knows what it can do passes; 0.9 means nine in ten there."""
    one = audited(tasks())["1"]
    assert one.validated
    assert "it ranks: AUROC 0.7" in one.reason
    assert one.auroc_end.low > 0.65
    assert one.ece_debiased.value < 0.1
    assert one.brier_over_base_rate.high < 0
    assert len(one.reliability) > 2
    assert one.auroc_over_verifier.value > 0


def test_the_same_word_on_another_version_is_not() -> None:
    """A version that is always sure says nothing: refused, with the figures."""
    one = audited(tasks())["2"]
    assert not one.validated
    assert one.auroc_end.value == 0.5
    assert "does not track the outcome: AUROC 0.500" in one.reason
    assert any("is no chance" in caution for caution in one.cautions)


def test_a_word_that_repeats_the_domain_is_not_validated() -> None:
    """Ranking that the domains' base rates give as well is no ground for a rule."""
    data = tasks(600)
    hard = data.domain == "airline"
    data.y[:] = np.where(
        np.random.default_rng(1).random(len(data)) < np.where(hard, 0.8, 0.1), 1, 0
    )
    data.y[1::2] = data.y[::2]
    data.x[:, LAST] = np.where(hard, 0.2, 0.9)
    one = audited(data)["1"]
    assert one.auroc_end.low > 0.7
    assert not one.validated
    assert "inside a domain it is not shown" in one.reason


@pytest.mark.parametrize(
    ("standard", "says"),
    [
        (Standard(least_tasks=300), "known in 200 labelled tasks, it takes 300"),
        (Standard(least_of_each=150), "it takes 150 of each"),
        (Standard(least_auroc=0.9), "must exceed 0.9"),
    ],
)
def test_what_it_takes_can_be_raised(standard: Standard, says: str) -> None:
    """Too few labels and too weak a signal are told apart."""
    one = audited(tasks(), standard=standard)["1"]
    assert not one.validated
    assert says in one.reason


def test_tasks_in_which_it_is_unknown_do_not_count() -> None:
    """Silence is neither doubt nor certainty; the share is told."""
    data = tasks()
    data.x[::2, LAST] = np.nan
    data.x[1::4, LAST] = np.nan
    found = audited(data)
    known = {version: (one.n_known, one.n_tasks) for version, one in found.items()}
    assert known == {"1": (0, 200), "2": (200, 200)}
    assert not found["1"].validated
    assert found["1"].to_json()["auroc_end"] is None


def test_only_what_the_agent_says_of_itself_is_audited() -> None:
    """Any other signal is refused, and by default those that were seen are taken."""
    with pytest.raises(ConfidenceError, match="confidence_min"):
        audit_confidence(tasks(), signals=["tool_errors"])
    found = audit_confidence(tasks(), replicates=10)
    assert {one.signal for one in found} == {"confidence_last"}


def test_labels_given_because_of_how_a_task_went_do_not_judge() -> None:
    """Handovers and complaints are left out; a drawn task weighs 1 / its draw."""
    data = tasks(4)

    def label(task: str, evidence: Evidence, **more: Any) -> Label:
        plain = {"needed": True, "source": "human", "propensity": 1.0}
        when = datetime(2026, 1, 1, tzinfo=UTC)
        return Label(
            task_id=task, evidence=evidence, matured_at=when, **{**plain, **more}
        )

    labels = {
        "t00000": label("t00000", Evidence.VERDICT),
        "t00001": label("t00001", Evidence.COMPLAINT),
        "t00002": label("t00002", Evidence.VERDICT, source="resolution"),
        "t00003": label("t00003", Evidence.AUDIT, drawn=0.25),
    }
    kept = judged(data, labels)
    assert kept.task_ids[::2].tolist() == ["t00000", "t00003"]
    assert kept.weight[::2].tolist() == [0.5, 2.0]
