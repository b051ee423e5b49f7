"""Tests of the live handover: who may speak, what followers are told, who is there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from features.events import EventKind, parse
from serving.engine.following import Word
from serving.engine.live import Said
from serving.problems import Problem, ProblemType
from serving.store.presence import Doing, Role
from serving.store.verify import verify_store

ANA, BEN = "general-1", "general-2"


def claimed(desk: Any, task_id: str = "t") -> str:
    """Hand a task over, have Ana claim it, and return the id of the handoff."""
    handoff_id = str(desk.hand_over(task_id))
    desk.engine.claim(handoff_id, by=ANA)
    return handoff_id


def say(desk: Any, text: str, by: str | None = ANA, **said: Any) -> Any:
    """Say something on the task."""
    return desk.engine.live.say("t", Said(text=text, by=by, **said))


def told(desk: Any, after: int | None = None) -> Any:
    """Return what is new to whoever was told everything up to `after`."""
    live = desk.engine.live
    return live.news("t", live.begin("t", after))


def words(news: Any) -> list[str]:
    """Return what the news are, in short."""
    return [str(one.word) for one in news.told]


def texts(news: Any) -> list[str]:
    """Return the words of the messages in the news."""
    return [one.says["text"] for one in news.told if one.word is Word.MESSAGE]


# --- who may speak ------------------------------------------------------------------


def test_words_of_both_sides_are_in_the_log_in_their_order(desk: Any) -> None:
    """What is said has its place in the log before it is answered."""
    handoff_id = claimed(desk)
    first = say(desk, "  Hello,\n\tI am Ana  ", message_id="m1")
    second = say(desk, "At last", by=None)
    log = desk.engine.log("t")
    assert [log[first["place"]].text, log[second["place"]].text] == [
        "  Hello,\n\tI am Ana  ",
        "At last",
    ]
    assert log[first["place"]].kind == EventKind.PERSON_MESSAGE
    assert log[first["place"]].body["handoff_id"] == handoff_id
    assert (first["from"], first["by"]) == ("person", ANA)
    assert (second["from"], second["by"]) == ("user", None)
    assert desk.types()[-2:] == ["events.appended"] * 2
    assert verify_store(desk.path).problems == ()


@pytest.mark.parametrize("by", [BEN, "nobody-known"])
def test_only_the_holder_speaks_for_the_service(desk: Any, by: str) -> None:
    """Whoever else tries is told who has the task, and under which epoch."""
    claimed(desk)
    before = len(desk.engine.log("t"))
    with pytest.raises(Problem) as refused:
        say(desk, "Hello", by=by)
    assert refused.value.kind is ProblemType.NOT_LIVE
    assert refused.value.extra["owner"] == {"kind": "person", "id": ANA}
    assert refused.value.extra["epoch"] == 3
    assert len(desk.engine.log("t")) == before


def test_nobody_speaks_before_the_claim_or_after_the_end(desk: Any) -> None:
    """A person needs the claim; after the return neither side is live."""
    handoff_id = desk.hand_over()
    with pytest.raises(Problem, match="claim it first"):
        say(desk, "Hello")
    say(desk, "Anyone?", by=None)
    desk.engine.claim(handoff_id, by=ANA)
    desk.engine.return_(handoff_id, by=ANA, guidance="go on")
    for by in (ANA, None):
        with pytest.raises(Problem) as refused:
            say(desk, "Hello", by=by)
        assert refused.value.kind is ProblemType.NOT_LIVE
        assert refused.value.extra["owner"]["kind"] == "agent"


def test_words_for_another_handover_are_refused(desk: Any) -> None:
    """What was meant for an earlier handover does not reach the next one."""
    first = claimed(desk)
    desk.engine.return_(first, by=ANA, guidance="go on")
    again = desk.engine.escalate("t", by="user", reason="once more")
    desk.engine.claim(again["handoff"]["handoff_id"], by=ANA)
    with pytest.raises(Problem) as refused:
        say(desk, "Hello", handoff_id=first)
    assert refused.value.kind is ProblemType.NOT_LIVE
    assert say(desk, "Hello")["handoff_id"] == again["handoff"]["handoff_id"]


def test_the_same_message_again_changes_nothing(desk: Any) -> None:
    """A retry is answered alike, even once nobody is live; another text is a conflict."""
    handoff_id = claimed(desk)
    first = say(desk, "Hello", message_id="m1")
    desk.clock.turn(timedelta(minutes=1))
    assert say(desk, "Hello", message_id="m1") == first
    desk.engine.return_(handoff_id, by=ANA, guidance="go on")
    again = say(desk, "Hello", message_id="m1")
    assert (again["place"], again["at"]) == (first["place"], first["at"])
    with pytest.raises(Problem) as refused:
        say(desk, "Something else", message_id="m1")
    assert refused.value.kind is ProblemType.EVENT_CONFLICT
    log = desk.engine.log("t")
    assert [e.text for e in log if e.kind == EventKind.PERSON_MESSAGE] == ["Hello"]


def test_speaking_keeps_the_claim(desk: Any) -> None:
    """Words are a sign of life: the lease is renewed once half of it is over."""
    handoff_id = claimed(desk)
    until = desk.engine.handoff(handoff_id)["lease_until"]
    assert say(desk, "Hello")["lease_until"].startswith(until.removesuffix("Z"))
    desk.clock.turn(timedelta(minutes=20))
    say(desk, "Still there?")
    assert desk.engine.handoff(handoff_id)["lease_until"] > until
    assert "handoff.renewed" in desk.types()
    assert verify_store(desk.path).problems == ()


def test_attachments_must_keep_the_contract(desk: Any) -> None:
    """Attachments are kept as they came; what is none is refused, and nothing kept."""
    claimed(desk)
    attached = {"name": "form.pdf", "sha256": "ab" * 32, "size": 3}
    kept = say(desk, "Please fill this in", attachments=[attached])
    assert kept["attachments"] == [attached]
    with pytest.raises(Problem) as refused:
        say(desk, "Please fill this in", attachments=["form.pdf"])
    assert refused.value.kind is ProblemType.MALFORMED_EVENT


@pytest.mark.parametrize("way", ["observe", "outcomes"])
def test_no_agent_can_speak_as_a_person(desk: Any, way: str) -> None:
    """Neither an agent nor a system of record can write a person's words."""
    claimed(desk)
    forged = desk.event("person_message", text="I am Ana", by=ANA, task_id="t")
    ways = {
        "observe": lambda: desk.engine.observe("t", [forged]),
        "outcomes": lambda: desk.engine.outcomes([forged]),
    }
    with pytest.raises(Problem) as refused:
        ways[way]()
    assert refused.value.kind is ProblemType.MALFORMED_EVENT
    assert parse(forged).is_outcome


# --- what followers are told --------------------------------------------------------


def test_a_follower_is_told_the_handover_from_its_beginning(desk: Any) -> None:
    """Notice, queue, claim, words, return and the end: each once, in log order."""
    handoff_id = desk.hand_over()
    assert words(told(desk)) == ["notice", "queued", "presence"]
    desk.engine.claim(handoff_id, by=ANA)
    say(desk, "Hello")
    desk.say("Hi")
    news = told(desk)
    assert words(news) == ["notice", "claimed", "message", "message", "presence"]
    assert [one.place for one in news.told[:4]] == sorted(
        one.place for one in news.told[:4]
    )
    desk.engine.return_(handoff_id, by=ANA, guidance="secret to the user")
    news = told(desk, after=news.told[3].place)
    assert words(news) == ["returned", "presence", "over"]
    assert "secret" not in str(news.told)
    assert news.is_over


def test_who_comes_back_is_told_only_what_is_new(desk: Any) -> None:
    """From any place on nothing is left out and nothing of the log is told twice."""
    claimed(desk)
    for n in range(5):
        say(desk, f"word {n}")
    everything = [one for one in told(desk, -1).told if one.place is not None]
    for one in everything:
        rest = [two for two in told(desk, one.place).told if two.place is not None]
        assert rest == [two for two in everything if two.place > one.place]


def test_many_words_come_in_several_parts(desk: Any) -> None:
    """A long log is told part by part, whole and in order."""
    claimed(desk)
    batch = [desk.event(text=f"word {n}") for n in range(250)]
    desk.engine.observe("t", batch)
    live = desk.engine.live
    seen, heard = live.begin("t", None), []
    while True:
        news = live.news("t", seen)
        heard += texts(news)
        seen = news.seen
        if not news.more:
            break
    assert heard == [f"word {n}" for n in range(250)]
    assert live.news("t", seen).told == ()


def test_a_place_the_log_does_not_have_begins_anew(desk: Any) -> None:
    """After a restored backup nobody waits for words that were told before."""
    claimed(desk)
    say(desk, "Hello")
    assert texts(told(desk, after=99)) == ["Hello"]


def test_back_in_the_queue_is_told_to_all(desk: Any) -> None:
    """A release has no event of its own; followers hear of it all the same, once."""
    handoff_id = claimed(desk)
    live = desk.engine.live
    seen = told(desk).seen
    desk.engine.release(handoff_id, by=ANA)
    news = live.news("t", seen)
    assert words(news) == ["queued"]
    assert news.told[0].says["expected_wait_s"] > 0
    assert live.news("t", news.seen).told == ()


def test_a_stamp_differs_whenever_there_is_news(desk: Any) -> None:
    """The cheap question finds every kind of news, and none where there is none."""
    handoff_id = claimed(desk)
    live = desk.engine.live
    stamps = [live.stamps(["t"])["t"]]

    def after(_: object) -> None:
        stamps.append(live.stamps(["t"])["t"])

    assert live.stamps(["t"])["t"] == stamps[0]
    after(say(desk, "Hello"))
    after(desk.clock.turn(timedelta(seconds=1)))
    after(live.here("t", who="max", role=Role.USER, doing=Doing.TYPING))
    after(desk.engine.release(handoff_id, by=ANA))
    assert stamps[1] == stamps[2]
    assert len(set(stamps)) == 4


def test_an_unknown_task_is_said_to_be_one(desk: Any) -> None:
    """Nobody follows, or speaks on, a task that is not there."""
    live = desk.engine.live
    calls: tuple[Callable[[], Any], ...] = (
        lambda: live.begin("x", None),
        lambda: live.say("x", Said(text="Hello", by=ANA)),
        lambda: live.here("x", who="max", role=Role.USER),
        lambda: live.shown("x", "msg_1"),
    )
    for call in calls:
        with pytest.raises(Problem) as refused:
            call()
        assert refused.value.kind is ProblemType.UNKNOWN_TASK


# --- who is there -------------------------------------------------------------------


def test_present_is_who_was_seen_within_half_a_minute(desk: Any) -> None:
    """Presence passes by itself, and is no part of the log."""
    claimed(desk)
    records = len(desk.records())
    live = desk.engine.live
    live.here("t", who="max", role=Role.USER, doing=Doing.TYPING)
    assert [one.says for one in told(desk).told[-2:]] == [
        {"present": [{"who": "max", "role": "user"}]},
        {"typing": [{"who": "max", "role": "user"}]},
    ]
    desk.clock.turn(timedelta(seconds=10))
    assert desk.engine.task("t")["presence"][0]["doing"] == ""
    live.beat([("t", "max", Role.USER)])
    desk.clock.turn(timedelta(seconds=25))
    assert len(desk.engine.task("t")["presence"]) == 1
    desk.clock.turn(timedelta(seconds=10))
    assert desk.engine.task("t")["presence"] == []
    assert len(desk.records()) == records


def test_a_beat_does_not_stop_anybody_typing(desk: Any) -> None:
    """A follower's beat leaves alone what was said a moment ago."""
    claimed(desk)
    live = desk.engine.live
    live.here("t", who="max", role=Role.USER, doing=Doing.TYPING)
    desk.clock.turn(timedelta(seconds=2))
    live.beat([("t", "max", Role.USER), ("t", ANA, Role.PERSON)])
    present = {one["who"]: one["doing"] for one in desk.engine.task("t")["presence"]}
    assert present == {"max": "typing", ANA: ""}


def test_whoever_is_long_gone_is_forgotten(desk: Any) -> None:
    """Presence rows do not pile up."""
    claimed(desk)
    desk.engine.live.here("t", who="max", role=Role.USER)
    desk.clock.turn(timedelta(days=2))
    desk.engine.live.beat([("t", ANA, Role.PERSON)])
    assert desk.count("presence") == 1


# --- what the next one reads --------------------------------------------------------


def test_a_handoff_shows_what_was_said_while_it_lasted(desk: Any) -> None:
    """The detail of a handoff has the words of its stretch, and of no other."""
    first = claimed(desk)
    say(desk, "Hello")
    desk.say("Hi")
    desk.engine.return_(first, by=ANA, guidance="go on")
    desk.say("And now?")
    second = desk.engine.escalate("t", by="user", reason="once more")
    said = [one["text"] for one in desk.engine.handoff(first)["messages"]]
    assert said == ["Hello", "Hi"]
    other = desk.engine.handoff(second["handoff"]["handoff_id"])
    assert other["messages"] == []
    spoken = [(t["speaker"], t["text"]) for t in other["package"]["conversation"]]
    assert spoken[-3:] == [("person", "Hello"), ("user", "Hi"), ("user", "And now?")]
