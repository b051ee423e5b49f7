"""JSON Schema of the policy document, with its documentation where editors show it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

_ATTRIBUTES = re.compile(r"\n\nAttributes\n-+\n")
_ATTRIBUTE = re.compile(r"^(\w[\w, ]*?)(?: : .*)?\n((?:    .*(?:\n|$))+)", re.MULTILINE)
_SPACE = re.compile(r"\s+")


def _one_line(text: str) -> str:
    return _SPACE.sub(" ", text).strip()


def _documented(doc: str) -> Iterator[tuple[str, str]]:
    """Yield name and text of each entry of a numpydoc section "Attributes"."""
    for names, text in _ATTRIBUTE.findall(doc):
        for name in names.split(", "):
            yield name, _one_line(text)


def _move_docs(part: dict[str, Any]) -> None:
    """Move what the docstring of a class says of a field to that field, in place."""
    summary, *section = _ATTRIBUTES.split(part["description"])
    part["description"] = _one_line(summary)
    for name, text in _documented(section[0] if section else ""):
        part["properties"][name]["description"] = text


def of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema of `model`, its docstrings' fields beside the fields."""
    schema = model.model_json_schema()
    for part in (schema, *schema["$defs"].values()):
        _move_docs(part)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
