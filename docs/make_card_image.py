"""Draw the picture of a model card that the documentation shows.

Run ``python docs/make_card_image.py`` after a change of the card: trains on simulated
tasks, writes their card, and takes a picture of its head with a local chromium. Takes
about two minutes.
"""  # noqa: INP001 - a script beside the pages, not a package

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

from escalon.cards import under
from escalon.learning import order_for
from features.batch import events_table
from serving.policy.rules import Policy
from training.card import read_card, write_card
from training.simulate import World
from training.train import card, train

TARGET = Path(__file__).parent / "images" / "card.png"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
N_TASKS, SEED = 2500, 3


def simulated_card(folder: Path) -> Path:
    """Return the page of a card of a model of simulated tasks."""
    policy = Policy.default()
    trained = train(events_table(World(seed=SEED).log(N_TASKS)), order_for(policy))
    page = card(trained, name="escalon", version="3", directory=folder)
    report, facts = read_card(page.with_suffix(".json"))
    # As many tasks a day as these desks could see; the simulated days are crowded.
    return write_card(report, under(policy, facts, tasks_a_day=700), folder)


def take_picture(page: Path, target: Path) -> None:
    """Write a picture of the verdict and the first figures of a page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        tab = browser.new_page(viewport={"width": 1000, "height": 1180})
        tab.goto(page.resolve().as_uri())
        tab.screenshot(path=target)
        browser.close()


if __name__ == "__main__":
    with TemporaryDirectory() as scratch:
        take_picture(simulated_card(Path(scratch)), TARGET)
