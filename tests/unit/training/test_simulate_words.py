from __future__ import annotations

import itertools

import numpy as np

from features import text
from training.simulate import words
from training.simulate.categories import Sentiment, Wish
from training.simulate.tables import standard


def test_a_sentence_belongs_to_one_family() -> None:
    """No sentence contains another, and families are larger than tasks have turns."""
    families = [*words.CLEAR.values(), *words.VAGUE.values(), words.UPSET]
    for by_category in (words.SENTIMENTS, words.WISHES, words.PLANS, words.CLAIMS):
        families += by_category.values()
    assert min(map(len, families)) > standard(0.2).n_turns
    sentences = [sentence for family in families for sentence in family]
    pairs = itertools.permutations(sentences, 2)
    assert not [pair for pair in pairs if pair[0] in pair[1]]


def test_an_ordinary_reader_hears_the_tone() -> None:
    """Sentiment read off the words is ordered as the categories are."""
    heard = {
        tone: [text.sentiment(said) for said in family]
        for tone, family in words.SENTIMENTS.items()
    }
    means = {tone: np.mean(values) for tone, values in heard.items()}
    order = [Sentiment.POSITIVE, Sentiment.NEUTRAL, Sentiment.UNHAPPY, Sentiment.ANGRY]
    assert all(means[a] > means[b] + 0.1 for a, b in itertools.pairwise(order))
    assert min(heard[Sentiment.POSITIVE]) > max(heard[Sentiment.ANGRY])


def share(family: tuple[str, ...], *what: str) -> float:
    """Return the share of sentences in which the reader hears any of `what`."""
    read = [text.read(said, "user") for said in family]
    return float(np.mean([any(r[name] for name in what) for r in read]))


def test_an_ordinary_reader_hears_the_wish() -> None:
    """Most wishes and sensitive topics are read; nothing else is taken for one."""
    assert share(words.WISHES[Wish.HUMAN], "asks_human") > 0.6
    assert share(words.SENSITIVE, "regulated", "safety") > 0.6
    for family in (
        *words.CLEAR.values(),
        *words.VAGUE.values(),
        *words.SENTIMENTS.values(),
    ):
        assert share(family, "asks_human", "regulated", "safety") == 0
