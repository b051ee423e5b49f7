"""What can be read off one event: the sources that aggregates summarise.

A `Reader` follows one task and turns each event into the values it gives, by source.
It is the only place where the meaning of an event is decided, and it runs once per
event, at ingest, for training and serving alike. It remembers only what later events
refer to; `features.sources._memory` says what.
"""

from __future__ import annotations

from features.sources._names import AGENT_WORDS, SELF_REPORTED, SOURCES
from features.sources._reader import Reader
from features.sources._tokens import key

__all__ = ["AGENT_WORDS", "SELF_REPORTED", "SOURCES", "Reader", "key"]
