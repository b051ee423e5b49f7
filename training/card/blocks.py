"""What a card is made of: sections, and the blocks that every form of it renders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from training.card.shown import Phrase, Shown


class Chapter(StrEnum):
    """The headings that readers of model cards know; the Markdown is sorted by them.

    References
    ----------
    Mitchell et al. "Model cards for model reporting" (2019), figure 1.
    """

    DETAILS = "Model details"
    USE = "Intended use"
    FACTORS = "Factors"
    METRICS = "Metrics"
    EVALUATION = "Evaluation data"
    TRAINING = "Training data"
    ANALYSES = "Quantitative analyses"
    ETHICS = "Ethical considerations"
    CAVEATS = "Caveats and recommendations"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell: what it says, its interval, and whether it calls for a look."""

    text: Phrase
    margin: Phrase = ()
    flagged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table; the first column names the row.

    Attributes
    ----------
    caption : str
        What it is a table of.
    worded : bool
        Whether its cells are words rather than numbers.
    """

    caption: str
    head: tuple[str | Phrase, ...]
    rows: tuple[tuple[Cell, ...], ...]
    worded: bool = False
    kind: str = field(default="table", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A paragraph."""

    text: Phrase
    kind: str = field(default="words", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """A list, each point a sentence."""

    points: tuple[Phrase, ...]
    kind: str = field(default="points", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Names and what they stand for."""

    caption: str
    pairs: tuple[tuple[str | Phrase, Phrase], ...]
    kind: str = field(default="pairs", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One figure, large, with its interval and what it is."""

    label: str | Phrase
    text: Phrase
    margin: Phrase = ()
    note: Phrase = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """Figures side by side."""

    caption: str
    tiles: tuple[Tile, ...]
    kind: str = field(default="tiles", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture of the page.

    Attributes
    ----------
    name : str
        Key in the pictures that are drawn.
    caption : str
        How to read it; also what a reader who cannot see it is told.
    numbers : tuple of Shown
        Those that its labels, legends and notes may show: never the marks of an axis.
    """

    name: str
    caption: str
    numbers: tuple[Shown, ...] = ()
    kind: str = field(default="picture", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Something that was not measured, and how to get it."""

    what: str
    how: str
    kind: str = field(default="gap", init=False)


Block: TypeAlias = Table | Words | Points | Pairs | Tiles | Picture | Gap


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One question of a risk owner, its answer in a sentence, and what it rests on.

    Attributes
    ----------
    key : str
        Anchor in the page, key in card.json.
    """

    key: str
    title: str
    chapter: Chapter
    answer: Phrase
    blocks: Sequence[Block]

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What is missing in it."""
        return tuple(b for b in self.blocks if isinstance(b, Gap))


def rows_of(*cells: Sequence[Cell]) -> tuple[tuple[Cell, ...], ...]:
    """Return rows for a `Table`."""
    return tuple(tuple(row) for row in cells)


def worded(*texts: str | Phrase) -> tuple[Cell, ...]:
    """Return a row of plain cells."""
    return tuple(Cell(text=(t,) if isinstance(t, str) else t) for t in texts)
