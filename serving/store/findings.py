"""Findings: what a check of a store says is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MOST_SHOWN = 100


@dataclass(slots=True)
class Findings:
    """What is wrong, the first hundred in words."""

    shown: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, says: str) -> None:
        """Take note of one more."""
        self.count += 1
        if len(self.shown) < MOST_SHOWN:
            self.shown.append(says)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a check of a store found.

    Attributes
    ----------
    size : int
        Records in the log.
    root : str
        Root over all of them (hex): with `size`, a checkpoint to note elsewhere.
    events, decisions : int
        Rows whose content was held against the log.
    problems : tuple of str
        What is wrong, the first hundred; `found` says how many there are.
    compared_with : tuple of (int, str), optional
        The earlier checkpoint the log was held against.
    """

    size: int
    root: str
    events: int
    decisions: int
    problems: tuple[str, ...]
    found: int
    compared_with: tuple[int, str] | None

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return self.found == 0

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return {
            "sound": self.is_sound,
            "size": self.size,
            "root": self.root,
            "events": self.events,
            "decisions": self.decisions,
            "found": self.found,
            "problems": list(self.problems),
            "compared_with": self.compared_with,
        }
