"""Write the pages of the reference that code already says: signals and verbs.

Run ``python docs/make_reference.py`` after a change of the signal catalogue or of the
command line; ``tests/unit/test_docs.py`` fails while a page is stale.
"""  # noqa: INP001 - a script beside the pages, not a package

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer.main

from escalon.cli import app
from features.aggregates import Aggregate, Gap, Ratio, TailMean, leaves
from features.signals import SIGNALS, Group, Signal
from features.sources import SOURCES

HERE = Path(__file__).parent / "reference"
_MADE = "<!-- Made by docs/make_reference.py; change the code, then run it again. -->"


# --- signals -----------------------------------------------------------------

_WORDS = {
    "Last": "latest `{}`",
    "First": "first `{}`",
    "Count": "how many `{}`",
    "Sum": "sum of `{}`",
    "Mean": "mean of `{}`",
    "Min": "least `{}`",
    "Max": "greatest `{}`",
    "Slope": "slope of `{}`",
    "Streak": "`{}` in a row",
    "SinceLast": "events since `{}`",
    "Distinct": "different `{}`",
    "Repeats": "repeats of one `{}`",
}
_DIRECTION = {1: "up", -1: "down", 0: ""}


def computed(aggregate: Aggregate) -> str:
    """Return in words how a signal is computed."""
    match aggregate:
        case Gap(a, b):
            return f"{computed(a)} minus {computed(b)}"
        case Ratio(a, b):
            return f"{computed(a)} over {computed(b)}"
        case TailMean(source, k):
            return f"mean of the {k} greatest `{source}`"
        case _:
            return _WORDS[type(aggregate).__name__].format(aggregate.source)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    names = list(head)
    yield f"| {' | '.join(names)} |"
    yield f"|{' --- |' * len(names)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def _signal_row(signal: Signal) -> tuple[str, ...]:
    return (
        f"`{signal.name}`",
        signal.unit,
        signal.doc,
        computed(signal.aggregate),
        _DIRECTION[signal.direction],
        "the agent" if signal.trust == "self_reported" else "",
    )


def _signal_lines() -> Iterator[str]:
    yield f"# Signals\n\n{_MADE}\n"
    yield (
        f"The {len(SIGNALS)} numbers that the model sees after each event, by group. A "
        "signal is unknown (NaN) until something has been seen to compute it from; "
        "counts and sums start at 0.\n"
    )
    yield (
        "*Risk* says which way the model may read a signal: *up* means that more of it "
        "never lowers the risk, *down* that more never raises it; where nothing "
        "stands, the data decide. *Word of* says whose word it is: the agent's own, "
        "which may be wrong, or (where nothing stands) observed.\n"
    )
    head = ("signal", "unit", "what it says", "computed as", "risk", "word of")
    for group in Group:
        yield f"## {str(group).capitalize()}\n"
        yield from _table(head, (_signal_row(s) for s in SIGNALS if s.group is group))
    yield "## Sources\n"
    yield (
        "What is read off a single event, once, when it arrives. Signals are summaries "
        "of these over the events so far; why, is in "
        "[Why signals are folds](../explanation/why-signals-are-folds.md).\n"
    )
    used = {leaf.source for s in SIGNALS for leaf in leaves(s.aggregate)}
    rows = ((f"`{n}`", says, "" if n in used else "no") for n, says in SOURCES.items())
    yield from _table(("source", "value", "feeds a signal"), rows)


# --- the command line --------------------------------------------------------


def commands(command: Any = None, path: str = "escalon") -> Iterator[tuple[str, Any]]:
    """Yield every verb with its full name, in the order of the help."""
    command = command or typer.main.get_command(app)
    for name, inner in getattr(command, "commands", {}).items():
        full = f"{path} {name}"
        if getattr(inner, "commands", None):
            yield from commands(inner, full)
        else:
            yield full, inner


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if parameter.default is None or parameter.default is False:
        return ""
    return f"`{parameter.default}`"


def _parameter_row(parameter: Any) -> tuple[str, ...]:
    is_option = parameter.param_type_name == "option"
    name = parameter.opts[0] if is_option else parameter.name.upper()
    return f"`{name}`", _default(parameter), parameter.help or ""


def _usage(name: str, command: Any) -> str:
    parts = []
    for p in command.params:
        if p.param_type_name == "argument":
            word = p.name.upper() + ("..." if p.nargs == -1 else "")
            parts.append(word if p.required else f"[{word}]")
    return " ".join([name, *parts, "[OPTIONS]" if command.params else ""]).strip()


def _verb_lines(name: str, command: Any) -> Iterator[str]:
    says, _, example = (command.help or "").partition("Example: ")
    yield f"## {name}\n"
    yield "\n\n".join(" ".join(part.split()) for part in says.strip().split("\n\n"))
    yield f"\n    {_usage(name, command)}\n"
    if command.params:
        rows = (_parameter_row(p) for p in command.params)
        yield from _table(("parameter", "default", "meaning"), rows)
    if example:
        yield f"For example: `{example.strip()}`\n"


def _cli_lines() -> Iterator[str]:
    yield f"# The command line\n\n{_MADE}\n"
    yield (
        "`escalon VERB --help` says the same. Every verb that prints a table takes "
        "`--json` where that is listed. Exit code 2 is a mistake of the caller's, with "
        "one line that says what to do; 1 means that a check found something.\n"
    )
    for name, command in commands():
        yield from _verb_lines(name, command)


# --- the pages ---------------------------------------------------------------


def _page(lines: Callable[[], Iterator[str]]) -> str:
    return "\n".join(lines()).rstrip() + "\n"


def pages() -> Mapping[Path, str]:
    """Return every page that is made here, with what it should hold."""
    return {
        HERE / "signals.md": _page(_signal_lines),
        HERE / "cli.md": _page(_cli_lines),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
