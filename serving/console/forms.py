"""Forms: what a person entered, checked, and kept to be shown again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs

from serving.console.words import say

Fields = Mapping[str, Sequence[str]]
_MOST_FIELDS = 100
_MOST_MINUTES = 10_000
_MOST_WORDS = 20_000
_NEEDED = ("yes", "no", "uncertain")


class FormError(ValueError):
    """What was entered cannot be used; the message is for the person at the form."""


def fields_of(body: bytes) -> Fields:
    """Return the fields of an urlencoded form.

    Raises
    ------
    FormError
        If `body` is no such form.
    """
    try:
        return parse_qs(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:
        raise FormError(say("went_wrong")) from None


def one(fields: Fields, name: str) -> str:
    """Return the last value of the field `name`, without outer space; or nothing."""
    return fields.get(name, ("",))[-1].strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """What the forms of a case hold while it is worked on.

    Attributes
    ----------
    guidance : str or None
        None: that form was not used.
    said, message_id : str
        Words for the user, and their id.
    """

    needed: str = ""
    note: str = ""
    minutes: str = ""
    sufficient: str = ""
    missing: tuple[str, ...] = ()
    lacked: str = ""
    guidance: str | None = None
    said: str = ""
    message_id: str = ""

    @classmethod
    def of(cls, fields: Fields) -> Entered:
        """Return what `fields` hold."""
        return cls(
            needed=one(fields, "needed"),
            note=one(fields, "note"),
            minutes=one(fields, "minutes"),
            sufficient=one(fields, "sufficient"),
            missing=tuple(fields.get("missing", ())),
            lacked=one(fields, "lacked"),
            guidance=one(fields, "guidance") if "guidance" in fields else None,
            # Browsers end the lines of a form in their own way.
            said=fields.get("said", ("",))[-1].replace("\r\n", "\n"),
            message_id=one(fields, "message_id"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """A verdict, ready for the engine.

    Attributes
    ----------
    minutes : float or None
        Time spent; None if not said.
    sufficient : bool or None
        Whether the package was enough; None if not rated.
    missing : tuple of str
        The parts it lacked.
    lacked : str
        What else, in words.
    """

    needed: str
    note: str
    minutes: float | None
    sufficient: bool | None
    missing: tuple[str, ...]
    lacked: str

    @classmethod
    def of(cls, entered: Entered) -> Resolution:
        """Return the resolution in `entered`.

        Raises
        ------
        FormError
            If there is no verdict, or the minutes are no such number.
        """
        if entered.needed not in _NEEDED:
            raise FormError(say("no_verdict"))
        return cls(
            needed=entered.needed,
            note=entered.note,
            minutes=_minutes(entered.minutes),
            sufficient=(
                entered.sufficient == "yes"
                if entered.sufficient in ("yes", "no")
                else None
            ),
            missing=entered.missing,
            lacked=entered.lacked,
        )


def guidance_of(entered: Entered) -> str:
    """Return the guidance for the agent.

    Raises
    ------
    FormError
        If there is none.
    """
    if not entered.guidance:
        raise FormError(say("no_guidance"))
    return entered.guidance


def words_of(entered: Entered) -> str:
    """Return the words for the user, as they were written.

    Raises
    ------
    FormError
        If there are none, or too many.
    """
    if not entered.said.strip():
        raise FormError(say("no_words"))
    if len(entered.said) > _MOST_WORDS:
        raise FormError(say("too_long"))
    return entered.said


def _minutes(text: str) -> float | None:
    if not text:
        return None
    try:
        minutes = float(text.replace(",", "."))
    except ValueError:
        minutes = math.nan
    if not 0 <= minutes <= _MOST_MINUTES:
        raise FormError(say("bad_minutes"))
    return minutes
