"""For agents: ask Escalon whether to go on, and stop when the task is not yours."""

from escalon_client.client import Escalon
from escalon_client.decision import Action, Decision
from escalon_client.errors import (
    EscalonError,
    OwnershipLost,
    Refused,
    SafeStop,
    ServiceAway,
)
from escalon_client.rules import LocalRules
from escalon_client.task import Permit, Task

__all__ = [
    "Action",
    "Decision",
    "Escalon",
    "EscalonError",
    "LocalRules",
    "OwnershipLost",
    "Permit",
    "Refused",
    "SafeStop",
    "ServiceAway",
    "Task",
]
