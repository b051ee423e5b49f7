"""Write the pages of the reference that code and figures already say.

Run ``python docs/make_reference.py`` after a change of the signal catalogue, of the
command line or of the ablation's figures; ``tests/unit/test_docs.py`` fails while a
page is stale.
"""  # noqa: INP001 - a script beside the pages, not a package

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import typer.main

from escalon.cli import app
from features.aggregates import Aggregate, Gap, Ratio, Recent, TailMean, leaves
from features.signals import SIGNALS, Group, Signal
from features.sources import SOURCES

HERE = Path(__file__).parent / "reference"
ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "ablation.json"
POLICY = ROOT / "serving" / "policy" / "default.yaml"
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
_DIRECTION = {1: "up", -1: "down", 0: "either"}


def computed(aggregate: Aggregate) -> str:
    """Return in words how a signal is computed."""
    match aggregate:
        case Gap(a, b):
            return f"{computed(a)} minus {computed(b)}"
        case Ratio(a, b):
            return f"{computed(a)} over {computed(b)}"
        case TailMean(source, k):
            return f"mean of the {k} greatest `{source}`"
        case Recent(source, k):
            return f"mean of the latest {k} `{source}`"
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
        "the agent" if signal.trust == "self_reported" else "observed",
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
        "never lowers the risk, *down* that more never raises it, *either* that the "
        "data decide. *Trust* says whose word it is: the agent's own, which may be "
        "wrong, or observed. *Computed as* names the sources, which are below. What "
        "each is worth is in [What signals are worth](ablation.md).\n"
    )
    head = ("signal", "unit", "what it says", "computed as", "risk", "trust")
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


# --- what signals are worth ---------------------------------------------------

_CHANGES = {"left out": "left out of all", "added in": "added to the steps"}
_SCORES = ("log_loss_end", "auroc_end", "log_loss_every_step", "auroc_every_step")
_NEEDED = {
    "step": "all others are judged beside it",
    "user_numbers": "one of the plain counts that models are compared with",
    "plan": "one agent of these data writes plans",
    "plan_hedges": "one agent of these data writes plans",
    "latency": "only the simulated tools take time",
}
_Measures = Mapping[tuple[str, str, str], Mapping[str, Any]]


def _ablation() -> dict[str, dict[tuple[str, str, str], Mapping[str, Any]]]:
    """Return the figures of the ablation: by data set, then family, change, score."""
    found: dict[str, dict[tuple[str, str, str], Mapping[str, Any]]] = {}
    for measure in orjson.loads(RESULTS.read_bytes())["measures"]:
        data, family, change, score = measure["name"].split("|")
        found.setdefault(data, {})[family, change, score] = measure
    return found


def _is_gain(measure: Mapping[str, Any]) -> bool:
    """Return whether the whole interval is on the better side of zero."""
    if measure["better"] == "lower":
        return bool(measure["high"] < 0)
    return bool(measure["low"] > 0)


def _earned(figures: _Measures, family: str) -> bool:
    """Return whether the family betters a log-loss, left out or added in."""
    return any(
        _is_gain(figures[family, change, score])
        for change in _CHANGES
        for score in _SCORES
        if score.startswith("log_loss") and (family, change, score) in figures
    )


def _cell(measure: Mapping[str, Any]) -> str:
    value, low, high = (1000 * measure[n] for n in ("value", "low", "high"))
    text = f"{value:+.1f} ({low:+.1f} to {high:+.1f})"
    return f"**{text}**" if _is_gain(measure) else text


def _by_source() -> dict[str, list[Signal]]:
    """Return the signals that start from each source."""
    found: dict[str, list[Signal]] = {}
    for signal in SIGNALS:
        found.setdefault(next(leaves(signal.aggregate)).source, []).append(signal)
    return found


def _why(family: str, figures: Mapping[str, _Measures]) -> str:
    """Return for what a family is kept, or that it is not."""
    signals = _by_source().get(family)
    if not signals:
        return "removed: within noise"
    earned = [data for data, found in figures.items() if _earned(found, family)]
    heard = any(family in {f for f, _, _ in found} for found in figures.values())
    if earned:
        return "earns on " + ", ".join(earned)
    if any(s.name in set(re.findall(r"\w+", POLICY.read_text())) for s in signals):
        return "named by the policy"
    if family in _NEEDED:
        return f"within noise; {_NEEDED[family]}"
    if family.startswith("history_"):
        return "added later; benchmarks/quality.py measures them together"
    return "within noise" if heard else "these data do not have it"


def _ablation_lines() -> Iterator[str]:
    figures = _ablation()
    yield f"# What signals are worth\n\n{_MADE}\n"
    yield (
        "Measured by `benchmarks/ablation.py`, out of fold: on real runs of tool-using "
        "agents (tau by customer, intercode by task) and in the simulated world. A "
        "family is the signals that start from one source. *Left out of all* compares "
        "all signals with all but the family, *added to the steps* the number of steps "
        "and the family with the number of steps alone. Figures are thousandths that "
        "the family adds to a score, with 95 % intervals by bootstrap over whole "
        "customers or tasks; log-loss is better lower, AUROC higher. Bold: the whole "
        "interval is on the better side. With so many intervals some stand there by "
        "luck, one in forty where nothing is gained. Signals of one family speak for "
        "those of another, so little is lost by leaving out any one of them. What was "
        "removed for want of any gain was still there when this was measured.\n"
    )
    families = list(dict.fromkeys(f for d in figures.values() for f, _, _ in d))
    unheard = [f for f in _by_source() if f not in families]
    kept = [f for f in (*families, *unheard) if not f.startswith("group: ")]
    by_source = _by_source()
    yield "## Why each is there\n"
    yield from _table(
        ("family", "signals", "verdict"),
        (
            (f"`{f}`", ", ".join(f"`{s.name}`" for s in by_source.get(f, ())), w)
            for f, w in ((f, _why(f, figures)) for f in kept)
        ),
    )
    for data, found in figures.items():
        for change, says in _CHANGES.items():
            yield f"## {data}: {says}\n"
            yield from _table(
                ("family", *(score.replace("_", " ") for score in _SCORES)),
                (
                    (f, *(_cell(found[f, change, score]) for score in _SCORES))
                    for f in dict.fromkeys(f for f, _, _ in found)
                ),
            )


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
    lines = {"signals.md": _signal_lines, "cli.md": _cli_lines}
    if RESULTS.exists():
        lines["ablation.md"] = _ablation_lines
    return {HERE / name: _page(made) for name, made in lines.items()}


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
