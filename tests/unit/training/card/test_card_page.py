"""The page: whole, alone, readable by everyone, and the same every time."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson
import pytest
from markupsafe import Markup

from training.card import source_of, view, write_card
from training.card.facts import CardFacts
from training.card.rendering import page
from training.card.view import SECTIONS

VOID = {"meta", "link", "br", "hr", "img", "input"}
FILES = ("card.html", "card.md", "card.json", "card.cdx.json")


class Page(HTMLParser):
    """A strict reader: remembers tags, ids, text, and what is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember a tag and its attributes."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember a tag that closes itself."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost tag, which must be this one."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Remember text."""
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of every element of a kind."""
        return [attrs for name, attrs in self.tags if name == tag]


def read(folder: Path) -> Page:
    """Return the page of a card."""
    return Page((folder / "card.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["card", "full_card"])
def test_page_is_whole_and_well_formed(
    name: str, request: pytest.FixtureRequest
) -> None:
    """Tags nest, ids are unique, and every section is there and linked to."""
    found = read(request.getfixturevalue(name))
    assert found.open == []
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [attrs["href"] for attrs in found.all("a")]
    assert len(links) == len(SECTIONS)
    assert {link[1:] for link in links if link} <= set(ids)


def test_the_verdict_comes_first(full_card: Path) -> None:
    """Question, answer and three figures stand before anything else."""
    found = read(full_card)
    words = [word for word in found.words if word.strip()]
    after = words[words.index("Model card") + 1 :]
    assert after[0] == "May this version go live?"
    assert after[1].startswith("Yes: ")
    tiles = (full_card / "card.html").read_text("utf-8").partition("<nav")[0]
    assert tiles.count("<b><data") == 3


def test_page_asks_no_server_and_runs_nothing(full_card: Path) -> None:
    """No script, no image, no address but the names of XML vocabularies."""
    text = (full_card / "card.html").read_text(encoding="utf-8")
    found = Page(text)
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in found.tags}
    assert not re.search(r"\son\w+=", text)
    addresses = set(re.findall(r"https?://[^\s\"'<>]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "default-src 'none'" in text
    assert all((attrs["href"] or "").startswith("#") for attrs in found.all("a"))


def test_same_inputs_give_the_same_bytes(
    report: dict[str, Any], full_facts: CardFacts, full_card: Path, tmp_path: Path
) -> None:
    """A card can be compared with the one in the registry, form by form."""
    write_card(report, full_facts, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(FILES)
    for file in FILES:
        assert (tmp_path / file).read_bytes() == (full_card / file).read_bytes()


def test_names_from_logs_are_text_not_markup(full_card: Path) -> None:
    """A domain called <b>&| is shown as that, in HTML and in a Markdown table."""
    text = (full_card / "card.html").read_text(encoding="utf-8")
    assert "<b>&|" not in text
    assert "<b>&|" in "".join(Page(text).words)
    words = (full_card / "card.md").read_text(encoding="utf-8")
    body = words.partition("\n---\n")[2]
    assert "| &lt;b>&\\| |" in body
    rows = [line for line in body.splitlines() if line.startswith("|")]
    tables = re.split(r"(?<!\|)\n(?!\|)", body)
    for table in (t for t in tables if t.startswith("|")):
        bars = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(bars) == 1
    assert len(rows) > 40


def test_headings_go_down_one_level_at_a_time(full_card: Path) -> None:
    """A reader who listens can move by headings: no level is skipped."""
    levels = [
        int(tag[1]) for tag, _ in read(full_card).tags if re.match(r"h[1-6]$", tag)
    ]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))


def test_tables_and_pictures_say_what_they_are(full_card: Path) -> None:
    """Every table has a caption and scopes, every picture a text in its place."""
    found = read(full_card)
    assert len(found.all("caption")) == len(found.all("table"))
    assert all(attrs["scope"] in {"col", "row"} for attrs in found.all("th"))
    assert all(len(a["aria-label"] or "") > 40 for a in found.all("svg"))
    assert all(a["role"] == "img" for a in found.all("svg"))
    assert len(found.all("svg")) == 11


def test_what_is_missing_is_said_where_it_would_stand(
    report: dict[str, Any], facts: CardFacts, card: Path
) -> None:
    """No section vanishes for want of figures: it says what is missing, and the way."""
    shown = view(source_of(report, facts))
    assert len(shown.sections) == len(SECTIONS)
    text = (card / "card.html").read_text(encoding="utf-8")
    missing = {gap.what for _, gap in shown.gaps}
    assert missing >= {
        "Release gates",
        "Measures and signals against a version",
        "Both versions on the same tasks",
        "The price of forged confidence",
        "A bound on what self-reports can do",
        "Drift and alarms since it went live",
        "Certificates per segment",
        "What other bounds would cost",
        "Your own desks",
        "Propensities and delays of the labels",
    }
    for what in missing:
        assert f"Not measured: {what}." in text
    assert all(len(gap.how) > 10 for _, gap in shown.gaps)


def test_a_version_on_which_all_was_measured_lacks_only_what_the_log_lacks(
    report: dict[str, Any], full_facts: CardFacts
) -> None:
    """Only slices by language and channel stay open: no evaluation was given them."""
    gaps = view(source_of(report, full_facts)).gaps
    assert [gap.what for _, gap in gaps] == ["Slices by language and by channel"]


def test_json_and_markdown_carry_what_the_page_says(
    report: dict[str, Any], full_facts: CardFacts, full_card: Path
) -> None:
    """Every sentence of the view is in all three forms."""
    shown = view(source_of(report, full_facts))
    pictures = dict.fromkeys((p.name for p in shown.pictures), Markup())
    words = " ".join("".join(Page(page(shown, pictures)).words).split())
    markdown = (full_card / "card.md").read_text(encoding="utf-8")
    held = orjson.loads((full_card / "card.json").read_bytes())
    for section, stored in zip(shown.sections, held["card"]["sections"], strict=True):
        answer = "".join(p if isinstance(p, str) else p.text for p in section.answer)
        told = stored["answer"]
        assert (told["text"] if isinstance(told, dict) else told) == answer
        assert answer.replace("`", "") in words
        assert answer.replace("<", "&lt;").replace("|", "\\|") in markdown
        assert f"### {section.title}" in markdown


def test_markdown_has_the_headings_that_readers_of_cards_know(full_card: Path) -> None:
    """The nine headings of Mitchell et al. are there, in order, none of them empty."""
    text = (full_card / "card.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings == [
        "Model details",
        "Intended use",
        "Factors",
        "Metrics",
        "Evaluation data",
        "Training data",
        "Quantitative analyses",
        "Ethical considerations",
        "Caveats and recommendations",
    ]
    parts = re.split(r"^## .+$", text, flags=re.MULTILINE)[1:]
    assert all(part.strip().startswith("###") for part in parts)
    assert "\n\n\n" not in text
