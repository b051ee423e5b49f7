from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from escalon.cli import app

GOOD = {"id": "a", "messages": [{"role": "user", "content": "hi"}]}
BAD = {"id": "<b>", "messages": [{"role": "user", "content": "hi"}], "verdict": "<i>"}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return a log whose second record breaks the contract."""
    path = tmp_path / "log.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n{json.dumps(BAD)}\n")
    return path


def ran(*words: str | Path) -> Any:
    return CliRunner().invoke(app, ["ingest", *map(str, words)])


def test_refusal_is_a_line_with_place_field_and_advice(
    log: Path, tmp_path: Path
) -> None:
    """File, line, byte, field, expected and found are told, and what to do."""
    done = ran(log, "--out", tmp_path / "e.parquet")
    assert done.exit_code == 0
    (line,) = (one for one in done.stdout.splitlines() if "refused" in one)
    place = f"{log}:2 (byte {len(json.dumps(GOOD)) + 1})"
    for part in (place, "`needed`", "expected one of yes, no", "found '<i>'"):
        assert part in line
    assert "mend these at the source" in done.stdout
    assert (tmp_path / "e.parquet").is_file()


def test_strict_stops_at_the_first_refusal_and_writes_nothing(
    log: Path, tmp_path: Path
) -> None:
    """With --strict a refusal is the caller's mistake: code 2, one line, no file."""
    done = ran(log, "--out", tmp_path / "e.parquet", "--strict")
    assert done.exit_code == 2
    assert f"{log}:2" in done.stderr
    assert "`needed`" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [log.name]


def test_strict_reading_of_a_sound_log_is_a_reading(tmp_path: Path) -> None:
    """Without refusals --strict changes nothing."""
    path = tmp_path / "log"
    path.write_text(json.dumps(GOOD))
    assert ran(path, "--out", tmp_path / "e.parquet", "--strict").exit_code == 0


def test_json_tells_all_there_is_to_know(log: Path, tmp_path: Path) -> None:
    """Programs get every part of a refusal by name."""
    done = ran(log, "--out", tmp_path / "e.parquet", "--json")
    told = json.loads(done.stdout)
    (refused,) = told["refused"]
    assert (told["events"], told["refused_total"]) == (4, 1)
    assert (refused["line"], refused["field"]) == (2, "needed")
    assert refused["found"] == "'<i>'"


class _Page(HTMLParser):
    """The tags of a page and the text of each."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def test_quality_page_stands_beside_the_table_and_alone(
    log: Path, tmp_path: Path
) -> None:
    """One page without script or address, every table with a caption and headings."""
    assert ran(log, "--out", tmp_path / "e.parquet").exit_code == 0
    text = (tmp_path / "e.quality.html").read_text()
    seen = _Page(text).seen
    tags = [tag for tag, _ in seen]
    assert not {"script", "link", "img", "iframe", "i", "b"} & set(tags)
    assert "&lt;i&gt;" in text
    assert not [a for _, a in seen if a.get("src") or a.get("href")]
    assert tags.count("table") == tags.count("caption") > 5
    heads = [a for tag, a in seen if tag == "th"]
    assert all(head.get("scope") in {"row", "col"} for head in heads)
    drawn = [a for tag, a in seen if tag == "svg"]
    assert drawn
    assert all(bar.get("aria-hidden") == "true" for bar in drawn)
    found = json.loads((tmp_path / "e.quality.json").read_text())
    assert found["schema"] == "escalon.quality/1"
    assert found["refused"]["reasons"][0]["field"] == "needed"
    assert found["formats"] == [
        {"format": "chat", "sources": 1, "events": 4, "tasks": 2, "refused": 1}
    ]
    assert found["repeated"] == 0


def test_quality_page_goes_where_it_is_asked_to(log: Path, tmp_path: Path) -> None:
    """--quality names the page; its JSON is beside it."""
    page = tmp_path / "deep" / "page.html"
    assert ran(log, "--out", tmp_path / "e.parquet", "--quality", page).exit_code == 0
    assert {path.name for path in page.parent.iterdir()} == {"page.html", "page.json"}


def test_sound_log_has_nothing_to_look_at(tmp_path: Path) -> None:
    """The page says so where nothing is odd, and repeated events are counted."""
    event = {
        "task_id": "a",
        "event_id": "1",
        "at": "2025-01-01T00:00:00Z",
        "kind": "user_message",
    }
    path = tmp_path / "log"
    path.write_text(json.dumps(event))
    ran(path, "--out", tmp_path / "e.parquet")
    assert "Nothing here deserves a look" in (tmp_path / "e.quality.html").read_text()
    path.write_text(f"{json.dumps(event)}\n{json.dumps(event)}")
    ran(path, "--out", tmp_path / "e.parquet")
    assert "Events repeated: 1." in (tmp_path / "e.quality.html").read_text()
