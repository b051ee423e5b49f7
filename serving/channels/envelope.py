"""Envelope: what is told, as a CloudEvent that is the same bytes at every attempt.

References
----------
CloudEvents 1.0.2, JSON event format; Standard Webhooks 1.0.0, whose `timestamp` stands
beside `time`.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson

from serving.engine.telling import Told
from serving.policy import view

TYPE = "escalon.handoff.{kind}.v1"
# Of the view of the package; intermediaries must pass on events of 64 KiB.
MOST_PACKAGE_BYTES = 49_152


def cloud_event(
    told: Told, *, public_url: str, most_bytes: int = MOST_PACKAGE_BYTES
) -> bytes:
    """Return the CloudEvent that tells `told`, as JSON in structured mode.

    Parameters
    ----------
    public_url : str
        Where people and systems reach this service; empty: there are no links.
    most_bytes : int
        Of the package's view; a larger package is cut, and says where.
    """
    delivery, says, handoff = told.delivery, told.says, told.handoff
    links = _links(public_url, delivery.handoff_id)
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": delivery.outbox_id,
        "source": public_url or "urn:escalon",
        "type": TYPE.format(kind=delivery.kind),
        "subject": f"handoffs/{delivery.handoff_id}",
        "time": says["at"],
        "timestamp": says["at"],
        "datacontenttype": "application/json",
        "sequence": f"{delivery.place:010d}",
        "partitionkey": delivery.handoff_id,
        "correlationid": handoff["task_id"],
        "data": {
            **says,
            "what": delivery.kind,
            "handoff": handoff,
            "package_sha256": told.package_sha256,
            "audit": {"seq": told.seq, "size": told.seq + 1, "root": told.root},
            "links": links,
        },
    }
    if told.package is not None:
        whole_at = links.get("package", view.EVERYTHING)
        event["data"]["package"] = view.cut(told.package, most_bytes, whole_at=whole_at)
    if links:
        event["dataref"] = links["package"]
    return orjson.dumps(event, option=orjson.OPT_SORT_KEYS)


def _links(public_url: str, handoff_id: str) -> dict[str, str]:
    if not public_url:
        return {}
    base, named = public_url.rstrip("/"), quote(handoff_id, safe="")
    return {
        "console": f"{base}/console/handoffs/{named}",
        "handoff": f"{base}/v1/handoffs/{named}",
        "package": f"{base}/v1/handoffs/{named}/package",
    }
