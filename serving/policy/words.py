"""Sentences of the policy: their placeholders, and whether they say anything."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from string import Formatter

from serving.policy.conditions import nearest

_WORD = re.compile(r"[^\W\d_]+")
_BECAUSE = re.compile(r"\b(?:because|since|weil|porque)\b")
_SAME = 0.8
_NO_DECIMALS_FROM = 100

# Words that every escalation could say of itself, and the small change between them.
_EMPTY = frozenset(
    {
        *("a", "about", "above", "again", "all", "am", "an", "and", "any", "are", "as"),
        *("at", "be", "because", "been", "before", "but", "by", "can", "could", "do"),
        *("does", "due", "for", "from", "further", "has", "have", "here", "how", "i"),
        *("if", "in", "into", "is", "it", "its", "itself", "just", "may", "me", "more"),
        *("must", "my", "no", "not", "now", "of", "on", "only", "or", "other", "our"),
        *("please", "reason", "reasons", "s", "shall", "should", "since", "so", "some"),
        *("t", "than", "that", "the", "their", "them", "then", "there", "therefore"),
        *("these", "they", "this", "those", "to", "up", "was", "way", "we", "were"),
        *("what", "when", "where", "whether", "which", "who", "why", "will", "with"),
        *("would", "you", "your"),
        *("action", "advise", "agent", "ai", "approval", "ask", "asked", "asking"),
        *("asks", "assist", "assistance", "assistant", "attention", "automated"),
        *("automatically", "beyond", "bot", "cannot", "case", "check", "colleague"),
        *("complete", "condition", "continue", "criteria", "decide", "decided"),
        *("decision", "escalate", "escalated", "escalates", "escalating"),
        *("escalation", "expert", "follow", "give", "given", "go", "guidance"),
        *("hand", "handed", "handing", "handle", "handled", "handoff", "handover"),
        *("happen", "happened", "happens", "help", "human", "humans", "immediate"),
        *("immediately", "input", "intervene", "intervention", "involve", "involved"),
        *("involvement", "issue", "judgement", "judgment", "look", "manual"),
        *("manually", "met", "necessary", "need", "needed", "needs", "next", "on"),
        *("operator", "over", "pass", "passed", "people", "person", "problem"),
        *("proceed", "requested", "request", "require", "required", "requires"),
        *("resolve", "respond", "response", "review", "reviewed", "situation"),
        *("someone", "somebody", "something", "specialist", "staff", "step"),
        *("support", "take", "taken", "takes", "task", "team", "transfer"),
        *("transferred", "transferring", "unable", "urgent", "urgently", "want"),
        *("wants", "work"),
        *("fired", "fires", "reached", "rule", "threshold", "trigger", "triggered"),
        # German and Spanish, the other tongues of the messages that come with it.
        *("aufgabe", "bedarf", "benötigt", "braucht", "das", "dass", "den", "der"),
        *("die", "diese", "dieser", "ein", "eine", "einem", "einen", "eingriff"),
        *("erforderlich", "es", "fall", "hilfe", "ist", "jemand", "jemanden", "kann"),
        *("mensch", "menschen", "menschlich", "menschliche", "menschlichen", "muss"),
        *("nicht", "nötig", "person", "prüfen", "prüfung", "sich", "sie", "soll"),
        *("übergeben", "übergabe", "und", "von", "vorgang", "weil", "wird", "zu"),
        *("agente", "alguien", "atención", "ayuda", "caso", "de", "debe", "el", "esta"),
        *("este", "hay", "humana", "humano", "intervención", "la", "las", "lo", "los"),
        *("necesaria", "necesario", "necesita", "persona", "por", "porque", "que"),
        *("requiere", "revisar", "revisión", "se", "ser", "tarea", "un", "una"),
    }
)


def is_tautology(sentence: str) -> bool:
    """Whether `sentence` gives no reason: "needs a human because it needs a human".

    It gives none if no word of it is left without those that fit any escalation, or
    if it says the same before and after its "because".

    Examples
    --------
    >>> is_tautology("The task needs a human because it needs a human.")
    True
    >>> is_tautology("The refund failed because the card had expired.")
    False
    """
    lowered = sentence.lower()
    if not set(_WORD.findall(lowered)) - _EMPTY:
        return True
    sides = [set(_WORD.findall(side)) for side in _BECAUSE.split(lowered, maxsplit=1)]
    smaller = min(len(side) for side in sides)
    shared = len(set.intersection(*sides))
    return len(sides) > 1 and shared >= max(1, _SAME * smaller)


def template_fault(template: str, known: Collection[str]) -> str | None:
    """Return what is wrong with the placeholders of `template`; None if nothing is."""
    try:
        fields = list(Formatter().parse(template))
    except ValueError as error:
        return f"`{template}`: {error}; write {{{{ for a brace"
    for _, name, spec, conversion in fields:
        if name is None:
            continue
        if name not in known:
            return f"`{template}`: {{{name}}} is not known here{nearest(name, known)}"
        if spec or conversion:
            return f"`{template}`: write {{{name}}} alone, numbers are rounded for you"
    return None


def shown(value: str | float) -> str:
    """Return `value` as a person reads it.

    Examples
    --------
    >>> [shown(v) for v in (3.0, 0.73125, 1234.5, float("nan"), "", "billing")]
    ['3', '0.731', '1234', 'unknown', 'unknown', 'billing']
    """
    if isinstance(value, str):
        return value or "unknown"
    if math.isnan(value):
        return "unknown"
    whole = value.is_integer() or abs(value) >= _NO_DECIMALS_FROM
    return f"{value:.0f}" if whole else f"{value:.3g}"


def fill(template: str, values: Mapping[str, str | float]) -> str:
    """Return `template` with its placeholders filled from `values`, where known."""
    names = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    return template.format_map({n: shown(values.get(n, math.nan)) for n in names})
