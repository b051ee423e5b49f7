"""The console in a real browser: keys, times, contrast, and what strangers wrote."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect, sync_playwright

from serving.composition import Application
from serving.console.words import say
from serving.engine import Engine
from serving.settings import Settings

pytestmark = pytest.mark.slow

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
MEMBER = "general-1"
HOSTILE = (
    "<script>window.owned = 1</script> <img src=x onerror='window.owned = 1'> "
    "javascript:window.owned=1 {{7*7}} \u202egnp.exe \u200b\ufeff \x1b[31m "
    + "W"
    * 5_000
)


# --- a service, a browser, cases ---------------------------------------------


class Site:
    """A running service, and its engine to prepare cases with."""

    def __init__(self, url: str, engine: Engine) -> None:
        self.url = url
        self.engine = engine
        self._sent = 0

    def event(self, kind: str = "user_message", **body: Any) -> dict[str, Any]:
        """Return an event under an id of its own, of a moment ago."""
        self._sent += 1
        at = datetime.now(UTC) - timedelta(minutes=2) + timedelta(seconds=self._sent)
        return {
            "event_id": f"e{self._sent}",
            "at": at.isoformat(),
            "kind": kind,
            **body,
        }

    def hand_over(
        self, task_id: str, *events: dict[str, Any], why: str = "wish"
    ) -> str:
        """Hand a task over to the general queue, and return the path of its case."""
        self.engine.observe(task_id, list(events))
        self.engine.escalate(task_id, by="user", reason=why)
        return f"/console/handoffs/{self.engine.task(task_id)['handoff_id']}"

    def story(self, task_id: str, text: str = "Where is my parcel?") -> str:
        """Hand over a task with a failed call, a plan and a message of each side."""
        call = {"tool": "track", "arguments": {"id": text}, "is_write": True}
        failed = {"text": text, "error": {"type": "timeout"}, "latency_ms": 30}
        return self.hand_over(
            task_id,
            self.event("task_started", text=text, domain="retail", agent_id="bot"),
            self.event(text=text, attachments=[{"name": text[:200]}]),
            self.event("plan", text=text),
            self.event("tool_call", call_id="1", **call),
            self.event("tool_result", call_id="1", text="on its way"),
            self.event("tool_call", call_id="2", **call),
            self.event("tool_result", call_id="2", **failed),
            self.event("agent_message", text=text),
            why=text,
        )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Serve an empty store on a free port."""
    settings = Settings.load(store=tmp_path / "store.db", secret="s" * 32)
    application = Application(settings)
    assert application.open()
    assert application.engine is not None
    config = uvicorn.Config(application, lifespan="off", ws="none", log_level="error")
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield Site(f"http://127.0.0.1:{listener.getsockname()[1]}", application.engine)
    server.should_exit = True
    thread.join()
    listener.close()
    application.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Start Debian's chromium, or skip saying that it is not here."""
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}; install chromium, or set CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        yield browser
        browser.close()


@contextmanager
def at_the_console(browser: Browser, site: Site, **options: Any) -> Iterator[Page]:
    """Open a page whose every error, refusal and foreign request fails the test."""
    context = browser.new_context(base_url=site.url, locale="en-GB", **options)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("console", lambda said: wrong.append(f"console: {said.text}"))
    page.on("request", lambda asked: _note_foreign(asked.url, site.url, wrong))
    page.goto("/console/sign-in")
    page.get_by_role("button", name=MEMBER).click()
    yield page
    context.close()
    assert wrong == []


def _note_foreign(asked: str, ours: str, wrong: list[str]) -> None:
    """Note a request that goes to another site."""
    if not asked.startswith(f"{ours}/"):
        wrong.append(f"foreign request: {asked}")


@pytest.fixture
def page(chromium: Browser, site: Site) -> Iterator[Page]:
    """Open a page, signed in as a member of the general queue."""
    with at_the_console(chromium, site) as page:
        yield page


def focused(page: Page) -> str:
    """Return the path that the focused link leads to."""
    return str(page.evaluate("document.activeElement.getAttribute('href')"))


# --- the path ----------------------------------------------------------------


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_person_works_a_case(scripts: bool, chromium: Browser, site: Site) -> None:  # noqa: FBT001 - a case of the test
    """From the queue to the verdict, with and without JavaScript."""
    path = site.story("t")
    with at_the_console(chromium, site, java_script_enabled=scripts) as page:
        page.get_by_role("link", name="Where is my parcel?").click()
        expect(page).to_have_url(re.compile(re.escape(path)))
        page.get_by_role("button", name=say("claim")).click()
        page.get_by_label("Yes", exact=True).check()
        page.get_by_label(say("note")).fill("It was lost.")
        page.get_by_label(say("minutes")).fill("6")
        page.get_by_label(say("not_enough")).check()
        page.get_by_text(say("what_missing")).click()
        page.get_by_label("attempts").check()
        page.get_by_role("button", name=say("resolve"), exact=True).click()
        expect(page.get_by_role("status").first).to_have_text(say("told_resolved"))
        expect(page.get_by_text(say("nothing_waiting"))).to_be_visible()
    handoff = site.engine.handoff(path.rpartition("/")[2])
    assert handoff["resolution"]["needed"] == "yes"
    assert handoff["resolution"]["minutes"] == 6
    assert handoff["rating"]["missing"] == ["attempts"]


def test_verdict_is_asked_for(page: Page, site: Site) -> None:
    """Without a verdict the browser does not send the form."""
    path = site.story("t")
    page.goto(path)
    page.get_by_role("button", name=say("claim")).click()
    page.get_by_role("button", name=say("resolve"), exact=True).click()
    assert site.engine.handoff(path.rpartition("/")[2])["status"] == "CLAIMED"
    assert page.evaluate("document.activeElement.name") == "needed"


# --- keys --------------------------------------------------------------------


def test_keys_work_the_queue(page: Page, site: Site) -> None:
    """J and k move, Enter opens, c claims where one stands, r releases."""
    paths = [site.story(f"t{n}") for n in range(3)]
    page.goto("/console")
    for key, place in (("j", 0), ("j", 1), ("j", 2), ("j", 2), ("k", 1)):
        page.keyboard.press(key)
        assert focused(page) == paths[place]
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{site.url}{paths[1]}")
    page.goto("/console")
    page.keyboard.press("c")
    assert site.engine.handoffs(status="CLAIMED")["handoffs"] == []
    page.keyboard.press("j")
    page.keyboard.press("c")
    expect(page).to_have_url(f"{site.url}{paths[0]}")
    page.keyboard.press("r")
    expect(page.get_by_role("status").first).to_have_text(say("told_released"))


def test_keys_work_a_case(page: Page, site: Site) -> None:
    """J and k walk the steps, f jumps to the last failure, c claims."""
    page.goto(site.story("t"))
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.id") == "thought-1"
    page.keyboard.press("k")
    assert page.evaluate("document.activeElement.id") == "message-1"
    page.keyboard.press("f")
    expect(page).to_have_url(re.compile("#attempt-2$"))
    page.keyboard.press("c")
    expect(page.get_by_role("button", name=say("release"))).to_be_visible()


def test_keys_are_printed_and_can_be_switched_off(page: Page, site: Site) -> None:
    """Buttons name their key; switched off, no key acts, none is shown, and it stays."""
    path = site.story("t")
    page.goto(path)
    key = page.locator("button[data-key=c] kbd")
    expect(key).to_be_visible()
    page.get_by_role("button", name=say("keys")).click()
    expect(key).to_be_hidden()
    page.reload()
    expect(key).to_be_hidden()
    page.keyboard.press("c")
    assert site.engine.handoff(path.rpartition("/")[2])["status"] == "QUEUED"


def test_keys_rest_while_one_types(page: Page, site: Site) -> None:
    """Letters in a field are letters; with Ctrl or Alt they are the browser's."""
    path = site.story("t")
    page.goto(path)
    page.keyboard.press("Control+c")
    page.get_by_role("button", name=say("claim")).click()
    page.get_by_label(say("note")).focus()
    page.keyboard.type("cr jk")
    expect(page.get_by_label(say("note"))).to_have_value("cr jk")
    assert site.engine.handoff(path.rpartition("/")[2])["status"] == "CLAIMED"


# --- times, news -------------------------------------------------------------


def test_times_are_the_readers(chromium: Browser, site: Site) -> None:
    """UTC as served is shown on the reader's clock, and kept in the title."""
    path = site.story("t")
    zone = {"timezone_id": "Asia/Kathmandu"}
    with at_the_console(chromium, site, **zone) as page:
        page.goto(path)
        shown = page.locator(".history time").first
        served = datetime.fromisoformat(str(shown.get_attribute("datetime")))
        local = served.astimezone(UTC) + timedelta(hours=5, minutes=45)
        expect(shown).to_contain_text(f"{local:%H:%M}")
        assert served.isoformat().replace("+00:00", "Z")[:19] in str(
            shown.get_attribute("title")
        )


def test_news_is_offered_not_forced(page: Page, site: Site) -> None:
    """A page that is out of date says so, and changes only when its reader wants it."""
    page.clock.install()
    page.goto("/console")
    path = site.story("t")
    page.clock.fast_forward(11_000)
    news = page.locator("#news")
    expect(news).to_contain_text(say("changed"))
    expect(page.get_by_text(say("nothing_waiting"))).to_be_visible()
    news.get_by_role("link").click()
    expect(page.locator(f'a[href="{path}"]')).to_be_visible()


def test_quiet_queue_makes_no_news(page: Page, site: Site) -> None:
    """While nothing changes nothing is said."""
    site.story("t")
    page.clock.install()
    page.goto("/console")
    with page.expect_response("**/console/pulse*"):
        page.clock.fast_forward(11_000)
    expect(page.locator("#news")).to_be_hidden()


# --- strangers' words --------------------------------------------------------


@pytest.mark.parametrize("width", [1280, 1000, 420])
def test_hostile_words_do_nothing(width: int, chromium: Browser, site: Site) -> None:
    """No script runs, nothing is fetched, nothing overflows, hidden marks are seen."""
    path = site.story("t", HOSTILE)
    size = {"viewport": {"width": width, "height": 800}}
    with at_the_console(chromium, site, **size) as page:
        for address in ("/console", path):
            page.goto(address)
            for folded in page.locator("details").all():
                folded.evaluate("details => details.open = true")
            assert page.evaluate("window.owned") is None
            assert page.locator("main img, main script, main iframe").count() == 0
            wide = "document.documentElement.scrollWidth - window.innerWidth"
            assert page.evaluate(wide) <= 0
            assert page.locator(".mark", has_text="U+202E").count() > 0


ATTACKS = """() => {
  const stopped = [];
  document.addEventListener(
    "securitypolicyviolation", (event) => stopped.push(event.effectiveDirective));
  const tried = [
    () => document.body.setAttribute("onclick", "window.owned = 1"),
    () => { document.body.innerHTML += "<img src=x onerror='window.owned = 1'>"; },
    () => document.body.append(Object.assign(
      document.createElement("style"), { textContent: "body { color: red }" })),
    () => document.body.append(Object.assign(
      document.createElement("img"), { src: "http://evil.example/x" })),
    () => { fetch("http://evil.example/x").catch(() => {}); },
  ];
  for (const attack of tried) { try { attack(); } catch { /* refused at once */ } }
  document.body.click();
  return new Promise((done) => setTimeout(
    () => done([window.owned ?? null, [...new Set(stopped)].sort()]), 100));
}"""


def test_policy_of_the_page_holds(chromium: Browser, site: Site) -> None:
    """Even a script that got into the page would get no further, and reach nobody."""
    context = chromium.new_context(base_url=site.url)
    page = context.new_page()
    page.goto("/console/sign-in")
    owned, stopped = page.evaluate(ATTACKS)
    context.close()
    assert owned is None
    assert stopped == [
        "connect-src",
        "img-src",
        "require-trusted-types-for",
        "style-src-elem",
    ]


# --- for everybody -----------------------------------------------------------

CONTRAST = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const over = (top, under) => {
    const a = top[3] ?? 1;
    return [0, 1, 2].map((i) => top[i] * a + under[i] * (1 - a));
  };
  const ground = (element) => {
    const above = [];
    for (let at = element; at; at = at.parentElement) {
      above.push(parse(getComputedStyle(at).backgroundColor));
    }
    return above.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255)
      .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const weak = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const under = ground(element);
    const ink = over([...parse(style.color).slice(0, 3), style.opacity], under);
    const [a, b] = [light(ink), light(under)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) weak.push([walker.currentNode.data.trim().slice(0, 40), ratio]);
  }
  return weak;
}"""
NAMELESS = """() => [...document.querySelectorAll('button, a, input, textarea, select')]
  .filter((e) => e.type !== 'hidden' && e.checkVisibility())
  .filter((e) => !(e.innerText || e.labels?.length || e.ariaLabel || '').toString().trim())
  .map((e) => e.outerHTML)"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it(scheme: str, chromium: Browser, site: Site) -> None:
    """On every page, light or dark, text stands out by 4.5 to 1 (WCAG 2.2 AA)."""
    path = site.story("t")
    held = site.story("held")
    site.engine.claim(held.rpartition("/")[2], by=MEMBER)
    done = site.story("done")
    site.engine.claim(done.rpartition("/")[2], by=MEMBER)
    site.engine.resolve(done.rpartition("/")[2], by=MEMBER, needed="no", note="fine")
    pages = ("/console", "/console?view=all", path, held, done, "/console/overview")
    with at_the_console(chromium, site, color_scheme=scheme) as page:
        for address in (*pages, "/console/sign-in"):
            page.goto(address)
            for folded in page.locator("details").all():
                folded.evaluate("details => details.open = true")
            assert page.evaluate(CONTRAST) == [], address
            assert page.evaluate(NAMELESS) == [], address
            assert page.locator("h1").count() == 1
            assert page.locator("html").get_attribute("lang") == "en"


def test_focus_is_seen(page: Page, site: Site) -> None:
    """Whatever one tabs to is outlined, beginning with the way past the header."""
    page.goto(site.story("t"))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name=say("skip"))).to_be_focused()
    for _ in range(12):
        page.keyboard.press("Tab")
        style = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.evaluate(style) == "solid"
