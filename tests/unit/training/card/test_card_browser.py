"""The page in a real browser: narrow, dark, printed, and without a request."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

pytestmark = pytest.mark.slow

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
# WCAG 2.2, success criterion 1.4.3, for text of usual size.
_LEAST_CONTRAST = 4.5
_CONTRAST = """() => {
  const light = c => { const v = c / 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) =>
    0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
  const behind = element => { for (let e = element; e; e = e.parentElement) {
    const found = parts(getComputedStyle(e).backgroundColor);
    if (found.length < 4 || found[3] > 0) return found; } return [255, 255, 255]; };
  const worst = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (!own || e.closest("svg") || !e.getClientRects().length) continue;
    const a = luminance(parts(getComputedStyle(e).color)), b = luminance(behind(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    worst.push([ratio, e.tagName + "." + e.className + ": " + e.textContent.trim()]);
  }
  return worst.sort((x, y) => x[0] - y[0])[0];
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a browser, or skip saying that there is none."""
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}; set CHROMIUM to where one is")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        yield found
        found.close()


def opened(browser: Browser, card: Path, *, width: int, scheme: str) -> Page:
    """Return the page of a card in a window."""
    page = browser.new_page(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page.goto((card / "card.html").as_uri())
    return page


@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_is_wider_than_the_window(
    browser: Browser, full_card: Path, width: int
) -> None:
    """Wide tables and pictures scroll in their own place; the page does not."""
    page = opened(browser, full_card, width=width, scheme="light")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read_against_its_ground(
    browser: Browser, full_card: Path, scheme: str
) -> None:
    """The faintest text has the contrast that WCAG AA asks for."""
    page = opened(browser, full_card, width=1280, scheme=scheme)
    ratio, where = page.evaluate(_CONTRAST)
    assert ratio >= _LEAST_CONTRAST, where
    page.close()


def test_the_page_asks_for_nothing_and_complains_of_nothing(
    browser: Browser, full_card: Path
) -> None:
    """One request, for the file itself; no error in the console."""
    page = browser.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    address = (full_card / "card.html").as_uri()
    page.goto(address, wait_until="networkidle")
    assert asked == [address]
    assert said == []
    page.close()


def test_the_page_prints_on_paper(browser: Browser, full_card: Path) -> None:
    """On A4 no table or picture is cut off at the edge, and the page is a document."""
    page = opened(browser, full_card, width=690, scheme="dark")
    page.emulate_media(media="print")
    cut = page.evaluate(
        """() => [...document.querySelectorAll("table, svg")]
        .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
        .map(e => e.textContent.trim().slice(0, 40))"""
    )
    assert cut == []
    paper = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert paper == "rgb(255, 255, 255)"
    assert page.pdf(format="A4", prefer_css_page_size=True).startswith(b"%PDF")
    page.close()
