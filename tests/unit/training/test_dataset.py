from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.batch import events_table, signals_table
from features.events import AgentEvent
from features.signals import NAMES
from training.dataset import (
    Snapshots,
    TooFewLabelsError,
    folds,
    later_groups,
    snapshots,
    splits,
)
from training.history import stamped
from training.labels import Label, labels_of

T0 = datetime(2026, 1, 31, 9, tzinfo=UTC)
MakeRows = Callable[..., Snapshots]


def task(
    task_id: str, needed: str | None, *, steps: int = 3, hour: int = 0, **facts: Any
) -> list[AgentEvent]:
    """Return the log of a task with `steps` events and perhaps a verdict."""
    propensity = facts.pop("propensity", None)
    kinds = ["task_started", *["user_message"] * (steps - 1)]
    bodies: list[dict[str, Any]] = [facts, *[{"text": f"w {i}"} for i in range(steps)]]
    if needed is not None:
        kinds.append("verdict")
        bodies[steps] = {"needed": needed, "propensity": propensity}
    return [
        AgentEvent(
            task_id=task_id,
            event_id=str(i),
            at=T0 + timedelta(hours=hour, seconds=i),
            kind=kind,
            body=body,
        )
        for i, (kind, body) in enumerate(zip(kinds, bodies, strict=False))
    ]


def rows_of(*tasks: list[AgentEvent]) -> Snapshots:
    """Return the labelled rows of some tasks."""
    table = events_table([event for log in tasks for event in log])
    return snapshots(table, labels_of(table))


# --- rows --------------------------------------------------------------------


def test_a_row_is_what_was_known_when_it_was_decided() -> None:
    """A row per event of a labelled task; the one that is stamped, after its stamp."""
    table = events_table([*task("a", "yes", steps=3), *task("b", "no", steps=2)])
    labels = labels_of(table)
    data, expected = snapshots(table, labels), signals_table(stamped(table, labels))
    # The request is each task's second event, and so it is stamped after that one.
    kept = np.array([True, False, True, True, True, False, True])
    assert data.task_ids.tolist() == ["a"] * 3 + ["b"] * 2
    assert data.position.tolist() == [0, 1, 2, 0, 1]
    matrix = np.column_stack([expected[name].to_numpy() for name in NAMES])
    np.testing.assert_array_equal(data.x, matrix[kept])
    assert data.x[:, NAMES.index("steps")].tolist() == [1, 2, 3, 1, 2]
    assert data.y.tolist() == [1, 1, 1, 0, 0]
    assert data.is_last.tolist() == [False, False, True, False, True]
    assert data.starts.tolist() == [0, 3]
    assert (data.n_tasks, data.n_needed) == (2, 1)


def stamp_of(task_id: str, second: int, rate: float) -> AgentEvent:
    """Return a stamp as a service puts it into its log."""
    return AgentEvent(
        task_id=task_id,
        event_id="history",
        at=T0 + timedelta(seconds=second),
        kind="history",
        body={"type_rate": rate},
    )


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_stamp_that_came_with_the_log_is_kept(after: int) -> None:
    """What serving stamped is what is learned from, at the event it was stamped at."""
    log = task("a", "yes", steps=3)
    stamped_log = [*log[:after], stamp_of("a", after - 1, 0.7), *log[after:]]
    data = rows_of(stamped_log, task("b", "no", steps=2))
    theirs = data.where(data.task_ids == "a")
    assert theirs.x[:, NAMES.index("steps")].tolist() == [1, 2, 3]
    rate = theirs.x[:, NAMES.index("history_type_rate")]
    np.testing.assert_array_equal(rate, [*[np.nan] * (after - 1), *[0.7] * (4 - after)])
    assert theirs.weight == pytest.approx([1 / 3] * 3)


def test_a_stamp_hides_no_event_of_another_task() -> None:
    """A log that begins with its stamp leaves the task before it as it is."""
    alone = [stamp_of("b", 0, 0.7), *task("b", "no", steps=2)]
    data = rows_of(task("a", "yes", steps=3), alone)
    assert data.task_ids.tolist() == ["a"] * 3 + ["b"] * 3


def test_the_order_of_tasks_decides_what_was_known() -> None:
    """Where an order is given, a task is stamped with what came before it in it."""
    tasks = [
        task(f"t{i}", "yes", hour=i, task_type="refund", steps=2) for i in range(300)
    ]
    table = events_table([event for log in tasks for event in log])
    labels = labels_of(table)
    turned = [f"t{i}" for i in reversed(range(300))]
    n = NAMES.index("history_type_n")
    forth, back = (snapshots(table, labels, order=o) for o in (None, turned))
    for data, first, last in ((forth, "t0", "t299"), (back, "t299", "t0")):
        assert np.isnan(data.x[data.task_ids == first, n]).all()
        assert (data.x[data.task_ids == last, n] > 0).all()
    # Where only the order is known, labels are taken to come fifty tasks late.
    known = [int((~np.isnan(data.x[data.starts, n])).sum()) for data in (forth, back)]
    assert known[0] - known[1] == 50


# --- fewer rows of each task -------------------------------------------------

lengths_of_tasks = st.lists(st.integers(1, 40), min_size=1, max_size=8)


def long_tasks(make: MakeRows, lengths: list[int]) -> Snapshots:
    """Return tasks of given lengths, the weight of each being its place from 1."""
    ids = np.repeat([f"t{i}" for i in range(len(lengths))], lengths)
    weight = np.repeat([(i + 1) / n for i, n in enumerate(lengths)], lengths)
    within = np.concatenate([np.arange(n) for n in lengths])
    return make(
        len(ids), task_ids=ids, weight=weight, position=within, steps=within + 1.0
    )


@given(lengths_of_tasks, st.integers(1, 20), st.integers(1, 20))
def test_thinning_keeps_every_tasks_weight(
    rows: MakeRows, lengths: list[int], most: int, again: int
) -> None:
    """However often it is thinned, a task weighs what it did and has a row at least."""
    data = long_tasks(rows, lengths)
    for thin in (data.thinned(most), data.thinned(most).thinned(again)):
        assert thin.n_tasks == len(lengths)
        total = np.add.reduceat(thin.weight, thin.starts)
        assert total == pytest.approx(np.arange(1, len(lengths) + 1))
        assert (thin.weight > 0).all()


@given(lengths_of_tasks, st.integers(2, 20))
def test_thinning_keeps_both_ends_and_spreads_the_rest(
    rows: MakeRows, lengths: list[int], most: int
) -> None:
    """At most so many rows stay of a task, first and last among them, evenly spread."""
    thin = long_tasks(rows, lengths).thinned(most)
    for i, length in enumerate(lengths):
        here = thin.where(thin.task_ids == f"t{i}")
        assert len(here) == min(most, length)
        assert here.position[[0, -1]].tolist() == [0, length - 1]
        gaps = np.diff(here.position)
        assert len(here) < 2 or gaps.max() - gaps.min() <= 1
        np.testing.assert_array_equal(
            here.x[:, NAMES.index("steps")] - 1, here.position
        )


def test_a_row_takes_over_the_weight_of_its_neighbours(rows: MakeRows) -> None:
    """Of nine rows three stay: the ends stand for less than the middle."""
    thin = long_tasks(rows, [9]).thinned(3)
    assert thin.position.tolist() == [0, 4, 8]
    assert thin.weight == pytest.approx(np.array([2.5, 4, 2.5]) / 9)


def test_nothing_is_thinned_that_is_short_enough(rows: MakeRows) -> None:
    """A task with no more rows than asked for stays as it is."""
    data = long_tasks(rows, [1, 4, 5])
    thin = data.thinned(5)
    assert thin.position.tolist() == data.position.tolist()
    assert thin.weight == pytest.approx(data.weight)


def test_unlabelled_tasks_are_absent() -> None:
    """A task without a label, or with an uncertain one, gives no row."""
    data = rows_of(task("a", "yes"), task("b", None), task("c", "uncertain"))
    assert set(data.task_ids.tolist()) == {"a"}


def test_no_label_at_all_is_refused_with_advice() -> None:
    """Without a single label there is nothing to learn from, and the error says so."""
    with pytest.raises(TooFewLabelsError, match="none of the 2 tasks has a label"):
        rows_of(task("a", None), task("b", "uncertain"))


@given(
    st.lists(st.tuples(st.integers(1, 6), st.floats(0.01, 1)), min_size=1, max_size=6)
)
def test_a_task_weighs_one_over_its_propensity(tasks: list[tuple[int, float]]) -> None:
    """However long it is, a task weighs 1 / propensity, evenly over its rows."""
    data = rows_of(
        *(
            task(str(i), "yes", steps=steps, propensity=propensity)
            for i, (steps, propensity) in enumerate(tasks)
        )
    )
    weight = np.add.reduceat(data.weight, data.starts)
    assert weight == pytest.approx([1 / propensity for _, propensity in tasks])
    for i, (steps, _) in enumerate(tasks):
        assert data.weight[data.task_ids == str(i)] == pytest.approx(weight[i] / steps)


def test_facts_come_from_the_first_start() -> None:
    """Domain, version and tier are those the task began with, else unknown."""
    facts = {"domain": "air", "agent_version": "7", "account": {"tier": "gold"}}
    again = task("a", "yes", steps=2)
    again[1] = replace(again[1], kind="task_started", body={"domain": "rail"})
    first = replace(again[0], body=facts)
    data = rows_of([first, *again[1:]], task("b", "no"))
    assert data.domain.tolist() == ["air"] * 2 + ["unknown"] * 3
    assert data.agent_version.tolist() == ["7"] * 2 + ["?"] * 3
    assert data.tier.tolist() == ["gold"] * 2 + ["?"] * 3


def test_a_group_is_a_customer() -> None:
    """The group is what the log calls one, else the account, else the task alone."""
    data = rows_of(
        task("a", "yes", group="g", account={"id": "x"}),
        task("b", "no", account={"id": "x"}),
        task("c", "no", account={"tier": "gold"}),
        task("d", "no"),
    )
    assert data.groups[data.starts].tolist() == ["g", "x", "c", "d"]


def test_a_task_begins_with_its_first_event() -> None:
    """The start is the first event's time, the same on every row of the task."""
    data = rows_of(task("a", "yes", hour=1), task("b", "no", hour=5))
    begin = T0.timestamp()
    assert set(data.started[data.task_ids == "a"]) == {begin + 3600}
    assert set(data.started[data.task_ids == "b"]) == {begin + 5 * 3600}


def test_rows_can_be_taken_out() -> None:
    """A mask keeps its rows in every column."""
    data = rows_of(task("a", "yes"), task("b", "no"))
    kept = data.where(data.task_ids == "b")
    assert kept.task_ids.tolist() == ["b"] * 3
    assert kept.x.shape == (3, len(NAMES))
    assert (kept.n_tasks, kept.n_needed) == (1, 0)
    assert len(data.where(np.zeros(6, dtype=bool))) == 0


def test_the_running_maximum_is_per_task(rows: MakeRows) -> None:
    """The highest risk that each task reaches, in the order of tasks."""
    data = rows(5, task_ids=np.array(["a", "a", "b", "c", "c"]))
    risk = np.array([0.1, 0.9, 0.2, 0.8, 0.3])
    assert data.running_maximum(risk).tolist() == [0.9, 0.2, 0.8]


# --- the fingerprint ---------------------------------------------------------


def test_the_fingerprint_changes_with_any_label(simulated: Snapshots) -> None:
    """Turning the label of any one task round gives another fingerprint."""
    data = simulated.where(np.isin(simulated.task_ids, simulated.task_ids[:200]))
    seen = {data.fingerprint()}
    for name in np.unique(data.task_ids):
        y = np.where(data.task_ids == name, 1 - data.y, data.y)
        seen.add(replace(data, y=y).fingerprint())
    assert len(seen) == 1 + data.n_tasks
    assert data.fingerprint() in seen


@pytest.mark.parametrize("column", ["x", "weight", "task_ids"])
def test_the_fingerprint_changes_with_what_is_learned_from(
    rows: MakeRows, column: str
) -> None:
    """Another signal value, weight or task gives another fingerprint."""
    data = rows(3, steps=np.arange(3.0))
    values = getattr(data, column).copy()
    values[(1, NAMES.index("steps")) if column == "x" else 1] = 7
    assert replace(data, **{column: values}).fingerprint() != data.fingerprint()
    assert len(bytes.fromhex(data.fingerprint())) == 32


# --- splits ------------------------------------------------------------------

names = st.sampled_from("abcdefghij").map(str)
group_columns = st.lists(names, min_size=1, max_size=60).map(np.array)


@given(group_columns, st.integers(2, 5), st.integers(0, 3))
def test_folds_part_no_group(groups: NDArray[np.str_], k: int, seed: int) -> None:
    """Rows of a group share a fold, and folds are as even as groups allow."""
    fold = folds(groups, k=k, seed=seed)
    assert fold.shape == groups.shape
    assert set(fold.tolist()) <= set(range(k))
    sizes = []
    for name in np.unique(groups):
        assert len(set(fold[groups == name].tolist())) == 1
        sizes.append(int((groups == name).sum()))
    load = np.bincount(fold, minlength=k)
    assert load.max() - load.min() <= max(sizes)
    np.testing.assert_array_equal(folds(groups, k=k, seed=seed), fold)


@pytest.mark.parametrize("seed", range(5))
def test_one_large_group_is_balanced_by_small_ones(seed: int) -> None:
    """Large groups are dealt first, so that small ones can make folds even."""
    groups = np.repeat([f"g{i}" for i in range(7)], [6, 1, 1, 1, 1, 1, 1])
    assert np.bincount(folds(groups, k=2, seed=seed)).tolist() == [6, 6]


def test_folds_follow_the_seed() -> None:
    """Another seed deals the groups another way."""
    groups = np.array([f"g{i}" for i in range(40)])
    assert (folds(groups, k=5, seed=0) != folds(groups, k=5, seed=1)).any()


@given(group_columns, st.integers(2, 5))
def test_splits_test_each_row_once(groups: NDArray[np.str_], k: int) -> None:
    """Each row is tested once, by a model that saw no row of its group."""
    tested = np.zeros(len(groups), dtype=int)
    for train, test in splits(groups, k=k, seed=0):
        assert (train != test).all()
        assert not set(groups[train].tolist()) & set(groups[test].tolist())
        tested += test
    assert (tested == 1).all()


@st.composite
def grouped_tasks(draw: st.DrawFn) -> tuple[list[str], list[float], list[int]]:
    """Return group, start and length of each of some tasks."""
    n = draw(st.integers(2, 25))
    each = st.lists(st.integers(0, 8), min_size=n, max_size=n)
    groups = [f"g{i}" for i in draw(each)]
    return groups, [float(t) for t in draw(each)], [1 + i % 3 for i in draw(each)]


@given(grouped_tasks(), st.floats(0.05, 0.95))
def test_later_groups_are_later_and_whole(
    rows: MakeRows, tasks: tuple[list[str], list[float], list[int]], share: float
) -> None:
    """No group is parted, none set aside began before one kept, neither is empty."""
    groups, started, lengths = tasks
    assume(len(set(groups)) > 1)
    data = rows(
        sum(lengths),
        task_ids=np.repeat([f"t{i}" for i in range(len(groups))], lengths),
        groups=np.repeat(groups, lengths),
        started=np.repeat(started, lengths),
    )
    late = later_groups(data, share)
    assert late.any()
    assert not late.all()
    kept, aside = data.where(~late), data.where(late)
    assert not set(kept.groups.tolist()) & set(aside.groups.tolist())
    began = [
        max(part.started[part.groups == name].min() for name in np.unique(part.groups))
        if part is kept
        else min(part.started[part.groups == n].min() for n in np.unique(part.groups))
        for part in (kept, aside)
    ]
    assert began[0] <= began[1]
    # A cut elsewhere would be no nearer to the share asked for, by more than a group.
    largest = max(groups.count(name) for name in set(groups))
    assert abs(aside.n_tasks - share * data.n_tasks) <= largest


@pytest.mark.parametrize("fewest", [1, 5, 9])
@pytest.mark.parametrize("large", ["first", "last"])
def test_so_many_groups_are_kept(rows: MakeRows, fewest: int, large: str) -> None:
    """However large one group is, at least `fewest` are kept and one is set aside."""
    sizes = [90, *[1] * 9] if large == "first" else [*[1] * 9, 90]
    groups = np.repeat([f"g{i}" for i in range(10)], sizes)
    data = rows(99, groups=groups)
    late = later_groups(data, 0.4, fewest=fewest)
    kept = set(groups[~late].tolist())
    assert fewest <= len(kept) <= 9
    if large == "first":
        assert len(kept) == fewest


def test_about_the_share_is_set_aside(simulated: Snapshots) -> None:
    """Of many small groups, as large a share as asked for is set aside."""
    late = later_groups(simulated, 0.4)
    assert simulated.where(late).n_tasks == pytest.approx(600, abs=5)


def test_one_large_customer_leaves_something_to_learn_from(rows: MakeRows) -> None:
    """A customer with most of the tasks, first or last, is on one side, not on both."""
    for started in (np.arange(100.0), np.arange(100.0)[::-1]):
        groups = np.array(["big"] * 80 + [f"g{i}" for i in range(20)])
        late = later_groups(rows(100, groups=groups, started=started), 0.4)
        assert 0 < late.sum() < 100
        assert len(set(late[:80].tolist())) == 1


def test_ties_in_time_are_not_broken_by_the_alphabet(rows: MakeRows) -> None:
    """Groups that began together are set aside by a draw that is always the same."""
    groups = np.array([f"g{i:03}" for i in range(200)])
    data = rows(200, groups=groups, started=np.zeros(200))
    late = later_groups(data, 0.5)
    assert late.sum() == 100
    assert 20 < late[:100].sum() < 80
    np.testing.assert_array_equal(late, later_groups(data, 0.5))


def test_the_fixture_of_simulated_tasks_is_whole(
    log: pa.Table, simulated: Snapshots
) -> None:
    """Every simulated task is labelled as the simulation says."""
    labels = labels_of(log)
    assert simulated.n_tasks == len(labels)
    expected = [float(labels[str(t)].needed) for t in simulated.task_ids]
    assert simulated.y.tolist() == expected
    assert all(isinstance(found, Label) for found in labels.values())
