"""Preparing: all that a handover needs, and something plainer for what fails.

Routing, packing and wording are the policy's, and may fail. A handover may not: the
first queue somebody owns, the log as it came, and words of our own take their places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from features.events import AgentEvent
from serving.engine.deciding import Judgement
from serving.engine.models import Model
from serving.policy import fallback, package, router
from serving.policy.briefing import HOW_TO_GO_ON
from serving.policy.handoff import Handoff
from serving.policy.package import ContextPackage
from serving.policy.router import Destination
from serving.policy.rules import Policy, Priority
from serving.policy.sufficiency import PackagePart
from serving.safely import Failure, attempt
from serving.store.notices import Notice
from serving.store.tasks import Task, new_id

# Said when even the policy's own words cannot be found.
LAST_WORDS = "I am handing this over to a person, who will get back to you."


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is about to be handed over, and what failed while it was made ready.

    Attributes
    ----------
    wake_at : datetime
        When the handoff must first be looked at again.
    """

    handoff: Handoff
    package: ContextPackage
    notice: Notice
    wake_at: datetime
    faults: tuple[str, ...]

    @property
    def deadlines(self) -> dict[str, datetime | None]:
        """The handoff's deadlines, by kind."""
        return {"acknowledge": self.wake_at, "resolve": self.handoff.resolve_by}


def planned(
    task: Task,
    judgement: Judgement,
    events: Sequence[AgentEvent],
    policy: Policy,
    stored: Mapping[str, int],
) -> Plan:
    """Return what hands `task`, whose log is `events`, to a human. Never raises.

    Parameters
    ----------
    stored : Mapping of str to int
        Size in bytes, by hash, of the attachments of the task that are kept.
    """
    destination, unrouted = _destination(judgement, policy)
    packed, unpacked = _package(judgement, events, stored)
    message, unsaid = _message(judgement, destination, policy)
    handoff = Handoff.opened(
        handoff_id=new_id("hnd"),
        epoch=task.epoch + 1,
        decision=judgement.decision,
        destination=destination,
        package=packed,
        at=judgement.case.at,
    )
    return Plan(
        handoff=handoff,
        package=packed,
        notice=Notice(
            message_id=new_id("msg"), text=message, wait=destination.expected_wait
        ),
        wake_at=destination.wake_at or destination.acknowledge_by,
        faults=(*unrouted, *unpacked, *unsaid),
    )


def _destination(
    judgement: Judgement, policy: Policy
) -> tuple[Destination, tuple[str, ...]]:
    decision, at = judgement.decision, judgement.case.at
    chosen = attempt(
        lambda: router.choose(
            decision, decision.inputs.facts, policy, decision.load, at
        )
    )
    if not isinstance(chosen, Failure):
        return chosen, ()
    owned = next(queue for queue in policy.queues if queue.is_owned)
    plain = Destination(
        queue=owned.name,
        is_open=False,
        priority=Priority.HIGH,
        skills=(),
        acknowledge_by=at + owned.acknowledge_within,
        resolve_by=at + owned.resolve_within,
        expected_wait=owned.acknowledge_within,
        chain=owned.chain,
        rungs=owned.rungs,
    )
    return plain, (f"router:{chosen.name}",)


def _package(
    judgement: Judgement, events: Sequence[AgentEvent], stored: Mapping[str, int]
) -> tuple[ContextPackage, tuple[str, ...]]:
    """Return the package: explained, else without the model's reasons, else raw."""
    case, bundle = judgement.case, judgement.bundle
    faults: list[str] = []
    if bundle is not None and not isinstance(case.signals, Failure):
        x = case.signals
        explained = attempt(lambda: _explained(judgement, bundle, x, events, stored))
        if not isinstance(explained, Failure):
            return explained, ()
        faults.append(f"explain:{explained.name}")
    plain = attempt(
        lambda: package.pack(
            events, judgement.decision, (), case.named(), stored=stored
        )
    )
    if not isinstance(plain, Failure):
        return plain, tuple(faults)
    return _raw(judgement, events), (*faults, f"package:{plain.name}")


def _explained(
    judgement: Judgement,
    bundle: Model,
    x: NDArray[np.float64],
    events: Sequence[AgentEvent],
    stored: Mapping[str, int],
) -> ContextPackage:
    return package.pack(
        events,
        judgement.decision,
        bundle.explain(x),
        judgement.case.named(),
        base=bundle.base,
        score=bundle.score(x),
        stored=stored,
    )


def _raw(judgement: Judgement, events: Sequence[AgentEvent]) -> ContextPackage:
    """Return a package that could not be sorted: the log as it came, and why."""
    return ContextPackage(
        task_id=judgement.case.task_id,
        task=dict(judgement.case.started),
        at=judgement.case.at,
        request="",
        conversation=(),
        attempts=(),
        reasoning=(),
        record=tuple(event.to_json() for event in events),
        log=tuple(event.event_id for event in events),
        best_guess="",
        why=judgement.decision.firings,
        risk=judgement.decision.risk,
        threshold=judgement.decision.threshold,
        base=None,
        score=None,
        reasons=(),
        to_decide=(HOW_TO_GO_ON,),
        may_not_know=(),
        done=(),
        signals={},
        missing=("everything sorted: the log could not be packed, it stands as it is",),
        lacking=(str(PackagePart.OTHER),),
    )


def _message(
    judgement: Judgement, destination: Destination, policy: Policy
) -> tuple[str, tuple[str, ...]]:
    locale = str(judgement.case.started.get("locale", ""))
    said = attempt(
        lambda: fallback.respond(
            judgement.decision, destination, policy, locale, judgement.case.at
        )
    )
    return (
        (LAST_WORDS, (f"fallback:{said.name}",))
        if isinstance(said, Failure)
        else (said, ())
    )
