"""The policy document: what may fire, who gets it, what is said, what is audited."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Self

import orjson
import yaml
from cel_expr_python import cel
from pydantic import Field, ValidationError

from serving.policy import advice, faults, schema, yaml12
from serving.policy.conditions import (
    ENVIRONMENT,
    FACTS,
    ConditionError,
    bind,
    compile_condition,
    outcome,
    reads,
)
from serving.policy.document import (
    AGENT_ASKS,
    AGENT_SILENT,
    LEARNED,
    SAFE_STOP,
    USER_ASKS,
    Costs,
    Learned,
    Message,
    Messages,
    Mode,
    OnWithdrawal,
    Priority,
    Route,
    Rule,
    Unstaffed,
    Waiver,
)
from serving.policy.hours import Hours
from serving.policy.part import Name, Part, Unit, Words
from serving.policy.queue import OnOverload, Queue
from serving.policy.review import Audit, Rubric
from serving.policy.silence import AgentSilence
from serving.policy.validation import Validation, about_validations, covered

__all__ = [
    "AGENT_ASKS",
    "AGENT_SILENT",
    "ENVIRONMENT",
    "FACTS",
    "LEARNED",
    "SAFE_STOP",
    "USER_ASKS",
    "Audit",
    "ConditionError",
    "Costs",
    "Hours",
    "Learned",
    "Message",
    "Mode",
    "OnOverload",
    "OnWithdrawal",
    "Policy",
    "PolicyError",
    "Priority",
    "Queue",
    "Route",
    "Rubric",
    "Rule",
    "Unstaffed",
    "Validation",
    "Waiver",
    "check",
    "compile_condition",
    "json_schema",
]


class PolicyError(ValueError):
    """A policy document that must not go live; the message lists every fault.

    Attributes
    ----------
    faults : tuple of str
        One sentence each: where, what is wrong, what to do.
    """

    def __init__(self, found: Iterator[str] | tuple[str, ...]) -> None:
        self.faults = tuple(found)
        listed = "".join(f"\n- {fault}" for fault in self.faults)
        n = len(self.faults)
        super().__init__(f"policy refused, {n} fault{'s' * (n != 1)}:{listed}")


class Policy(Part):
    """One version of the document, checked as a whole before it is used.

    Make one with `parse`, `load` or `default`: they check what lies between the parts.

    Attributes
    ----------
    version : str
        Of the document. Decisions also carry its digest.
    owner : str
        Who answers for it.
    review_by : date
        When it must be looked at again.
    mode : Mode
        shadow: decide and record; canary: act on a share of the tasks; enforce.
    canary_share : float
        That share.
    unstaffed : Unstaffed
        What to do when a task must be handed over and nobody on the chain is there.
    fallback_queue : str, optional
        The last rung of every chain.
    messages : Mapping of str to Mapping of str to Message
        What the user is told, by reason (a trigger, "safe_stop" or "default") and
        locale.
    agent_silence : AgentSilence
        What becomes of the task of an agent that stopped to beat.
    validations : tuple of Validation
        What allows a rule to read what the agent says of itself.
    """

    version: Words
    owner: Words
    review_by: date
    mode: Mode = Mode.ENFORCE
    canary_share: Unit = 0.1
    unstaffed: Unstaffed = Unstaffed.WAIT
    rules: tuple[Rule, ...]
    learned: Learned = Learned()
    costs: Costs = Costs()
    queues: Annotated[tuple[Queue, ...], Field(min_length=1)]
    routes: Annotated[tuple[Route, ...], Field(min_length=1)]
    fallback_queue: Name | None = None
    messages: Messages
    audit: Audit = Audit()
    agent_silence: AgentSilence = AgentSilence()
    validations: tuple[Validation, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the policy that the YAML document `text` is.

        Raises
        ------
        PolicyError
            If it must not go live; lists every fault and what to do about it. Faults
            of single parts come first: what lies between parts is looked at only when
            each of them holds.
        """
        try:
            document = yaml12.read(text)
        except yaml.YAMLError as error:
            raise PolicyError((f"not YAML: {error}",)) from error
        return cls._checked(document)

    @classmethod
    def _checked(cls, document: Any) -> Self:
        try:
            policy = cls.model_validate(document)
        except ValidationError as error:
            raise PolicyError(faults.part_faults(error)) from error
        found = tuple(policy._faults())  # noqa: SLF001 (its own)
        if found:
            raise PolicyError(found)
        return policy

    def model_copy(
        self, *, update: Mapping[str, Any] | None = None, deep: bool = False
    ) -> Self:
        """Return the policy with `update` in place, checked like any other.

        Pydantic's own would check nothing, and keep the digest of the old document.

        Raises
        ------
        PolicyError
            As `parse`.
        """
        del deep  # nothing is shared either way
        return self._checked({**self.model_dump(), **(update or {})})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the policy at `path`.

        Raises
        ------
        PolicyError
            As `parse`, or if the file cannot be read, or is not UTF-8 text.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise PolicyError((f"{path} cannot be read: {error.strerror}",)) from error
        except UnicodeDecodeError as error:
            raise PolicyError((f"{path} is not UTF-8 text: {error}",)) from error
        return cls.parse(text)

    @classmethod
    def default(cls) -> Self:
        """Return the policy that comes with the package: for support tasks."""
        text = files("serving.policy").joinpath("default.yaml")
        return cls.parse(text.read_text(encoding="utf-8"))

    def _faults(self) -> Iterator[str]:
        yield from faults.rule_faults(self.rules, self.learned, self.validations)
        last = self.fallback_queue
        yield from faults.queue_faults(self.queues, last)
        yield from faults.route_faults(self.routes, self.queues, self.rules, last)
        yield from faults.message_faults(self.messages, self.rules)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical document: what a decision refers to."""
        canonical = orjson.dumps(
            self.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS
        )
        return hashlib.sha256(canonical).hexdigest()

    @cached_property
    def conditions(self) -> Mapping[str, cel.Expression]:
        """Compiled conditions of rules and routes, by their text."""
        texts = {r.when for r in self.rules} | {r.when for r in self.routes}
        return {text: compile_condition(text) for text in texts}

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset().union(*(reads(text) for text in self.conditions))

    def bind(self, values: Mapping[str, str | float]) -> cel.Activation:
        """Return `values` as the conditions of this policy read them."""
        return bind(values, self._names)

    @cached_property
    def _versions(self) -> Mapping[str, frozenset[str]]:
        """Agent versions of which each rule may speak, where it may not of all."""
        known = {one.id: one for one in self.validations}
        return {
            rule.name: covered(told, rule.validated, known)
            for rule in self.rules
            if (told := faults.self_reported(rule))
        }

    def can_fire(self, rule: Rule, *, on: date | None, agent_version: str) -> bool:
        """Whether `rule` can fire on the day `on` for a task of `agent_version`.

        A rule over what the agent says of itself speaks only of the agent versions on
        which that was validated. On any other, an unknown one among them, it is silent.
        """
        versions = self._versions.get(rule.name)
        heard = versions is None or agent_version in versions
        return heard and rule.is_active(on)

    @cached_property
    def _by_name(self) -> Mapping[str, Queue]:
        return {queue.name: queue for queue in self.queues}

    def queue(self, name: str) -> Queue:
        """Return the queue called `name`; KeyError if there is none."""
        return self._by_name[name]

    def find(self, name: str) -> Queue | None:
        """Return the queue called `name`, or None: an older policy may have had it."""
        return self._by_name.get(name)

    def rungs(self, name: str) -> tuple[str, ...]:
        """Return queue `name` and all that take over for it, in turn."""
        last = () if self.fallback_queue is None else (self.fallback_queue,)
        return tuple(dict.fromkeys((*self.queue(name).rungs, *last)))

    def route(self, triggers: Collection[str], bound: cel.Activation) -> Route:
        """Return the first route that takes a handoff of which `triggers` fired.

        The last one takes everything: without it the document does not load. A route
        whose condition cannot be evaluated does not take it.
        """
        return next(
            route
            for route in self.routes
            if route.takes(triggers)
            and outcome(self.conditions[route.when], bound) is True
        )


def check(policy: Policy, *, today: date | None = None) -> tuple[str, ...]:
    """Return what the policy's owner should know though it may go live.

    Parameters
    ----------
    policy : Policy
        One that has been loaded.
    today : date, optional
        Without it nothing is said of dates: the review, ended waivers, opening hours.
    """
    return tuple(_advice(policy, today))


def _advice(policy: Policy, today: date | None) -> Iterator[str]:
    yield from advice.about_rules(policy.rules, policy.learned, today)
    yield from advice.about_versions(policy.rules, policy.validations)
    yield from about_validations(policy.validations, today)
    last = policy.fallback_queue
    yield from advice.about_routes(policy.routes, policy.queues, last)
    if policy.audit.uniform == 0:
        yield "audit.uniform is 0: misses will not be seen, no certificate renewed"
    if today is not None and today > policy.review_by:
        yield f"the review was due on {policy.review_by}; ask {policy.owner}"
    if today is not None:
        yield from advice.about_hours(policy.routes, policy.queues, last, today)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the document, for editors."""
    return {**schema.of(Policy), "title": "Escalon policy"}
