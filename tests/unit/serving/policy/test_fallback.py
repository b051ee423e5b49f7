from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.policy.fallback import respond, wait_in_words
from serving.policy.rules import Policy
from serving.policy.trigger import Decision, Firing, Load

Decided = Callable[..., Decision]
PolicyOf = Callable[..., Policy]

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
NIGHT = NOON.replace(hour=23)


def message(says: str) -> dict[str, str]:
    return {"open": f"{says} open {{wait}}", "closed": f"{says} closed {{wait}}"}


MESSAGES: dict[str, Any] = {
    "default": {
        "en": message("default en"),
        "de": message("default de"),
        "de-AT": message("default de-AT"),
        "fr": message("default fr"),
    },
    "loop": {"en": message("loop en"), "de": message("loop de")},
}


@dataclass(frozen=True)
class There:
    """A destination with a wait."""

    queue: str = "general"
    expected_wait: timedelta = timedelta(minutes=8)


@pytest.fixture
def policy(policy_of: PolicyOf) -> Policy:
    """Return a policy with messages in several languages, staffed by day."""
    general = {
        "name": "general",
        "owner": "lead",
        "members": ["ana"],
        "hours": {"opens": "08:00", "closes": "20:00"},
    }
    return policy_of(messages=MESSAGES, queues=[general], routes=[{"queue": "general"}])


@pytest.mark.parametrize(
    ("signals", "locale", "says"),
    [
        ({"call_repeats": 3.0}, "en", "loop en open about 8 minutes"),
        ({"call_repeats": 3.0}, "en-GB", "loop en open about 8 minutes"),
        ({"call_repeats": 3.0}, "de-CH", "loop de open etwa 8 Minuten"),
        ({"call_repeats": 3.0}, "DE_CH", "loop de open etwa 8 Minuten"),
        ({"asks_for_human": 1.0}, "en", "default en open about 8 minutes"),
        ({"asks_for_human": 1.0}, "de-AT", "default de-AT open etwa 8 Minuten"),
        (
            {"asks_for_human": 1.0, "call_repeats": 3.0},
            "de",
            "loop de open etwa 8 Minuten",
        ),
        # The user's language comes before the reason.
        ({"call_repeats": 3.0}, "de-AT", "default de-AT open etwa 8 Minuten"),
        ({"call_repeats": 3.0}, "fr", "default fr open ≈ 8 min"),
        ({"call_repeats": 3.0}, "ja", "loop en open about 8 minutes"),
        ({"call_repeats": 3.0}, "", "loop en open about 8 minutes"),
    ],
)
def test_one_message_by_language_and_reason(
    policy: Policy, decided: Decided, signals: dict[str, float], locale: str, says: str
) -> None:
    """The language is the user's if there is one, then the reason is the nearest."""
    decision = decided(policy, signals=signals)
    assert respond(decision, There(), policy, locale, NOON) == says


def test_a_closed_queue_is_told_as_closed(policy: Policy, decided: Decided) -> None:
    """At night the message for closed hours is sent."""
    decision = decided(policy, signals={"call_repeats": 3.0})
    there = There(expected_wait=timedelta(hours=9, minutes=8))
    assert (
        respond(decision, there, policy, "en", NIGHT) == "loop en closed about 10 hours"
    )


def test_a_safe_stop_has_a_message_of_its_own(
    policy_of: PolicyOf, decided: Decided
) -> None:
    """A stop is told as a stop where the policy has words for it, else by its reason."""
    stopping: dict[str, Any] = {"unstaffed": "safe_stop"}
    with_words = policy_of(
        **stopping, messages=MESSAGES | {"safe_stop": {"en": message("stop")}}
    )
    without = policy_of(**stopping, messages=MESSAGES)
    for policy, says in ((with_words, "stop open"), (without, "loop en open")):
        decision = decided(
            policy, signals={"call_repeats": 3.0}, load=Load({}, frozenset())
        )
        assert respond(decision, There(), policy, "en", NOON).startswith(says)


def test_braces_in_the_users_words_do_not_reach_the_message(
    policy: Policy, decided: Decided
) -> None:
    """What fired is not part of the message: users are told no internals."""
    wish = Firing(trigger="agent_asks_for_human", says="{wait} {0.__class__}")
    decision = decided(policy, wishes=(wish,))
    assert respond(decision, There(), policy, "en", NOON) == (
        "default en open about 8 minutes"
    )


@pytest.mark.parametrize(
    ("wait", "words"),
    [
        ({"seconds": 0}, "about a minute"),
        ({"seconds": 61}, "about 2 minutes"),
        ({"minutes": 10}, "about 10 minutes"),
        ({"minutes": 11}, "about 15 minutes"),
        ({"minutes": 55}, "about 55 minutes"),
        ({"minutes": 56}, "about an hour"),
        ({"minutes": 61}, "about 2 hours"),
        ({"hours": 24}, "about 24 hours"),
        ({"hours": 24, "seconds": 1}, "about 2 days"),
    ],
)
def test_a_wait_is_told_in_words(wait: dict[str, float], words: str) -> None:
    """Minutes up to an hour, hours up to a day, then days; never less than it is."""
    assert wait_in_words(timedelta(**wait), "en") == words


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("en", ("about a minute", "about an hour", "about 3 days")),
        ("de", ("etwa eine Minute", "etwa eine Stunde", "etwa 3 Tage")),
        (
            "es",
            (
                "aproximadamente un minuto",
                "aproximadamente una hora",
                "aproximadamente 3 días",
            ),
        ),
        ("pt-BR", ("≈ 1 min", "≈ 1 h", "≈ 3 d")),
    ],
)
def test_a_wait_is_told_in_the_language_of_the_message(
    locale: str, words: tuple[str, ...]
) -> None:
    """Each language has its words; one we have none of gets signs read anywhere."""
    waits = (timedelta(0), timedelta(hours=1), timedelta(days=3))
    assert tuple(wait_in_words(wait, locale) for wait in waits) == words


@given(st.timedeltas(timedelta(0), timedelta(days=400)))
def test_nobody_is_told_less_than_the_wait(wait: timedelta) -> None:
    """What is told is at least the wait, and at most twice it and a minute."""
    number, unit = wait_in_words(wait, "pt").removeprefix("≈ ").split()
    told = int(number) * {"min": 60, "h": 3600, "d": 86400}[unit]
    assert wait.total_seconds() <= told <= 2 * wait.total_seconds() + 60


@pytest.mark.parametrize("locale", ["en", "de", "es"])
def test_every_message_of_the_default_policy_is_honest_about_the_wait(
    locale: str,
) -> None:
    """Each text of the default policy names the wait, in each of its languages."""
    for reason, by_locale in Policy.default().messages.items():
        told = by_locale[locale]
        assert "{wait}" in told.open, reason
        assert "{wait}" in told.closed, reason
        assert told.open != told.closed, reason
