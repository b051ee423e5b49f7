"""Who has to sign a card, and which texts ask for what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOff:
    """Who confirms what; `name` and `on` are blank until that person has."""

    role: str
    confirms: str
    name: str = ""
    on: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """A text that asks for something a reader may look for here."""

    source: str
    asks: str
    here: str


ROLES = (
    SignOff(
        role="Risk owner",
        confirms="the tolerated miss rate and the cost of a miss are mine to set, and "
        "the limits below are acceptable",
    ),
    SignOff(
        role="Independent reviewer",
        confirms="I had no part in the training, have made the figures again from the "
        "evaluation, and have tried to prove them wrong",
    ),
    SignOff(
        role="Head of the desks",
        confirms="the people who take over are there in the numbers shown",
    ),
    SignOff(
        role="Data protection",
        confirms="the tasks it learned from may be used so, and can be erased",
    ),
)
POINTERS = (
    Pointer(
        source="EU AI Act, Article 13(3)",
        asks="purpose, accuracy and its limits, oversight, how to read the logs",
        here="this card; the audit log",
    ),
    Pointer(
        source="EU AI Act, Articles 14(4) and 26",
        asks="people who can understand, overrule and stop it",
        here="staffing, sign-off; hard rules the model cannot overrule",
    ),
    Pointer(
        source="EU AI Act, Article 15",
        asks="accuracy, robustness, feedback loops",
        here="intervals, gaming, random audits against feedback",
    ),
    Pointer(
        source="EU AI Act, Article 72",
        asks="a plan to watch it once it is live",
        here="drift and alarms; the day to look again",
    ),
    Pointer(
        source="GDPR, Article 22",
        asks="a person with a real say where a decision weighs on someone",
        here="every escalation goes to a person; continuing is the automated part",
    ),
    Pointer(
        source="ISO/IEC 42001, A.6.2.6 and A.6.2.8",
        asks="operation watched, events recorded",
        here="monitors; the audit log",
    ),
    Pointer(
        source="NIST AI RMF, MEASURE 2 and MANAGE 2.4",
        asks="measured in use; a way to switch it off",
        here="certificate and its withdrawal; the learned trigger can be disabled",
    ),
    Pointer(
        source="Supervisors of banks: model risk (US: SR 26-2)",
        asks="validation, effective challenge, inventory",
        here="sign-off by an independent reviewer; the ML-BOM",
    ),
)
