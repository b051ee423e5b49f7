"""The conversation of a case in a real browser: live, without scripts, and hostile."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from serving.console.words import say
from serving.engine.live import Said
from serving.store.presence import Doing, Role

_SPEC = importlib.util.spec_from_file_location(
    "console_of_tests", Path(__file__).with_name("test_console.py")
)
assert _SPEC is not None
assert _SPEC.loader is not None
console = importlib.util.module_from_spec(_SPEC)
sys.modules["console_of_tests"] = console
_SPEC.loader.exec_module(console)

pytestmark = pytest.mark.slow

chromium = console.chromium
site = console.site
SHOTS = os.environ.get("SHOTS")


def shot(page: Any, name: str) -> None:
    """Keep a picture of the page, where one is asked for."""
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


def test_words_of_both_sides_are_seen_as_they_are_said(
    chromium: Any, site: Any
) -> None:
    """What the person sends and what the user answers stands there without a reload."""
    path = site.story("t")
    with console.at_the_console(chromium, site) as page:
        page.goto(path)
        page.get_by_role("button", name=say("claim")).click()
        expect(page.get_by_text(say("nothing_said"))).to_be_visible()
        page.get_by_label(say("your_words")).fill("Hello,\nI am here.")
        page.get_by_role("button", name=say("send")).click()
        expect(page.locator("#said li")).to_have_count(1)
        site.engine.live.say("t", Said(text="At last!", message_id="u1"))
        expect(page.locator("#said li")).to_have_count(2)
        expect(page.locator("#said li").last).to_contain_text("At last!")
        hostile = "<img src=x onerror='window.owned = 1'><b>bold</b>"
        site.engine.live.say("t", Said(text=hostile))
        expect(page.locator("#said li").last).to_contain_text(hostile)
        assert page.evaluate("window.owned") is None
        site.engine.live.here("t", who="max", role=Role.USER, doing=Doing.TYPING)
        expect(page.locator("#who-is-there")).to_contain_text("max")
        shot(page, "talk_live")
        page.reload()
        expect(page.locator("#said li")).to_have_count(3)
        shot(page, "talk_reloaded")
    kept = site.engine.handoff(path.rpartition("/")[2])["messages"]
    assert [one["text"] for one in kept] == ["Hello,\nI am here.", "At last!", hostile]
    there = {one["who"] for one in site.engine.task("t")["presence"]}
    assert console.MEMBER in there


def test_a_person_can_write_without_scripts(chromium: Any, site: Any) -> None:
    """The form alone sends; the same form sent twice says it once."""
    path = site.story("t")
    with console.at_the_console(chromium, site, java_script_enabled=False) as page:
        page.goto(path)
        page.get_by_role("button", name=say("claim")).click()
        page.get_by_label(say("your_words")).fill("Hello")
        sent = page.locator("input[name=message_id]").input_value()
        page.get_by_role("button", name=say("send")).click()
        expect(page.locator("#said li")).to_have_count(1)
        expect(page.locator("#said li")).to_contain_text("Hello")
        shot(page, "talk_plain")
    kept = site.engine.handoff(path.rpartition("/")[2])["messages"]
    assert [one["message_id"] for one in kept] == [sent]


def test_others_read_along_and_cannot_write(chromium: Any, site: Any) -> None:
    """Who does not hold the case sees what is said, and no box."""
    path = site.story("t")
    handoff_id = path.rpartition("/")[2]
    site.engine.claim(handoff_id, by="general-2")
    with console.at_the_console(chromium, site) as page:
        page.goto(path)
        expect(page.get_by_label(say("your_words"))).to_have_count(0)
        site.engine.live.say("t", Said(text="Hello", by="general-2"))
        expect(page.locator("#said li")).to_contain_text("Hello")
        expect(page.locator("#said strong")).to_contain_text("general-2")
        site.engine.resolve(handoff_id, by="general-2", needed="yes")
        page.reload()
        expect(page.locator("#said li")).to_have_count(1)
        shot(page, "talk_over")
