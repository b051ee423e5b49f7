"""What a decision is made on: the values that the components share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Self

from serving.policy.rules import Priority


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """A trigger that fired.

    Attributes
    ----------
    trigger : str
        Its name in the policy.
    says : str
        Why, in words for the person who takes over.
    priority : Priority
        How soon a human must look.
    asks : str
        What that person must decide, where the policy says so.
    """

    trigger: str
    says: str
    priority: Priority = Priority.NORMAL
    asks: str = ""

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return the firing that was stored."""
        return cls(**{**stored, "priority": Priority(stored["priority"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """Chance, brought from outside so that a decision can be replayed.

    Attributes
    ----------
    uniform, targeted : float
        In [0, 1). Drawn once per task by the server, out of the agent's sight, and
        given again at each of its steps: then a task is audited with the propensity
        of its last decision, however many steps it took.
    canary : float
        In [0, 1), the same at all steps of a task (`trigger.canary_of`).
    """

    uniform: float
    targeted: float
    canary: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a condition may know of the task besides its signals.

    Attributes
    ----------
    account_value : float, optional
        In the currency of the policy's costs.
    hour : float, optional
        Hour of the day in UTC, in [0, 24).
    on : date, optional
        The day (UTC), by which waivers end. No condition reads it.
    """

    domain: str = ""
    channel: str = ""
    locale: str = ""
    agent_id: str = ""
    agent_version: str = ""
    account_tier: str = ""
    account_value: float | None = None
    hour: float | None = None
    on: date | None = None

    @classmethod
    def of(cls, started: Mapping[str, Any], at: datetime) -> Self:
        """Return the facts that the body of a task_started event gives, at `at`."""
        account = started.get("account") or {}
        value = account.get("value")
        now = at.astimezone(UTC)
        return cls(
            domain=started.get("domain") or "",
            channel=started.get("channel") or "",
            locale=started.get("locale") or "",
            agent_id=started.get("agent_id") or "",
            agent_version=started.get("agent_version") or "",
            account_tier=account.get("tier") or "",
            account_value=None if value is None else float(value),
            hour=now.hour + now.minute / 60,
            on=now.date(),
        )

    def known(self) -> dict[str, str | float]:
        """Return the facts a condition can read, by name, without the unknown ones."""
        known: dict[str, str | float] = {
            "domain": self.domain,
            "channel": self.channel,
            "locale": self.locale,
            "agent_id": self.agent_id,
            "agent_version": self.agent_version,
            "account_tier": self.account_tier,
        }
        if self.account_value is not None:
            known["account_value"] = self.account_value
        if self.hour is not None:
            known["hour"] = self.hour
        return known

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return the facts that were stored."""
        on = stored["on"]
        return cls(**{**stored, "on": None if on is None else date.fromisoformat(on)})


@dataclass(frozen=True, slots=True)
class Load:
    """What waits at each queue.

    Attributes
    ----------
    queues : Mapping of str to (int, float)
        How many handoffs wait, and the age of the oldest in seconds. A queue that is
        not named has none.
    staffed : frozenset of str, optional
        Queues where somebody is there now (`router.seen`); None: not looked at, which
        counts as all.
    claimed : Mapping of str to int
        How many handoffs somebody has in hand, by queue.
    """

    queues: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    staffed: frozenset[str] | None = None
    claimed: Mapping[str, int] = field(default_factory=dict)

    def waiting(self, queue: str) -> int:
        """Return how many handoffs wait at `queue`."""
        return self.queues.get(queue, (0, 0.0))[0]

    def is_staffed(self, queue: str) -> bool:
        """Whether somebody is known, or taken, to be at `queue`."""
        return self.staffed is None or queue in self.staffed

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return the load that was stored."""
        staffed = stored["staffed"]
        return cls(
            {name: (n, oldest) for name, (n, oldest) in stored["queues"].items()},
            None if staffed is None else frozenset(staffed),
            # Not in what was stored before it was looked at.
            stored.get("claimed", {}),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What a human has already answered, by returning the task to its agent.

    Signals summarise a task's whole past, so what fired once goes on firing. Without
    this a returned task would be handed over again at the agent's next step.

    Attributes
    ----------
    firings : tuple of Firing
        Of the handoffs that were returned.
    risk : float, optional
        The highest of those handoffs; None: none of them had one.
    """

    firings: tuple[Firing, ...] = ()
    risk: float | None = None

    def covers(self, firing: Firing) -> bool:
        """Whether `firing` says nothing that a human has not answered."""
        return any(
            (firing.trigger, firing.says) == (old.trigger, old.says)
            for old in self.firings
        )

    def covers_risk(self, risk: float) -> bool:
        """Whether a human has answered a risk as high as this."""
        return self.risk is not None and risk <= self.risk

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return what was stored."""
        firings = tuple(Firing.from_json(f) for f in stored["firings"])
        return cls(firings=firings, risk=stored["risk"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Everything a decision depended on, besides the policy.

    Attributes
    ----------
    signals : Mapping of str to float
        The known ones; what is not here was NaN.
    certified : float, optional
        The model's certified threshold.
    wishes : tuple of Firing
        What was asked for from outside: by the user, or by the agent itself.
    settled : Settled
        What a human has answered already.
    segment : str
        The tasks that `certified` speaks of, as ``"domain=retail"``; empty: all. What
        was stored before there were segments has none.
    withdrawn : bool
        Whether that certificate had been found not to hold.
    """

    signals: Mapping[str, float]
    facts: Facts
    risk: float | None
    load: Load
    draw: Draw
    certified: float | None
    model_version: str | None
    wishes: tuple[Firing, ...] = ()
    settled: Settled = field(default_factory=Settled)
    segment: str = ""
    withdrawn: bool = False

    def values(self) -> dict[str, str | float]:
        """Return signals, facts and risk as a condition reads them.

        Where a fact has a signal's name (the account's value) they mean the same, and
        the fact is the fresher one.
        """
        risk = {} if self.risk is None else {"risk": self.risk}
        return {**self.signals, **self.facts.known(), **risk}

    @property
    def account_value(self) -> float:
        """The account's value; 0 while unknown."""
        value = self.facts.account_value
        return self.signals.get("account_value", 0.0) if value is None else value

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return the inputs that were stored."""
        return cls(
            **{
                **stored,
                "facts": Facts.from_json(stored["facts"]),
                "load": Load.from_json(stored["load"]),
                "draw": Draw(**stored["draw"]),
                "wishes": tuple(Firing.from_json(wish) for wish in stored["wishes"]),
                "settled": Settled.from_json(stored["settled"]),
            }
        )
