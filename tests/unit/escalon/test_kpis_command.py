"""Tests of `escalon kpis`: what a person reads of a store, and what a program does."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from escalon.cli import app
from escalon.kpis import span, sparkline
from serving.engine import Engine
from serving.policy.rules import Policy
from serving.store.sqlite import SqliteStore

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)


class NoModel:
    """A source that gives no model."""

    problem: str | None = None

    def current(self) -> None:
        """Return that there is none."""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Write a store in which one of two tasks was handed over."""
    path = tmp_path / "escalon.db"
    opened = SqliteStore(path)
    engine = Engine(opened, Policy.default(), NoModel(), lambda: AT, b"secret" * 8)
    for task_id, domain in (("a", "billing"), ("b", "travel")):
        started = {"event_id": "s", "at": AT.isoformat(), "kind": "task_started"}
        engine.observe(task_id, [started | {"domain": domain}])
    engine.escalate("a", by="user", reason="wants a person")
    opened.close()
    return path


def run(*words: str, code: int = 0) -> str:
    """Return what a verb prints."""
    found = CliRunner().invoke(app, ["kpis", *words])
    assert found.exit_code == code, found.output
    return found.output


def test_each_figure_is_shown_with_interval_and_what_it_rests_on(store: Path) -> None:
    """One of two is no bare 50 %."""
    shown = run("--store", str(store))
    assert "50.0%" in shown
    assert "2 tasks" in shown
    assert "9.5% to 90.5%" in " ".join(shown.split())


def test_what_is_not_known_says_what_it_would_take(store: Path) -> None:
    """No verdict, no audit, no rating: three times unknown, and why."""
    shown = " ".join(run("--store", str(store)).split())
    assert shown.count("unknown") >= 3
    assert "needs" in shown


def test_a_breakdown_names_its_segments(store: Path) -> None:
    """By domain there is one row for each."""
    shown = run("--store", str(store), "--by", "domain")
    assert "By domain" in shown
    assert "billing" in shown
    assert "travel" in shown


def test_json_is_what_the_surface_answers(store: Path) -> None:
    """A program reads the same figures."""
    told = orjson.loads(run("--store", str(store), "--json", "--by", "trigger"))
    assert told["escalation_rate"]["value"] == 0.5
    assert told["segments"][0]["name"] == "user_asks_for_human"
    window = orjson.loads(run("--store", str(store), "--json", "--from", "2026-11-25"))
    assert window["escalation_rate"]["n"] == 0


def test_mistakes_are_told_in_one_line(tmp_path: Path, store: Path) -> None:
    """No such store, no such breakdown: exit code 2."""
    assert "expected a store" in run("--store", str(tmp_path / "none.db"), code=2)
    said = run("--store", str(store), "--by", "mood", code=2)
    assert "--by must be one of" in " ".join(said.split())


def test_a_sparkline_goes_from_the_least_to_the_greatest() -> None:
    """Unknown points stay visible; a single one is no line, a flat one is level."""
    assert sparkline([0.1, 0.2, None, 0.3]) == "▁▅·█"
    assert sparkline([0.5]) == ""
    assert sparkline([0.5, 0.5]) == "▄▄"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(42, "42 s"), (90, "1.5 min"), (7_500, "2.1 h"), (2e5, "2.3 d")],
)
def test_spans_are_said_in_their_unit(seconds: float, said: str) -> None:
    """As people say them."""
    assert span(seconds) == said
