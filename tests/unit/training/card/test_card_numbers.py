"""Every number in a card is found in the evaluation, the facts, or their arithmetic."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson
import pytest

from training.card import bom, source_of, view
from training.card.facts import CardFacts
from training.card.rendering import markdown
from training.card.shown import Shown, resolve

NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
OPEN, MIDDLE, CLOSE = "\ue000", "\ue001", "\ue002"
MARKED = re.compile(f"{OPEN}(.*?){MIDDLE}(.*?){CLOSE}", re.DOTALL)
# Vocabulary of the format, and names: no figures.
_STRUCTURE = {"$schema", "specVersion", "serialNumber", "alg", "bom-ref", "ref", "purl"}


def rounds_to(text: str, value: float) -> bool:
    """Whether a number as shown is `value`, or it in percent, at its own precision."""
    shown = NUMBER.search(text)
    assert shown, text
    digits = shown.group().replace(",", "")
    negative = re.match(r"\s*[-\u2212]", text) is not None
    number = -float(digits) if negative else float(digits)
    decimals = len(digits.partition(".")[2])
    significant = len(digits.replace(".", "").lstrip("0"))
    return any(
        abs(number - scale * value) <= 0.5 * 10**-decimals + 1e-9
        # "0.5" of 0.4996 has three significant digits, without needless zeros.
        or (significant <= 3 and float(f"{scale * value:.3g}") == number)
        for scale in (1, 100)
    )


def agrees(text: str, value: Any) -> bool:
    """Whether a text says what the data have at that place."""
    match value:
        case dict():
            return text in {str(key).replace("_", " ") for key in value}
        case str():
            is_head = len(text) == 12 and value.startswith(text)
            return text == value or is_head
        case int() | float():
            return rounds_to(text, value)
        case _:
            return False


def wrong(data: Any, shown: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return what does not say what stands in the data where it points to."""
    return [(at, text) for at, text in shown if not agrees(text, resolve(data, at))]


class Numbers(HTMLParser):
    """Reads a page: what was looked up, other text with digits, labels of pictures."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.looked_up: list[tuple[str, str]] = []
        self.stray: list[str] = []
        self.labels: dict[str, list[str]] = {}
        self._open: list[tuple[str, str]] = []
        self._svgs = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        told = dict(attrs)
        self.stray += [v for k, v in attrs if k == "aria-label" and re.search(r"\d", v)]
        name = (told.get("title") if tag == "data" else told.get("id")) or ""
        if tag not in {"meta", "link", "br"}:
            self._open.append((tag, name))

    def handle_endtag(self, tag: str) -> None:
        """Close an element."""
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        """Sort a text by what it stands in."""
        tags = [tag for tag, _ in self._open]
        if not tags or "style" in tags or "title" in tags:
            return
        if "svg" in tags:
            if data.strip():
                self._label(data)
        elif tags[-1] == "data":
            self.looked_up.append((self._open[-1][1], data))
        elif re.search(r"\d", data):
            self.stray.append(data)

    def _label(self, data: str) -> None:
        ids = [name for _, name in self._open if name]
        if not any(re.search(r"tick_\d+$", name) for name in ids):
            picture = ids[0].rpartition("-")[0]
            self.labels.setdefault(picture, []).append(data)


@pytest.fixture(params=["card", "full_card"])
def folder(request: pytest.FixtureRequest) -> Path:
    """Return the directory of a card."""
    found: Path = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def data(folder: Path) -> dict[str, Any]:
    """Return what card.json holds beside the card itself."""
    held = orjson.loads((folder / "card.json").read_bytes())
    return {name: held[name] for name in ("facts", "report", "derived")}


@pytest.fixture
def page(folder: Path) -> str:
    """Return the page."""
    return (folder / "card.html").read_text(encoding="utf-8")


def test_every_number_of_the_page_is_looked_up_in_the_data(
    page: str, data: dict[str, Any]
) -> None:
    """No digit stands outside a number that says where it is from, and each agrees."""
    found = Numbers(page)
    assert found.stray == []
    assert len(found.looked_up) > 200
    assert wrong(data, found.looked_up) == []


def test_a_number_that_is_written_by_hand_is_found(page: str) -> None:
    """Were a figure typed into the template, the test above would be red."""
    forged = page.replace("</h2>", " in 17 of 20 cases</h2>", 1)
    assert len(Numbers(forged).stray) == 1
    assert "17 of 20" in Numbers(forged).stray[0]


def test_a_number_that_is_changed_is_found(page: str, data: dict[str, Any]) -> None:
    """A figure that is not what the evaluation found does not agree with it."""
    told = data["report"]["end_of_task"]["auroc"]["value"]
    at = "/report/end_of_task/auroc/value"
    end = f'title="{at}">'
    forged = page.replace(f"{end}{told:.3f}<", f"{end}{told + 0.001:.3f}<", 1)
    assert wrong(data, Numbers(forged).looked_up) == [(at, f"{told + 0.001:.3f}")]


def pictures_of(data: dict[str, Any], folder: Path) -> dict[str, list[tuple[str, Any]]]:
    """Return the numbers each picture may show, by its name."""
    card = orjson.loads((folder / "card.json").read_bytes())["card"]
    blocks = [b for section in card["sections"] for b in section["blocks"]]
    return {
        b["name"]: [(at, resolve(data, at)) for at in b["numbers"]]
        for b in blocks
        if b["kind"] == "picture"
    }


def unexplained(label: str, allowed: list[tuple[str, Any]]) -> list[str]:
    """Return the numbers of a label that none of the allowed values rounds to."""
    for _, value in allowed:
        names = value if isinstance(value, dict) else [value]
        for name in (n for n in names if isinstance(n, str)):
            label = label.replace(name, "").replace(name.replace("_", " "), "")
    numbers = [v for _, v in allowed if isinstance(v, (int, float))]
    return [
        text
        for text in re.findall(r"-?\d[\d,]*(?:\.\d+)?", label)
        if not any(rounds_to(text, value) for value in numbers)
    ]


def test_every_number_in_a_picture_is_one_that_its_card_names(
    page: str, data: dict[str, Any], folder: Path
) -> None:
    """Legends, notes and names in pictures hold only numbers of the data."""
    allowed = pictures_of(data, folder)
    labels = Numbers(page).labels
    assert labels.keys() == allowed.keys()
    assert {
        (name, label)
        for name, texts in labels.items()
        for label in texts
        if unexplained(label, allowed[name])
    } == set()
    assert unexplained("off by 0.999", allowed["stages"]) == ["0.999"]


def marked(piece: Shown) -> str:
    """Return a piece with where it is from, in marks that no text has."""
    return f"{OPEN}{piece.at}{MIDDLE}{piece.text}{CLOSE}"


def test_every_number_of_the_markdown_is_looked_up(
    report: dict[str, Any], facts: CardFacts, full_facts: CardFacts, card: Path
) -> None:
    """Head and body hold no digit but what was read off the data."""
    for known in (facts, full_facts):
        source = source_of(report, known)
        text = markdown(view(source), source, marked)
        found = MARKED.findall(text)
        assert len(found) > 200
        assert wrong(source.data, found) == []
        rest = MARKED.sub("", text)
        assert [line for line in rest.splitlines() if re.search(r"\d", line)] == []
    source = source_of(report, facts)
    assert markdown(view(source), source) == (card / "card.md").read_text("utf-8")


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text in JSON data with the name of what holds it."""
    match value:
        case dict():
            for name, item in value.items():
                yield from leaves(item, name)
        case list():
            for item in value:
                yield from leaves(item, key)
        case str():
            yield key, value
        case _:
            return


def test_every_number_of_the_bill_of_materials_is_looked_up(
    report: dict[str, Any], full_facts: CardFacts
) -> None:
    """No value, bound, slice or sentence holds a digit from elsewhere."""
    source = source_of(report, full_facts)
    texts = list(leaves(bom(view(source), source, marked)))
    found = [pair for _, text in texts for pair in MARKED.findall(text)]
    assert len(found) > 200
    assert wrong(source.data, found) == []
    rest = [(key, MARKED.sub("", t)) for key, t in texts if key not in _STRUCTURE]
    assert [pair for pair in rest if re.search(r"\d", pair[1])] == []


def phrases(value: Any) -> Iterator[Any]:
    """Yield every text of a card, as text or with where its numbers are from."""
    match value:
        case {"text": _, "from": _}:
            yield value
        case dict():
            for name in value.keys() - {"numbers"}:
                yield from phrases(value[name])
        case list():
            for item in value:
                yield from phrases(item)
        case str():
            yield value
        case _:
            return


def test_card_json_says_where_each_of_its_numbers_is_from(
    folder: Path, data: dict[str, Any]
) -> None:
    """A text with a figure in it names the place of each figure."""
    card = orjson.loads((folder / "card.json").read_bytes())["card"]
    found = list(phrases(card))
    looked_up = [p["from"].items() for p in found if isinstance(p, dict)]
    pairs = [(at, text) for told in looked_up for text, at in told]
    assert len(pairs) > 200
    assert wrong(data, pairs) == []
    plain = [p for p in found if isinstance(p, str)]
    assert [text for text in plain if re.search(r"\d", text)] == []
