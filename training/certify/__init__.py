"""Thresholds with a certificate: a bound on missed escalations, or a refusal.

Modules: `exact` counts labelled tasks, `audits` bounds what nobody labelled by uniform
audits, `segments` parts the doubt among segments, `ladder` makes several bounds hold
at once, `frontier` sets bounds against what they cost, `choice` looks for the cheapest
threshold inside them and for what a capacity leaves, `promised` asks for all of it,
`replay` measures whether promises are kept.
"""

from training.certify.audits import Live
from training.certify.basis import Basis, CertificateError
from training.certify.choice import (
    Capacity,
    Choice,
    choices,
    under_capacity,
    within,
)
from training.certify.exact import METHOD, Evidence, certify, least_needed
from training.certify.frontier import LADDER, Frontier, frontier
from training.certify.ladder import misses_allowed
from training.certify.promised import Promised, promised
from training.certify.segments import certify_segments

__all__ = [
    "LADDER",
    "METHOD",
    "Basis",
    "Capacity",
    "CertificateError",
    "Choice",
    "Evidence",
    "Frontier",
    "Live",
    "Promised",
    "certify",
    "certify_segments",
    "choices",
    "frontier",
    "least_needed",
    "misses_allowed",
    "promised",
    "under_capacity",
    "within",
]
