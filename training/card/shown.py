"""Words of a card in which every number knows where in the data it comes from."""

from __future__ import annotations

import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

UNKNOWN = "–"  # noqa: RUF001 - typographic dash


@dataclass(frozen=True, slots=True)
class Shown:
    """A piece of text that was read off the data.

    Attributes
    ----------
    text : str
        The value as it is shown, such as ``"12.3 %"``.
    at : str
        JSON pointer (RFC 6901) to the value in card.json. Where it points to an
        object, the text is the name of one of its members.
    value : number, str or None
        The value itself.
    """

    text: str
    at: str
    value: Any = None


Phrase: TypeAlias = tuple[str | Shown, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """A place in the card's data: its JSON pointer, and what is there.

    Examples
    --------
    >>> node = Node("", {"miss_rate": {"value": 0.1}})["miss_rate"]["value"]
    >>> node.at, node.value
    ('/miss_rate/value', 0.1)
    """

    at: str
    value: Any

    def __getitem__(self, key: str | int) -> Node:
        step = str(key).replace("~", "~0").replace("/", "~1")
        return Node(f"{self.at}/{step}", self.value[key])

    def get(self, key: str) -> Node:
        """Return a member; one that is not there has the value None."""
        held = self.value if isinstance(self.value, dict) else {}
        return self[key] if key in held else Node(self.at, None)

    def items(self) -> Iterator[tuple[Phrase, Node]]:
        """Yield the members, each with its name as it is shown."""
        for key in self.value:
            yield (self.name(key),), self[key]

    def name(self, key: str) -> Shown:
        """Return the name of a member as it is shown."""
        return Shown(str(key).replace("_", " "), self.at, key)

    def __iter__(self) -> Iterator[Node]:
        return (self[i] for i in range(len(self.value)))

    def __bool__(self) -> bool:
        return self.value is not None


def say(template: str, **parts: Phrase) -> Phrase:
    """Return a sentence with its parts in place of ``{name}``.

    >>> say("{n} of them", n=(Shown("7", "/n", 7),))
    (Shown(text='7', at='/n', value=7), ' of them')
    """
    found: list[str | Shown] = []
    for words, name, _, _ in string.Formatter().parse(template):
        found += [words] if words else []
        found += parts[name] if name else ()
    return tuple(found)


def joined(phrases: list[Phrase], between: str = ", ") -> Phrase:
    """Return phrases one after the other."""
    found: list[str | Shown] = []
    for i, phrase in enumerate(phrases):
        found += [between] if i else []
        found += phrase
    return tuple(found)


def flat(phrase: Phrase) -> str:
    """Return a phrase as plain text."""
    return "".join(p if isinstance(p, str) else p.text for p in phrase)


def resolve(data: Any, at: str) -> Any:
    """Return what a JSON pointer points to.

    Raises
    ------
    LookupError
        If there is nothing there.
    """
    for step in at.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        data = data[int(key)] if isinstance(data, list) else data[key]
    return data
