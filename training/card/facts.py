"""What a model card says beyond the evaluation: who, what for, on which data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

import numpy as np

from features.signals import SIGNALS
from training.bundle import Certificate
from training.card.duties import POINTERS, ROLES, Pointer, SignOff
from training.card.evidence import (
    EXAMPLE,
    Change,
    Drift,
    LabelProcess,
    Staffing,
)
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
    trust : str
        How far the agent can make it say what it likes: "self_reported",
        "agent_words" or "observed".
    """

    name: str
    doc: str
    share: float
    direction: Literal[-1, 0, 1]
    trust: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What a card says beyond the evaluation.

    Parts that nobody has measured stay None: the card then says what is missing and
    how to get it.

    Attributes
    ----------
    model, version, digest : str
        Registered name, version, and SHA-256 of the bundle's manifest.
    aliases : tuple of str
        Such as ``("challenger",)``.
    certificate : Certificate
        The bundle's promise, or its refusal.
    segments : tuple of Certificate
        Of parts of the tasks, or the refusals in their place.
    frontier : tuple of Certificate
        What other bounds would cost, by rising alpha.
    frontier_together : bool
        Whether all of them hold at once, so that one may be chosen by looking; each
        holds taken alone otherwise.
    made, expires : date
        Day of training; day after which the version must be looked at again, if any.
    made_at : str
        Time of training, RFC 3339; empty: only the day is known.
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
    files, libraries : mapping of str to str
        SHA-256 of each file of the bundle, and versions of what made it.
    calibrator : str
        Kind of the calibrator.
    twin_share : float or None
        Weight of the logistic twin's score; the rest is the booster's.
    limitations : tuple of str
        Known limits beyond those that the figures show.
    self_report_bound : float or None, log-odds
        The most by which the agent's word of itself can talk the score down, whatever
        it says; None: there is no such bound.
    gates : mapping or None
        What gates.json says; None: the release gates were not run.
    gaming : mapping or None
        What gaming.json says (`training.gaming.Gaming.to_json`).
    comparison : mapping or None
        What comparison.json says (`training.compare.compare`): challenger and champion
        on the same tasks.
    live : mapping or None
        What `escalon kpis` says since it went live (`training.monitor.kpis`).
    labels, drift, change : or None
        See `training.card.evidence`.
    staffing : Staffing
        What people can take on; an example that says so where nobody's is known.
    signoff : tuple of SignOff
        Who has to sign.
    pointers : tuple of Pointer
        Texts that ask for something this card may answer.
    """

    model: str
    version: str
    digest: str
    certificate: Certificate
    made: date
    n_tasks: int
    fingerprint: str
    evaluated_on: str
    segments: tuple[Certificate, ...] = ()
    frontier: tuple[Certificate, ...] = ()
    frontier_together: bool = False
    made_at: str = ""
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
    files: Mapping[str, str] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    calibrator: str = ""
    twin_share: float | None = None
    limitations: tuple[str, ...] = ()
    self_report_bound: float | None = None
    gates: Mapping[str, Any] | None = None
    gaming: Mapping[str, Any] | None = None
    comparison: Mapping[str, Any] | None = None
    live: Mapping[str, Any] | None = None
    labels: LabelProcess | None = None
    drift: Drift | None = None
    change: Change | None = None
    staffing: Staffing = EXAMPLE
    signoff: tuple[SignOff, ...] = ROLES
    pointers: tuple[Pointer, ...] = POINTERS


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
