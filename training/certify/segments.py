"""A certificate for each segment, all of which hold at once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.bundle.certificate import (
    REST,
    Certificate,
    Refusal,
    SegmentBy,
    segment_of,
)
from training.certify.basis import Basis, Mask


def parted(by: SegmentBy, values: NDArray[np.str_]) -> NDArray[np.str_]:
    """Return the segment of each task, shape of `values`."""
    names, place = np.unique(values, return_inverse=True)
    found = [segment_of(by, str(name)) for name in names]
    return np.array(found, dtype=np.str_)[place]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which segments are tested, and with how much doubt each.

    Attributes
    ----------
    tested : mapping of str to ndarray of shape (n_tasks,), bool
        Tasks of each segment with enough labels, and of the rest where it has.
    left : tuple of str
        Segments with too few; their tasks are among the rest.
    delta : float
        Doubt of each test: the whole over the number of tests.
    is_whole : bool
        Whether every task is in something that is tested.
    """

    tested: dict[str, Mask]
    left: tuple[str, ...]
    delta: float
    is_whole: bool


def plan(
    basis: Basis, segment: NDArray[np.str_], rest: str, *, alpha: float, delta: float
) -> Plan:
    """Return which segments to test, looking at how many labels they have alone.

    How many labels there are says nothing of where the needed tasks lie, and every
    test holds given their number. So only those that can succeed have to share the
    doubt, and as many are tested as can. Each gets an equal part (Bonferroni): a search
    for a threshold always ends at one that fails, so Holm's method, which passes on
    the doubt of what succeeded in full, would have none to pass on.
    """
    names = [str(name) for name in np.unique(segment) if name != rest]
    size = {name: basis.where(segment == name).n_needed for name in names}
    names.sort(key=lambda name: (-size[name], name))
    for k in range(len(names), 0, -1):
        cells = {name: segment == name for name in names[:k]}
        others = ~np.isin(segment, names[:k])
        with_rest = cells | ({rest: others} if others.any() else {})
        for tested in (with_rest, cells):
            share = delta / len(tested)
            # The smallest first: it is the one that cannot.
            masks = reversed(tested.values())
            if all(basis.where(mask).can(alpha, share) for mask in masks):
                whole = rest in tested or not others.any()
                left = tuple(names[k:])
                return Plan(tested=tested, left=left, delta=share, is_whole=whole)
    return Plan(tested={}, left=tuple(names), delta=delta, is_whole=False)


def certify_segments(
    basis: Basis,
    values: NDArray[np.str_],
    *,
    by: SegmentBy,
    alpha: float,
    delta: float,
    overall: Certificate,
) -> tuple[Certificate, ...]:
    """Return one certificate per segment: with probability 1 - `delta` all are true.

    Where every task is in a segment that holds its own bound, or in a rest that does,
    all tasks together hold it too. Where some are not, no segment is given a threshold
    above that of `overall`: else the promise over all tasks, under which segments make
    up for each other, would be lost without a word.

    Parameters
    ----------
    basis : Basis
        Labels, see `exact.Evidence` and `audits.Live`.
    values : ndarray of shape (n_tasks,), str
        What the tasks are parted by; ``""``, ``"?"`` and ``"unknown"`` are the rest.
    by : SegmentBy
        Its name.
    overall : Certificate
        Of all tasks.
    """
    segment = parted(by, values)
    rest = segment_of(by, REST)
    planned = plan(basis, segment, rest, alpha=alpha, delta=delta)
    made = [
        basis.where(tasks).certificate(alpha=alpha, delta=planned.delta, segment=name)
        for name, tasks in planned.tested.items()
    ]
    is_whole = planned.is_whole and all(one.threshold is not None for one in made)
    if overall.threshold is not None and not is_whole:
        tested = planned.tested
        made = [
            _capped(one, overall.threshold, basis.where(tested[one.segment]))
            for one in made
        ]
    told = [_told(one, len(made), delta) for one in made]
    return (*told, *_left(basis, segment, planned, alpha))


def _capped(one: Certificate, highest: float, basis: Basis) -> Certificate:
    if one.threshold is None or one.threshold <= highest:
        return one
    rate = float(basis.tally.rate(np.array([highest]))[0])
    reason = (
        f"{one.reason}; held at the threshold of all tasks, as not every segment has a "
        f"certificate of its own, which escalates {rate:.0%}"
    )
    return replace(one, threshold=highest, escalation_rate=rate, reason=reason)


def _told(one: Certificate, n: int, delta: float) -> Certificate:
    """Return the certificate with whom it speaks of and how the doubt was parted."""
    reason = f"of the tasks with {one.segment}: {one.reason}"
    if n > 1 and one.threshold is not None:
        reason += (
            f"; all {n} segments hold at once with confidence {100 * (1 - delta):g}%"
        )
    return replace(one, reason=reason)


def _left(
    basis: Basis, segment: NDArray[np.str_], planned: Plan, alpha: float
) -> list[Certificate]:
    """Return the refusals of the segments that were not tested."""
    n = len(planned.tested)
    doubt = planned.delta * max(n, 1) / (n + 1)  # if it were one more
    refused = []
    for name in planned.left:
        part = basis.where(segment == name)
        found = part.certificate(alpha=alpha, delta=doubt, segment=name)
        if found.threshold is not None:
            # It keeps the bound by luck: its doubt was not set aside beforehand.
            found = replace(
                found,
                threshold=None,
                escalation_rate=None,
                refusal=Refusal.TOO_FEW_LABELS,
                reason="too few labels to have a part in the doubt",
            )
        refused.append(_told(found, 0, doubt))
    return refused
