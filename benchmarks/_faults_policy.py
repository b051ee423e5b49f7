"""The policy under test: the default one, with queues that everybody may work."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import orjson
from _faults_story import MEMBER

from serving.policy import yaml12
from serving.policy.rules import Policy


def document(**changes: Any) -> dict[str, Any]:
    """Return the default document with one member at all queues, and `changes`."""
    text = resources.files("serving.policy").joinpath("default.yaml").read_text("utf-8")
    found: dict[str, Any] = yaml12.read(text)
    for queue in found["queues"]:
        queue["members"] = sorted({*queue["members"], MEMBER})
        queue.update(changes)
    return found


def write_policy(path: Path, **changes: Any) -> Path:
    """Write the document to `path`, and return that."""
    # JSON is YAML, too.
    path.write_bytes(orjson.dumps(document(**changes)))
    return path


def policy_of(folder: Path, **changes: Any) -> Policy:
    """Return the policy that the document gives."""
    return Policy.load(write_policy(folder / "policy.yaml", **changes))
