"""Blocks of tasks: everything random about many tasks, drawn at once with NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.simulate.categories import SLOTS, Factor
from training.simulate.chain import Chain, Floats, Ints, Observations, draw
from training.simulate.outcomes import Fate
from training.simulate.render import DICE
from training.simulate.tables import (
    DOMAIN_SHARES,
    DOMAINS,
    TIER_SHARES,
    TIERS,
    VERSION_SHARES,
    VERSIONS,
)
from training.simulate.truth import follow

# Each block of this many tasks is drawn from a generator of its own.
BLOCK = 512
_CUSTOMERS_STREAM, _TASKS_STREAM = 0, 1
_PHRASES = 1_000_000

_DOMAIN_NAMES, _VERSION_NAMES, _TIER_NAMES = map(tuple, (DOMAINS, VERSIONS, TIERS))
_CHANNELS = ("chat", "web", "email")
_LOCALES = ("en-US", "en-GB", "en-IN")
_CHANNEL_SHARES = np.array([0.6, 0.25, 0.15])
# How much longer a user takes to answer than in a chat.
_PATIENCE = np.array([1.0, 1.5, 40.0])

# Medians in seconds of the time before each event: of a turn's slots, and of the end.
_GAPS = (50.0, 1.5, 2.0, 0.8, 1.5, 0.8, 4.0, 1.0)
_LAST_GAP = 5.0
_GAP_SPREAD = 0.8
_MICROSECONDS = 1_000_000

# Median account value per tier.
_VALUES = np.array([80.0, 900.0, 20_000.0])
_VALUE_SPREAD = 0.9

# How much of the traffic follows the hour; below 1, or time would run backward.
_TIDE = 0.75


@dataclass(frozen=True, slots=True)
class Customers:
    """Tier, locale and account value of each customer, drawn once per world."""

    tier: Ints
    locale: list[int]
    value: list[float]

    @staticmethod
    @lru_cache(maxsize=8)
    def draw(seed: int, number: int) -> Customers:
        """Return `number` customers, always the same for the same `seed`."""
        rng = np.random.default_rng([seed, _CUSTOMERS_STREAM])
        tier = rng.choice(len(TIERS), size=number, p=TIER_SHARES)
        spread = np.exp(_VALUE_SPREAD * rng.standard_normal(number))
        return Customers(
            tier=tier,
            locale=rng.integers(len(_LOCALES), size=number).tolist(),
            value=np.round(_VALUES[tier] * spread, 2).tolist(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Consecutive tasks before they are written, first axis the task.

    Attributes
    ----------
    customers : Customers
    facts : list of (customer, domain, version, channel)
        Indices.
    seen, needed, truth
        See `draw` and `follow`.
    present : ndarray of shape (n_tasks, n_places), bool
        Which places of the log hold an event.
    elapsed : ndarray of shape (n_tasks, n_places), int
        Time since the task's start, in microseconds.
    dice : ndarray of shape (n_tasks, n_turns, n_factors), int
        Harmless variation, see `render.Sheet`.
    phrase : list of int
        More of it.
    arrival : list of float
        Days since the start of the world.
    fates : sequence of Fate
    """

    customers: Customers
    facts: list[tuple[int, int, int, int]]
    seen: Observations
    needed: list[bool]
    truth: Floats
    present: NDArray[np.bool_]
    elapsed: Ints
    dice: Ints
    phrase: list[int]
    arrival: list[float]
    fates: Sequence[Fate]

    @staticmethod
    def draw(
        chain: Chain, number: int, *, seed: int, customers: int, per_day: int
    ) -> Block:
        """Return block `number` of a world; it depends on nothing but the arguments."""
        rng = np.random.default_rng([seed, _TASKS_STREAM, number])
        known = Customers.draw(seed, customers)
        # Squaring gives a few customers many tasks.
        customer = (rng.random(BLOCK) ** 2 * customers).astype(np.int64)
        domain = rng.choice(len(DOMAINS), size=BLOCK, p=DOMAIN_SHARES)
        version = rng.choice(len(VERSIONS), size=BLOCK, p=VERSION_SHARES)
        channel = rng.choice(len(_CHANNELS), size=BLOCK, p=_CHANNEL_SHARES)
        config = (domain * len(VERSIONS) + version) * len(TIERS) + known.tier[customer]
        seen, needed = draw(chain, config, rng)
        return Block(
            customers=known,
            facts=np.stack([customer, domain, version, channel], axis=1).tolist(),
            seen=seen,
            needed=needed.tolist(),
            truth=follow(chain, seen),
            present=seen.present(),
            elapsed=_elapsed(rng, seen, _PATIENCE[channel]),
            dice=rng.integers(DICE, size=seen.observed.shape),
            phrase=rng.integers(_PHRASES, size=BLOCK).tolist(),
            arrival=_arrivals(rng, number, per_day),
            fates=Fate.draw(rng, BLOCK),
        )

    def facts_of(self, i: int) -> dict[str, Any]:
        """Return the body of task `i`'s first event, without its text."""
        customer, domain, version, channel = self.facts[i]
        name, agent_version = _DOMAIN_NAMES[domain], _VERSION_NAMES[version]
        return {
            "domain": name,
            "channel": _CHANNELS[channel],
            "locale": _LOCALES[self.customers.locale[customer]],
            "agent_id": f"{name}-assistant",
            "agent_version": agent_version,
            "model": f"assistant-{agent_version}",
            "account": {
                "id": f"acc-{customer:06d}",
                "value": self.customers.value[customer],
                "tier": _TIER_NAMES[self.customers.tier[customer]],
            },
            "group": f"customer-{customer:06d}",
        }


def _arrivals(rng: np.random.Generator, block: int, per_day: int) -> list[float]:
    """Return the arrival of each task of a block, in days, increasing."""
    even = (block * BLOCK + np.arange(BLOCK) + rng.random(BLOCK)) / per_day
    # The clock is slow at noon, so that more tasks come then.
    warped = even + _TIDE / (2 * np.pi) * np.sin(2 * np.pi * even)
    return [float(day) for day in warped]


def _elapsed(rng: np.random.Generator, seen: Observations, patience: Floats) -> Ints:
    """Return the time of each place since the task's start, in microseconds."""
    n_tasks, n_turns, _ = seen.observed.shape
    median = np.tile([0.0, *(_GAPS * n_turns), _LAST_GAP], (n_tasks, 1))
    user = [1 + t * len(SLOTS) + Factor.SENTIMENT for t in range(n_turns)]
    median[:, user] *= patience[:, None]
    spread = np.exp(_GAP_SPREAD * rng.standard_normal(median.shape))
    gaps = np.where(seen.present(), median * spread, 0.0)
    elapsed: Ints = (gaps.cumsum(axis=1) * _MICROSECONDS).astype(np.int64)
    return elapsed
