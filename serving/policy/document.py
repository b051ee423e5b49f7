"""The parts of the policy document, each checked on its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from serving.policy.part import Amount, Name, Part, Positive, Unit, Words


class Mode(StrEnum):
    """How much of a decision takes effect."""

    SHADOW = "shadow"
    CANARY = "canary"
    ENFORCE = "enforce"


class Priority(StrEnum):
    """How soon a human must look. Order of declaration is order of urgency."""

    URGENT = "urgent"
    HIGH = "high"
    NORMAL = "normal"

    @property
    def rank(self) -> int:
        """Place in the order of urgency, 0 is the most urgent."""
        return list(Priority).index(self)


class Unstaffed(StrEnum):
    """What a decision to escalate becomes while nobody on its chain is there."""

    WAIT = "wait"
    SAFE_STOP = "safe_stop"


class OnWithdrawal(StrEnum):
    """What becomes of the learned trigger once its certificate was withdrawn."""

    ESCALATE = "escalate"
    RULES_ONLY = "rules_only"
    KEEP = "keep"


# Names of triggers that are not rules of the document.
LEARNED = "learned"
AGENT_ASKS = "agent_asks_for_human"
AGENT_SILENT = "agent_silent"
# The rule that cannot be left out, only waived; also what the user's own call fires.
USER_ASKS = "user_asks_for_human"
# Reasons of messages that are no triggers.
DEFAULT = "default"
SAFE_STOP = "safe_stop"

# Every user can be told something in this language.
COMMON_LOCALE = "en"


class Waiver(Part):
    """Who switched a trigger off, and why. Audited whenever the policy loads."""

    by: Words
    why: Words
    until: date


class Rule(Part):
    """A hard rule: a condition over signals and facts, never overruled by the model.

    Attributes
    ----------
    when : str
        A CEL expression of type bool. Every signal is a double, NaN while unknown:
        every comparison with NaN is false, but for ``!=``. Facts as in `FACTS`.
    says : str
        Why it fired, in words for the person who takes over. ``{name}`` is filled
        with the value of that signal or fact.
    asks : str
        What that person must decide.
    waived : Waiver, optional
        Switches the rule off up to and with the day `until`.
    validated : tuple of str
        Needed where `when` reads a self-reported signal: which of the `validations`
        allow it. The rule then speaks of the agent versions they were made on alone.
    """

    name: Name
    when: Words
    says: Words
    asks: str = ""
    priority: Priority = Priority.NORMAL
    waived: Waiver | None = None
    validated: tuple[Words, ...] = ()

    def is_active(self, on: date | None) -> bool:
        """Whether the rule can fire on the day `on`.

        A waiver ends by itself. Where the day is not known it does not hold: what
        switches a safeguard off must be sure.
        """
        return self.waived is None or on is None or on > self.waived.until


class Costs(Part):
    """What a review and a miss cost, in one currency.

    Attributes
    ----------
    review, miss : float
        Cost of a person's look at a task, and of a task that needed one and got none.
    miss_per_account_value : float
        What a miss costs more per unit of the account's value.
    fixable : float
        Share of the tasks that need a human which a human can still put right.
    """

    review: Positive = 5.0
    miss: Positive = 40.0
    miss_per_account_value: Amount = 0.0
    fixable: Annotated[float, Field(gt=0, le=1)] = 0.8

    def saved(self, account_value: float) -> float:
        """Return what a review saves if the task does need a human."""
        return self.fixable * (self.miss + self.miss_per_account_value * account_value)

    def threshold(self, account_value: float) -> float:
        """Return the risk above which a review pays, in (0, inf)."""
        return self.review / self.saved(account_value)


class Learned(Part):
    """The learned trigger: calibrated risk at or above a threshold.

    Attributes
    ----------
    threshold : "certified", "cost" or float
        The certified threshold; or the risk above which a review pays (`Costs`); or
        the owner's own. The last two are never taken above the certified one.
    on_withdrawal : OnWithdrawal
        Once monitors found that the certificate does not hold. escalate: the safe
        side, every task with a risk goes to a human. rules_only: the trigger no longer
        fires. keep: it goes on under a threshold of which nothing is promised.
    max_age_days : int
        A model made more days ago decides no more: rules do, until there is another.
    """

    enabled: bool = True
    threshold: Literal["certified", "cost"] | Unit = "certified"
    on_withdrawal: OnWithdrawal = OnWithdrawal.ESCALATE
    max_age_days: Annotated[int, Field(ge=1)] = 90
    says: Words = "predicted risk {risk} is at or above the threshold {threshold}"
    asks: str = ""
    priority: Priority = Priority.NORMAL

    def held_against(
        self,
        costs: Costs,
        certified: float | None,
        account_value: float,
        *,
        withdrawn: bool = False,
    ) -> float | None:
        """Return the threshold the risk is held against; None: it cannot fire.

        The certified threshold is the highest at which the miss rate is bounded, so
        every lower one is certified too: escalating more can only miss less. The cost
        rule, and a number of the owner's own, therefore choose inside the certified
        set by lowering it; a dearer account lowers it further. Were they allowed to
        raise it, the price of a review would quietly undo the promise: where that is
        wanted, the promise (alpha) is what has to change. Without a certificate they
        stand alone, for then nothing was promised.

        Parameters
        ----------
        costs : Costs
            For the cost rule.
        certified : float or None
            The certified threshold; None: there is no certificate, or it was refused.
        account_value : float
            In the currency of `costs`.
        withdrawn : bool
            Whether that certificate was found not to hold.
        """
        if withdrawn and self.enabled:
            match self.on_withdrawal:
                case OnWithdrawal.ESCALATE:
                    return 0.0
                case OnWithdrawal.RULES_ONLY:
                    return None
                case OnWithdrawal.KEEP:
                    pass
        if not self.enabled or self.threshold == "certified":
            return certified if self.enabled else None
        own = self.threshold
        if own == "cost":
            own = costs.threshold(account_value)
        return own if certified is None else min(own, certified)


class Route(Part):
    """Where a handoff goes: the first route that takes it.

    Attributes
    ----------
    triggers : tuple of str
        Takes handoffs of which one of these fired; empty takes any.
    when : str
        And of which this condition holds.
    priority : Priority, optional
        In place of the most urgent one among what fired.
    """

    when: Words = "true"
    triggers: tuple[Name, ...] = ()
    queue: Name
    priority: Priority | None = None
    skills: tuple[Words, ...] = ()

    def takes(self, fired: Collection[str]) -> bool:
        """Whether one of `fired` is a trigger of this route, or it takes any."""
        return not self.triggers or any(name in self.triggers for name in fired)


class Message(Part):
    """What the user is told, while the queue is open and while it is closed.

    ``{wait}`` is filled with the expected wait in words.
    """

    open: Words
    closed: Words


Locale = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
Messages = Mapping[Name, Mapping[Locale, Message]]
