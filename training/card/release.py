"""Sections on the release: gates, and what changed from another version."""

from __future__ import annotations

from training.card.blocks import (
    Block,
    Cell,
    Chapter,
    Gap,
    Pairs,
    Section,
    Table,
)
from training.card.shown import Node, Phrase, joined, say
from training.card.source import Source, cell
from training.card.values import count, estimate, moved_points, number, signed, word

# --- gates -------------------------------------------------------------------


def gates(source: Source) -> Section:
    """Return what the release gates found."""
    found, sums = source.facts["gates"], source.derived["gates"]
    if not found:
        blocks: list[Block] = [
            Gap(what="Release gates", how="`escalon promote VERSION`")
        ]
        answer: Phrase = ("Not run on this version yet.",)
    else:
        blocks = [_gates(found["gates"]), *_override(found)]
        answer = say(
            "{k} of {n} passed; red ones that block: {b}.",
            k=count(sums["passed"]),
            n=count(sums["n"]),
            b=count(sums["blocking"]),
        )
    return Section(
        key="gates",
        title="Did it pass the release gates?",
        chapter=Chapter.ANALYSES,
        answer=answer,
        blocks=blocks,
    )


def _gates(found: Node) -> Table:
    rows = []
    for gate in found:
        passed = bool(gate["passed"].value)
        stops = "stops a release" if gate["severity"].value == "block" else "warns"
        state = Cell(text=("passed" if passed else "failed",), flagged=not passed)
        name = Cell(text=word(gate["code"]), margin=word(gate["title"]))
        rows.append((name, state, Cell(text=word(gate["says"])), Cell(text=(stops,))))
    head = ("gate", "result", "what it found", "if red")
    return Table(caption="Release gates", head=head, rows=tuple(rows), worded=True)


def _override(found: Node) -> list[Block]:
    override = found["override"]
    if not override:
        return []
    pairs = (("By", word(override["by"])), ("Why", word(override["reason"])))
    return [Pairs(caption="Promoted against the gates", pairs=pairs)]


# --- change ------------------------------------------------------------------


def change(source: Source) -> Section:
    """Return what is different from another version."""
    found, same = source.facts["change"], source.facts["comparison"]
    blocks: list[Block] = []
    answer: Phrase = ("Not compared with another version.",)
    if found:
        answer = _compared(found)
        blocks += [_deltas(found, source), _moved(found, source)]
    else:
        blocks.append(
            Gap(what="Measures and signals against a version", how=_NO_CHANGE)
        )
    if same:
        answer = _on_the_same(same)
        blocks += [_differences(same), _swapped(same)]
    else:
        blocks.append(Gap(what="Both versions on the same tasks", how=_NO_COMPARISON))
    return Section(
        key="change",
        title="What changed from the last version?",
        chapter=Chapter.DETAILS,
        answer=answer,
        blocks=blocks,
    )


_NO_CHANGE = "`escalon card VERSION --against OTHER`"


_NO_COMPARISON = (
    "`escalon compare --out comparison.json`, then "
    "`escalon card VERSION --comparison comparison.json`"
)


def _on_the_same(same: Node) -> Phrase:
    return say(
        "In the place of {champion} it escalates {added} tasks more and {removed} less "
        "of the same {n}; the miss rate moves by {miss} points.",
        champion=word(same["champion"]),
        added=count(same["added"]["n"]),
        removed=count(same["removed"]["n"]),
        n=count(same["n_tasks"]),
        miss=moved_points(same["difference"]["miss_rate"]),
    )


def _differences(same: Node) -> Table:
    rows = [
        (
            Cell(text=name),
            *(
                cell(same["ways"][way].get(key), as_percent=key in _SHARES)
                for way in ("champion", "challenger")
            ),
            _moved_by(found, key),
        )
        for key, (name, found) in zip(
            same["difference"].value, same["difference"].items(), strict=True
        )
    ]
    caption = "Both versions on the same tasks, labelled or not; differences are paired"
    head = ("measure", "the other", "this version", "difference")
    return Table(caption=caption, head=head, rows=tuple(rows))


_SHARES = {"escalation_rate", "miss_rate", "miss_rate_ipw", "precision"}


def _moved_by(found: Node, key: str) -> Cell:
    scale = 100.0 if key in _SHARES else 1.0
    digits = 1 if key in _SHARES else 2
    low, high = (signed(found.get(end), digits, scale) for end in ("low", "high"))
    known = bool(found.get("low")) and bool(found.get("high"))
    around = say("{low} to {high}", low=low, high=high) if known else ()
    return Cell(text=signed(found.get("value"), digits, scale), margin=around)


def _swapped(same: Node) -> Pairs:
    return Pairs(
        caption="Escalations that come and go",
        pairs=tuple(
            (
                label,
                say(
                    "{n} tasks, {known} with a label; needed a human: {share}",
                    n=count(same[part]["n"]),
                    known=count(same[part]["n_labelled"]),
                    share=estimate(same[part]["share_needed"]),
                ),
            )
            for part, label in (("added", "Added"), ("removed", "Removed"))
        ),
    )


def _compared(found: Node) -> Phrase:
    role = found["role"].value
    versus = say(
        f"Compared with version {{v}}{f', the {role}' if role else ''}, ",
        v=word(found["version"]),
    )
    if found["same_tasks"]:
        n = count(found["same_tasks"])
        return (*versus, *say("on the same {n} tasks, pair by pair.", n=n))
    return (
        *versus,
        _EACH_ON_ITS_OWN,
    )


_EACH_ON_ITS_OWN = (
    "each on the tasks set aside for it: where those differ, so may the figures "
    "without any change of the model. For a fair comparison: `escalon compare`."
)


def _deltas(found: Node, source: Source) -> Table:
    plain = source.derived["changes"]
    rows = []
    for delta, moved in zip(found["deltas"], plain, strict=True):
        difference = (
            cell(delta["difference"])
            if delta["difference"]
            else Cell(text=signed(moved, 3, 1.0))
        )
        rows.append(
            (
                Cell(text=word(delta["name"])),
                cell(delta["before"]),
                cell(delta["now"]),
                difference,
            )
        )
    head = ("measure", "before", "now", "difference")
    return Table(caption="Measures before and now", head=head, rows=tuple(rows))


def _moved(found: Node, source: Source) -> Pairs:
    promise = source.facts["certificate"]
    pairs: list[tuple[str | Phrase, Phrase]] = [
        (
            "Threshold",
            say(
                "{before} before, {now} now",
                before=number(found["threshold_before"]),
                now=number(promise["threshold"]),
            ),
        ),
        ("Signals added", _named(found["signals_added"])),
        ("Signals removed", _named(found["signals_removed"])),
    ]
    return Pairs(caption="What moved", pairs=tuple(pairs))


def _named(names: Node) -> Phrase:
    return joined([word(n) for n in names]) if names.value else ("none",)
