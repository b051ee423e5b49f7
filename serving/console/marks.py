"""Text of strangers, made safe to look at: nothing in it can hide or reorder itself."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from markupsafe import Markup, escape

# Controls but for tab and line feed; what breaks or turns the direction of a line;
# what has no width; and the tags and selectors in which text can be smuggled. A
# selector for emoji is how emoji are written: one of them stays.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
    "\U000e0000-\U000e007f\U000e0100-\U000e01ef\ufe00-\ufe0e]"
    "|(?<=[\ufe00-\ufe0f])\ufe0f"
)
_ABOUT_LINE = 700
_SLACK = 300


def marked(text: str) -> Markup:
    r"""Return `text` escaped for HTML, each hidden character as a visible mark.

    Examples
    --------
    >>> str(marked("<b>"))
    '&lt;b&gt;'
    >>> str(marked("a\u202eb"))
    'a<span class="mark" title="RIGHT-TO-LEFT OVERRIDE">U+202E</span>b'
    """
    text = text.replace("\r\n", "\n")
    parts: list[Markup] = []
    end = 0
    for hidden in _HIDDEN.finditer(text):
        parts += (escape(text[end : hidden.start()]), _mark(hidden[0]))
        end = hidden.end()
    parts.append(escape(text[end:]))
    return Markup("").join(parts)


def coded(text: str) -> Markup:
    """Return the sentence `text` as `marked` does, between backticks as code.

    Examples
    --------
    >>> str(coded("whether `pay` <worked>"))
    'Whether <code>pay</code> &lt;worked&gt;'
    """
    plain, *rest = f"{text[:1].upper()}{text[1:]}".split("`")
    parts = [marked(plain)]
    for place, part in enumerate(rest):
        is_code = place % 2 == 0 and place < len(rest) - 1
        tag = "<code>{}</code>" if is_code else "{}"
        parts.append(Markup(tag).format(marked(part)))  # noqa: S704 - one of the two
    return Markup("").join(parts)


def _mark(character: str) -> Markup:
    return Markup('<span class="mark" title="{}">U+{:04X}</span>').format(
        unicodedata.name(character, "CONTROL CHARACTER"), ord(character)
    )


@dataclass(frozen=True, slots=True)
class Folded:
    """A text in two parts: what is shown, and what opens on demand.

    Attributes
    ----------
    head, rest : str
        Together, the whole text.
    """

    head: str
    rest: str

    @classmethod
    def of(cls, text: str) -> Folded:
        """Return `text`, cut near 700 characters if it is far longer than that."""
        if len(text) <= _ABOUT_LINE + _SLACK:
            return cls(text, "")
        space = max(text.rfind(c, _ABOUT_LINE - _SLACK, _ABOUT_LINE) for c in " \n")
        at = space + 1 if space >= 0 else _ABOUT_LINE
        return cls(text[:at], text[at:])
