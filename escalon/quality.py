"""The data-quality page of an ingest, for people (HTML) and for programs (JSON)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined

from features.ingest import Account
from features.quality import Refused, survey

SCHEMA = "escalon.quality/1"
_SOURCES_SHOWN = 200


def quality_of(
    table: Path, accounts: Sequence[Account], refused: Refused
) -> dict[str, Any]:
    """Return what is known of the quality of an ingest, as JSON.

    Parameters
    ----------
    table : Path
        The events table that was written.
    accounts : Sequence of Account
        One per source that was read.
    refused : Refused
        What did not land.
    """
    found = survey(table)
    read = sum(account.events for account in accounts)
    return {
        "schema": SCHEMA,
        "table": str(table),
        **found,
        "repeated": read - found["events"],
        "sources": [asdict(account) for account in accounts],
        "formats": _formats(accounts),
        "refused": {"total": refused.total, "reasons": refused.reasons()},
    }


def _formats(accounts: Sequence[Account]) -> list[dict[str, Any]]:
    told: dict[str, dict[str, Any]] = {}
    for account in accounts:
        one = told.setdefault(
            account.format,
            {
                "format": account.format,
                "sources": 0,
                "events": 0,
                "tasks": 0,
                "refused": 0,
            },
        )
        one["sources"] += 1
        for name in ("events", "tasks", "refused"):
            one[name] += getattr(account, name)
    return list(told.values())


def write_quality(found: Mapping[str, Any], page: Path) -> None:
    """Write the page to `page`, and the same as JSON beside it.

    The page is one file: it neither runs a script nor asks any server for anything.
    """
    page.parent.mkdir(parents=True, exist_ok=True)
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    page.with_suffix(".json").write_bytes(orjson.dumps(found, option=options))
    environment = Environment(
        loader=PackageLoader("escalon"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["share"] = _percent
    words = environment.get_template("quality.html.j2").render(
        found=found,
        notes=list(_notes(found)),
        groups=sorted(found["missing"]["by_group"].items(), key=_by_value),
        sources=sorted(found["missing"]["by_source"].items(), key=_by_value),
        shown=_SOURCES_SHOWN,
    )
    page.write_text(words, encoding="utf-8")


def _by_value(item: tuple[str, float]) -> tuple[float, str]:
    return -item[1], item[0]


def _percent(share: float) -> str:
    """Return a share as a person reads it; never 0 or 100 unless it is.

    Examples
    --------
    >>> _percent(0), _percent(0.0004), _percent(0.5), _percent(0.9996), _percent(1)
    ('0 %', '< 0.1 %', '50.0 %', '> 99.9 %', '100 %')
    """
    if share in (0, 1):
        return f"{share * 100:.0f} %"
    if share < 0.001:  # noqa: PLR2004 - what the last digit shown can tell
        return "< 0.1 %"
    return "> 99.9 %" if share > 0.999 else f"{share * 100:.1f} %"  # noqa: PLR2004


def _notes(found: Mapping[str, Any]) -> list[str]:
    """Return what deserves a look, in sentences, the gravest first."""
    clock, calls = found["clock"], found["calls"]
    unseen = [one["kind"] for one in found["kinds"] if not one["known"]]
    candidates = [
        ("Refused", found["refused"]["total"], "Mend them, then ingest again."),
        (
            "Tasks without a message of a user",
            found["tasks_without_user_message"],
            "What was asked for is unknown.",
        ),
        (
            "Tool calls without a result",
            calls["without_result"],
            "Whether they failed is unknown.",
        ),
        (
            "Tool results without a call",
            calls["without_call"],
            "What they answer is unknown.",
        ),
        (
            "Tasks whose time goes back",
            clock["tasks_backwards"],
            "Signals of duration may be wrong there.",
        ),
        ("Events in the future", clock["future"], "Check the clock of the sender."),
        (
            "Events without a time of their own",
            clock["synthetic"],
            "Signals of time leave them out.",
        ),
        ("Events repeated", found["repeated"], "They were left out."),
        (
            "Kinds of events that are not ours",
            len(unseen),
            f"They are kept and feed no signal: {', '.join(unseen[:10])}.",
        ),
    ]
    return [f"{what}: {n:,}. {so}" for what, n, so in candidates if n]
