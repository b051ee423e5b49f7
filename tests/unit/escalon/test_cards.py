"""`escalon card`: what comes to a card after the training that wrote it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date, time
from pathlib import Path
from typing import Any

import orjson
import pytest

from escalon.cards import Wanted, by_now, compared, hours_a_day, known, under
from serving.policy.hours import Hours
from serving.policy.rules import Policy
from training.bundle import Certificate
from training.card import SCHEMA, CardError
from training.card.facts import CardFacts
from training.compare import SCHEMA as COMPARISON
from training.evaluate.report import plain
from training.registry import Version

GATES = {"gates": [], "override": None, "verdict": "promoted"}
FACTS = CardFacts(
    model="escalon",
    version="2",
    digest="0a" * 32,
    certificate=Certificate(
        alpha=0.1,
        delta=0.1,
        n_needed=9,
        n_tasks=90,
        misses_allowed=0,
        method="exact",
        threshold=None,
        escalation_rate=None,
        reason="have 9 of 22",
    ),
    made=date(2026, 11, 24),
    n_tasks=90,
    fingerprint="0b" * 32,
    evaluated_on="held-out customers",
)
REPORT = {
    **{
        scope: dict.fromkeys(("auroc", "log_loss", "ece_debiased"))
        for scope in ("every_step", "end_of_task")
    },
    **dict.fromkeys(("miss_rate", "escalation_rate", "precision", "cost_per_task")),
}


class Shelf:
    """A registry of two versions, of which the second went through the gates."""

    def __init__(self, root: Path) -> None:
        self._root = root
        for number in ("1", "2"):
            folder = root / number
            folder.mkdir()
            facts = plain(replace(FACTS, version=number))
            held = {"schema": SCHEMA, "facts": facts, "report": REPORT}
            content = orjson.dumps(held)
            (folder / "card.json").write_bytes(content)

    def find(self, version: str) -> Version:
        """Return a version by number or alias."""
        return Version(number={"champion": "1"}.get(version, version), run_id=version)

    def kept(self, version: Version, name: str) -> dict[str, Any] | None:
        """Return what the gates said of the second version."""
        return GATES if (version.number, name) == ("2", "gates.json") else None

    def card_of(self, version: Version, into: Path) -> Path:
        """Copy the card of a version; return its page."""
        shutil.copytree(self._root / version.number, into / "card")
        return into / "card" / "card.html"


@pytest.fixture
def shelf(tmp_path: Path) -> Any:
    """Return the registry."""
    return Shelf(tmp_path)


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        (Hours(), 24),
        (Hours(opens=time(8), closes=time(18)), 10),
        (Hours(opens=time(8), closes=time(18), days=(0, 1, 2, 3, 4)), 50 / 7),
        (Hours(opens=time(22), closes=time(6, 30)), 8.5),
    ],
)
def test_hours_a_day_are_the_average_over_a_week(hours: Hours, expected: float) -> None:
    """Round the clock, by day, on weekdays, and over midnight."""
    assert hours_a_day(hours) == pytest.approx(expected)


def test_a_policy_gives_owner_review_date_desks_and_audits() -> None:
    """Each staffed queue is a desk; nothing else of the facts changes."""
    policy = Policy.default()
    found = under(policy, FACTS, 700)
    assert (found.owner, found.expires) == (policy.owner, policy.review_by)
    desks = {desk.name: desk for desk in found.staffing.desks}
    assert desks.keys() == {queue.name for queue in policy.queues}
    general = policy.queue("general")
    assert desks["general"].people == general.at_work
    assert desks["general"].minutes_per_handoff == general.minutes_per_handoff
    assert not found.staffing.is_example
    assert found.staffing.tasks_a_day == 700
    assert found.staffing.audit_share == policy.audit.uniform
    assert replace(found, owner="", expires=None, staffing=FACTS.staffing) == FACTS


def test_a_card_by_now_has_what_the_gates_said(shelf: Any) -> None:
    """Gates that ran after the training are in; what was not asked for is not."""
    report, facts = by_now(shelf, shelf.find("2"), Wanted())
    assert report == REPORT
    assert facts == replace(FACTS, gates=GATES)
    _, first = by_now(shelf, shelf.find("1"), Wanted())
    assert first.gates is None


def test_a_card_by_now_names_who_approved_and_what_changed(shelf: Any) -> None:
    """Against an alias the change section says what the other version is."""
    wanted = Wanted(against="champion", approved_by="Head of risk")
    _, facts = by_now(shelf, shelf.find("2"), wanted)
    assert facts.approved_by == "Head of risk"
    assert facts.change is not None
    assert (facts.change.version, facts.change.role) == ("1", "champion")
    _, facts = by_now(shelf, shelf.find("2"), Wanted(against="1"))
    assert facts.change is not None
    assert facts.change.role == ""


def test_a_comparison_comes_in_without_the_names_of_tasks(
    shelf: Any, tmp_path: Path
) -> None:
    """Figures are kept, examples are not: a card is passed around."""
    part = {"n": 3, "examples": ["task-of-a-customer"]}
    held = {"schema": COMPARISON, "n_tasks": 9, "added": part, "removed": part}
    path = tmp_path / "comparison.json"
    path.write_bytes(orjson.dumps(held))
    _, facts = by_now(shelf, shelf.find("2"), Wanted(comparison=path))
    kept = {"schema": COMPARISON, "n_tasks": 9, "added": {"n": 3}, "removed": {"n": 3}}
    assert facts.comparison == kept


@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot be read"), ("{}", "found None")]
)
def test_what_is_no_comparison_is_refused(
    tmp_path: Path, content: str | None, words: str
) -> None:
    """The error says which verb writes one."""
    path = tmp_path / "comparison.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(CardError, match=words):
        compared(path)


def test_a_card_of_an_older_release_is_refused(shelf: Any, tmp_path: Path) -> None:
    """It says to train the version anew."""
    (tmp_path / "1" / "card.json").write_text('{"facts": {}}', encoding="utf-8")
    with pytest.raises(CardError, match="train the version anew"):
        known(shelf, shelf.find("1"))
