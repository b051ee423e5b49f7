"""Crash: named places at which a process ends itself, for those who test that it may.

Nothing happens unless ``ESCALATION_CRASH_AT`` names one of them: then the process ends
there as by kill -9, with nothing flushed, closed or answered.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum

VARIABLE = "ESCALATION_CRASH_AT"
# What a shell reports of a process that was killed with signal 9.
EXIT_STATUS = 137


class CrashPoint(StrEnum):
    """Where a process can end itself."""

    BEFORE_COMMIT = "before_commit"
    AFTER_COMMIT = "after_commit"
    AFTER_SEND = "after_send"
    AFTER_BLOB_FSYNC = "after_blob_fsync"


class CrashPointError(ValueError):
    """The variable names no place at which a process can end itself."""


_left: dict[CrashPoint, int] = {}


def passing(point: CrashPoint) -> None:
    """End the process here if it was told to; otherwise do nothing."""
    if not _left or point not in _left:
        return
    _left[point] -= 1
    if _left[point] <= 0:
        os._exit(EXIT_STATUS)


def arm(environment: Mapping[str, str]) -> None:
    """Take over where to end from `environment`, in place of what was known before.

    The variable holds a place, such as ``after_commit``, or ``after_commit:17`` for the
    17th time it is passed; commas between several.

    Raises
    ------
    CrashPointError
        If it names no such place.
    """
    told = environment.get(VARIABLE, "")
    _left.clear()
    _left.update(_read(part) for part in told.split(",") if part)


def _read(part: str) -> tuple[CrashPoint, int]:
    name, _, nth = part.strip().partition(":")
    try:
        return CrashPoint(name), int(nth or 1)
    except ValueError:
        places = ", ".join(CrashPoint)
        msg = f"expected {VARIABLE} to be one of {places}, found {part!r}; unset it"
        raise CrashPointError(msg) from None


arm(os.environ)
