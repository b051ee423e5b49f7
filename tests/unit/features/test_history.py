"""Outcome history: what earlier tasks tell a new one, and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.events import EventKind, parse
from features.history import (
    MOST_WEIGHT,
    PATIENCE,
    Kin,
    OutcomeHistory,
    Types,
    head_of,
    is_told,
)
from features.signals import SIGNALS, Group
from features.sources import Reader

REFUND = Kin(domain="retail", agent_version="v1", task_type="refund")


def settled() -> OutcomeHistory:
    """Return a history of so many other tasks that rates are known; half needed one."""
    history = OutcomeHistory()
    for i in range(200):
        history.begin(f"other {i}", Kin(domain="else", agent_version="v0"))
        history.tell(f"other {i}", needed=i % 2 == 0)
    return history


def told(*labels: bool, kin: Kin = REFUND, propensity: float = 1.0) -> OutcomeHistory:
    """Return a settled history with tasks of one kin that had these labels."""
    history = settled()
    for i, needed in enumerate(labels):
        history.begin(f"old {i}", kin)
        history.tell(f"old {i}", needed=needed, propensity=propensity)
    return history


def test_rates_are_unknown_until_history_has_settled() -> None:
    """A model made on first guesses must not meet real rates later, nor the reverse."""
    history = OutcomeHistory()
    for i in range(200):
        assert set(history.begin(f"t{i}", REFUND)) == {"task_type", "kin"}
        history.tell(f"t{i}", needed=False)
    assert history.begin("new", REFUND)["type_rate"] < 0.2


def test_a_domain_or_version_of_few_labels_has_no_rate_of_its_own() -> None:
    """What is expected of a task is then that of larger groups."""
    stamp = told(True, True).begin("new", REFUND)
    assert (stamp["domain_rate"], stamp["version_rate"]) == (None, None)
    assert stamp["cell_rate"] > 0.5
    assert stamp["expected_rate"] > 0.5


def test_more_labels_than_enough_change_no_count() -> None:
    """What later labels can add is bounded, so that a promise made before holds."""
    many, more = told(*[True, False] * 60), told(*[True, False] * 500)
    one, other = many.begin("new", REFUND), more.begin("new", REFUND)
    for name in ("cell_n", "type_n"):
        assert one[name] == other[name] > 0
    for name in ("domain_rate", "version_rate", "type_rate", "cell_rate"):
        assert one[name] == pytest.approx(other[name])


def test_earlier_tasks_of_a_type_move_its_rate() -> None:
    """The more of them needed a human, the higher every rate of the next."""
    high, low = told(*[True] * 25), told(*[False] * 25)
    up, down = high.begin("new", REFUND), low.begin("new", REFUND)
    for name in ("domain_rate", "version_rate", "type_rate", "pair_rate"):
        assert up[name] > 0.6
        assert down[name] < 0.4
    assert up["type_n"] == 25


def test_a_label_counts_only_once_it_is_known() -> None:
    """A task that has begun says nothing until its label is told."""
    history = settled()
    history.begin("old", REFUND)
    before = history.begin("a", REFUND)
    history.tell("old", needed=True)
    after = history.begin("b", REFUND)
    assert before["type_rate"] == 0.5
    assert after["type_rate"] > 0.5


def test_a_tasks_own_label_never_reaches_its_stamp() -> None:
    """What a task is stamped with does not change when its label is told."""
    history = told(True, False)
    stamp = dict(history.begin("new", REFUND))
    history.tell("new", needed=True)
    assert stamp == told(True, False).begin("new", REFUND)


@given(st.lists(st.booleans(), min_size=1, max_size=20), st.booleans())
def test_a_label_taken_back_leaves_no_trace(labels: list[bool], last: bool) -> None:  # noqa: FBT001
    """Telling a label and taking it back is as if it had never been told."""
    without, taken_back = told(*labels), told(*labels)
    for history in (without, taken_back):
        history.begin("x", REFUND)
    taken_back.tell("x", needed=last)
    taken_back.tell("x", needed=None)
    one, other = without.begin("new", REFUND), taken_back.begin("new", REFUND)
    assert {k: pytest.approx(v) for k, v in one.items() if k != "kin"} == {
        k: v for k, v in other.items() if k != "kin"
    }


def test_a_later_label_replaces_the_earlier_one() -> None:
    """A label is counted once, however often it was told."""
    history = told(True)
    for _ in range(5):
        history.tell("old 0", needed=False)
    assert history.begin("new", REFUND)["type_rate"] == pytest.approx(
        told(False).begin("new", REFUND)["type_rate"]
    )


def test_rare_labels_weigh_more_and_no_more_than_the_most() -> None:
    """A label drawn with propensity q counts 1 / q tasks, capped."""
    assert told(True, propensity=0.1).begin("n", REFUND)["type_n"] == pytest.approx(10)
    assert told(True, propensity=1e-6).begin("n", REFUND)["type_n"] == MOST_WEIGHT


def test_a_hard_type_is_told_from_a_weak_agent() -> None:
    """What a type exceeds is held against what its agents do anyway."""
    weak = Kin(domain="retail", agent_version="weak", task_type="easy")
    history = settled()
    for i in range(80):
        history.begin(f"w{i}", Kin(domain="retail", agent_version="weak"))
        history.tell(f"w{i}", needed=True)
    for i in range(5):
        history.begin(f"e{i}", weak)
        history.tell(f"e{i}", needed=True)
    stamp = history.begin("new", Kin(domain="retail", task_type="easy"))
    assert stamp["type_rate"] > 0.8
    assert stamp["type_excess"] < 0.15


def test_tenants_do_not_learn_from_each_other() -> None:
    """What is known of one tenant's tasks is unknown to another."""
    history = told(*[True] * 300, kin=Kin(tenant="a", task_type="refund"))
    assert history.begin("one", Kin(tenant="a", task_type="refund"))["type_n"] == 30
    other = history.begin("new", Kin(tenant="b", task_type="refund"))
    assert "type_rate" not in other


def test_tasks_of_no_type_have_nothing_in_common() -> None:
    """Where no type is known, nothing is said of one."""
    bare = Kin(domain="retail", agent_version="v1")
    stamp = told(*[True] * 25, kin=bare).begin("new", bare)
    assert "type_rate" not in stamp
    assert stamp["version_rate"] > 0.5


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["begin", "tell"]),
            st.integers(0, 8),
            st.sampled_from([True, False, None]),
            st.sampled_from(["refund my order", "reset the modem", "cancel order"]),
        ),
        max_size=40,
    )
)
def test_the_same_news_give_the_same_stamps(
    news: list[tuple[str, int, bool | None, str]],
) -> None:
    """History is a pure fold: what one service knew, the next one knows to the bit."""

    def stamps() -> list[dict[str, object]]:
        history, found = OutcomeHistory(), []
        for what, task, needed, request in news:
            if what == "begin" and not history.knows(str(task)):
                found.append(history.begin(str(task), Kin(domain="d"), request))
            else:
                history.tell(str(task), needed=needed)
        return found

    assert stamps() == stamps()


@given(st.lists(st.booleans(), max_size=60), st.floats(0.01, 1))
def test_every_rate_is_a_probability(labels: list[bool], propensity: float) -> None:
    """Whatever was told, a stamp keeps the event contract."""
    body = told(*labels, propensity=propensity).begin("new", REFUND)
    line = {"task_id": "new", "event_id": "h", "at": "2026-01-01T00:00:00Z"}
    event = parse({**line, "kind": "history", **body})
    values = Reader().read(event)
    assert set(values) <= {s.name for s in SIGNALS if s.group is Group.HISTORY}
    assert 0 < values["history_expected_rate"] < 1
    assert 0 <= values["history_type_rate"] <= 1


# --- types found from words ----------------------------------------------------


def test_requests_in_like_words_are_of_one_type() -> None:
    """A request joins those it shares its telling words with, and no others."""
    types = Types()
    first = types.find("I want to exchange the mechanical keyboard I received")
    other = types.find("My mobile data is not working since I travelled")
    again = types.find("Hello, could I exchange a mechanical keyboard please?")
    assert first == again != other


def test_a_request_without_telling_words_has_no_type() -> None:
    """Greetings say nothing of what is asked for."""
    assert Types().find("Hello there, can you help me please?") == ""


def test_types_do_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once there are as many types as may be, a request joins the nearest."""
    monkeypatch.setattr("features.history.MOST_TYPES", 3)
    types = Types()
    found = {
        types.find(f"word{chr(97 + i) * 4} topic{chr(97 + i) * 5}") for i in range(9)
    }
    assert len(found) <= 3


# --- when a task is stamped ------------------------------------------------------


def test_a_task_is_stamped_once_its_request_or_type_is_known() -> None:
    """Or after so many events that nothing more is waited for."""
    assert not is_told({}, "", 1)
    assert is_told({}, "refund please", 1)
    assert is_told({"task_type": "refund"}, "", 1)
    assert is_told({}, "", PATIENCE)


def test_a_stamp_is_not_a_step() -> None:
    """It gives its rates, and neither a step nor a time."""
    line = {"task_id": "t", "event_id": "h", "at": "2026-01-01T00:00:00Z"}
    values = Reader().read(parse({**line, "kind": "history", "domain_rate": 0.25}))
    assert values == {"history_domain_rate": 0.25}
    assert not parse({**line, "kind": "history"}).is_outcome
    assert EventKind.HISTORY == "history"


def test_the_head_of_a_request_is_short_and_in_one_line() -> None:
    """Types are found from the same words in a service and in a log."""
    assert head_of("  a\n b " + "c" * 500) == "a b " + "c" * 196
