"""What a card says, in sections and blocks: one value for all of its forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from training.card import (
    comparing,
    governance,
    groups,
    honesty,
    lineage,
    people,
    promises,
    release,
    watching,
)
from training.card.blocks import Chapter, Gap, Picture, Section
from training.card.shown import Phrase, say
from training.card.source import Source
from training.card.values import word
from training.card.verdict import Verdict, verdict

# In the order in which a risk owner asks.
SECTIONS = (
    honesty.honesty,
    promises.frontier,
    people.people,
    honesty.earliness,
    groups.groups,
    comparing.simpler,
    comparing.movers,
    watching.gaming,
    lineage.learned_from,
    lineage.evaluated_on,
    watching.drift,
    release.gates,
    release.change,
    promises.certificates,
    governance.use,
    governance.limits,
    governance.law,
    governance.identity,
    governance.signoff,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything a card says.

    Attributes
    ----------
    title : Phrase
        Model and version.
    sections : tuple of Section
        In reading order.
    """

    title: Phrase
    verdict: Verdict
    sections: tuple[Section, ...]

    @property
    def gaps(self) -> tuple[tuple[Section, Gap], ...]:
        """What was not measured, with the section that would hold it."""
        return tuple((s, gap) for s in self.sections for gap in s.gaps)

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """The pictures the page needs."""
        blocks = (b for s in self.sections for b in s.blocks)
        return tuple(b for b in blocks if isinstance(b, Picture))

    @property
    def chapters(self) -> tuple[tuple[Chapter, Sequence[Section]], ...]:
        """The sections under the headings of Mitchell et al., in their order."""
        return tuple(
            (chapter, [s for s in self.sections if s.chapter is chapter])
            for chapter in Chapter
        )


def view(source: Source) -> View:
    """Return everything a card says of its data."""
    facts = source.facts
    return View(
        title=say(
            "{model}, version {version}",
            model=word(facts["model"]),
            version=word(facts["version"]),
        ),
        verdict=verdict(source),
        sections=tuple(make(source) for make in SECTIONS),
    )
