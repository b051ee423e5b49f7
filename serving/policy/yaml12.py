"""YAML as its readers mean it: the 1.2 core scalars, and no key given twice.

PyYAML speaks YAML 1.1, where ``17:00`` is the number 1020 and the locale ``no`` is
false: both would change a policy without a word.
"""

from __future__ import annotations

import re
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """Reads null, booleans, integers and floats; any other plain scalar is a string."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (as PyYAML declares it)


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9]\d*)", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.\d+|\d+\.\d*|\d+(?=[eE]))(?:[eE][-+]?\d+)?",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})$"), _first
    )


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        problem = None if isinstance(key, str) else "is not a text"
        if problem is None and key in seen:
            problem = "is given twice"
        if problem is not None:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} {problem}", key_node.start_mark
            )
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read(text: str) -> Any:
    """Return what `text` says.

    Raises
    ------
    yaml.YAMLError
        If it is not YAML, or gives a key twice.
    """
    return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
