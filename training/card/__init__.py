"""The model card: what a risk owner reads before a version goes live."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from training.card.facts import CardFacts
from training.card.figures import ReportJson, bars, figures
from training.card.svg import inline_svg
from training.card.view import view
from training.evaluate.report import SCHEMA, plain

_TOP = 15

_CAPTIONS = {
    "reliability": "Predicted risk against what happened, in up to ten bins of equal "
    "weight. On the dashed line a risk of 30 % means 30 of 100. Below: how many tasks "
    "have such a risk; at every step each task is spread over its steps.",
    "cost": "Expected cost per task if the threshold were moved.",
    "workload": "What a threshold asks of people (above) and what it lets through "
    "(below).",
    "frontier": "Misses bought off by escalations. Left and down is better; a rule on "
    "the dotted diagonal knows nothing.",
    "precision_recall": "Of those escalated, how many needed it; of those who needed "
    "it, how many are escalated. A task counts once, by its highest risk.",
    "roc_pr": "Ranking of steps and of finished tasks. Dotted: no knowledge.",
    "lead": "How early the alarm came in tasks that needed a human and were escalated.",
    "signals": "Share of the average absolute contribution to the score. Orange: more "
    "of it never lowers the risk. Blue: more of it never raises it. Grey: free.",
}


class CardError(ValueError):
    """A report and facts that do not speak of the same model."""


def write_card(report: ReportJson, facts: CardFacts, directory: Path) -> Path:
    """Write card.html, card.md and card.json into a directory; return card.html.

    The page is one file: pictures are inline SVG, and it neither runs a script nor
    asks any server for anything. The same report and facts give the same bytes.

    Parameters
    ----------
    report : mapping
        ``Report.to_json()``, or report.json read back.
    facts : CardFacts
        The rest of what the card says.
    directory : Path
        Made if it is not there.

    Raises
    ------
    CardError
        If the report is of another schema, or its threshold is not the certificate's.
    """
    _same_model(report, facts)
    shown = view(report, facts)
    directory.mkdir(parents=True, exist_ok=True)
    page = directory / "card.html"
    pictures = _pictures(report, facts)
    words = _render("card.html.j2", {**shown, "pictures": pictures})
    page.write_text(words, encoding="utf-8")
    (directory / "card.md").write_text(_render("card.md.j2", shown), encoding="utf-8")
    found = {name: value for name, value in report.items() if name != "curves"}
    data = {"facts": plain(facts), "card": plain(shown), "report": found}
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    (directory / "card.json").write_bytes(orjson.dumps(data, option=options))
    return page


def _same_model(report: ReportJson, facts: CardFacts) -> None:
    if report.get("schema") != SCHEMA:
        msg = (
            f"expected a report of schema {SCHEMA!r}, found {report.get('schema')!r}; "
            "evaluate the model again"
        )
        raise CardError(msg)
    if report["threshold"] != facts.certificate.threshold:
        msg = (
            f"expected a report at the certificate's threshold "
            f"{facts.certificate.threshold}, found one at {report['threshold']}; "
            "evaluate the model at its own threshold"
        )
        raise CardError(msg)


def _pictures(report: ReportJson, facts: CardFacts) -> dict[str, dict[str, str]]:
    drawn = figures(report)
    if facts.signals:
        top = facts.signals[:_TOP]
        rows = [(s.name, 100 * s.share, int(s.direction)) for s in top]
        drawn["signals"] = bars(rows, x="% of all contributions")
    return {
        name: {
            # Made here from numbers; the only text in it is escaped by matplotlib.
            "svg": Markup(inline_svg(figure, name=name, says=_CAPTIONS[name])),  # noqa: S704
            "caption": _CAPTIONS[name],
        }
        for name, figure in drawn.items()
    }


def _render(template: str, context: Mapping[str, Any]) -> str:
    environment = Environment(
        loader=PackageLoader("training.card"),
        autoescape=template.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template(template).render(context)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
