"""The numbers of the standard world: what is likely in which hidden state."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.special import expit, logit

from training.simulate.categories import Factor, Hidden
from training.simulate.chain import Chain, Floats

# Facts of a task, each with how much it multiplies the odds of trouble.
DOMAINS = {"orders": 0.5, "billing": 1.0, "accounts": 1.4, "bookings": 2.6}
VERSIONS = {"2.3": 1.3, "2.4": 0.9, "3.0": 0.7, "3.1": 1.8}
TIERS = {"free": 1.0, "pro": 1.0, "enterprise": 1.0}

# How often each comes.
DOMAIN_SHARES = np.array([0.35, 0.25, 0.22, 0.18])
VERSION_SHARES = np.array([0.2, 0.3, 0.3, 0.2])
TIER_SHARES = np.array([0.55, 0.35, 0.1])

# P(needs a human | last hidden state) for the middle tier; the log-odds of the others
# are shifted, because more is promised to those who pay more.
_NEED = np.array([0.02, 0.28, 0.80, 0.92, 0.78, 0.97])
_TIER_SHIFT = np.array([-0.2, 0.0, 0.6])

#                    FINE  CONFUSED LOOPING SILENT UPSET BEYOND
_INITIAL = np.array([0.70, 0.14, 0.03, 0.05, 0.03, 0.05])
_TRANSITION = np.array(
    [
        [0.88, 0.04, 0.02, 0.03, 0.02, 0.01],  # FINE
        [0.30, 0.45, 0.09, 0.05, 0.09, 0.02],  # CONFUSED
        [0.08, 0.04, 0.66, 0.05, 0.15, 0.02],  # LOOPING
        [0.05, 0.01, 0.02, 0.82, 0.09, 0.01],  # SILENT
        [0.07, 0.03, 0.02, 0.02, 0.84, 0.02],  # UPSET
        [0.01, 0.02, 0.03, 0.02, 0.12, 0.80],  # BEYOND
    ]
)
_ENDS = np.array([0.44, 0.14, 0.18, 0.36, 0.28, 0.20])
_N_TURNS = 5

#                CLEAR VAGUE UPSET SENSITIVE
_REQUEST = np.array(
    [
        [0.820, 0.140, 0.035, 0.005],  # FINE
        [0.400, 0.540, 0.050, 0.010],  # CONFUSED
        [0.690, 0.250, 0.050, 0.010],  # LOOPING
        [0.760, 0.190, 0.045, 0.005],  # SILENT
        [0.460, 0.150, 0.370, 0.020],  # UPSET
        [0.600, 0.130, 0.110, 0.160],  # BEYOND
    ]
)

#                ABSENT POSITIVE NEUTRAL UNHAPPY ANGRY
_SENTIMENT = np.array(
    [
        [0.35, 0.22, 0.36, 0.06, 0.01],
        [0.25, 0.06, 0.45, 0.21, 0.03],
        [0.45, 0.04, 0.28, 0.18, 0.05],
        [0.38, 0.14, 0.35, 0.11, 0.02],
        [0.12, 0.02, 0.18, 0.42, 0.26],
        [0.25, 0.06, 0.40, 0.22, 0.07],
    ]
)
#                NONE  HUMAN SENSITIVE
_WISH = np.array(
    [
        [0.986, 0.010, 0.004],
        [0.945, 0.050, 0.005],
        [0.925, 0.070, 0.005],
        [0.967, 0.028, 0.005],
        [0.750, 0.230, 0.020],
        [0.780, 0.120, 0.100],
    ]
)
#                ABSENT STEADY CHANGED
_PLAN = np.array(
    [
        [0.65, 0.28, 0.07],
        [0.65, 0.15, 0.20],
        [0.65, 0.20, 0.15],
        [0.65, 0.27, 0.08],
        [0.65, 0.22, 0.13],
        [0.65, 0.22, 0.13],
    ]
)
#                ABSENT NEW   REPEAT
_CALL = np.array(
    [
        [0.20, 0.78, 0.02],
        [0.40, 0.52, 0.08],
        [0.05, 0.35, 0.60],
        [0.15, 0.80, 0.05],
        [0.40, 0.52, 0.08],
        [0.40, 0.52, 0.08],
    ]
)
_AGAIN = np.array(
    [
        [0.79, 0.20, 0.01],
        [0.74, 0.20, 0.06],
        [0.32, 0.13, 0.55],
        [0.72, 0.23, 0.05],
        [0.78, 0.18, 0.04],
        [0.78, 0.18, 0.04],
    ]
)
#                ABSENT FULL PARTIAL EMPTY ERROR
_RESULT = np.array(
    [
        [0.00, 0.88, 0.05, 0.03, 0.04],
        [0.00, 0.62, 0.12, 0.16, 0.10],
        [0.00, 0.38, 0.10, 0.17, 0.35],
        [0.00, 0.36, 0.28, 0.32, 0.04],
        [0.00, 0.72, 0.09, 0.09, 0.10],
        [0.00, 0.58, 0.08, 0.10, 0.24],
    ]
)
#                ABSENT DONE PROGRESS CLARIFY HEDGE STUCK ECHO
_CLAIM = np.array(
    [
        [0.00, 0.52, 0.33, 0.07, 0.05, 0.02, 0.01],
        [0.00, 0.15, 0.22, 0.36, 0.17, 0.06, 0.04],
        [0.00, 0.12, 0.38, 0.08, 0.12, 0.14, 0.16],
        [0.00, 0.56, 0.28, 0.04, 0.07, 0.03, 0.02],
        [0.00, 0.28, 0.30, 0.10, 0.12, 0.14, 0.06],
        [0.00, 0.16, 0.24, 0.12, 0.19, 0.24, 0.05],
    ]
)
# What an honest agent would say of itself, by band of CONFIDENCE_EDGES; and what one
# says that has learned that confidence pleases.
_HONEST = np.array(
    [
        [0.01, 0.05, 0.19, 0.40, 0.35],
        [0.22, 0.30, 0.28, 0.15, 0.05],
        [0.18, 0.26, 0.30, 0.18, 0.08],
        [0.02, 0.09, 0.26, 0.38, 0.25],
        [0.10, 0.22, 0.33, 0.24, 0.11],
        [0.20, 0.28, 0.29, 0.16, 0.07],
    ]
)
_BOASTFUL = np.array([0.002, 0.018, 0.08, 0.32, 0.58])
_HONESTY = {"2.3": 0.9, "2.4": 0.5, "3.0": 0.06, "3.1": 0.04}
_NO_CONFIDENCE = 0.15

#                ABSENT ONE   TWO   MANY
_INTERPRETATIONS = np.array(
    [
        [0.30, 0.60, 0.08, 0.02],
        [0.30, 0.20, 0.30, 0.20],
        [0.30, 0.48, 0.15, 0.07],
        [0.30, 0.57, 0.10, 0.03],
        [0.30, 0.48, 0.15, 0.07],
        [0.30, 0.48, 0.15, 0.07],
    ]
)
# By band of VERIFIER_EDGES, after "no verifier ran".
_VERIFIER = np.array(
    [
        [0.45, 0.010, 0.030, 0.080, 0.190, 0.240],
        [0.45, 0.090, 0.160, 0.160, 0.100, 0.040],
        [0.45, 0.180, 0.170, 0.110, 0.065, 0.025],
        [0.45, 0.100, 0.145, 0.150, 0.105, 0.050],
        [0.45, 0.100, 0.140, 0.150, 0.105, 0.055],
        [0.45, 0.140, 0.160, 0.140, 0.080, 0.030],
    ]
)


class WorldError(ValueError):
    """A simulated world was asked for that cannot be."""


def config_shares() -> Floats:
    """Return the share of each configuration, (n_configs,): domain, version, tier."""
    return _crossed(DOMAIN_SHARES, VERSION_SHARES, TIER_SHARES)


def _crossed(domain: Floats, version: Floats, tier: Floats) -> Floats:
    """Return the products over all configurations, the tier running fastest."""
    products: Floats = np.multiply.outer(np.multiply.outer(domain, version), tier)
    return products.ravel()


def _confidence() -> Floats:
    """Return P(band | state) per version: honest and boastful, mixed."""
    honesty = np.array([_HONESTY[v] for v in VERSIONS])[:, None, None]
    said = honesty * _HONEST + (1 - honesty) * _BOASTFUL
    silent = np.full((*said.shape[:2], 1), _NO_CONFIDENCE)
    return np.concatenate([silent, said * (1 - _NO_CONFIDENCE)], axis=2)


def _for_all(table: Floats) -> Floats:
    return np.broadcast_to(table, (2, len(VERSIONS), *table.shape[-2:])).copy()


def _move(table: Floats, *, what: int, to: int) -> Floats:
    """Return `table` where one category becomes another in the first turn."""
    table[0, ..., to] += table[0, ..., what]
    table[0, ..., what] = 0
    return table


def _emission() -> dict[Factor, Floats]:
    calls = _move(_for_all(_CALL), what=2, to=1)  # nothing yet to repeat
    said = _move(_for_all(_CLAIM), what=6, to=2)
    user = _for_all(_SENTIMENT)
    user[0] = np.eye(user.shape[-1])[0]  # the request itself stands in the first event
    return {
        Factor.SENTIMENT: user,
        Factor.WISH: _for_all(_WISH),
        Factor.PLAN: _for_all(_PLAN),
        Factor.CALL: _move(calls, what=0, to=1),
        Factor.RESULT: _for_all(_RESULT),
        Factor.AGAIN: _for_all(_AGAIN),
        Factor.RESULT_AGAIN: _for_all(_RESULT),
        Factor.CLAIM: said,
        Factor.CONFIDENCE: _for_all(_confidence()),
        Factor.INTERPRETATIONS: _for_all(_INTERPRETATIONS),
        Factor.VERIFIER: _for_all(_VERIFIER),
    }


def _tilted(row: Floats, odds: Floats) -> Floats:
    """Return `row` with the odds of every state but FINE multiplied, one per config."""
    scale = np.where(np.arange(len(row)) == Hidden.FINE, 1.0, odds[:, None])
    tilted: Floats = row * scale / (row * scale).sum(axis=1, keepdims=True)
    return tilted


def _chain(trouble: float) -> Chain:
    domain, version, tier = (
        np.array(list(facts.values())) for facts in (DOMAINS, VERSIONS, TIERS)
    )
    odds = np.exp(trouble) * _crossed(domain, version, tier)
    transition = np.broadcast_to(_TRANSITION, (len(odds), *_TRANSITION.shape)).copy()
    transition[:, Hidden.FINE] = _tilted(_TRANSITION[Hidden.FINE], odds)
    ends = np.tile(_ENDS, (_N_TURNS, 1))
    ends[0], ends[-1] = 0, 1  # at least two turns, and no more than six
    by_tier = expit(logit(_NEED) + _TIER_SHIFT[:, None])
    return Chain(
        initial=_tilted(_INITIAL, odds),
        transition=transition,
        ends=ends,
        need=np.tile(by_tier, (domain.size * version.size, 1)),
        request=_REQUEST,
        emission=_emission(),
        version=np.tile(np.repeat(np.arange(version.size), tier.size), domain.size),
    )


_STEPS = 50
_RANGE = 8.0


@cache
def standard(base_rate: float) -> Chain:
    """Return the standard world's chain, in which a share `base_rate` needs a human.

    The odds of trouble, at the start and of getting into it, are scaled until the exact
    base rate of the chain is met.

    Raises
    ------
    WorldError
        If no scale meets it.
    """
    shares = config_shares()
    low, high = -_RANGE, _RANGE
    possible = [_chain(x).base_rate(shares) for x in (low, high)]
    if not possible[0] <= base_rate <= possible[1]:
        msg = (
            f"base_rate must lie between {possible[0]:.3f} and {possible[1]:.3f}, "
            f"found {base_rate:g}; choose one that the standard world can have"
        )
        raise WorldError(msg)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        below = _chain(middle).base_rate(shares) < base_rate
        low, high = (middle, high) if below else (low, middle)
    return _chain((low + high) / 2)
