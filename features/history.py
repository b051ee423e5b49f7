"""Outcome history: how earlier tasks like this one ended, as far as it was known.

A fold over two kinds of news, in the order in which they came: a task began, and a
task's label became known. When a task begins it is stamped with the rates of that
moment; the stamp goes into the task's own log, as an event of kind `history`. Signals
read it there like anything else, so training sees to the bit what serving saw, and no
label is used before it was known.

Rates are drawn to those of a larger group where little is known: a type's to its
agent version's, that to its domain's, that to the rate of all. Labels weigh
1 / propensity, at most `MOST_WEIGHT`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

MOST_WEIGHT = 20.0
MOST_TYPES = 1_000
# Likeness (cosine) from which on two requests are of one type.
_ALIKE = 0.45
# Tasks that the own ones must outweigh before they are believed over the larger group.
_PULL = 10.0
_PULL_OF_TYPE = 3.0
_FIRST_GUESS = 0.5
# Rates say little while few labels are in, and more and more as they come. A model, and
# a certificate, made in that time would not hold later. So history is unknown until it
# has begun to settle, and what more labels can add to it is bounded.
_SETTLED = 200.0  # labels of all tasks from which on rates are known
_KNOWN = 20.0  # labels of a domain, or a version, from which on its rate is
_ENOUGH = 10.0  # times the pull: labels beyond which more add nothing
_LEAST, _MOST = 0.01, 0.99
_HEAD = 200  # characters
_WORD = re.compile(r"[^\W\d_]{3,}")
_SAYS_NOTHING = frozenset(
    _WORD.findall(
        "the and for with you can please have that this would like hello there help "
        "need want some was are but not from about get could just know let any also "
        "your"
    )
)


# Events after which a task is stamped though nobody has said what is asked for.
PATIENCE = 5


def is_told(started: Mapping[str, Any], request: str, n_events: int) -> bool:
    """Return whether enough is known of a task to stamp it.

    Parameters
    ----------
    started : mapping
        What its `task_started` said; empty while none came.
    request : str
        What the user asked for; empty while nothing was.
    n_events : int
        Events of the task so far.
    """
    return bool(request or started.get("task_type")) or n_events >= PATIENCE


def head_of(text: str) -> str:
    """Return as much of what a user asked for as a task's type is found from."""
    return " ".join(text.split())[:_HEAD]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kin:
    """What a task has in common with others.

    Attributes
    ----------
    tenant, domain, agent_version : str
        Facts of the task; empty where unknown.
    task_type : str
        As the task was declared, or as `Types` found; empty: unknown.
    """

    tenant: str = ""
    domain: str = ""
    agent_version: str = ""
    task_type: str = ""

    @classmethod
    def of(cls, started: Mapping[str, Any]) -> Kin:
        """Return what the body of a `task_started` event says."""
        named = {
            name: str(started.get(name) or "")
            for name in ("tenant", "domain", "agent_version", "task_type")
        }
        return cls(**named)


@dataclass(slots=True)
class _Tally:
    """Weights of the labels so far, and of those that said "needed"."""

    needed: float = 0.0
    n: float = 0.0

    def rate(self, parent: float, pull: float) -> float:
        """Return the share of "needed", drawn to `parent` as if by `pull` labels."""
        n = self.counted(pull)
        own = self.needed / self.n if self.n > 0 else 0.0
        return (n * own + pull * parent) / (n + pull)

    def counted(self, pull: float) -> float:
        """Return how many labels count: beyond ten times the pull no more do."""
        return min(max(self.n, 0.0), _ENOUGH * pull)


@dataclass(slots=True)
class _Stamped:
    """A task that began: its keys, what was expected of it, what became known."""

    keys: tuple[tuple[str, ...], ...]
    expected: float
    told: tuple[float, float] | None = None


class Types:
    """Kinds of request, found by their words as the requests come in.

    A request joins the type it is most alike, if it is alike enough, or founds a new
    one while there are fewer than `MOST_TYPES`. Words weigh by how rare they are.
    """

    __slots__ = ("_lengths", "_seen", "_times", "_weights")

    def __init__(self) -> None:
        self._seen = 0
        self._times: Counter[str] = Counter()
        # By word: how much it weighs in each type. By type: squared length.
        self._weights: dict[str, dict[int, float]] = {}
        self._lengths: list[float] = []

    def find(self, request: str) -> str:
        """Return the type of `request`, which from now on counts to it."""
        words = dict.fromkeys(_WORD.findall(request.lower()))
        known = [word for word in words if word not in _SAYS_NOTHING]
        if not known:
            return ""
        self._seen += 1
        self._times.update(known)
        weights = {w: math.log1p(self._seen / self._times[w]) for w in known}
        length = math.sqrt(sum(value * value for value in weights.values()))
        place = self._nearest({w: v / length for w, v in weights.items()})
        for word, value in weights.items():
            of_word = self._weights.setdefault(word, {})
            before = of_word.get(place, 0.0)
            of_word[place] = before + value / length
            self._lengths[place] += of_word[place] ** 2 - before**2
        return f"found-{place}"

    def _nearest(self, weights: Mapping[str, float]) -> int:
        shared: dict[int, float] = {}
        for word, value in weights.items():
            for place, other in self._weights.get(word, {}).items():
                shared[place] = shared.get(place, 0.0) + value * other
        alike = {p: s / math.sqrt(self._lengths[p]) for p, s in shared.items()}
        best = max(alike, key=lambda p: (alike[p], -p), default=None)
        is_full = len(self._lengths) >= MOST_TYPES
        if best is not None and (alike[best] >= _ALIKE or is_full):
            return best
        if is_full:
            return 0
        self._lengths.append(0.0)
        return len(self._lengths) - 1


@dataclass(slots=True)
class OutcomeHistory:
    """What is known of earlier tasks. Pure; the same news give the same stamps."""

    _types: Types = field(default_factory=Types)
    _tallies: dict[tuple[str, ...], _Tally] = field(default_factory=dict)
    _begun: dict[str, _Stamped] = field(default_factory=dict)

    def begin(self, task_id: str, kin: Kin, request: str = "") -> dict[str, Any]:
        """Return the stamp of a task that begins now: the body of its event.

        Parameters
        ----------
        kin : Kin
            Where it names no type, one is found from the request's words.
        request : str
            What the user asked for, see `head_of`.
        """
        declared = asdict(kin)
        if not kin.task_type and request:
            kin = replace(kin, task_type=self._types.find(request))
        stamp, expected = self._read(kin)
        self._begun[task_id] = _Stamped(_keys(kin), expected)
        return {"task_type": kin.task_type, "kin": declared, **stamp}

    def knows(self, task_id: str) -> bool:
        """Return whether a task has begun."""
        return task_id in self._begun

    def tell(self, task_id: str, *, needed: bool | None, propensity: float = 1) -> None:
        """Take in the label of a task that has begun; a later one replaces it.

        Parameters
        ----------
        needed : bool or None
            None takes an earlier label back.
        propensity : float in (0, 1]
            Probability with which the task was chosen for labelling.
        """
        task = self._begun.get(task_id)
        if task is None:
            return
        if task.told is not None:
            self._count(task, *task.told, sign=-1.0)
        task.told = None
        if needed is not None:
            weight = min(1 / propensity, MOST_WEIGHT)
            task.told = float(needed), weight
            self._count(task, *task.told, sign=1.0)

    def _count(self, task: _Stamped, y: float, weight: float, *, sign: float) -> None:
        weight *= sign
        for key in task.keys:
            tally = self._tallies.setdefault(key, _Tally())
            tally.n += weight
            # What is counted of a type is how it exceeds what its agent does anyway.
            known = y - task.expected if key[0] == "excess" else y
            tally.needed += weight * known

    def _tally(self, key: tuple[str, ...]) -> _Tally:
        return self._tallies.get(key) or _Tally()

    def _read(self, kin: Kin) -> tuple[dict[str, float | None], float]:
        """Return the rates as they stand, and what is expected without the type."""
        every, domain, version, both, kind, excess, pair = map(self._tally, _keys(kin))
        overall = every.rate(_FIRST_GUESS, _PULL)
        of_domain = domain.rate(overall, _PULL)
        of_version = version.rate(overall, _PULL)
        expected = both.rate(of_domain, _PULL)
        beyond = excess.rate(0.0, _PULL_OF_TYPE)
        likely = min(max(expected + beyond, _LEAST), _MOST)
        if every.n < _SETTLED:
            return {}, expected
        stamp: dict[str, float | None] = {
            "domain_rate": of_domain if domain.n >= _KNOWN else None,
            "version_rate": of_version if version.n >= _KNOWN else None,
            "cell_rate": expected,
            "cell_n": both.counted(_PULL),
            "expected_rate": likely,
        }
        if kin.task_type:
            stamp |= {
                "type_n": kind.counted(_PULL_OF_TYPE),
                "type_rate": kind.rate(expected, _PULL_OF_TYPE),
                "type_excess": beyond,
                "pair_rate": pair.rate(likely, _PULL_OF_TYPE),
            }
        return stamp, expected


def _keys(kin: Kin) -> tuple[tuple[str, ...], ...]:
    """Return under what a task is counted; the order is that of `_read`."""
    tenant, domain, version = kin.tenant, kin.domain, kin.agent_version
    whole = (
        ("all", tenant),
        ("domain", tenant, domain),
        ("version", tenant, version),
        ("both", tenant, domain, version),
    )
    kind: tuple[str, ...] = (tenant, domain, kin.task_type)
    if not kin.task_type:
        kind = ()  # tasks of no type have nothing in common
    return (*whole, ("type", *kind), ("excess", *kind), ("pair", *kind, version))
