"""All that a model is promised from one body of evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.bundle.certificate import Certificate, SegmentBy
from training.certify.basis import Basis
from training.certify.frontier import LADDER, Frontier, frontier
from training.certify.segments import certify_segments


@dataclass(frozen=True, slots=True, kw_only=True)
class Promised:
    """What is promised of a model.

    Attributes
    ----------
    certificate : Certificate
        Of all tasks: holds with probability 1 - delta.
    segments : tuple of Certificate
        Of parts of them, empty where none were asked for: all at once with
        probability 1 - delta.
    frontier : Frontier
        What other bounds would cost: all at once with probability 1 - delta.
    """

    certificate: Certificate
    segments: tuple[Certificate, ...]
    frontier: Frontier


def promised(
    basis: Basis,
    *,
    alpha: float,
    delta: float,
    by: SegmentBy | None = None,
    values: NDArray[np.str_] | None = None,
    ladder: Sequence[float] = LADDER,
) -> Promised:
    """Return certificate, certificates of segments, and frontier.

    They are three statements, each with doubt `delta`; not one.

    Parameters
    ----------
    basis : Basis
        Labels, see `exact.Evidence` and `audits.Live`.
    alpha, delta : float in (0, 1)
        Bound and doubt that are asked for.
    by, values : SegmentBy and ndarray of shape (n_tasks,), optional
        What the tasks are parted by, and its value for each.
    ladder : sequence of float
        Other bounds.

    Raises
    ------
    CertificateError
        If a level is not inside (0, 1).
    """
    overall = basis.certificate(alpha=alpha, delta=delta)
    segments: tuple[Certificate, ...] = ()
    if by is not None and values is not None:
        segments = certify_segments(
            basis, values, by=by, alpha=alpha, delta=delta, overall=overall
        )
    found = frontier(basis, delta=delta, alphas=ladder)
    return Promised(certificate=overall, segments=segments, frontier=found)
