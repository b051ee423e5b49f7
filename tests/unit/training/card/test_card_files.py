"""A card is made from its report and facts, and read back from card.json."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.signals import SIGNALS
from training.card import CardError, read_card, source_of, write_card
from training.card.change import change_from
from training.card.evidence import LabelProcess, Measured
from training.card.facts import CardFacts, signal_shares
from training.evaluate.intervals import Estimate
from training.labels import Evidence, Label

Json = dict[str, Any]


@pytest.mark.parametrize("name", ["card", "full_card"])
def test_a_card_can_be_made_again_from_its_json(
    name: str,
    request: pytest.FixtureRequest,
    report: Json,
    facts: CardFacts,
    full_facts: CardFacts,
) -> None:
    """Report and facts come back as they were, dates, certificates and all."""
    folder: Path = request.getfixturevalue(name)
    found, known = read_card(folder / "card.json")
    assert found == report
    assert known == (facts if name == "card" else full_facts)
    assert source_of(found, known) == source_of(report, known)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        ("[]", "found None"),
        ('{"schema": "other"}', "found 'other'; it was written by another release"),
        ('{"schema": "escalon.card/1", "facts": {}, "report": {}}', "not those of"),
    ],
)
def test_what_is_no_card_is_refused(
    tmp_path: Path, content: str | None, words: str
) -> None:
    """A missing file, another release's, or facts that lack something say so."""
    path = tmp_path / "card.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(CardError, match=words):
        read_card(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"threshold": 0.5}, "certificate's threshold 0.4, found one at 0.5"),
        ({"schema": "other"}, "found 'other'"),
    ],
)
def test_a_report_of_another_model_is_refused(
    report: Json, facts: CardFacts, tmp_path: Path, change: Json, words: str
) -> None:
    """A report at another threshold, or of another schema, makes no card."""
    with pytest.raises(CardError, match=words):
        write_card({**report, **change}, facts, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_cards_tell_what_changed(
    report: Json, make_report: Any, facts: CardFacts
) -> None:
    """Measures before and now, the threshold that moved, signals that came or went."""
    promise = replace(facts.certificate, threshold=0.5)
    old = replace(facts, version="6", certificate=promise, signals=facts.signals[:1])
    before = make_report(0.5)
    found = change_from((before, old), (report, facts), role="champion")
    assert (found.version, found.role, found.threshold_before) == ("6", "champion", 0.5)
    assert found.signals_added == ("tool_errors",)
    assert found.signals_removed == ()
    deltas = {delta.name: delta for delta in found.deltas}
    missed = deltas["miss rate"]
    assert missed.before == Measured(**before["miss_rate"])
    assert missed.now == Measured(**report["miss_rate"])
    assert missed.difference is None
    derived = source_of(report, replace(facts, change=found)).derived
    place = list(deltas).index("miss rate")
    gained = report["miss_rate"]["value"] - before["miss_rate"]["value"]
    assert derived["changes"][place].value == pytest.approx(gained)


def test_a_change_from_a_refused_version_has_measures_it_lacks(
    report: Json, make_report: Any, facts: CardFacts, refusal: Any
) -> None:
    """What the other did not define is no number, and neither is the difference."""
    old = replace(facts, certificate=refusal)
    found = change_from((make_report(None), old), (report, facts))
    missed = next(d for d in found.deltas if d.name == "miss rate")
    assert missed.before is None
    changes = source_of(report, replace(facts, change=found)).derived["changes"].value
    assert changes[found.deltas.index(missed)] is None


def test_every_fact_is_documented() -> None:
    """The reference page names each field of the facts, and of the file."""
    page = Path(__file__).parents[4] / "docs" / "reference" / "card.md"
    known = set(re.findall(r"`([a-z_]+)`", page.read_text(encoding="utf-8")))
    assert {field.name for field in fields(CardFacts)} <= known
    assert {"schema", "report", "facts", "derived", "card"} <= known


def label(task: str, *, propensity: float, evidence: Evidence, day: int) -> Label:
    """Return a label that was known on a day of May."""
    return Label(
        task_id=task,
        needed=True,
        evidence=evidence,
        source="human",
        propensity=propensity,
        matured_at=datetime(2026, 5, day, tzinfo=UTC),
    )


def test_labels_tell_how_they_came_about() -> None:
    """Propensities, what the weighted ones are worth, which were selected, delays."""
    labels = {
        "a": label("a", propensity=1.0, evidence=Evidence.VERDICT, day=2),
        "b": label("b", propensity=0.5, evidence=Evidence.AUDIT, day=4),
        "c": label("c", propensity=1.0, evidence=Evidence.COMPLAINT, day=11),
    }
    start = datetime(2026, 5, 1, tzinfo=UTC).timestamp()
    found = LabelProcess.of(labels, dict.fromkeys(labels, start))
    assert (found.propensity_low, found.propensity_high) == (0.5, 1.0)
    assert found.effective == pytest.approx(4**2 / (1 + 4 + 1))
    assert found.selected == 1
    assert found.delay_days_median == pytest.approx(3)
    assert found.delay_days_p90 == pytest.approx(3 + 0.8 * 7)
    assert LabelProcess.of(labels).delay_days_median is None


def test_an_undefined_estimate_is_no_measure() -> None:
    """NaN becomes None; a value without an interval stays one."""
    undefined = Estimate(value=np.nan, low=np.nan, high=np.nan, n=0)
    assert Measured.of(undefined) is None
    known = Estimate(value=0.5, low=np.nan, high=np.nan, n=9)
    assert Measured.of(known) == Measured(value=0.5)


def test_signal_shares_sum_to_one_and_fall() -> None:
    """Shares come from mean absolute contributions, with direction and trust."""
    contributions = np.zeros((4, len(SIGNALS)))
    contributions[:, 0] = [1, -1, 1, -1]
    contributions[:, 5] = 3
    found = signal_shares(contributions)
    assert [s.name for s in found[:2]] == [SIGNALS[5].name, SIGNALS[0].name]
    assert [s.share for s in found[:2]] == [0.75, 0.25]
    assert found[1].trust == SIGNALS[0].trust
    assert sum(s.share for s in signal_shares(np.zeros((2, len(SIGNALS))))) == 0
