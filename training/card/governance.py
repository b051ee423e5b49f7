"""Sections on use, limits, law, and who has to sign."""

from __future__ import annotations

from training.card.blocks import (
    Chapter,
    Pairs,
    Points,
    Section,
    Table,
    Words,
    worded,
)
from training.card.groups import flags
from training.card.shown import Node, Phrase, joined, say
from training.card.source import Source
from training.card.values import whole, word

_SELF_REPORTED_IS_MUCH = 0.2


def use(source: Source) -> Section:
    """Return what it is for, and what not."""
    return Section(
        key="use",
        title="What is it for, and what not?",
        chapter=Chapter.USE,
        answer=word(source.facts["intended_use"]),
        blocks=(
            Words(text=("Not for:",)),
            Points(points=tuple(word(line) for line in source.facts["not_for"])),
        ),
    )


def limits(source: Source) -> Section:
    """Return the limits: those given, those the figures show, those of any model."""
    found = [
        *(word(line) for line in source.facts["limitations"]),
        *(word(line) for line in source.report["notes"]),
        *flags(source),
        *_spread(source),
        *_told(source),
        *_unpromised(source),
        _fixable(source),
        *((line,) for line in _ALWAYS),
    ]
    return Section(
        key="limits",
        title="Where must it not be trusted?",
        chapter=Chapter.CAVEATS,
        answer=(_KNOWN,),
        blocks=(Points(points=tuple(found)),),
    )


_KNOWN = "The limits that are known; what nobody measured is marked in its section."
_ALWAYS = (
    "Needed is what the label says. Where reviewers err, every rate here errs.",
    "Agent versions and domains outside the data start outside the evidence.",
)


def _spread(source: Source) -> list[Phrase]:
    slope = source.report["end_of_task"]["calibration_slope"].value or {}
    low, high = slope.get("low"), slope.get("high")
    if high is not None and high < 1:
        return [("Risks are too extreme: high ones are too high, low ones too low.",)]
    if low is not None and low > 1:
        return [("Risks are too timid: high ones are too low, low ones too high.",)]
    return []


def _told(source: Source) -> list[Phrase]:
    told = source.derived["self_reported"]
    if told.value <= _SELF_REPORTED_IS_MUCH:
        return []
    return [
        say(
            "{told} of the score rests on what the agent says of itself, which an "
            "agent may learn to say falsely.",
            told=whole(told),
        )
    ]


def _unpromised(source: Source) -> list[Phrase]:
    refused = [c for c in source.facts["segments"] if c["threshold"].value is None]
    if not refused:
        return []
    names = joined([word(c["segment"]) for c in refused])
    return [say("Nothing is promised by itself of: {names}.", names=names)]


def _fixable(source: Source) -> Phrase:
    return say(
        "Predicting a failure is not preventing it: costs assume that a human who is "
        "asked fixes {fixable} of what would go wrong.",
        fixable=whole(source.report["costs"]["fixable"]),
    )


def law(source: Source) -> Section:
    """Return which texts ask for what is here."""
    rows = tuple(
        worded(word(p["source"]), word(p["asks"]), word(p["here"]))
        for p in source.facts["pointers"]
    )
    head = ("text", "asks for", "look here")
    caption = "Pointers for a reader who has to answer to one of these"
    return Section(
        key="law",
        title="Which rules does it speak to?",
        chapter=Chapter.ETHICS,
        answer=(_POINTERS,),
        blocks=(Table(caption=caption, head=head, rows=rows, worded=True),),
    )


_POINTERS = (
    "These are pointers, not a claim of conformity. Whether a text applies depends on "
    "where and for what the model is used, and is for the deployer to decide; dates "
    "and wording change."
)


def identity(source: Source) -> Section:
    """Return what the version is, and what it is made of."""
    facts = source.facts
    libraries = tuple((name, word(v)) for name, v in facts["libraries"].items())
    files = tuple((name, word(digest)) for name, digest in facts["files"].items())
    nobody: Phrase = ("nobody yet",)
    pairs = (
        ("Model", word(facts["model"])),
        ("Version", word(facts["version"])),
        ("Made on", word(facts["made"])),
        ("Kind", _kind(facts["twin_share"])),
        ("Calibrator", word(facts["calibrator"])),
        ("Owner", word(facts["owner"]) if facts["owner"].value else nobody),
        ("Digest of the bundle", word(facts["digest"])),
    )
    blocks = [Pairs(caption="Version", pairs=pairs)]
    blocks += [Pairs(caption="Files of the bundle, by digest", pairs=files)] * bool(
        files
    )
    blocks += [Pairs(caption="Made with", pairs=libraries)] * bool(libraries)
    return Section(
        key="identity",
        title="Which version is this, exactly?",
        chapter=Chapter.DETAILS,
        answer=say(
            "{model}, version {version}; whoever holds the bundle can compare its "
            "digest.",
            model=word(facts["model"]),
            version=word(facts["version"]),
        ),
        blocks=blocks,
    )


def _kind(twin_share: Node) -> Phrase:
    if not twin_share.value:
        return ("gradient-boosted trees, calibrated",)
    return say(
        "gradient-boosted trees, and a logistic twin that weighs {share}; calibrated",
        share=whole(twin_share),
    )


def signoff(source: Source) -> Section:
    """Return who has to sign, with blanks, and until when it holds."""
    facts = source.facts
    signed = sum(bool(s["name"].value) for s in facts["signoff"])
    rows = tuple(
        worded(
            word(s["role"]),
            word(s["confirms"]),
            word(s["name"]) if s["name"].value else ("",),
            word(s["on"]) if s["on"] else ("",),
        )
        for s in facts["signoff"]
    )
    head = ("role", "confirms", "name and signature", "date")
    expires = facts["expires"]
    until = word(expires) if expires else ("no date set; it should have one",)
    approved = facts["approved_by"]
    pairs = (
        ("Look again by", until),
        ("Approved by", word(approved) if approved.value else ("nobody yet",)),
    )
    everyone = signed == len(facts["signoff"].value)
    return Section(
        key="signoff",
        title="Who answers for it, and until when?",
        chapter=Chapter.CAVEATS,
        answer=("Signed by all." if everyone else "Not signed by all who have to.",),
        blocks=(
            Pairs(caption="Approval", pairs=pairs),
            Table(caption="Sign-off", head=head, rows=rows, worded=True),
        ),
    )
