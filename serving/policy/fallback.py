"""Fallback responder: the one message a user gets when their task is handed over."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import product
from typing import Protocol

from serving.policy.document import COMMON_LOCALE, DEFAULT
from serving.policy.rules import SAFE_STOP, Message, Policy
from serving.policy.trigger import Action, Decision

__all__ = ["Waiting", "respond", "reworded", "wait_in_words"]


class Waiting(Protocol):
    """What the responder needs to know of a destination."""

    @property
    def queue(self) -> str:
        """Where the task waits."""
        ...

    @property
    def expected_wait(self) -> timedelta:
        """Until somebody takes it up."""
        ...


_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)

# "about {n} …": minutes, hours and days, for one and for more.
_UNITS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "en": (
        ("about a minute", "about {} minutes"),
        ("about an hour", "about {} hours"),
        ("about a day", "about {} days"),
    ),
    "de": (
        ("etwa eine Minute", "etwa {} Minuten"),
        ("etwa eine Stunde", "etwa {} Stunden"),
        ("etwa einen Tag", "etwa {} Tage"),
    ),
    "es": (
        ("aproximadamente un minuto", "aproximadamente {} minutos"),
        ("aproximadamente una hora", "aproximadamente {} horas"),
        ("aproximadamente un día", "aproximadamente {} días"),
    ),
}
# Read in any language, for a policy that speaks one we have no words of.
_ANY_LANGUAGE = (("≈ 1 min", "≈ {} min"), ("≈ 1 h", "≈ {} h"), ("≈ 1 d", "≈ {} d"))

# Up to here an exact number of minutes is meant; beyond, five more or less are not.
_EXACT_MINUTES = 10
_COARSE = 5


def _minutes(wait: timedelta) -> int:
    minutes = max(1, math.ceil(wait / timedelta(minutes=1)))
    if minutes <= _EXACT_MINUTES:
        return minutes
    return math.ceil(minutes / _COARSE) * _COARSE


def _rounded(wait: timedelta) -> tuple[int, int]:
    """Return the unit (0 minutes, 1 hours, 2 days) and how many, rounded up."""
    minutes = _minutes(wait)
    if minutes < _HOUR / timedelta(minutes=1):
        return 0, minutes
    hours = math.ceil(wait / _HOUR)
    if hours <= _DAY / _HOUR:
        return 1, hours
    return 2, math.ceil(wait / _DAY)


def wait_in_words(wait: timedelta, locale: str) -> str:
    """Return `wait` in the words of `locale`, rounded up: nobody is told less.

    Examples
    --------
    >>> wait_in_words(timedelta(minutes=23), "en-GB")
    'about 25 minutes'
    >>> wait_in_words(timedelta(hours=2), "de")
    'etwa 2 Stunden'
    """
    unit, n = _rounded(wait)
    one, more = _UNITS.get(locale.partition("-")[0], _ANY_LANGUAGE)[unit]
    return one if n == 1 else more.format(n)


def _reasons(decision: Decision) -> Iterator[str]:
    """Yield what the message may speak of, the nearest first."""
    if decision.action is Action.SAFE_STOP:
        yield SAFE_STOP
    yield from (firing.trigger for firing in decision.firings)


def _locales(locale: str) -> Iterator[str]:
    """Yield "de-AT", then "de"."""
    parts = locale.replace("_", "-").split("-")
    for n in range(len(parts), 0, -1):
        yield "-".join((parts[0].lower(), *parts[1:n]))


def _found(reasons: Iterable[str], policy: Policy, locale: str) -> tuple[str, Message]:
    """Return the message and the locale it is in.

    What the user can read comes before what the message is about: the general words
    in their language are better than the right ones in another.
    """
    reasons = tuple(reasons)
    own = product(_locales(locale), reasons)
    common = ((COMMON_LOCALE, reason) for reason in reasons)
    return next(
        (found_in, policy.messages[reason][found_in])
        for found_in, reason in (*own, *common)
        if found_in in policy.messages.get(reason, {})
    )


def respond(
    decision: Decision,
    destination: Waiting,
    policy: Policy,
    locale: str,
    at: datetime,
) -> str:
    """Return what the user is told at `at`: exactly one message, in their language.

    Chosen by the first trigger that fired and has a message of its own, else the
    default; by `locale` ("de-AT", then "de", then "en"); and by whether somebody is
    there at `at`.
    """
    return reworded(_reasons(decision), destination, policy, locale, at)


def reworded(
    reasons: Iterable[str],
    destination: Waiting,
    policy: Policy,
    locale: str,
    at: datetime,
) -> str:
    """Return what `respond` would say at `at` of a handover for these `reasons`.

    For the message that nobody has seen yet and whose promise no longer holds: it
    keeps its id, and says what is true now.

    Parameters
    ----------
    reasons : iterable of str
        What it may speak of, the nearest first; the general words come last.
    """
    found_in, message = _found((*reasons, DEFAULT), policy, locale)
    open_now = policy.queue(destination.queue).hours.is_open(at)
    text = message.open if open_now else message.closed
    return text.format(wait=wait_in_words(destination.expected_wait, found_in))
