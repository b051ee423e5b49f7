"""What an agent says cannot talk its risk down by more than the allowance.

On the level of events: whatever stands in the fields that an agent fills in about
itself, and whatever words it chooses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.batch import events_table
from features.events import AgentEvent, EventKind
from features.online import TaskState
from features.signals import SIGNALS
from training.bundle import MOST_SAID, ModelBundle
from training.dataset import Snapshots, snapshots
from training.labels import labels_of
from training.model import Recipe
from training.simulate import World
from training.train import Order, fit_bundle

MOST = 0.5  # log-odds
CLOSE = 1e-9
OBSERVED = np.array([signal.trust == "observed" for signal in SIGNALS])
SPEAKING = (EventKind.AGENT_MESSAGE, EventKind.PLAN)
LOGS = [tuple(task.events) for task in World(seed=11).tasks(30)]

reports = st.fixed_dictionaries(
    {},
    optional={
        "confidence": st.fixed_dictionaries(
            {"value": st.floats(0, 1)},
            optional={
                "source": st.sampled_from(["logprob", "verbalized", "self_critique"])
            },
        ),
        "interpretations": st.integers(0, 50)
        | st.lists(st.text(max_size=5), max_size=9),
    },
)
# Whoever lies does it in every message, and lays it on thick.
lies = st.fixed_dictionaries(
    {
        "confidence": st.fixed_dictionaries({"value": st.sampled_from([0.9, 0.97, 1])}),
        "interpretations": st.sampled_from([0, 1]),
    }
)
talk = st.lists(reports, min_size=1, max_size=6) | lies.map(lambda lie: [lie])
words = st.lists(
    st.sampled_from(
        [
            *("done", "I", "am", "sure", "sorry", "cannot", "perhaps", "transfer"),
            *("you", "human", "refund", "order", "#W123", "maybe", "100%", "?"),
        ]
    ),
    max_size=12,
).map(" ".join)
texts = st.lists(words, min_size=1, max_size=6)


def no_rules(data: Snapshots) -> NDArray[np.bool_]:
    """Return that no hard rule fires."""
    return np.zeros(len(data), dtype=bool)


class Judge:
    """A bundle whose boosters do not stand in the report of a failure."""

    def __init__(self, bundle: ModelBundle) -> None:
        self._bundle = bundle

    def __repr__(self) -> str:
        """Return its name alone."""
        return "Judge()"

    def score(self, log: Sequence[AgentEvent]) -> float:
        """Return the score after `log`, log-odds."""
        return self._bundle.score(signals(log))

    def observed(self, log: Sequence[AgentEvent]) -> float:
        """Return the score of what was observed alone, log-odds."""
        assert self._bundle.floor is not None
        return float(self._bundle.floor.scores(signals(log).reshape(1, -1))[0])


@pytest.fixture(scope="module")
def judge() -> Judge:
    """Return a bundle of tasks in which confidence tells much of the outcome."""
    log = events_table(World(seed=3).log(500))
    order = Order(rules=no_rules, recipe=Recipe(rounds=40, rate=0.1, leaves=8))
    return Judge(fit_bundle(snapshots(log, labels_of(log)), None, order))


def signals(log: Sequence[AgentEvent]) -> NDArray[np.float64]:
    """Return the signals after `log`, as the service computes them."""
    state = TaskState()
    for event in log:
        state.advance(event)
    return state.read()


def told(event: AgentEvent, report: dict[str, Any]) -> AgentEvent:
    """Return `event` with the agent's report about itself in place of its own."""
    kept = {
        name: value
        for name, value in event.body.items()
        if name not in {"confidence", "interpretations"}
    }
    return replace(event, body={**kept, **report})


def with_reports(
    log: Sequence[AgentEvent], said: Sequence[dict[str, Any]]
) -> list[AgentEvent]:
    """Return `log` with these reports, in turn, in what the agent says."""
    turn = cycle(said)
    return [told(e, next(turn)) if e.kind in SPEAKING else e for e in log]


def silent(log: Sequence[AgentEvent]) -> list[AgentEvent]:
    """Return `log` without any report of the agent about itself."""
    return [told(e, {}) if e.kind in SPEAKING else e for e in log]


def reworded(log: Sequence[AgentEvent], texts: Sequence[str]) -> list[AgentEvent]:
    """Return `log` with other words, in turn, wherever the agent chose them."""
    turn = cycle(texts)
    return [
        replace(e, body={**e.body, "text": next(turn)}) if e.kind in SPEAKING else e
        for e in log
    ]


def test_the_allowance_is_at_most_what_is_promised() -> None:
    """The bundle's own constant is within the promise."""
    assert 0 <= MOST_SAID <= MOST


@settings(max_examples=150)
@given(said=talk, which=st.integers(0, len(LOGS) - 1), cut=st.floats(0, 1))
def test_self_reports_cannot_lower_the_score_by_more_than_the_allowance(
    judge: Judge, said: list[dict[str, Any]], which: int, cut: float
) -> None:
    """Against the same log with those fields absent, whatever they hold."""
    log = LOGS[which]
    prefix = log[: max(1, round(cut * len(log)))]
    reported = judge.score(with_reports(prefix, said))
    assert reported >= judge.score(silent(prefix)) - MOST - CLOSE


@settings(max_examples=150)
@given(said=talk, chosen=texts, which=st.integers(0, len(LOGS) - 1))
def test_words_change_nothing_that_counts_as_observed(
    said: list[dict[str, Any]], chosen: list[str], which: int
) -> None:
    """A signal is called observed only if no word of the agent can move it."""
    log = LOGS[which]
    plain, other = signals(log), signals(reworded(with_reports(log, said), chosen))
    np.testing.assert_array_equal(plain[OBSERVED], other[OBSERVED])


@settings(max_examples=150)
@given(said=talk, chosen=texts, which=st.integers(0, len(LOGS) - 1))
def test_no_word_lowers_the_score_below_what_was_observed(
    judge: Judge, said: list[dict[str, Any]], chosen: list[str], which: int
) -> None:
    """However it talks, the score stays within the allowance of the observed-only."""
    log = LOGS[which]
    talked = judge.score(reworded(with_reports(log, said), chosen))
    assert talked >= judge.observed(log) - MOST - CLOSE
