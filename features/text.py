"""What a message says: sentiment, hedging, asks for a human, sensitive topics.

One function, `read`, is used online and in batch. It looks words up in short lexicons
and asks VADER for the sentiment of a user's words. English only: in another language
the lexicons stay silent and the readings are zero, not wrong.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from features.lexicons import LEXICONS, SPEAKERS

# Long texts are read at both ends: an appended log must not cost what a letter costs.
_READ_AT_EACH_END = 2000


def _pattern(terms: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(terms)})\b")


_PATTERNS = {name: _pattern(terms) for name, terms in LEXICONS.items()}

# A message is scanned once, for all lexicons: three letters from each start of a word
# say which of them may have a term there, and only those are tried.
_LEAD = 3
_STARTS = re.compile(rf"\b(?=(\w.{{0,{_LEAD - 1}}}))", re.DOTALL)
_BEFORE = re.compile(r"(?:\(\?<!.*?\)|\^)*")
_LITERAL = re.compile(r"(?:[a-z' ](?![?*]))*")


def _branches(term: str) -> list[str]:
    """Return what the group at the head of `term` chooses from, else `term` itself."""
    if not term.startswith("(?:"):
        return [term]
    depth, begin, found = 0, 3, []
    for place, letter in enumerate(term):
        depth += (letter == "(") - (letter == ")")
        if (letter == "|" and depth == 1) or depth == 0:
            found.append(term[begin:place])
            begin = place + 1
        if depth == 0:
            break
    optional = term[begin : begin + 1] in {"?", "*"}
    return [""] if optional else found


def _leads(term: str) -> set[str]:
    """Return texts with one of which whatever `term` matches begins."""
    branches = _branches(_BEFORE.sub("", term, count=1))
    if len(branches) > 1:
        return {lead for branch in branches for lead in _leads(branch)}
    literal = _LITERAL.match(branches[0])
    return {literal[0][:_LEAD] if literal else ""}


_LEADS = {
    name: tuple({lead for term in terms for lead in _leads(term)})
    for name, terms in LEXICONS.items()
}


@lru_cache(maxsize=1 << 15)
def _candidates(speaker: str, start: str) -> tuple[str, ...]:
    """Return the lexicons of `speaker` that may have a term where `start` stands."""
    return tuple(n for n in SPEAKERS[speaker] if start.startswith(_LEADS[n]))


def _counts(lowered: str, speaker: str) -> dict[str, float]:
    """Return how many terms of each lexicon `lowered` holds, none overlapping."""
    found = dict.fromkeys(SPEAKERS[speaker], 0.0)
    ends: dict[str, int] = {}
    for start in _STARTS.finditer(lowered):
        for name in _candidates(speaker, start[1]):
            place = start.start()
            if place < ends.get(name, 0):
                continue
            term = _PATTERNS[name].match(lowered, place)
            if term:
                found[name] += 1.0
                ends[name] = term.end()
    return found


_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_SHOUTED = re.compile(r"\b[A-Z]{4,}\b")
_SPACE = re.compile(r"\s+")


def _both_ends(text: str) -> str:
    """Return what is read of `text`, its typographic apostrophes made plain."""
    if len(text) > 2 * _READ_AT_EACH_END:
        text = text[:_READ_AT_EACH_END] + " … " + text[-_READ_AT_EACH_END:]
    return text.replace("\u2019", "'")


def read(text: str, speaker: str) -> dict[str, float]:
    """Return what `text` says, for ``"agent"`` or ``"user"``.

    Every value is a count of places in the text; `words` is their number.

    Examples
    --------
    >>> said = read("I want to talk to a human, that is not what I asked!", "user")
    >>> said["asks_human"], said["corrections"], said["words"]
    (1.0, 1.0, 13.0)
    >>> read("I think I have cancelled your order.", "agent")["hedges"]
    1.0
    """
    text = _both_ends(text)
    lowered = text.lower()
    said = _counts(lowered, speaker)
    said["words"] = float(len(_WORD.findall(text)))
    said["questions"] = float(text.count("?"))
    said["exclamations"] = float(text.count("!"))
    said["shouting"] = float(len(_SHOUTED.findall(text)))
    said["numbers"] = float(len(_NUMBER.findall(text)))
    return said


@cache
def _analyzer() -> SentimentIntensityAnalyzer:
    return SentimentIntensityAnalyzer()


def sentiment(text: str) -> float:
    """Return the sentiment of `text` in [-1, 1], negative to positive.

    References
    ----------
    Hutto, Gilbert. "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of
    Social Media Text" (2014): the compound score.

    Examples
    --------
    >>> sentiment("This is great, thank you!") > 0 > sentiment("This is awful.")
    True
    """
    return float(_analyzer().polarity_scores(_both_ends(text))["compound"])


def normalised(text: str) -> str:
    """Return `text` in lower case with its spaces folded: what repetition is told by.

    Examples
    --------
    >>> normalised("  Please   WAIT ")
    'please wait'
    """
    return _SPACE.sub(" ", text).strip().lower()
