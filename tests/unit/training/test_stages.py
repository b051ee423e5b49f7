"""Scores by stage of the task: what each stage holds, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from training.evaluate.intervals import Resampling
from training.evaluate.rows import Rows
from training.evaluate.stages import by_stage, stage_edges


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """Labelled rows of tasks of given lengths."""

    lengths: Any
    needed: Any

    @property
    def task_ids(self) -> Any:
        """Task of each row."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @property
    def groups(self) -> Any:
        """Customer of each row: its task."""
        return self.task_ids

    @property
    def domain(self) -> Any:
        """One domain."""
        return np.full(len(self.task_ids), "d")

    agent_version = tier = domain

    @property
    def position(self) -> Any:
        """Place of the row in its task."""
        return np.concatenate([np.arange(n) for n in self.lengths])

    @property
    def y(self) -> Any:
        """Whether the task needed a human."""
        return np.repeat(self.needed, self.lengths).astype(float)

    @property
    def weight(self) -> Any:
        """Each task weighs 1 in total."""
        return np.repeat(1 / np.asarray(self.lengths), self.lengths)


def rows_of(lengths: Any, *, seed: int = 0) -> Rows:
    """Return sorted rows of tasks, half of which needed a human."""
    needed = np.random.default_rng(seed).random(len(lengths)) < 0.5
    return Rows.of(Tasks(lengths=lengths, needed=needed))


def draws(rows: Rows) -> Resampling:
    """Return a small resampling."""
    return Resampling.draw(rows.n_clusters, replicates=20, seed=0)


def test_stages_hold_a_third_of_the_weight_each() -> None:
    """Of tasks of nine steps each stage has three."""
    assert stage_edges(rows_of([9] * 60)) == (3, 6)


def test_edges_are_steps_that_were_reached_and_rise() -> None:
    """Where most weight lies on the first step, middle still begins after early."""
    assert stage_edges(rows_of([1] * 90 + [2] * 10)) == (1, 2)


def test_stages_are_named_with_their_steps_and_tasks() -> None:
    """Early begins at 1, late has no end, the end is each task's last step."""
    rows = rows_of([9] * 40 + [4] * 40)
    found = by_stage(rows, np.full(len(rows.y), 0.5), draws(rows))
    early, middle, late, end = found.values()
    assert list(found) == ["early", "middle", "late", "end"]
    assert early.first_step == 1
    assert middle.first_step == (early.last_step or 0) + 1
    assert late.first_step == (middle.last_step or 0) + 1
    assert late.last_step is None
    assert (end.first_step, end.last_step) == (None, None)
    assert (early.n_tasks, late.n_tasks, end.n_tasks) == (80, 40, 80)


def test_a_stage_that_few_tasks_reached_is_left_out() -> None:
    """Fewer than thirty tasks say nothing of a stage."""
    rows = rows_of([2] * 60 + [12] * 5)
    found = by_stage(rows, np.full(len(rows.y), 0.5), draws(rows))
    assert "late" not in found
    few = rows_of([3] * 20)
    assert by_stage(few, np.full(len(few.y), 0.5), draws(few)) == {}


def test_an_error_of_one_stage_shows_in_that_stage_alone() -> None:
    """Risks that are right but for the early steps are found to be off there."""
    rng = np.random.default_rng(1)
    p = rng.random(600)
    rows = Rows.of(Tasks(lengths=[6] * 600, needed=rng.random(600) < p))
    right = p[rows.task]
    risk = np.where(rows.step <= 2, np.clip(right - 0.3, 0, 1), right)
    found = by_stage(rows, risk, draws(rows))
    errors = {name: stage.scores.ece_debiased.value for name, stage in found.items()}
    assert errors["early"] == pytest.approx(0.27, abs=0.05)
    assert max(errors[name] for name in ("middle", "late", "end")) < 0.06
    assert all(
        point["observed"]["value"] > point["risk"]
        for point in found["early"].reliability[1:-1]
    )
