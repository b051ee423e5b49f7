"""Figures as inline SVG that takes its colours and font from the page."""

from __future__ import annotations

import io
import re

import matplotlib as mpl
from matplotlib.figure import Figure

from training.card import drawing

_VARIABLES = {
    drawing.INK: "ink",
    drawing.MUTED: "muted",
    drawing.GRID: "grid",
    drawing.BLUE: "blue",
    drawing.ORANGE: "orange",
    drawing.GREEN: "green",
    drawing.PAPER: "paper",
}


def inline_svg(figure: Figure, *, name: str, says: str) -> str:
    """Return a figure as one ``<svg>`` element for the body of a page.

    The same figure gives the same bytes. Colours are CSS variables with the printed
    colour as fallback, text stays text, and ids carry `name`, so that several pictures
    fit into one page.

    Parameters
    ----------
    figure : Figure
        Drawn with the colours of `training.card.drawing`.
    name : str
        Prefix of its ids, unique in the page.
    says : str
        What the picture shows, for readers who cannot see it.
    """
    # matplotlib reads these two from global settings only; both are put back.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = text.replace("url(#", f"url(#{name}-")
    text = re.sub(r' (?:d|x|y)="[^"]*"', _shorter, text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var(--{variable}, {colour})")
    text = re.sub(r' (?:width|height)="[^"]*pt"', "", text, count=2)
    label = says.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1).strip()


def _shorter(attribute: re.Match[str]) -> str:
    """Keep hundredths of a point: less is not seen, more is only bytes."""
    return re.sub(r"(\.\d\d)\d+", r"\1", attribute.group())
