"""What the owner of a policy should know of it, though it may go live."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta

from serving.policy.conditions import bind, compile_condition, outcome, reads
from serving.policy.document import Learned, OnWithdrawal, Queue, Route, Rule
from serving.policy.faults import SELF_REPORTED, self_reported
from serving.policy.validation import Validation, covered

_LOOKED_AHEAD = timedelta(days=14)
_STEP = timedelta(minutes=15)


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


def about_routes(routes: Sequence[Route], queues: Sequence[Queue]) -> Iterator[str]:
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
    for queue in queues:
        if queue.name not in reached:
            yield f"queue {queue.name!r} is reached by no route and no chain"


def _first_gap(queue: Queue, queues: Mapping[str, Queue], today: date) -> str | None:
    chain = [queues[name].hours for name in queue.rungs]
    at = datetime.combine(today, time(0), UTC)
    end = at + _LOOKED_AHEAD
    while at < end:
        if not any(hours.is_open(at) for hours in chain):
            return f"{at:%Y-%m-%d %H:%M} UTC"
        at += _STEP
    return None


def about_hours(
    routes: Sequence[Route], queues: Sequence[Queue], today: date
) -> Iterator[str]:
    """Yield the queues on whose chain nobody is there at some time of 14 days."""
    by_name = {queue.name: queue for queue in queues}
    for name in dict.fromkeys(route.queue for route in routes):
        gap = _first_gap(by_name[name], by_name, today)
        if gap is not None:
            yield (
                f"queue {name!r}: nobody on its chain is there at {gap}, first of "
                "all; handoffs wait then, and users are told so"
            )
