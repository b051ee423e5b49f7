"""Templates: Jinja2 with escaping always on, and the filters the pages use."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from serving.console.marks import Folded, coded, marked
from serving.console.views import due, percent, waited
from serving.console.words import say

_HERE = Path(__file__).parent
_ONE_LINE = 160


def environment() -> Environment:
    """Return the environment of the console's templates."""
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["say"] = say
    made.filters |= {
        "marked": marked,
        "coded": coded,
        "folded": Folded.of,
        "utc": utc,
        "percent": percent,
        "one_line": one_line,
    }
    return made


class Templates:
    """Renders pages as seen at one moment."""

    def __init__(self) -> None:
        self._environment = environment()

    def render(self, name: str, *, now: datetime, **values: Any) -> str:
        """Return the page `name`, its deadlines and waits as seen at `now`."""
        return self._environment.get_template(name).render(
            due=lambda item: due(item, now),
            waited=lambda item: waited(item, now),
            **values,
        )


def utc(at: str) -> str:
    """Return the moment `at` (RFC 3339) for people, in UTC and saying so.

    Examples
    --------
    >>> utc("2026-11-24T07:05:09.25+01:00")
    '24 Nov 06:05 UTC'
    """
    moment = datetime.fromisoformat(at).astimezone(UTC)
    return f"{moment.day} {moment:%b %H:%M} UTC"


def one_line(text: str) -> str:
    """Return the head of `text` on one line, with a mark where it was cut."""
    line = " ".join(text[: 4 * _ONE_LINE].split())
    return line if len(line) <= _ONE_LINE else line[: _ONE_LINE - 1] + "…"
