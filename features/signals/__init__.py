"""The signal catalogue: every input of the model, declared once, a module per group."""

from __future__ import annotations

import hashlib

from features.signals import (
    account,
    agent,
    ambiguity,
    asks,
    confidence,
    contradiction,
    effort,
    history,
    loops,
    sensitivity,
    sentiment,
    silent,
    verifier,
)
from features.signals._signal import Group, Signal

__all__ = ["NAMES", "SIGNALS", "Group", "Signal", "schema_digest", "schema_lines"]

SIGNALS: tuple[Signal, ...] = (
    *confidence.SIGNALS,
    *verifier.SIGNALS,
    *loops.SIGNALS,
    *contradiction.SIGNALS,
    *asks.SIGNALS,
    *silent.SIGNALS,
    *ambiguity.SIGNALS,
    *sentiment.SIGNALS,
    *sensitivity.SIGNALS,
    *account.SIGNALS,
    *effort.SIGNALS,
    *agent.SIGNALS,
    *history.SIGNALS,
)
NAMES: tuple[str, ...] = tuple(signal.name for signal in SIGNALS)


def schema_lines() -> list[str]:
    """Return one line per signal, in order: two schemas are equal iff these are."""
    return [str(signal) for signal in SIGNALS]


def schema_digest() -> str:
    """Return the SHA-256 (hex) of the schema."""
    return hashlib.sha256("\n".join(schema_lines()).encode()).hexdigest()
