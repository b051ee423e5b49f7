"""Where a policy's hard rules fire in training data: the rules-only baseline."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.signals import NAMES
from serving.policy.rules import Policy
from serving.policy.trigger import Facts, evaluate
from training.dataset import Snapshots

_ACCOUNT_VALUE = NAMES.index("account_value")


def policy_at(path: Path | None) -> Policy:
    """Return the policy at `path`, or the one shipped."""
    return Policy.default() if path is None else Policy.load(path)


def fired(policy: Policy) -> Callable[[Snapshots], NDArray[np.bool_]]:
    """Return a function that says at which rows some hard rule of `policy` fires."""

    def at_rows(data: Snapshots) -> NDArray[np.bool_]:
        return np.array([_fires(policy, data, row) for row in range(len(data))])

    return at_rows


def _fires(policy: Policy, data: Snapshots, row: int) -> bool:
    value = float(data.x[row, _ACCOUNT_VALUE])
    started = {
        "domain": str(data.domain[row]),
        "agent_version": str(data.agent_version[row]),
        "account": {
            "tier": str(data.tier[row]),
            "value": None if np.isnan(value) else value,
        },
    }
    facts = Facts.of(started, datetime.fromtimestamp(float(data.started[row]), UTC))
    signals = dict(zip(NAMES, data.x[row].tolist(), strict=True))
    return bool(evaluate(signals, facts, None, policy, None))
