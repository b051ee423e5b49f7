"""The verdict: may the version go live, in one sentence, with three figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from training.card.blocks import Tile
from training.card.shown import Node, Phrase, Shown, joined, say
from training.card.source import Source
from training.card.values import count, estimate, margin, number, value, whole, word


class State(StrEnum):
    """What a risk owner may do with the version."""

    YES = "yes"
    NOT_YET = "not-yet"
    OFF = "off"
    NO = "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether the version may go live, and why.

    Attributes
    ----------
    headline : Phrase
        The answer, one sentence.
    against : tuple of Phrase
        What speaks against it, or is open; empty where it may go live.
    tiles : tuple of Tile
        The three figures that matter, with their intervals.
    identity : tuple of pairs
        Which version it is, and whose.
    """

    state: State
    headline: Phrase
    against: tuple[Phrase, ...]
    tiles: tuple[Tile, ...]
    identity: tuple[tuple[str, Phrase], ...]


def verdict(source: Source) -> Verdict:
    """Return the verdict on the version of a card."""
    against = tuple(_against(source))
    undone = tuple(_undone(source))
    state = _state(source, against, undone)
    return Verdict(
        state=state,
        headline=_headline(source, state),
        against=(*against, *undone),
        tiles=_tiles(source),
        identity=tuple(_identity(source.facts)),
    )


def _state(
    source: Source, against: tuple[Phrase, ...], undone: tuple[Phrase, ...]
) -> State:
    if against:
        return State.NO
    if not source.has_threshold:
        return State.OFF
    return State.NOT_YET if undone else State.YES


def _headline(source: Source, state: State) -> Phrase:
    promise = source.facts["certificate"]
    match state:
        case State.NO:
            return ("No, it must not go live.",)
        case State.OFF:
            return ("Only with its own trigger off: no threshold could be certified.",)
        case _:
            answer = "Not yet: " if state is State.NOT_YET else "Yes: "
            return say(
                answer
                + "escalating at a risk of {t} or more misses at most {alpha} of the "
                "tasks that need a human, with confidence {sure}, and costs escalating "
                "{rate} of all tasks"
                + ("; what is open stands below." if state is State.NOT_YET else "."),
                t=number(promise["threshold"]),
                alpha=whole(promise["alpha"]),
                sure=whole(source.derived["confidence"]),
                rate=whole(promise["escalation_rate"]),
            )


def _against(source: Source) -> list[Phrase]:
    """Return what forbids a release."""
    found: list[Phrase] = []
    missed, alpha = source.report["miss_rate"], source.facts["certificate"]["alpha"]
    low = missed.get("low").value
    if source.has_threshold and low is not None and low > alpha.value:
        found.append(
            say(
                "More was missed on the tasks of this card than was promised, beyond "
                "chance: {m}. Find out why before anything else.",
                m=estimate(missed),
            )
        )
    gates = source.derived["gates"]
    if gates and gates["blocking"].value:
        found.append(
            say("Red gates that stop a release: {n}.", n=count(gates["blocking"]))
        )
    found += [
        say(
            "An alarm of {day} withdraws the {what}: {why}",
            day=word(alarm["raised"]),
            what=word(alarm["withdraws"]),
            why=word(alarm["evidence"]),
        )
        for alarm in source.facts["drift"].get("alarms") or ()
        if alarm["withdraws"].value
    ]
    return found


def _undone(source: Source) -> list[Phrase]:
    """Return what is still to be done before a release."""
    facts = source.facts
    found: list[Phrase] = []
    if not source.has_threshold:
        found.append(
            (
                "The learned trigger stays off and hard rules decide alone. ",
                *word(facts["certificate"]["reason"]),
            )
        )
    if not facts["gates"]:
        found.append(("The release gates were not run on it.",))
    if _overloaded(source):
        load = source.derived["work"]["bounds"][0]["of_capacity"]
        found.append(
            say(
                "It asks for more than the desks can take: {load} of it, every minute "
                "filled.",
                load=whole(load),
            )
        )
    for key, words in (
        ("owner", "Nobody owns it; a version without an owner must not go live."),
        ("approved_by", "Nobody has approved it."),
        ("expires", "No day is set on which it must be looked at again."),
    ):
        if not facts[key].value:
            found.append((words,))
    return found


def _overloaded(source: Source) -> bool:
    """Whether the people who are known to be there cannot do what it asks for."""
    load = source.derived["work"]["bounds"][0]["of_capacity"].value
    is_example = source.facts["staffing"]["is_example"].value
    return not is_example and load is not None and load > 1


def _identity(facts: Node) -> Iterator[tuple[str, Phrase]]:
    nobody: Phrase = ("nobody yet",)
    yield "Made on", word(facts["made"])
    aliases = joined([word(alias) for alias in facts["aliases"]])
    yield "Alias", aliases or ("none",)
    yield "Owner", word(facts["owner"]) if facts["owner"].value else nobody
    yield "Look again by", word(facts["expires"]) if facts["expires"] else ("no date",)
    digest = facts["digest"]
    yield "Bundle", (Shown(digest.value[:12], digest.at, digest.value),)


def _tiles(source: Source) -> tuple[Tile, ...]:
    report = source.report
    if source.has_threshold:
        alpha = whole(source.facts["certificate"]["alpha"])
        notes = (say("promised: at most {a}", a=alpha), *((n,) for n in _NOTES))
        return tuple(
            _tile(label, report[key], note, as_percent=True)
            for (label, key), note in zip(_DECIDED, notes, strict=True)
        )
    end = report["end_of_task"]
    best, chance, share = (
        ("one ranks perfectly",),
        ("zero is what chance explains",),
        ("of all tasks",),
    )
    return (
        _tile("AUROC, end of task", end["auroc"], best),
        _tile("calibration error, end", end["ece_debiased"], chance),
        _tile("needed a human", report["base_rate_interval"], share, as_percent=True),
    )


_DECIDED = (
    ("missed, of those in need", "miss_rate"),
    ("escalated, of all tasks", "escalation_rate"),
    ("needed it, of those escalated", "precision"),
)
_NOTES = ("what the promise costs", "the rest was escalated for nothing")


def _tile(label: str, found: Node, note: Phrase, *, as_percent: bool = False) -> Tile:
    return Tile(
        label=label,
        text=value(found, as_percent=as_percent),
        margin=margin(found, as_percent=as_percent),
        note=note,
    )
