"""Ratings: whether packages are enough for those who take over, and what they lack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.monitor.estimate import Estimate, share
from training.monitor.service import Handled, Rated


def context_sufficiency(handled: Sequence[Handled]) -> Estimate:
    """Return the share of ratings that call a package enough; `n` counts ratings.

    The latest rating of each person counts.
    """
    lacking = (
        f"ratings of packages: none of {len(handled)} has one"
        if handled
        else "handoffs"
    )
    rated, groups = _rated(handled)
    enough = np.array([one.sufficient for one in rated], dtype=np.bool_)
    return share(enough, groups, missing=lacking)


def missing_parts(handled: Sequence[Handled]) -> dict[str, Estimate]:
    """Return, by part of a package, the share of the ratings that miss it."""
    rated, groups = _rated(handled)
    counts = Counter(part for one in rated for part in set(one.missing))
    named = sorted(counts, key=lambda part: (-counts[part], part))
    return {
        part: share(
            np.array([part in one.missing for one in rated], dtype=np.bool_),
            groups,
            missing="ratings of packages",
        )
        for part in named
    }


def _rated(
    handled: Sequence[Handled],
) -> tuple[list[Rated], NDArray[np.int64]]:
    """Return every rating, and the group of the task it is about."""
    rated = [(one, a.group) for a in handled for one in a.ratings]
    groups = np.array([group for _, group in rated], dtype=np.str_)
    codes = np.unique(groups, return_inverse=True)[1]
    return [one for one, _ in rated], np.asarray(codes)
