"""Faults between the parts of a policy: what must not go live, all found at once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydantic import ValidationError

from features.signals import SIGNALS
from serving.policy import validation
from serving.policy.conditions import (
    UNKNOWN,
    ConditionError,
    bind,
    compile_condition,
    holds_of_everything,
    nearest,
    outcome,
    reads,
)
from serving.policy.document import (
    AGENT_ASKS,
    AGENT_SILENT,
    COMMON_LOCALE,
    DEFAULT,
    LEARNED,
    SAFE_STOP,
    USER_ASKS,
    Learned,
    Messages,
    Route,
    Rule,
)
from serving.policy.queue import OnOverload, Queue
from serving.policy.validation import Validation
from serving.policy.words import is_tautology, template_fault

SELF_REPORTED = frozenset(s.name for s in SIGNALS if s.trust == "self_reported")

_ASKS_SIGNAL = "asks_for_human"
_RESERVED = frozenset({LEARNED, AGENT_ASKS, AGENT_SILENT, DEFAULT, SAFE_STOP})


def part_faults(error: ValidationError) -> Iterator[str]:
    """Yield what is wrong with single parts: a sentence for each of Pydantic's."""
    for fault in error.errors(include_url=False):
        where = ".".join(str(step) for step in fault["loc"]) or "the document"
        match fault["type"]:
            case "missing":
                yield f"{where} is missing"
            case "extra_forbidden":
                yield f"{where} is not a key of the policy; see `escalon policy schema`"
            case _:
                says = fault["msg"].removeprefix("Value error, ")
                yield f"{where}: {says}, found {fault['input']!r}"


def _twice(what: str, names: Iterable[str]) -> Iterator[str]:
    for name, n in Counter(names).items():
        if n > 1:
            yield f"{what} {name!r} is defined {n} times; give each a name of its own"


def _condition_fault(text: str) -> str | None:
    try:
        compile_condition(text)
    except ConditionError as error:
        return str(error)
    return None


def _sentence_faults(says: str, known: Iterable[str]) -> Iterator[str]:
    fault = template_fault(says, frozenset(known))
    if fault:
        yield fault
    if is_tautology(says):
        yield f"`{says}` gives no reason; say what happened, in words that fit only it"


def self_reported(rule: Rule) -> list[str]:
    """Return the signals the rule reads that the agent says of itself."""
    return sorted(reads(rule.when) & SELF_REPORTED)


def _rule_faults(rule: Rule, known: Mapping[str, Validation]) -> Iterator[str]:
    fault = _condition_fault(rule.when)
    if fault:
        yield fault
    if rule.name in _RESERVED:
        yield f"the name {rule.name!r} is taken by Escalon; choose another"
    yield from validation.rule_faults(self_reported(rule), rule.validated, known)
    yield from _sentence_faults(rule.says, UNKNOWN)


def _may_be_asked(rules: Sequence[Rule]) -> Iterator[str]:
    """Yield a fault if a user who asks for a human might not get one, unwaived."""
    rule = next((r for r in rules if r.name == USER_ASKS), None)
    how = f"`{_ASKS_SIGNAL} >= 1.0`"
    if rule is None:
        yield (
            f"there is no rule {USER_ASKS!r}; add it with {how}, and if users shall "
            "not reach a human give it a `waived` with by, why and until"
        )
    elif rule.waived is None and _condition_fault(rule.when) is None:
        asked = bind({_ASKS_SIGNAL: 1.0})
        if outcome(compile_condition(rule.when), asked) is not True:
            yield (
                f"rule {USER_ASKS!r}: `{rule.when}` does not fire when the user asks "
                f"once and nothing else is known; write {how}, or waive it"
            )


def rule_faults(
    rules: Sequence[Rule], learned: Learned, validations: Sequence[Validation] = ()
) -> Iterator[str]:
    """Yield what is wrong with the triggers."""
    yield from _twice("rule", (rule.name for rule in rules))
    yield from _may_be_asked(rules)
    yield from validation.validation_faults(validations)
    held = {one.id: one for one in validations}
    for rule in rules:
        found = _rule_faults(rule, held)
        yield from (f"rule {rule.name!r}: {fault}" for fault in found)
    known = {*UNKNOWN, "threshold"}
    yield from (f"learned: {fault}" for fault in _sentence_faults(learned.says, known))


def _queue_faults(queue: Queue, names: set[str], fallback: str | None) -> Iterator[str]:
    for rung in queue.chain:
        if rung not in names:
            yield f"its chain names {rung!r}, no such queue{nearest(rung, names)}"
    yield from (
        f"its chain comes to {name!r} {n} times"
        for name, n in Counter(queue.rungs).items()
        if n > 1
    )
    if queue.members and queue.at_work > len(queue.members):
        yield f"staff is {queue.at_work}, but it has {len(queue.members)} members"
    for person in queue.skills:
        if person not in queue.members:
            yield f"skills: {person!r} is no member{nearest(person, queue.members)}"
    is_last = not queue.chain and fallback in (None, queue.name)
    if queue.on_overload is OnOverload.SHED and is_last:
        yield "it sheds, but nothing takes over for it; give it a chain, or keep"


def queue_faults(queues: Sequence[Queue], fallback: str | None) -> Iterator[str]:
    """Yield what is wrong with the queues, and with the one that is last for all."""
    names = {queue.name for queue in queues}
    yield from _twice("queue", (queue.name for queue in queues))
    for queue in queues:
        yield from (
            f"queue {queue.name!r}: {fault}"
            for fault in _queue_faults(queue, names, fallback)
        )
    if fallback is not None and fallback not in names:
        yield (
            f"fallback_queue: there is no queue {fallback!r}{nearest(fallback, names)}"
        )


def _unowned(
    queue: Queue, queues: dict[str, Queue], fallback: str | None
) -> Iterator[str]:
    """Yield the rungs, this queue's own first, that nobody answers for."""
    last = () if fallback is None else (fallback,)
    for name in dict.fromkeys((*queue.rungs, *last)):
        rung = queues.get(name)
        if rung is not None and not rung.is_owned:
            lacks = "members" if rung.owner.strip() else "owner"
            way = "" if rung is queue else f" by the chain of {queue.name!r}"
            yield (
                f"ends{way} at queue {name!r}, which has no {lacks}; give it an owner "
                "and at least one member"
            )


def _is_catch_all(route: Route) -> bool:
    return (
        not route.triggers
        and _condition_fault(route.when) is None
        and holds_of_everything(route.when)
    )


def _route_faults(
    route: Route, queues: dict[str, Queue], triggers: set[str], fallback: str | None
) -> Iterator[str]:
    fault = _condition_fault(route.when)
    if fault:
        yield fault
    for name in route.triggers:
        if name not in triggers:
            yield f"no trigger is called {name!r}{nearest(name, triggers)}"
    if route.queue in queues:
        yield from _unowned(queues[route.queue], queues, fallback)
    else:
        yield f"there is no queue {route.queue!r}{nearest(route.queue, queues)}"


def _order_faults(routes: Sequence[Route]) -> Iterator[str]:
    taken = next((n for n, r in enumerate(routes, 1) if _is_catch_all(r)), math.inf)
    if taken is math.inf:
        yield "no route takes what the others leave; end the routes with `- queue: …`"
    for n, route in enumerate(routes, 1):
        if n > taken:
            yield (
                f"route {n} (to {route.queue!r}) is never reached: route {taken} takes "
                "everything; move it up"
            )


def triggers_of(rules: Sequence[Rule]) -> set[str]:
    """Return the name of everything that can fire."""
    own = {LEARNED, AGENT_ASKS, AGENT_SILENT, USER_ASKS}
    return own | {rule.name for rule in rules}


def route_faults(
    routes: Sequence[Route],
    queues: Sequence[Queue],
    rules: Sequence[Rule],
    fallback: str | None,
) -> Iterator[str]:
    """Yield what is wrong with the routes, and with the queues they lead to."""
    by_name = {queue.name: queue for queue in queues}
    triggers = triggers_of(rules)
    for n, route in enumerate(routes, 1):
        yield from (
            f"route {n} (to {route.queue!r}): {fault}"
            for fault in _route_faults(route, by_name, triggers, fallback)
        )
    yield from _order_faults(routes)


def message_faults(messages: Messages, rules: Sequence[Rule]) -> Iterator[str]:
    """Yield what is wrong with what users are told."""
    if COMMON_LOCALE not in messages.get(DEFAULT, {}):
        yield f"messages: {DEFAULT}.{COMMON_LOCALE} is missing; every user needs a text"
    reasons = triggers_of(rules) | {DEFAULT, SAFE_STOP}
    for reason, locales in messages.items():
        if reason not in reasons:
            yield f"messages: no trigger is called {reason!r}{nearest(reason, reasons)}"
        for locale, message in locales.items():
            for text in (message.open, message.closed):
                fault = template_fault(text, {"wait"})
                if fault:
                    yield f"messages: {reason}.{locale}: {fault}"
