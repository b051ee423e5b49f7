from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from features.events import AgentEvent, EventKind, parse
from training.simulate import ForeignEventError, SimulatedTask, World, WorldError, words
from training.simulate.categories import Claim, Wish

SEEDS = st.integers(0, 2**31)


@pytest.fixture(scope="module")
def tasks() -> list[SimulatedTask]:
    """Return a few thousand tasks of one world."""
    return list(World(seed=7).tasks(6000))


def of_kind(task: SimulatedTask, kind: EventKind) -> list[AgentEvent]:
    """Return the task's events of one kind."""
    return [event for event in task.events if event.kind == kind]


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, n=st.integers(1, 20), more=st.integers(0, 20))
def test_a_longer_run_starts_with_the_shorter_one(seed: int, n: int, more: int) -> None:
    """The same seed gives the same log, and task i is the same in a longer run."""
    short, long = list(World(seed=seed).log(n)), World(seed=seed).log(n + more)
    assert short == list(itertools.islice(long, len(short)))


def test_a_run_over_a_block_starts_with_the_shorter_one() -> None:
    """Neither the size of a run nor an earlier run changes task 700."""
    last = [list(World(seed=2).tasks(n))[699] for n in (700, 1100)]
    assert last[0].events == last[1].events
    assert np.array_equal(last[0].truth, last[1].truth)


def test_another_seed_gives_another_log() -> None:
    """Seeds matter."""
    said = [[e.body for e in World(seed=s).log(20)] for s in (0, 1)]
    assert said[0] != said[1]


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, data=st.data())
def test_truth_needs_nothing_but_the_events_so_far(
    seed: int, data: st.DataObject
) -> None:
    """A log cut anywhere, read by the oracle, gives the truth the task came with."""
    world = World(seed=seed)
    for task in world.tasks(8):
        assert len(task.truth) == len(task.events)
        assert ((task.truth >= 0) & (task.truth <= 1)).all()
        n = data.draw(st.integers(1, len(task.events)))
        np.testing.assert_allclose(
            world.truth(task.events[:n]), task.truth[:n], rtol=0, atol=1e-12
        )


def test_all_categories_can_be_read_back(tasks: list[SimulatedTask]) -> None:
    """Over many tasks, whatever their categories, the log alone gives the truth."""
    world = World(seed=7)
    for task in tasks[:600]:
        np.testing.assert_allclose(
            world.truth(task.events), task.truth, rtol=0, atol=1e-12
        )


def test_every_event_keeps_the_contract(tasks: list[SimulatedTask]) -> None:
    """The wire form of each event parses back to the event; ids are unique in a task."""
    for task in tasks[:500]:
        events = task.events + task.outcomes
        assert [parse(event.to_json()) for event in events] == list(events)
        assert len({event.event_id for event in events}) == len(events)
        assert not any(event.is_outcome for event in task.events)
        assert all(event.is_outcome for event in task.outcomes)


def test_time_runs_forward(tasks: list[SimulatedTask]) -> None:
    """Events of a task, its outcomes, and the tasks' starts are in order."""
    for task in tasks[:500]:
        at = [event.at for event in task.events + task.outcomes]
        assert at == sorted(at)
    starts = [task.events[0].at for task in tasks]
    assert starts == sorted(starts)
    assert starts[1999] < datetime(2026, 1, 6, tzinfo=UTC) <= starts[2000]
    hours = Counter(at.hour for at in starts[:2000])
    assert hours[12] > 3 * hours[0]


def test_tasks_have_the_promised_length(tasks: list[SimulatedTask]) -> None:
    """Nine in ten tasks have 8 to 28 events, and an end that can be seen."""
    lengths = [len(task.events) for task in tasks]
    assert np.mean([8 <= n <= 28 for n in lengths]) > 0.9
    for task in tasks[:500]:
        closing = [event.kind == EventKind.USAGE for event in task.events]
        assert closing == [False] * (len(closing) - 1) + [True]


def test_customers_come_back_as_themselves(tasks: list[SimulatedTask]) -> None:
    """A customer recurs over tasks, always with the same account."""
    accounts = {(task.group, str(task.events[0].body["account"])) for task in tasks}
    groups = {task.group for task in tasks}
    assert len(accounts) == len(groups) < len(tasks) / 2
    assert all(task.events[0].body["group"] == task.group for task in tasks)


def test_domains_and_versions_differ_in_their_base_rates(
    tasks: list[SimulatedTask],
) -> None:
    """The need for a human depends on the domain and on the agent version."""
    for fact, low, high in (
        ("domain", "orders", "bookings"),
        ("agent_version", "3.0", "3.1"),
    ):
        rate = {
            value: np.mean([t.needed for t in tasks if t.events[0].body[fact] == value])
            for value in (low, high)
        }
        assert rate[high] > 1.4 * rate[low]


def confidence_auroc(tasks: list[SimulatedTask], version: str) -> tuple[float, float]:
    """Return AUROC of the last stated confidence against need, and its mean."""
    stated, needed = [], []
    for task in tasks:
        if task.events[0].body["agent_version"] == version:
            said = of_kind(task, EventKind.AGENT_MESSAGE)
            values = [
                e.body["confidence"]["value"] for e in said if "confidence" in e.body
            ]
            if values:
                stated.append(values[-1])
                needed.append(task.needed)
    return float(roc_auc_score(needed, -np.array(stated))), float(np.mean(stated))


def test_confidence_is_inflated_and_then_uninformative(
    tasks: list[SimulatedTask],
) -> None:
    """Each version boasts more and tells less, the last ones next to nothing."""
    quality = [confidence_auroc(tasks, v) for v in ("2.3", "2.4", "3.0", "3.1")]
    aurocs, means = zip(*quality, strict=True)
    assert aurocs[0] > 0.62 > aurocs[1] > max(aurocs[2:])
    assert max(aurocs[2:]) < 0.56
    assert means[0] < means[1] < means[2]
    assert min(means[2:]) > 0.9


def lift(tasks: list[SimulatedTask], shows: list[bool]) -> float:
    """Return how many times the base rate of need holds where the log `shows` something."""
    needed = np.array([task.needed for task in tasks])
    assert sum(shows) >= 30
    return float(needed[np.array(shows)].mean() / needed.mean())


def loops(task: SimulatedTask) -> bool:
    """Whether a tool call repeats the one before it, word for word, at least twice."""
    calls = [
        (event.body["tool"], event.body["arguments"])
        for event in of_kind(task, EventKind.TOOL_CALL)
    ]
    return sum(a == b for a, b in itertools.pairwise(calls)) >= 2


def asks(task: SimulatedTask) -> bool:
    """Whether the user asks for a human."""
    said = of_kind(task, EventKind.USER_MESSAGE)
    return any(s in e.text for e in said for s in words.WISHES[Wish.HUMAN])


def doubted(task: SimulatedTask) -> bool:
    """Whether a verifier gives a score in the lowest band."""
    return any(e.body["score"] < 0.2 for e in of_kind(task, EventKind.VERIFIER))


def unsure(task: SimulatedTask) -> bool:
    """Whether the agent ever counts three readings or more."""
    return any(event.body.get("interpretations", 0) >= 3 for event in task.events)


def silent(task: SimulatedTask) -> bool:
    """Whether success is claimed though results held nothing, without any error."""
    results = of_kind(task, EventKind.TOOL_RESULT)
    poor = [event for event in results if '"revision"' not in event.text]
    no_error = not any(event.body["error"] for event in results)
    done = any(event.text in words.CLAIMS[Claim.DONE] for event in task.events)
    return no_error and done and len(poor) >= 2


@pytest.mark.parametrize(
    ("sign", "at_least"),
    [(loops, 3.0), (asks, 2.0), (doubted, 1.8), (unsure, 1.2), (silent, 2.5)],
)
def test_signs_of_trouble_go_with_need(
    tasks: list[SimulatedTask], sign: Callable[[SimulatedTask], bool], at_least: float
) -> None:
    """Loops, asks, low scores, many readings and silent failures raise the need."""
    assert lift(tasks, [sign(task) for task in tasks]) > at_least


def test_sensitive_topics_are_rare_and_serious(tasks: list[SimulatedTask]) -> None:
    """One to five tasks in a hundred touch one, and those need a human far more."""
    touched = [
        any(s in e.text for e in t.events for s in words.SENSITIVE) for t in tasks
    ]
    assert 0.01 < np.mean(touched) < 0.05
    assert lift(tasks, touched) > 2


def test_outcomes_are_late_and_partial() -> None:
    """A quarter of the needed tasks complain, days later; a labelled share has verdicts."""
    tasks = list(World(seed=9).tasks(6000, labelled=0.4))
    heard = [{e.kind: e for e in task.outcomes} for task in tasks]
    needed = [h for task, h in zip(tasks, heard, strict=True) if task.needed]
    verdicts = [EventKind.VERDICT in h for h in heard]
    assert np.mean(verdicts) == pytest.approx(0.4, abs=0.03)
    assert np.mean([EventKind.COMPLAINT in h for h in needed]) == pytest.approx(
        0.25, abs=0.05
    )
    delays = []
    for task, h in zip(tasks, heard, strict=True):
        assert h[EventKind.COMPLETED].body == {"by": "agent"}
        if EventKind.VERDICT in h:
            body = h[EventKind.VERDICT].body
            assert body["needed"] == ("yes" if task.needed else "no")
            assert (body["source"], body["propensity"]) == ("simulation", 0.4)
        if EventKind.COMPLAINT in h:
            assert task.needed
            delays.append(h[EventKind.COMPLAINT].at - task.events[-1].at)
    assert timedelta(days=2.3) < np.median(delays) < timedelta(days=4)


def test_labels_do_not_change_the_tasks() -> None:
    """With fewer labels the tasks are the same, and the labelled are among the former."""
    full, some, none = (list(World().tasks(300, labelled=s)) for s in (1.0, 0.5, 0.0))
    assert [t.events for t in full] == [t.events for t in some]
    counts = [sum(len(t.outcomes) for t in ts) for ts in (none, some, full)]
    assert counts[0] < counts[1] < counts[2] == counts[0] + 300


def test_the_log_is_the_tasks_one_after_another() -> None:
    """`log` is each task's events and then its outcomes."""
    world = World(seed=4)
    expected = [e for t in world.tasks(30) for e in t.events + t.outcomes]
    assert list(world.log(30)) == expected


def test_bad_parameters_are_refused() -> None:
    """Each parameter out of range is named, with what was found."""
    with pytest.raises(WorldError, match="seed must be at least 0, found -1"):
        World(seed=-1)
    with pytest.raises(WorldError, match=r"base_rate must lie between .* found 0\.999"):
        World(base_rate=0.999)
    with pytest.raises(WorldError, match=r"complaint_share must be in \[0, 1\]"):
        World(complaint_share=1.5)
    with pytest.raises(WorldError, match="start must be timezone-aware"):
        World(start=datetime(2026, 1, 5))
    with pytest.raises(WorldError, match=r"labelled must be in \[0, 1\], found 2"):
        World().tasks(1, labelled=2)


def test_a_foreign_log_has_no_truth() -> None:
    """A log that does not start at its start, or is out of place, is refused."""
    world = World()
    task = next(world.tasks(1))
    with pytest.raises(ForeignEventError, match="must start with its task_started"):
        world.truth(task.events[1:])
    with pytest.raises(ForeignEventError, match="kind 'usage' has no place"):
        world.truth([*task.events, *task.outcomes[:1], *task.outcomes[:1]])


def test_twenty_thousand_tasks_a_minute() -> None:
    """Tasks with all their events come at 20,000 a minute or faster on one core."""
    began = time.process_time()
    n = sum(1 for _ in World(seed=1).tasks(2000))
    assert n / (time.process_time() - began) > 20_000 / 60
