"""What the owner of a policy should know of it, though it may go live."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta

from serving.policy.conditions import bind, compile_condition, outcome, reads
from serving.policy.document import Learned, OnWithdrawal, Route, Rule
from serving.policy.faults import SELF_REPORTED, self_reported
from serving.policy.hours import first_gap
from serving.policy.queue import Queue
from serving.policy.validation import Validation, covered

LOOKED_AHEAD = timedelta(days=14)


def about_rules(
    rules: Sequence[Rule], learned: Learned, today: date | None
) -> Iterator[str]:
    """Yield what switches triggers off, and what fires on nothing."""
    for rule in rules:
        if rule.waived is not None:
            over = today is not None and rule.is_active(today)
            yield (
                f"rule {rule.name!r} is waived by {rule.waived.by} until "
                f"{rule.waived.until}: {rule.waived.why}"
                + (" (this is over: the rule fires again)" if over else "")
            )
        if outcome(compile_condition(rule.when), bind({})) is True:
            yield (
                f"rule {rule.name!r} fires while nothing is known, so at the start of "
                "every task; `!=` and `!` are true of unknown signals"
            )
    if not learned.enabled:
        yield "the learned trigger is disabled: rules alone decide"
        if all(rule.waived is not None for rule in rules):
            yield "nothing can fire: the learned trigger is off, every rule is waived"
    elif learned.on_withdrawal is not OnWithdrawal.ESCALATE:
        yield (
            f"learned.on_withdrawal is {learned.on_withdrawal}: once more tasks are "
            "missed than was promised, no more of them are escalated for it"
        )


def about_versions(
    rules: Sequence[Rule], validations: Sequence[Validation]
) -> Iterator[str]:
    """Yield of which agent versions alone a rule speaks."""
    known = {one.id: one for one in validations}
    for rule in rules:
        told = self_reported(rule)
        if told:
            versions = ", ".join(sorted(covered(told, rule.validated, known)))
            yield (
                f"rule {rule.name!r} reads {', '.join(told)} and so speaks only of "
                f"agent version {versions}; on any other it is silent"
            )


def about_routes(
    routes: Sequence[Route], queues: Sequence[Queue], fallback: str | None
) -> Iterator[str]:
    """Yield what lets an agent choose its queue, and which queues get nothing."""
    for n, route in enumerate(routes, 1):
        told = sorted(reads(route.when) & SELF_REPORTED)
        if told:
            yield (
                f"route {n} (to {route.queue!r}) reads {', '.join(told)}, which the "
                "agent says of itself: it can choose its queue by it"
            )
    by_name = {queue.name: queue for queue in queues}
    reached = {rung for route in routes for rung in by_name[route.queue].rungs}
    reached.add(fallback or "")
    for queue in queues:
        if queue.name not in reached:
            yield f"queue {queue.name!r} is reached by no route and no chain"


def about_hours(
    routes: Sequence[Route], queues: Sequence[Queue], fallback: str | None, today: date
) -> Iterator[str]:
    """Yield the unattended queues, and when users are next left with nobody."""
    by_name = {queue.name: queue for queue in queues}
    start = datetime.combine(today, time(0), UTC)
    for name in dict.fromkeys(route.queue for route in routes):
        queue = by_name[name]
        rungs = (*queue.rungs, *([] if fallback is None else [fallback]))
        hours = [by_name[rung].hours for rung in rungs]
        gap = first_gap(hours, start, start + LOOKED_AHEAD)
        if gap is not None and queue.unattended:
            yield (
                f"queue {name!r} is declared unattended: nobody is there from "
                f"{queue.hours.local(gap[0]):%a %Y-%m-%d %H:%M} "
                f"({queue.hours.timezone}), first of all; agents are stopped safely "
                "then, and users are told the wait"
            )
        if gap is None and queue.unattended:
            yield f"queue {name!r} is declared unattended, and somebody is always there"
