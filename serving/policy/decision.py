"""What was decided: the value that the components and the store share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, Protocol, Self

import orjson

from serving.policy.inputs import Draw, Firing, Inputs, Load
from serving.policy.rules import Audit, Mode


class Action(StrEnum):
    """What the agent is told."""

    CONTINUE = "CONTINUE"
    ESCALATE = "ESCALATE"
    SAFE_STOP = "SAFE_STOP"


class Certified(Protocol):
    """What the policy needs to know of a certificate."""

    @property
    def threshold(self) -> float | None:
        """Risk at or above which the miss rate is certified; None: was refused."""
        ...

    @property
    def segment(self) -> str:
        """The tasks it speaks of, as ``"domain=retail"``; empty: all."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A threshold as it was: all that a decision keeps of a certificate."""

    threshold: float | None
    segment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which audits the draw selects the task for, and how probable that was.

    Attributes
    ----------
    uniform, targeted : bool
        Whether each stream selects the task.
    q_uniform, q_targeted : float
        The propensity of each; ratio.
    """

    uniform: bool
    targeted: bool
    q_uniform: float
    q_targeted: float

    @classmethod
    def drawn(cls, audit: Audit, risk: float | None, draw: Draw) -> Self:
        """Return what `draw` selects under the policy's audit rates.

        The targeted share follows sqrt(p(1-p)), the allocation of least variance for
        AIPW at equal cost, and reaches the policy's rate at p = 1/2. It never falls
        below the policy's floor: the model may be wrong where it is most sure. Without
        a risk a task is taken to be as uncertain as can be.

        References
        ----------
        Zrnic, Candès. "Active Statistical Inference" (2024): the optimal sampling
        rule.
        """
        p = 0.5 if risk is None else risk
        share = max(audit.floor, math.sqrt(p * (1 - p)) / 0.5)
        q_targeted = min(1.0, audit.targeted * share)
        return cls(
            uniform=draw.uniform < audit.uniform,
            targeted=draw.targeted < q_targeted,
            q_uniform=audit.uniform,
            q_targeted=q_targeted,
        )

    @property
    def is_any(self) -> bool:
        """Whether at least one stream selects the task."""
        return self.uniform or self.targeted

    @property
    def propensity(self) -> float:
        """Probability that at least one stream selects the task."""
        return 1 - (1 - self.q_uniform) * (1 - self.q_targeted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the policy decided at one step of a task, and all it decided it on.

    Attributes
    ----------
    action : Action
        What was decided.
    firings : tuple of Firing
        What fired, in the order of the document; the learned trigger comes last.
    threshold : float, optional
        What the risk was held against.
    source : "model" or "rules"
        Whether the model had a say. "rules": no risk, or no threshold for it.
    effective : bool
        Whether `action` takes effect, by the policy's mode.
    selection : Selection
        What the audit draw says of this task, if it is not handed over.
    propensity : float
        Probability that the task is labelled by a human: 1 where it is handed over.
    expected_loss : float, optional
        What a human's look is expected to save, in the policy's currency: the order
        of those who wait where there is more work than people.
    """

    action: Action
    firings: tuple[Firing, ...]
    threshold: float | None
    source: Literal["model", "rules"]
    mode: Mode
    effective: bool
    policy_version: str
    policy_digest: str
    selection: Selection
    propensity: float
    expected_loss: float | None
    inputs: Inputs

    @property
    def risk(self) -> float | None:
        """The model's risk; None where there was no usable one."""
        return self.inputs.risk

    @property
    def segment(self) -> str:
        """Whose certificate it was held against; empty: that of all tasks, or none."""
        return self.inputs.segment

    @property
    def draw(self) -> Draw:
        """The chance that was brought to it."""
        return self.inputs.draw

    @property
    def load(self) -> Load:
        """What waited at the queues when it was decided."""
        return self.inputs.load

    @property
    def model_version(self) -> str | None:
        """The model that gave the risk."""
        return self.inputs.model_version

    def to_json(self) -> dict[str, Any]:
        """Return the wire form: `from_json` makes an equal decision of it."""
        wire: dict[str, Any] = orjson.loads(orjson.dumps(self, default=sorted))
        return wire

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return the decision that `to_json` gave."""
        return cls(
            **{
                **stored,
                "action": Action(stored["action"]),
                "firings": tuple(Firing.from_json(f) for f in stored["firings"]),
                "mode": Mode(stored["mode"]),
                "selection": Selection(**stored["selection"]),
                "inputs": Inputs.from_json(stored["inputs"]),
            }
        )
