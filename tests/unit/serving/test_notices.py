"""Tests of the one message of each handover: everywhere the same, shown once, honest."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, time, timedelta
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from serving.engine import Engine
from serving.engine.following import Word
from serving.policy.fallback import reworded
from serving.policy.hours import Hours
from serving.policy.rules import SAFE_STOP, Policy
from serving.problems import Problem, ProblemType
from serving.store.sqlite import SqliteStore
from serving.store.verify import verify_store

ANA = "general-1"
Forge = Callable[[sqlite3.Connection], object]


def by_day() -> Policy:
    """Return the default policy with every queue open from 9 to 17, UTC."""
    policy = Policy.default()
    hours = Hours(opens=time(9), closes=time(17))
    queues = tuple(q.model_copy(update={"hours": hours}) for q in policy.queues)
    return policy.model_copy(update={"queues": queues})


def told_by(desk: Any) -> set[str]:
    """Return the message ids that every path tells now."""
    task = desk.engine.task("t")
    ids = {task["message_id"], task["notice"]["message_id"]}
    ids.add(desk.engine.escalate("t", by="user", reason="again")["message_id"])
    with pytest.raises(Problem) as refused:
        desk.engine.observe("t", [desk.event("plan", text="on I go")], epoch=1)
    ids.add(refused.value.extra["message_id"])
    live = desk.engine.live
    news = live.news("t", live.begin("t", None))
    ids |= {one.says["message_id"] for one in news.told if one.word is Word.NOTICE}
    return ids


def test_every_path_tells_the_same_message(desk: Any) -> None:
    """First answer, the call again, 409, GET task and stream: one id, one text."""
    desk.begin()
    events = [desk.event(text="I want to talk to a human")]
    first = desk.engine.observe("t", events)
    assert desk.engine.observe("t", events) == first
    assert told_by(desk) == {first["message_id"]}
    desk.engine.claim(first["handoff"]["handoff_id"], by=ANA)
    assert told_by(desk) == {first["message_id"]}
    assert desk.count("notice") == 1


def test_what_the_user_goes_on_saying_brings_no_second_message(desk: Any) -> None:
    """Words after the handover are answered without a message."""
    desk.hand_over()
    assert desk.say("Hello?")["message_id"] is None
    assert desk.count("notice") == 1


def test_a_message_is_confirmed_once(desk: Any) -> None:
    """The confirmation is audited, and the same again changes nothing."""
    handoff_id = desk.hand_over()
    task = desk.engine.task("t")
    assert task["notice"]["state"] == "pending"
    first = desk.engine.live.shown("t", task["message_id"])
    desk.clock.turn(timedelta(hours=1))
    assert desk.engine.live.shown("t", task["message_id"]) == first
    assert (first["state"], first["handoff_id"]) == ("shown", handoff_id)
    assert desk.engine.task("t")["notice"]["shown_at"] == first["shown_at"]
    assert desk.types().count("notice.shown") == 1
    assert verify_store(desk.path).problems == ()


def test_only_a_message_of_the_task_is_confirmed(desk: Any) -> None:
    """An id of another task, or of none, is refused."""
    desk.hand_over("t")
    desk.hand_over("u")
    for message_id in (desk.engine.task("u")["message_id"], "msg_none"):
        with pytest.raises(Problem) as refused:
            desk.engine.live.shown("t", message_id)
        assert refused.value.kind is ProblemType.MALFORMED_REQUEST
    assert "notice.shown" not in desk.types()


def test_the_next_handover_has_a_message_of_its_own(desk: Any) -> None:
    """After the agent had the task back there is nothing to tell, then a new message."""
    first = desk.hand_over()
    said = desk.engine.task("t")["message_id"]
    desk.engine.claim(first, by=ANA)
    desk.engine.return_(first, by=ANA, guidance="go on")
    task = desk.engine.task("t")
    assert (task["message"], task["message_id"]) == (None, None)
    assert task["notice"]["message_id"] == said
    again = desk.engine.escalate("t", by="user", reason="once more")
    assert again["message_id"] not in {None, said}
    assert desk.count("notice") == 2


def test_the_wait_is_told_as_it_looks_now(desk: Any) -> None:
    """The prediction follows the line, not what was promised; a claim ends it."""
    desk.hand_over("before")
    desk.clock.turn(timedelta(seconds=1))
    handoff_id = desk.hand_over("t")
    behind = desk.engine.task("t")["expected_wait_s"]
    assert behind == desk.engine.task("t")["notice"]["wait_s"]
    desk.engine.claim(desk.engine.task("before")["handoff_id"], by=ANA)
    desk.engine.resolve(desk.engine.task("before")["handoff_id"], by=ANA, needed="yes")
    assert 0 < desk.engine.task("t")["expected_wait_s"] < behind
    desk.engine.claim(handoff_id, by=ANA)
    assert desk.engine.task("t")["expected_wait_s"] is None


def test_a_promise_that_cannot_be_kept_is_not_repeated(make_desk: Any) -> None:
    """Told late, the message keeps its id and says that nobody is there now."""
    desk = make_desk(by_day())
    desk.clock.turn(timedelta(hours=4, minutes=58))
    desk.hand_over()
    first = desk.engine.task("t")
    assert "Nobody is there" not in first["message"]
    desk.clock.turn(timedelta(minutes=5))
    later = desk.engine.task("t")
    assert later["message_id"] == first["message_id"]
    assert "Nobody is there right now" in later["message"]
    assert "about 16 hours" in later["message"] or "about 17 hours" in later["message"]
    assert later["notice"]["text"] == first["message"]
    assert later["expected_wait_s"] > 15 * 3_600
    assert told_by(desk) == {first["message_id"]}


def test_what_was_shown_is_not_worded_anew(make_desk: Any) -> None:
    """A message the user has seen stays as they saw it."""
    desk = make_desk(by_day())
    desk.clock.turn(timedelta(hours=4, minutes=58))
    desk.hand_over()
    first = desk.engine.task("t")
    desk.engine.live.shown("t", first["message_id"])
    desk.clock.turn(timedelta(minutes=5))
    assert desk.engine.task("t")["message"] == first["message"]


def test_a_promise_that_has_passed_brings_no_message_by_itself(desk: Any) -> None:
    """Within the hours, too, there is one message; the host can read the new wait."""
    desk.hand_over()
    first = desk.engine.task("t")
    desk.clock.turn(timedelta(seconds=first["notice"]["wait_s"] + 60))
    later = desk.engine.task("t")
    assert later["message_id"] == first["message_id"]
    assert later["expected_wait_s"] > 0
    assert desk.count("notice") == 1


def test_words_are_there_for_every_reason_locale_and_hour() -> None:
    """Whatever fired, in each language, by day and by night: words that name the wait."""
    policy = by_day()
    reasons = [*(rule.name for rule in policy.rules), "learned_risk", SAFE_STOP, "?"]
    locales = ("en-GB", "de", "de-AT", "es", "fr", "")
    noon = datetime.fromisoformat("2026-11-24T12:00:00+00:00")

    class Line:
        queue = policy.queues[0].name
        expected_wait = timedelta(minutes=9)

    for reason, locale in product(reasons, locales):
        day = reworded((reason,), Line(), policy, locale, noon)
        night = reworded((reason,), Line(), policy, locale, noon + timedelta(hours=9))
        assert day != night
        for text in (day, night):
            assert "{" not in text
            assert "9 min" in text or "9 Min" in text


# --- one message for each handover, whatever happens ---------------------------------


class Host(RuleBasedStateMachine):
    """A host application that loses answers and shows each message id once."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.now = datetime.fromisoformat("2026-11-24T12:00:00+00:00")
        self.path = Path(self.folder.name) / "store.db"
        self.store = SqliteStore(self.path)
        self.engine = Engine(
            self.store, by_day(), _NoModel(), lambda: self.now, b"s" * 32
        )
        self.shown: list[str] = []
        self.lost: list[Callable[[], Any]] = []
        self.sent = 0

    def teardown(self) -> None:
        """Send every lost call again; then each handover has been shown once."""
        while self.lost:
            self.hear(self.lost.pop(0))
        made = self.rows("SELECT message_id FROM notice")
        assert sorted(self.shown) == sorted(row["message_id"] for row in made)
        assert len(made) == len(self.rows("SELECT handoff_id FROM handoff"))
        self.store.close()
        assert verify_store(self.path).problems == ()
        self.folder.cleanup()

    def rows(self, query: str) -> list[Any]:
        """Return rows of the store."""
        with self.store.reading() as reader:
            return list(reader.all(query))

    def event(self, **body: Any) -> dict[str, Any]:
        """Return an event under an id of its own."""
        self.sent += 1
        at = self.now.isoformat()
        return {"event_id": f"e{self.sent}", "at": at, "kind": "user_message", **body}

    def hear(self, call: Callable[[], Any]) -> None:
        """Make a call, and show the user what it says unless they have seen it."""
        try:
            answer = call()
        except Problem as problem:
            answer = problem.extra
        message_id = answer.get("message_id")
        if message_id is not None and message_id not in self.shown:
            assert answer["message"]
            self.shown.append(message_id)
            self.engine.live.shown("t", message_id)

    def make(self, call: Callable[[], Any], *, lost: bool) -> None:
        """Make a call; its answer may be lost, then it is made again some time."""
        if not lost:
            self.hear(call)
            return
        with_problems(call)
        self.lost.append(call)

    @rule(lost=st.booleans(), text=st.sampled_from(("hello", "I want a human")))
    def say(self, text: str, *, lost: bool) -> None:
        """Pass on what the user says."""
        events = [self.event(text=text)]
        self.make(lambda: self.engine.observe("t", events), lost=lost)

    @rule(lost=st.booleans())
    @precondition(lambda self: self.sent)
    def wish(self, *, lost: bool) -> None:
        """Ask for a person; a wish that was lost may be asked anew while it is open."""
        before = len(self.rows("SELECT handoff_id FROM handoff"))
        events = [self.event(text="get me a human", kind="user_message")]
        self.make(lambda: self.engine.observe("t", events), lost=lost)
        assert len(self.rows("SELECT handoff_id FROM handoff")) <= before + 1

    @rule()
    @precondition(lambda self: self.sent)
    def act_late(self) -> None:
        """Act under the first epoch, and hear who has the task."""
        events = [self.event(kind="plan", text="on I go")]
        self.hear(lambda: self.engine.observe("t", events, epoch=1))

    @rule()
    @precondition(lambda self: self.lost)
    def again(self) -> None:
        """Make a call again whose answer was lost."""
        self.hear(self.lost.pop(0))

    @rule()
    @precondition(lambda self: self.sent)
    def look(self) -> None:
        """Read how the task stands."""
        self.hear(lambda: self.engine.task("t"))

    @rule(minutes=st.sampled_from((1, 20, 600)))
    def wait(self, minutes: int) -> None:
        """Let time pass; deadlines that have passed act."""
        self.now += timedelta(minutes=minutes)
        self.engine.duties.run()

    @rule(verb=st.sampled_from(("claim", "release", "return", "resolve")))
    def act(self, verb: str) -> None:
        """Let a person do something with the handoff, where they can."""
        says = {"return": {"guidance": "go on"}, "resolve": {"needed": "yes"}}
        does = getattr(self.engine, "return_" if verb == "return" else verb)
        for row in self.rows("SELECT * FROM handoff"):
            by = row["claimed_by"] or self.member(row["queue"])
            with_problems(partial(does, row["handoff_id"], by=by, **says.get(verb, {})))

    def member(self, queue: str) -> str:
        """Return somebody who works a queue."""
        return next(q for q in self.engine.policy.queues if q.name == queue).members[0]

    @invariant()
    def never_twice(self) -> None:
        """No id was shown twice, and there is one for each handoff."""
        assert len(self.shown) == len(set(self.shown))
        assert len(self.rows("SELECT * FROM notice")) == len(
            self.rows("SELECT * FROM handoff")
        )


class _NoModel:
    """Gives no model: rules decide."""

    problem = None

    def current(self) -> None:
        """Return none."""
        return


def with_problems(call: Callable[[], Any]) -> None:
    """Make a call whose answer nobody hears."""
    try:
        call()
    except Problem:
        return


TestHost = Host.TestCase
TestHost.settings = settings(
    max_examples=15,
    stateful_step_count=25,
    suppress_health_check=list(HealthCheck),
)


# --- what a forger cannot change ------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE notice SET text = 'all is well'",
        "UPDATE notice SET message_id = 'msg_other'",
        "UPDATE notice SET wait_s = 1",
        "UPDATE notice SET said_at = '2026-01-01T00:00:00.000000Z'",
        "UPDATE notice SET shown_at = NULL",
        "UPDATE notice SET shown_at = '2026-01-01T00:00:00.000000Z'",
        "UPDATE notice SET audit_seq = 2",
        "DELETE FROM notice",
    ],
)
def test_a_forged_notice_is_found(desk: Any, statement: str) -> None:
    """The check finds every change of a message, of its id, and of when it was seen."""
    desk.hand_over()
    desk.engine.live.shown("t", desk.engine.task("t")["message_id"])
    desk.close()
    assert verify_store(desk.path).problems == ()
    with closing(sqlite3.connect(desk.path)) as connection, connection:
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        for (name,) in connection.execute(query).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(statement)
    assert any(
        "message of handoff" in said for said in verify_store(desk.path).problems
    )
