"""Checks: arguments of a call that the engine cannot use."""

from __future__ import annotations

import math

from serving.problems import Problem, ProblemType


def check(holds: object, field: str, expected: str, found: object) -> None:
    """Return if `holds` is true.

    Raises
    ------
    Problem
        malformed-request: names `field`, what was `expected` and what was `found`.
    """
    if not holds:
        raise Problem(
            ProblemType.MALFORMED_REQUEST,
            f"`{field}` must be {expected}, found {found!r}",
            field=field,
            expected=expected,
            found=repr(found),
        )


def is_amount(value: float | None) -> bool:
    """Whether `value` is a finite number that is not negative, or None."""
    return value is None or (math.isfinite(value) and value >= 0)
