"""The model card: what a risk owner reads before a version goes live."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import orjson
from markupsafe import Markup
from matplotlib.figure import Figure
from pydantic import TypeAdapter, ValidationError

from training.card import figures, pictures
from training.card.blocks import Picture
from training.card.bom import bom
from training.card.derived import derive
from training.card.facts import CardFacts
from training.card.rendering import markdown, page, plain_phrase
from training.card.shown import Shown
from training.card.source import Source
from training.card.svg import inline_svg
from training.card.view import View, view
from training.evaluate.report import SCHEMA as REPORT_SCHEMA
from training.evaluate.report import plain

ReportJson = Mapping[str, Any]

SCHEMA = "escalon.card/1"
PAGE, MARKDOWN, DATA, BOM = "card.html", "card.md", "card.json", "card.cdx.json"
_TOP = 15
_OPTIONS = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


class CardError(ValueError):
    """A report and facts of two models, or a file that holds no card."""


def write_card(report: ReportJson, facts: CardFacts, directory: Path) -> Path:
    """Write card.html, card.md, card.json and card.cdx.json; return card.html.

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
    source = source_of(report, facts)
    shown = view(source)
    texts = {
        PAGE: page(shown, _pictures(source, shown)).encode(),
        MARKDOWN: markdown(shown, source).encode(),
        DATA: orjson.dumps(
            {"schema": SCHEMA, **source.data, "card": _plain(shown)}, option=_OPTIONS
        ),
        BOM: orjson.dumps(bom(shown, source), option=_OPTIONS),
    }
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in texts.items():
        (directory / name).write_bytes(content)
    return directory / PAGE


def source_of(report: ReportJson, facts: CardFacts) -> Source:
    """Return the data of a card: everything that its numbers are looked up in."""
    data = {
        "facts": plain(facts),
        "report": dict(report),
        "derived": derive(report, facts),
    }
    # As it is read back: dates are text, and nothing is shared.
    return Source(data=orjson.loads(orjson.dumps(data)))


def read_card(path: Path) -> tuple[dict[str, Any], CardFacts]:
    """Return the report and the facts that a card.json was made from.

    Raises
    ------
    CardError
        If there is no such file, or it is of another schema.
    """
    try:
        held = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        msg = f"expected a card.json at {path}, but it cannot be read ({error})"
        raise CardError(msg) from error
    found = held.get("schema") if isinstance(held, dict) else None
    if found != SCHEMA:
        msg = (
            f"expected a card of schema {SCHEMA!r} at {path}, found {found!r}; it was "
            "written by another release: train the version anew"
        )
        raise CardError(msg)
    try:
        facts = TypeAdapter(CardFacts).validate_python(held["facts"])
    except ValidationError as error:
        msg = f"the facts in {path} are not those of a card: {error}"
        raise CardError(msg) from error
    return held["report"], facts


def _same_model(report: ReportJson, facts: CardFacts) -> None:
    if report.get("schema") != REPORT_SCHEMA:
        msg = (
            f"expected a report of schema {REPORT_SCHEMA!r}, found "
            f"{report.get('schema')!r}; evaluate the model again"
        )
        raise CardError(msg)
    if report["threshold"] != facts.certificate.threshold:
        msg = (
            f"expected a report at the certificate's threshold "
            f"{facts.certificate.threshold}, found one at {report['threshold']}; "
            "evaluate the model at its own threshold"
        )
        raise CardError(msg)


def _pictures(source: Source, shown: View) -> dict[str, Markup]:
    """Return the pictures of a view as inline SVG, by name."""
    report, facts = source.report.value, source.facts.value
    promises = [facts["certificate"], *facts["frontier"]]
    shares = [
        (s["name"], 100 * s["share"], s["direction"]) for s in facts["signals"][:_TOP]
    ]
    drawn: dict[str, Callable[[], Figure]] = {
        "stages": lambda: pictures.stages(report),
        "forest": lambda: pictures.forest(report),
        "desks": lambda: pictures.desks(source.derived["work"].value, promises),
        "frontier": lambda: figures.frontier(report, promises),
        "signals": lambda: figures.bars(shares, x="% of all contributions"),
        "reliability": lambda: figures.reliability(report),
        "cost": lambda: figures.cost(report),
        "workload": lambda: figures.workload(report),
        "precision_recall": lambda: figures.precision_recall(report),
        "roc_pr": lambda: figures.roc_pr(report),
        "lead": lambda: figures.lead(report),
    }
    return {
        # Made here from numbers; the only text in it is escaped by matplotlib.
        p.name: Markup(inline_svg(drawn[p.name](), name=p.name, says=p.caption))  # noqa: S704
        for p in shown.pictures
    }


def _plain(value: Any) -> Any:
    """Return a view as JSON data; a phrase is text, and where it was looked up."""
    if isinstance(value, Picture):
        drawn = {"kind": value.kind, "name": value.name, "caption": value.caption}
        return {**drawn, "numbers": [piece.at for piece in value.numbers]}
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, (tuple, list)):
        if value and all(isinstance(part, (str, Shown)) for part in value):
            return plain_phrase(tuple(value))
        return [_plain(item) for item in value]
    return value
