"""`escalon card`: a version's model card, with what is known of it by now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from escalon.terminal import mistakes, out, print_pairs
from serving.engine.figures import figures
from serving.policy.hours import Hours
from serving.policy.rules import Policy, PolicyError
from serving.store.alarms import Raised, of_model
from serving.store.opening import reading
from serving.store.transaction import Reader, StoreError
from serving.store.watched import loaded_at
from serving.where import Where
from training.card import CardError, read_card, write_card
from training.card.change import change_from
from training.card.evidence import Alarm, Desk, Drift, Staffing
from training.card.facts import CardFacts
from training.compare import SCHEMA as COMPARISON
from training.registry import GATES, Registry, RegistryError, Version

_DAYS_A_WEEK = 7
_MISTAKES = (CardError, PolicyError, RegistryError, StoreError)

Known = tuple[dict[str, Any], CardFacts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a user wants in a card beside what its training put there.

    Attributes
    ----------
    policy : Path or None
        Whose owner, review date, desks and audits to show.
    against : str
        Version to compare with; empty: none.
    approved_by : str
        Who let it go live; empty: nobody yet.
    tasks_a_day : float or None
        Expected; None: as many as in the training data.
    store : Path, PostgresAddress or None
        The service's store: KPIs and alarms since the version went live.
    comparison : Path or None
        What `escalon compare --out` wrote.
    """

    policy: Path | None = None
    against: str = ""
    approved_by: str = ""
    tasks_a_day: float | None = None
    store: Where | None = None
    comparison: Path | None = None


def write(version: str, wanted: Wanted, *, into: Path, mlruns: Path) -> None:
    """Write the four forms of the model card of a version."""
    with mistakes(*_MISTAKES):
        registry = Registry(mlruns)
        found = registry.find(version)
        report, facts = by_now(registry, found, wanted)
        page = write_card(report, facts, into / f"version-{found.number}")
    files = ", ".join(sorted(p.name for p in page.parent.iterdir() if p != page))
    print_pairs("Card", [("model", found.uri), ("open", page), ("beside it", files)])
    if not facts.gates:
        out.print(f"next: escalon promote {found.number}", style="dim")


def by_now(registry: Registry, version: Version, wanted: Wanted) -> Known:
    """Return what the card of a version is made from, with what came after training.

    Raises
    ------
    CardError
        If the card that training wrote cannot be read.
    """
    report, facts = known(registry, version)
    facts = replace(facts, gates=registry.kept(version, GATES))
    if wanted.approved_by:
        facts = replace(facts, approved_by=wanted.approved_by)
    if wanted.policy is not None:
        facts = under(Policy.load(wanted.policy), facts, wanted.tasks_a_day)
    if wanted.against:
        other = registry.find(wanted.against)
        role = "" if wanted.against.isdigit() else wanted.against
        change = change_from(known(registry, other), (report, facts), role=role)
        facts = replace(facts, change=change)
    if wanted.comparison is not None:
        facts = replace(facts, comparison=compared(wanted.comparison))
    if wanted.store is not None:
        with reading(wanted.store) as reader:
            facts = live(reader, facts, now=datetime.now(UTC))
    return report, facts


def known(registry: Registry, version: Version) -> Known:
    """Return report and facts of a version as its training kept them."""
    with TemporaryDirectory() as scratch:
        page = registry.card_of(version, Path(scratch))
        return read_card(page.with_suffix(".json"))


def under(
    policy: Policy, facts: CardFacts, tasks_a_day: float | None = None
) -> CardFacts:
    """Return facts of a version that is to go live under `policy`."""
    return replace(
        facts,
        owner=policy.owner,
        expires=policy.review_by,
        staffing=Staffing(
            desks=tuple(
                Desk(
                    name=queue.name,
                    people=queue.at_work,
                    hours_a_day=hours_a_day(queue.hours),
                    minutes_per_handoff=queue.minutes_per_handoff,
                )
                for queue in policy.queues
                if queue.at_work
            ),
            source=f"the queues of policy {policy.version}, owner {policy.owner}",
            tasks_a_day=tasks_a_day,
            audit_share=policy.audit.uniform,
        ),
    )


def compared(path: Path) -> dict[str, Any]:
    """Return what a comparison found, without the names of tasks.

    Raises
    ------
    CardError
        If it cannot be read, or is no comparison.
    """
    try:
        found = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        msg = f"expected a comparison at {path}, but it cannot be read ({error})"
        raise CardError(msg) from error
    schema = found.get("schema") if isinstance(found, dict) else None
    if schema != COMPARISON:
        msg = (
            f"expected a comparison of schema {COMPARISON!r} at {path}, found "
            f"{schema!r}; `escalon compare --out FILE` writes one"
        )
        raise CardError(msg)
    for part in ("added", "removed"):
        found[part].pop("examples", None)
    return dict(found)


def live(reader: Reader, facts: CardFacts, *, now: datetime) -> CardFacts:
    """Return facts with KPIs and alarms since the version went live.

    As they were where the store has never seen the version decide.
    """
    since = loaded_at(reader, facts.digest)
    if since is None:
        return facts
    found = figures(reader, now=now, since=since)
    drift = Drift(
        since=since.date(),
        until=now.date(),
        n_tasks=found.overall.escalation_rate.n,
        n_labelled=found.overall.miss_rate.n,
        alarms=tuple(
            _alarm(raised) for raised in reversed([*of_model(reader, facts.digest)])
        ),
    )
    return replace(facts, live=found.to_json(), drift=drift)


def _alarm(raised: Raised) -> Alarm:
    of = raised.alarm.withdraws
    withdrawn = f"certificate of {of}" if of else "certificate"
    return Alarm(
        kind=str(raised.alarm.code).replace("_", " "),
        segment=raised.alarm.segment,
        raised=raised.raised_at.date(),
        evidence=raised.alarm.says,
        withdraws=withdrawn if raised.is_withdrawing else "",
        cleared=None if raised.cleared_at is None else raised.cleared_at.date(),
    )


def hours_a_day(hours: Hours) -> float:
    """Return how long a queue is open, on average over a week without holidays, h."""
    opens, closes = (
        timedelta(hours=at.hour, minutes=at.minute, seconds=at.second)
        for at in (hours.opens, hours.closes)
    )
    span = (closes - opens) % timedelta(days=1) or timedelta(days=1)
    return span / timedelta(hours=1) * len(set(hours.days)) / _DAYS_A_WEEK
