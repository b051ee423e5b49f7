"""Ratings: what receivers say of packages, as KPI, as label, and in the log."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Any

import pytest

from features.events import EventKind
from serving.policy.sufficiency import PackagePart
from serving.problems import Problem
from serving.store.log import read_log
from serving.store.verify import verify_store

ANA, BEN = "general-1", "general-2"


def rated(desk: Any) -> str:
    """Hand a task over and have two people rate its package."""
    handoff: str = desk.hand_over()
    desk.engine.rate(handoff, by=ANA, sufficient=False, missing=["why"], note="which?")
    desk.engine.rate(handoff, by=BEN, sufficient=True)
    return handoff


def test_parts_are_of_a_closed_vocabulary(desk: Any) -> None:
    """Anything else is refused with the words there are; it goes into the note."""
    handoff = desk.hand_over()
    with pytest.raises(Problem, match="malformed-request") as refused:
        desk.engine.rate(handoff, by=ANA, sufficient=False, missing=["order id"])
    assert all(part in str(refused.value) for part in PackagePart)
    assert desk.count("rating") == 0


def test_parts_are_kept_once_each_in_one_order(desk: Any) -> None:
    """So that the same said otherwise is the same rating."""
    handoff = desk.hand_over()
    for missing in (["why", "request", "why"], ["request", "why"]):
        desk.engine.rate(handoff, by=ANA, sufficient=False, missing=missing)
    assert desk.engine.handoff(handoff)["rating"]["missing"] == ["request", "why"]
    assert desk.types().count("handoff.rated") == 1


def test_a_rating_is_an_event_of_the_log(desk: Any) -> None:
    """Whoever reads the log finds it, with its parts and its words."""
    handoff = rated(desk)
    before = desk.engine.task("t")["decision"]
    desk.close()
    said = [e.body for e in read_log(desk.path) if e.kind == EventKind.PACKAGE_RATING]
    assert said == [
        {
            "handoff_id": handoff,
            "by": ANA,
            "sufficient": False,
            "missing": ["why"],
            "note": "which?",
        },
        {
            "handoff_id": handoff,
            "by": BEN,
            "sufficient": True,
            "missing": [],
            "note": "",
        },
    ]
    desk.open()
    assert desk.engine.task("t")["decision"] == before


def test_nobody_but_the_service_writes_ratings(desk: Any) -> None:
    """An agent must not call its own packages enough."""
    desk.begin()
    body = {"handoff_id": "h", "by": ANA, "sufficient": True}
    event = desk.event("package_rating", task_id="t", **body)
    for send in (
        lambda: desk.engine.observe("t", [event]),
        lambda: desk.engine.outcomes([event]),
    ):
        with pytest.raises(Problem, match="malformed-event"):
            send()


def test_the_latest_word_of_each_person_is_a_kpi(desk: Any) -> None:
    """Two people are two ratings; who changes their mind is still one."""
    handoff = rated(desk)
    found = desk.engine.oversight.kpis()
    assert (
        found["context_sufficiency"]["value"],
        found["context_sufficiency"]["n"],
    ) == (
        0.5,
        2,
    )
    assert found["missing_parts"]["why"]["value"] == 0.5
    desk.engine.rate(handoff, by=ANA, sufficient=True)
    found = desk.engine.oversight.kpis()
    assert (
        found["context_sufficiency"]["value"],
        found["context_sufficiency"]["n"],
    ) == (
        1.0,
        2,
    )
    assert found["missing_parts"] == {}


def test_the_audit_log_has_parts_and_not_words(desk: Any) -> None:
    """Parts are of a closed vocabulary; the note is a person's."""
    rated(desk)
    first = next(r for r in desk.records() if r["type"] == "handoff.rated")
    assert (first["rating"]["missing"], first["rating"]["sufficient"]) == (
        ["why"],
        False,
    )
    assert "which?" not in str(desk.records())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE rating SET missing = '[]' WHERE sufficient = 0",
        "UPDATE rating SET note = 'nothing' WHERE sufficient = 0",
        "UPDATE rating SET sufficient = 1",
        "DELETE FROM rating WHERE sufficient = 0",
        "INSERT INTO attachment_use VALUES (hex(zeroblob(32)), 't', 0)",
        "INSERT INTO attachment VALUES (hex(zeroblob(32)), 1, '2026', '2026')",
    ],
)
def test_what_the_log_does_not_tell_is_found(desk: Any, statement: str) -> None:
    """Ratings and the names of files are held against the log."""
    rated(desk)
    desk.close()
    assert verify_store(desk.path).is_sound
    with contextlib.closing(sqlite3.connect(desk.path)) as forged:
        for (name,) in forged.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            forged.execute(f"DROP TRIGGER {name}")
        assert forged.execute(statement).rowcount > 0
        forged.commit()
    assert not verify_store(desk.path).is_sound
