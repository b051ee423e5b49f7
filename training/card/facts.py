"""What a model card says beyond the evaluation: who, what for, on which data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

import numpy as np

from features.signals import SIGNALS
from training.bundle import Certificate
from training.evaluate.metrics import Floats

INTENDED_USE = (
    "Decide, while an AI agent works on a task, whether a human has to take the task "
    "over. Its risk is one trigger of a policy whose hard rules it cannot overrule."
)
NOT_FOR = (
    "Judging people: customers, reviewers or the staff who take over.",
    "Grading agents against each other; their tasks differ.",
    "Domains or agent versions without labelled tasks of their own in the data below.",
    "Deciding alone where a wrong continuation cannot be undone; that takes a rule.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalShare:
    """How much one signal moves the score.

    Attributes
    ----------
    share : float in [0, 1]
        Of the mean absolute contribution, summed over all signals.
    direction : -1, 0 or 1
        The constraint the model was trained under.
    trust : {"observed", "self_reported"}
        Whether it is the agent's own word.
    """

    name: str
    doc: str
    share: float
    direction: Literal[-1, 0, 1]
    trust: Literal["observed", "self_reported"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What a card says beyond the evaluation.

    Attributes
    ----------
    model, version, digest : str
        Registered name, version, and SHA-256 of the bundle's manifest.
    aliases : tuple of str
        Such as ``("challenger",)``.
    certificate : Certificate
        The bundle's promise, or its refusal.
    made, expires : date
        Day of training; day after which the version must be looked at again, if any.
    owner, approved_by : str
        Who answers for it, and who let it go live; empty where nobody did.
    window : tuple of two dates, or None
        First and last day of the training tasks.
    n_tasks, n_unlabelled : int
        Tasks it was trained on, and tasks left out for want of a label.
    label_sources : mapping of str to int
        Tasks by where their label came from.
    fingerprint : str
        SHA-256 of the training data.
    evaluated_on : str
        Which tasks the figures are from, such as "held-out customers, 5 folds".
    signals : tuple of SignalShare
        From `signal_shares`, largest first.
    limitations : tuple of str
        Known limits beyond those that the figures show.
    """

    model: str
    version: str
    digest: str
    certificate: Certificate
    made: date
    n_tasks: int
    fingerprint: str
    evaluated_on: str
    aliases: tuple[str, ...] = ()
    expires: date | None = None
    owner: str = ""
    approved_by: str = ""
    window: tuple[date, date] | None = None
    n_unlabelled: int = 0
    label_sources: Mapping[str, int] = field(default_factory=dict)
    intended_use: str = INTENDED_USE
    not_for: tuple[str, ...] = NOT_FOR
    signals: tuple[SignalShare, ...] = ()
    limitations: tuple[str, ...] = ()


def signal_shares(contributions: Floats) -> tuple[SignalShare, ...]:
    """Return how much each signal moves the score, largest first.

    Parameters
    ----------
    contributions : ndarray of shape (n_rows, n_signals), float, log-odds
        TreeSHAP or linear contributions of a sample of rows, columns as in
        `features.signals.SIGNALS`.
    """
    size = np.abs(contributions).mean(0)
    total = size.sum() or 1.0
    return tuple(
        SignalShare(
            name=SIGNALS[i].name,
            doc=SIGNALS[i].doc,
            share=float(size[i] / total),
            direction=SIGNALS[i].direction,
            trust=SIGNALS[i].trust,
        )
        for i in np.argsort(-size, kind="stable")
    )
