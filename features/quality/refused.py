"""Refusals, counted by what was wrong; only the first of each kind are kept."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from features.ingest import Refusal

KEPT = 1_000  # refusals shown one by one
_GROUPS = 200  # reasons told apart; a log with more has one reason, seen many ways
_EXAMPLES = 3
_OTHERS = "(others)"
_NAMED = re.compile(r"'[^']*'|\d+")


@dataclass(slots=True)
class _Group:
    expected: str
    n: int = 0
    examples: list[Refusal] = field(default_factory=list)


@dataclass(slots=True)
class Refused:
    """What was refused, in memory that does not grow with it.

    Attributes
    ----------
    total : int
        How many.
    first : list of Refusal
        The first `KEPT`, in file order.
    """

    total: int = 0
    first: list[Refusal] = field(default_factory=list)
    _groups: dict[tuple[str, str], _Group] = field(default_factory=dict)

    def add(self, refusal: Refusal) -> None:
        """Count one more."""
        self.total += 1
        if len(self.first) < KEPT:
            self.first.append(refusal)
        expected = refusal.expected or refusal.error
        key = (refusal.field or "record", _NAMED.sub("…", expected))
        if key not in self._groups and len(self._groups) >= _GROUPS:
            key = (_OTHERS, "")
        group = self._groups.setdefault(key, _Group(expected))
        group.n += 1
        if len(group.examples) < _EXAMPLES:
            group.examples.append(refusal)

    def reasons(self) -> list[dict[str, Any]]:
        """Return the reasons, the most frequent first, each with examples."""
        ordered = sorted(self._groups.items(), key=lambda item: -item[1].n)
        return [
            {
                "field": name,
                "expected": group.expected,
                "n": group.n,
                "examples": [shown(refusal) for refusal in group.examples],
            }
            for (name, _), group in ordered
        ]


def shown(refusal: Refusal) -> dict[str, Any]:
    """Return a refusal as JSON: where it is, what was expected, what was found."""
    return {
        "source": refusal.source,
        "line": refusal.line,
        "offset": refusal.offset,
        "event_id": refusal.event_id,
        "field": refusal.field,
        "expected": refusal.expected,
        "found": refusal.found,
        "error": refusal.error,
    }
