"""From a view to text: a page, Markdown, and plain JSON data."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from training.card.hub import front_matter
from training.card.shown import Phrase, Shown, flat
from training.card.source import Source
from training.card.view import View

Show = Callable[[Shown], str]
Pictures = Mapping[str, Markup]


def page(shown: View, pictures: Pictures) -> str:
    """Return the card as one HTML page.

    Each number is a ``<data>`` element: its value in full, and as its title where in
    card.json it stands.

    Parameters
    ----------
    pictures : mapping of str to Markup
        Inline SVG by name, for every picture of the view.
    """
    return _render("card.html.j2", shown, say=_marked_up, pictures=pictures)


def markdown(shown: View, source: Source, show: Show | None = None) -> str:
    """Return the card in Markdown, under the headings of Mitchell et al.

    Parameters
    ----------
    show : callable, optional
        What becomes of a piece that was read off the data; default: its text.
    """
    put = show or _text_of

    def say(phrase: str | Phrase) -> str:
        parts = (phrase,) if isinstance(phrase, str) else phrase
        return "".join(_safe(p) if isinstance(p, str) else put(p) for p in parts)

    head = yaml.safe_dump(
        front_matter(source, put), sort_keys=False, allow_unicode=True, width=10_000
    )
    return f"---\n{head}---\n\n{_render('card.md.j2', shown, say=say)}"


def _marked_up(phrase: str | Phrase) -> Markup:
    """Return a phrase as HTML in which each number says where it is from."""
    parts = (phrase,) if isinstance(phrase, str) else phrase
    return Markup("").join(
        _coded(p) if isinstance(p, str) else _looked_up(p) for p in parts
    )


def _coded(words: str) -> Markup:
    """Return fixed words as HTML; what stands in backticks is code."""
    pieces = words.split("`")
    if len(pieces) % 2 == 0:  # a lone backtick is one
        return escape(words)
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if i % 2 else escape(piece)
        for i, piece in enumerate(pieces)
    )


def _looked_up(piece: Shown) -> Markup:
    kind = "w" if isinstance(piece.value, str) else "n"
    known = "" if piece.value is None else piece.value
    return Markup('<data class="{}" value="{}" title="{}">{}</data>').format(
        kind, known, piece.at, piece.text
    )


def _text_of(shown: Shown) -> str:
    return _safe(shown.text)


def _safe(text: str) -> str:
    """Return text that is no Markdown table syntax and no HTML."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def plain_phrase(phrase: str | Phrase) -> Any:
    """Return a phrase as JSON data: text, and where its numbers are from."""
    if isinstance(phrase, str):
        return phrase
    found = [p for p in phrase if isinstance(p, Shown)]
    if not found:
        return flat(phrase)
    return {"text": flat(phrase), "from": {p.text: p.at for p in found}}


def _render(template: str, shown: View, **context: Any) -> str:
    environment = Environment(
        loader=PackageLoader("training.card"),
        autoescape=template.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template(template).render(card=shown, **context)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
