from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import date
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.signals import SIGNALS
from training.bundle import Certificate
from training.card import CardError, write_card
from training.card.facts import CardFacts, SignalShare, signal_shares
from training.card.figures import bars, figures
from training.card.svg import inline_svg
from training.card.text import estimate, value
from training.evaluate import evaluate
from training.evaluate.baselines import standard_baselines

VOID = {"meta", "link", "br", "hr", "img", "input"}
SECTIONS = (
    "Use",
    "Data",
    "Is the risk honest?",
    "What does a threshold cost?",
    "How much work does it make, and what does it let through?",
    "How early is the alarm?",
    "Is it better than something simpler?",
    "For whom is it worse?",
    "What moves the risk?",
    "Limitations",
    "How to read the certificate",
)


PROMISE = Certificate(
    alpha=0.1,
    delta=0.1,
    n_needed=412,
    n_tasks=1100,
    misses_allowed=32,
    method="exact binomial",
    threshold=0.4,
    escalation_rate=0.38,
    reason="32 of 412 may be missed",
)


@dataclass(frozen=True, kw_only=True)
class Snap:
    """Labelled rows, two steps a task."""

    task_ids: Any
    groups: Any
    domain: Any
    agent_version: Any
    tier: Any
    position: Any
    y: Any
    weight: Any


def made(threshold: float | None, *, shift: float = 0.0) -> dict[str, Any]:
    """Return a report on 200 tasks in two domains, one of which has a nasty name."""
    rng = np.random.default_rng(0)
    task = np.repeat(np.arange(200), 2)
    p = rng.random(200)
    domain = np.where(np.arange(200) % 2 == 0, "retail", "<b>&|")
    snap = Snap(
        task_ids=task,
        groups=task,
        domain=domain[task],
        agent_version=np.where(np.arange(200) < 190, "v1", "v2")[task],
        tier=np.full(400, "?"),
        position=np.tile([0, 1], 200),
        y=(rng.random(200) < p)[task].astype(float),
        weight=np.full(400, 0.5),
    )
    risk = np.clip(
        p[task] * np.tile([0.8, 1.0], 200) - shift * (snap.domain == "retail"), 0, 1
    )
    baselines = standard_baselines(
        snap, risk, threshold, rules=np.zeros(400), confidence=1 - risk / 3
    )
    return evaluate(snap, risk, threshold, baselines=baselines, replicates=60).to_json()


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    """Return a report at threshold 0.4."""
    return made(0.4)


FACTS = CardFacts(
    model="escalon",
    version="7",
    digest="9f" * 32,
    certificate=replace(PROMISE, alpha=0.4),
    made=date(2026, 11, 24),
    expires=date(2027, 2, 24),
    n_tasks=1800,
    n_unlabelled=200,
    label_sources={"verdict": 600, "audit_verdict": 1200},
    window=(date(2026, 5, 1), date(2026, 10, 31)),
    fingerprint="ab" * 32,
    evaluated_on="held-out customers",
    owner="Claims operations",
    aliases=("challenger",),
    signals=(
        SignalShare(
            name="confidence_last",
            doc="What it says",
            share=0.7,
            direction=-1,
            trust="self_reported",
        ),
        SignalShare(
            name="tool_errors",
            doc="Errors & more",
            share=0.3,
            direction=1,
            trust="observed",
        ),
    ),
)


class Page(HTMLParser):
    """A strict reader: remembers tags, ids, text, and what is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember a tag and its id."""
        self.tags.append(tag)
        self.ids += [v for k, v in attrs if k == "id" and v]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember a tag that closes itself."""
        self.tags.append(tag)
        self.ids += [v for k, v in attrs if k == "id" and v]

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost tag, which must be this one."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Remember text."""
        self.words.append(data)


@pytest.fixture(scope="module")
def card(report: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of the card of FACTS."""
    return write_card(report, FACTS, tmp_path_factory.mktemp("card")).parent


def page_of(report: dict[str, Any], facts: CardFacts, directory: Path) -> str:
    """Return the text of the card's page."""
    return write_card(report, facts, directory).read_text(encoding="utf-8")


def test_page_is_whole_and_well_formed(card: Path) -> None:
    """Every section is there in reading order, tags nest, ids are unique."""
    page = Page((card / "card.html").read_text(encoding="utf-8"))
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    text = " ".join(page.words)
    places = [text.index(f" {section} ") for section in SECTIONS]
    assert places == sorted(places)
    assert page.tags.count("svg") == 8


def test_page_asks_no_server_and_runs_nothing(card: Path) -> None:
    """No script, no link, no address but the names of XML vocabularies."""
    text = (card / "card.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not re.search(r"\bon\w+=", text)
    addresses = set(re.findall(r"https?://[^\s\"'<>]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "default-src 'none'" in text


def test_same_inputs_give_the_same_bytes(
    report: dict[str, Any], card: Path, tmp_path: Path
) -> None:
    """A card can be compared with the one in the bundle byte for byte."""
    write_card(report, FACTS, tmp_path)
    for file in ("card.html", "card.md", "card.json"):
        assert (tmp_path / file).read_bytes() == (card / file).read_bytes()


def test_names_from_logs_are_text_not_markup(card: Path) -> None:
    """A domain called <b>&| is shown as that, in HTML and in a Markdown table."""
    text = (card / "card.html").read_text(encoding="utf-8")
    assert "<b>&|" not in text
    assert "<b>&|" in "".join(Page(text).words)
    assert "| <b>&\\| |" in (card / "card.md").read_text(encoding="utf-8")


def test_a_certified_version_says_what_is_promised(
    report: dict[str, Any], card: Path
) -> None:
    """The verdict has threshold, tolerance, confidence, price and what was observed."""
    text = (card / "card.html").read_text(encoding="utf-8")
    assert "Certified" in text
    assert "Escalating at a risk of 0.400 or more misses at most 40 %" in text
    assert "with confidence 90 %" in text
    assert "It costs escalating 38 % of tasks." in text
    assert estimate(report["miss_rate"]) in text


def test_a_broken_promise_is_in_doubt(tmp_path: Path) -> None:
    """Where more is missed than promised, beyond chance, the verdict says so."""
    report = made(0.9)
    facts = replace(FACTS, certificate=replace(PROMISE, alpha=0.05, threshold=0.9))
    text = page_of(report, facts, tmp_path)
    assert "Certificate in doubt" in text
    assert "do not promote" in text


def test_a_refusal_is_said_in_words(tmp_path: Path) -> None:
    """Without a threshold the card says why, and shows no figure that needs one."""
    promise = replace(
        PROMISE, threshold=None, escalation_rate=None, reason="have 14 of 22"
    )
    text = page_of(made(None), replace(FACTS, certificate=promise), tmp_path)
    assert "Certificate refused" in text
    assert "have 14 of 22" in text
    assert "Of 1,000 tasks" not in text
    assert "How early is the alarm?" not in text
    assert "What does a threshold cost?" in text


def test_a_version_nobody_owns_says_so(report: dict[str, Any], tmp_path: Path) -> None:
    """Without owner, expiry, window and sources the card names the gaps."""
    facts = replace(
        FACTS, owner="", expires=None, window=None, label_sources={}, signals=()
    )
    text = page_of(report, facts, tmp_path)
    assert "a version without an owner must not go live" in text
    assert "no date set" in text
    assert text.count("not recorded") == 2
    assert "What moves the risk?" not in text


def test_the_label_mix_is_shown_in_shares(card: Path) -> None:
    """Sources come with share and count, the largest first, and what had no label."""
    text = (card / "card.html").read_text(encoding="utf-8")
    assert "audit verdict 67 % (1,200), verdict 33 % (600)" in text
    assert "200 tasks (10 %)" in text


def test_what_becomes_of_a_thousand_tasks_adds_up(
    report: dict[str, Any], card: Path
) -> None:
    """The four outcomes add up to 1,000, and agree with the rates."""
    found = json.loads((card / "card.json").read_text())["card"]["per_thousand"]
    assert sum(found.values()) == pytest.approx(1000, abs=2)
    missed = 1000 * report["base_rate"] * report["miss_rate"]["value"]
    assert found["missed"] == round(missed)


def test_slices_that_are_off_are_flagged_in_table_and_words(tmp_path: Path) -> None:
    """A domain whose risk is too low by 20 points is marked, and is a limitation."""
    facts = replace(FACTS, certificate=replace(PROMISE, alpha=0.4))
    report = made(0.4, shift=0.3)
    text = page_of(report, facts, tmp_path)
    found = json.loads((tmp_path / "card.json").read_text())["card"]
    rows = {row[0]["text"]: row for row in found["slices"]["domain"]["table"]["rows"]}
    assert rows["retail"][-1]["flagged"]
    assert not rows["<b>&|"][-1]["flagged"]
    assert re.search(
        r"The risk is off, beyond chance, in: domain retail \(-\d+ points\)", text
    )
    assert found["slices"]["agent version"]["suppressed"] == ["v2 (10)"]


def test_a_score_that_rests_on_self_report_is_a_limitation(
    report: dict[str, Any], card: Path, tmp_path: Path
) -> None:
    """Seventy percent of the score from the agent's own word is named."""
    text = (card / "card.html").read_text(encoding="utf-8")
    assert "70 % of the score rests on what the agent says of itself" in text
    observed = replace(FACTS, signals=FACTS.signals[1:])
    assert "says of itself" not in page_of(report, observed, tmp_path)


def test_json_and_markdown_carry_the_same_facts(
    report: dict[str, Any], card: Path
) -> None:
    """card.json has facts, report and certificate; card.md the same tables."""
    found = json.loads((card / "card.json").read_text())
    assert found["facts"]["certificate"]["misses_allowed"] == 32
    assert found["facts"]["expires"] == "2027-02-24"
    assert found["report"]["end_of_task"] == report["end_of_task"]
    text = (card / "card.md").read_text(encoding="utf-8")
    assert value(report["end_of_task"]["auroc"]) in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {
        line.count("|") - line.count("\\|") for line in tables if "always" in line
    } == {9}
    assert "\n\n\n" not in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"threshold": 0.5}, "certificate's threshold 0.4, found one at 0.5"),
        ({"schema": "other"}, "found 'other'"),
    ],
)
def test_a_report_of_another_model_is_refused(
    report: dict[str, Any], tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    """A report at another threshold, or of another schema, makes no card."""
    with pytest.raises(CardError, match=words):
        write_card({**report, **change}, FACTS, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_figures_mark_the_current_threshold(report: dict[str, Any]) -> None:
    """Pictures over thresholds have a line at the bundle's."""
    drawn = figures(report)
    assert set(drawn) == {
        "reliability",
        "cost",
        "workload",
        "frontier",
        "precision_recall",
        "roc_pr",
        "lead",
    }
    for name in ("cost", "workload", "precision_recall"):
        for axes in drawn[name].axes:
            upright = [
                line for line in axes.lines if list(line.get_xdata()) == [0.4, 0.4]
            ]
            assert len(upright) == 1
            assert upright[0].get_label() == "current threshold 0.40"


def test_figures_can_be_saved_as_pictures(report: dict[str, Any]) -> None:
    """Every figure renders to PNG without a display, as MLflow wants it."""
    for figure in figures(report).values():
        buffer = BytesIO()
        figure.savefig(buffer, format="png", dpi=40)
        assert buffer.getvalue().startswith(b"\x89PNG")


def test_cheapest_threshold_is_the_lowest_point(report: dict[str, Any]) -> None:
    """The green mark of the cost curve lies at its minimum."""
    axes = figures(report)["cost"].axes[0]
    lowest = min(
        p["cost_per_task"]["value"] for p in report["curves"]["thresholds"][:-1]
    )
    marks = [line for line in axes.lines if line.get_marker() == "v"]
    assert list(marks[0].get_ydata()) == [pytest.approx(lowest)]


def test_svg_takes_colours_from_the_page_and_keeps_numbers() -> None:
    """Colours become variables with a fallback; text stays text, in full."""
    text = inline_svg(
        bars([("errors", 12.345, 1)], x="% of all"), name="p1", says='a < "b"'
    )
    assert text.startswith('<svg role="img" aria-label="a &lt; &quot;b&quot;"')
    assert "var(--orange, #c2500a)" in text
    assert ">errors</text>" in text
    assert " 12.3</text>" in text
    assert 'id="p1-' in text
    assert "<metadata" not in text


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
