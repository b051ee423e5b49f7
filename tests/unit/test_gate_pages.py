"""Every gate has its page, every page its gate, and the index names all limits."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from training.gates import GATES, Limits

PAGES = Path(__file__).parents[2] / "docs" / "reference" / "gates"
INDEX = (PAGES / "README.md").read_text(encoding="utf-8")
PARTS = ("What it looks at", "Why", "Evidence", "When it is red")


def test_gates_and_pages_are_the_same() -> None:
    """No gate without a page, no page of a gate that is not there."""
    assert {path.stem for path in PAGES.glob("ESC*.md")} == set(GATES)


@pytest.mark.parametrize("code", GATES)
def test_a_page_says_what_why_what_with_and_what_to_do(code: str) -> None:
    """Each page has its four parts, something in each, and stands in the index."""
    text = (PAGES / f"{code}.md").read_text(encoding="utf-8")
    found = dict(re.findall(r"^## (.+)\n\n([\s\S]+?)(?=^## |\Z)", text, re.MULTILINE))
    assert tuple(found) == PARTS
    assert all(len(words.split()) >= 8 for words in found.values())
    title = text.splitlines()[0].removeprefix(f"# {code}: ")
    assert f"| [{code}]({code}.md) | {title} |" in INDEX


def test_the_index_names_every_limit_with_its_default() -> None:
    """What can be changed, and from what, stands in one table."""
    rows = re.findall(r"^\| (`.+?) \| (.+?) \| ", INDEX, re.MULTILINE)
    told = [name for names, _ in rows for name in re.findall(r"`(\w+)`", names)]
    assert {f.name for f in fields(Limits)} == set(told)
    for names, defaults in rows:
        listed = re.findall(r"`(\w+)`", names)
        numbers = [float(n) for n in re.findall(r"\d+(?:\.\d+)?", defaults)]
        if listed != ["severity"]:
            assert numbers == [getattr(Limits(), name) for name in listed]
