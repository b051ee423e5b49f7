"""Telling: what an outside channel is told, the same at every attempt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from serving.policy.delivery import Delivery
from serving.store import handoffs, ledger, outbox
from serving.store.transaction import Reader

_PACKAGE = "SELECT body, digest FROM package WHERE handoff_id = :handoff_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a delivery tells; the same at every attempt, by whichever worker.

    Attributes
    ----------
    handoff : dict
        The item as it stood when this was queued.
    says : Mapping
        When it happened, and by whom.
    package : bytes, optional
        The stored bytes; of an opening only.
    package_sha256 : str
        Their hash, always.
    seq, root : int, str
        The audit record that this stands in, and the root (hex) of the log up to it.
    """

    delivery: Delivery
    handoff: Mapping[str, Any]
    says: Mapping[str, Any]
    package: bytes | None
    package_sha256: str
    seq: int
    root: str


def told(reader: Reader, outbox_id: str) -> Told:
    """Return what the delivery `outbox_id` tells.

    Raises
    ------
    Problem
        unknown-delivery, if there is none.
    """
    row = outbox.find(reader, outbox_id)
    delivery, says = outbox.delivery_of(row), orjson.loads(bytes(row["body"]))
    as_of = says.pop("as_of")
    package = reader.one(_PACKAGE, handoff_id=delivery.handoff_id)
    body, digest = (
        (None, "") if package is None else (bytes(package["body"]), package["digest"])
    )
    item = handoffs.as_of(reader, delivery.handoff_id, as_of)
    return Told(
        delivery=delivery,
        handoff=item.to_json(datetime.fromisoformat(says["at"])),
        says=says,
        package=body if delivery.is_opening else None,
        package_sha256=digest,
        seq=as_of,
        root=ledger.root_at(reader, as_of + 1).hex(),
    )
