"""Validation: what a self-reported signal was found to be worth on an agent version."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Annotated, Any, Self

import orjson
from pydantic import Field

from serving.policy.part import Part, Unit, Words

_LENGTH = 12
_FRESH = timedelta(days=180)


class Interval(Part):
    """A figure with its 95 % interval."""

    value: Unit
    low: Unit
    high: Unit


class Validation(Part):
    """One signal held against outcomes on one agent version.

    Made by `escalon evaluate --confidence` and pasted as it is: its name ends in a hash
    of all the rest, so that a figure changed by hand is found.

    Attributes
    ----------
    id : str
        Signal, agent version and hash: what a rule names under `validated`.
    signal, agent_version : str
        Which, on whom.
    validated : bool
        Whether a rule may threshold on it.
    reason : str
        Why, or why not.
    made_on : date
        When the figures were made.
    data : str
        Fingerprint of the labelled tasks they were made on.
    n_tasks, n_needed : int
        Tasks in which the signal was known, and those that needed a human.
    auroc, auroc_within : Interval
        How well the doubt it expresses ranks tasks; over pairs of one domain.
    verifier_auroc : Interval, optional
        The same of the verifier's score.
    calibration_error : Interval, optional
        Debiased, of the doubt taken as a risk.
    """

    id: Words
    signal: Words
    agent_version: Words
    validated: bool
    reason: Words
    made_on: date
    data: Words
    n_tasks: Annotated[int, Field(ge=0)]
    n_needed: Annotated[int, Field(ge=0)]
    auroc: Interval | None = None
    auroc_within: Interval | None = None
    verifier_auroc: Interval | None = None
    calibration_error: Interval | None = None

    @classmethod
    def named(cls, **found: Any) -> Self:
        """Return a validation of these fields, with the name that they give it."""
        unnamed = cls(id="-", **found)
        return cls(id=unnamed.expected_id, **found)

    @property
    def expected_id(self) -> str:
        """The name that its fields give it."""
        rest = self.model_dump(mode="json", exclude={"id"})
        canonical = orjson.dumps(rest, option=orjson.OPT_SORT_KEYS)
        digest = hashlib.sha256(canonical).hexdigest()[:_LENGTH]
        return f"{self.signal}/{self.agent_version}/{digest}"


def covered(
    signals: Sequence[str], named: Sequence[str], known: Mapping[str, Validation]
) -> frozenset[str]:
    """Return the agent versions on which all `signals` are validated, by `named`."""
    good = [known[name] for name in named if name in known and known[name].validated]
    versions = [{v.agent_version for v in good if v.signal == s} for s in signals]
    return frozenset(set.intersection(*versions)) if versions else frozenset()


def validation_faults(validations: Sequence[Validation]) -> Iterator[str]:
    """Yield what is wrong with the validations themselves."""
    seen: set[str] = set()
    for one in validations:
        if one.id in seen:
            yield f"validation {one.id!r} stands there twice; keep one"
        seen.add(one.id)
        if one.id != one.expected_id:
            yield (
                f"validation {one.id!r} is not what `escalon evaluate --confidence` "
                f"wrote (its fields give {one.expected_id!r}); paste it anew, unchanged"
            )


def rule_faults(
    signals: Sequence[str], named: Sequence[str], known: Mapping[str, Validation]
) -> Iterator[str]:
    """Yield why a rule that reads self-reported `signals` must not go live.

    Parameters
    ----------
    signals : sequence of str
        What the agent says of itself and the rule reads.
    named : sequence of str
        The validations it names.
    known : mapping of str to Validation
        Those of the document, by name.
    """
    for name in named:
        if name not in known:
            yield (
                f"names the validation {name!r}, which is not under `validations`; "
                "paste there what `escalon evaluate --confidence` wrote"
            )
        elif not known[name].validated:
            yield (
                f"names the validation {name!r}, which says no: {known[name].reason}"
            )
    if signals and not covered(signals, named, known):
        yield (
            f"reads {', '.join(signals)}, which the agent says of itself; name under "
            "`validated` a validation against outcomes of each, on the same agent "
            "version: `escalon evaluate --confidence` makes them"
        )


def about_validations(
    validations: Sequence[Validation], today: date | None
) -> Iterator[str]:
    """Yield which validations are old."""
    for one in validations:
        if today is not None and today - one.made_on > _FRESH:
            yield (
                f"validation {one.id!r} was made on {one.made_on}; agents and users "
                "change, make it anew"
            )
