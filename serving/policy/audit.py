"""Audit log: an append-only Merkle tree (RFC 6962) over canonical records.

The tree is kept as its complete subtrees: node `(level, index)` covers the leaves
``[index * 2**level, (index + 1) * 2**level)``. Those never change once written, so
root and proofs of any size cost O(log n) look-ups through a `GetNode`.

References
----------
Laurie, Langley, Kasper: Certificate Transparency (RFC 6962, 2013), section 2.1.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson

GetNode = Callable[[int, int], bytes]
Node = tuple[int, int, bytes]

VERSION = 1
EMPTY = hashlib.sha256(b"").digest()


class AuditType(StrEnum):
    """What a record says happened; the closed vocabulary of the log."""

    LOG_CREATED = "log.created"
    POLICY_LOADED = "policy.loaded"
    MODEL_LOADED = "model.loaded"
    MODEL_REJECTED = "model.rejected"
    MODEL_FALLBACK_ENTERED = "model.fallback_entered"
    STEP_SCORED = "step.scored"
    EVENTS_APPENDED = "events.appended"
    HANDOFF_OPENED = "handoff.opened"
    HANDOFF_CLAIMED = "handoff.claimed"
    HANDOFF_RELEASED = "handoff.released"
    HANDOFF_RESOLVED = "handoff.resolved"
    HANDOFF_RETURNED = "handoff.returned"
    HANDOFF_RATED = "handoff.rated"
    HANDOFF_RENEWED = "handoff.renewed"
    HANDOFF_CLIMBED = "handoff.climbed"
    HANDOFF_LEASE_EXPIRED = "handoff.lease_expired"
    HANDOFF_OVERDUE = "handoff.overdue"
    HANDOFF_UNOWNED = "handoff.unowned"
    HANDOFF_REPAIRED = "handoff.repaired"
    HANDOFF_NOTIFIED = "handoff.notified"
    HANDOFF_DELIVERY_FAILED = "handoff.delivery_failed"
    HANDOFF_DEAD_LETTERED = "handoff.dead_lettered"
    HANDOFF_REDRIVEN = "handoff.redriven"
    HANDOFF_FALLBACK_NOTIFIED = "handoff.fallback_notified"
    NOTICE_SHOWN = "notice.shown"
    ACTION_AUTHORIZED = "action.authorized"
    AGENT_LEASE_EXPIRED = "agent.lease_expired"
    ACT_AFTER_HANDOVER = "violation.act_after_handover"
    HANDOVER_NOT_RECORDED = "violation.handover_not_recorded"
    ALARM_RAISED = "alarm.raised"
    ALARM_CLEARED = "alarm.cleared"
    CERTIFICATE_WITHDRAWN = "certificate.withdrawn"
    CERTIFICATE_RESTORED = "certificate.restored"


class RecordError(ValueError):
    """A record that other languages could not hash alike, such as one with a float."""


# --- records -----------------------------------------------------------------


def rfc3339(at: datetime) -> str:
    """Return `at` in UTC with microseconds: fixed width, so text order is time order.

    Raises
    ------
    RecordError
        If `at` names no timezone.
    """
    if at.utcoffset() is None:
        msg = f"expected a timezone-aware time, found {at.isoformat()}; attach UTC"
        raise RecordError(msg)
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def ppm(share: float | None) -> int | None:
    """Return `share` in parts per million, rounded; None stays None.

    Held to what every JSON reader takes for a whole number, 2**53.
    """
    return None if share is None else round(min(share * 1e6, 2.0**53))


def _check(value: Any, path: str) -> None:
    match value:
        case None | bool() | int() | str():
            return
        case Mapping():
            for key, part in value.items():
                _check(part, f"{path}.{key}")
        case list() | tuple():
            for place, part in enumerate(value):
                _check(part, f"{path}[{place}]")
        case _:
            msg = (
                f"record field `{path}` must be text, a whole number, a list or an "
                f"object, found {value!r}; write shares as ppm and times as RFC 3339"
            )
            raise RecordError(msg)


def record(kind: AuditType, seq: int, at: datetime, **fields: Any) -> bytes:
    """Return the canonical bytes of one record: what is stored is what is hashed.

    Parameters
    ----------
    kind : AuditType
        What happened.
    seq : int
        Place in the log, from 0 without a gap.
    at : datetime
        When, timezone-aware.
    **fields
        Ids, hashes, whole numbers. Never words of a person: the log is for ever.

    Raises
    ------
    RecordError
        If a field is not canonical, such as a float, or `at` has no timezone.
    """
    _check(fields, kind)
    whole = {**fields, "v": VERSION, "seq": seq, "at": rfc3339(at), "type": str(kind)}
    return orjson.dumps(whole, option=orjson.OPT_SORT_KEYS)


def commitment(salt: bytes, data: bytes) -> bytes:
    """Return HMAC-SHA256 of `data` under `salt`: provable with it, noise without it."""
    return hmac.digest(salt, data, "sha256")


# --- the tree ----------------------------------------------------------------


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf holding `data`."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node over two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def append(size: int, leaf: bytes, get_node: GetNode) -> list[Node]:
    """Return the nodes that `leaf` completes in a tree of `size`, the leaf first."""
    level, index, value = 0, size, leaf
    nodes = [(level, index, value)]
    while index % 2:
        value = node_hash(get_node(level, index - 1), value)
        level, index = level + 1, index // 2
        nodes.append((level, index, value))
    return nodes


def root(size: int, get_node: GetNode) -> bytes:
    """Return the root of the first `size` leaves."""
    return EMPTY if size == 0 else _subtree(0, size, get_node)


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the root over the hashes `leaves`, which are in memory."""
    nodes: dict[tuple[int, int], bytes] = {}
    size = 0
    for leaf in leaves:
        for level, index, value in append(size, leaf, lambda *at: nodes[at]):
            nodes[level, index] = value
        size += 1
    return root(size, lambda *at: nodes[at])


def inclusion_proof(index: int, size: int, get_node: GetNode) -> list[bytes]:
    """Return the hashes that prove leaf `index` in the tree of `size`, sibling first.

    Raises
    ------
    IndexError
        If the tree has no such leaf.
    """
    if not 0 <= index < size:
        msg = f"expected a leaf in [0, {size}), found {index}"
        raise IndexError(msg)
    proof: list[bytes] = []
    start, width = 0, size
    while width > 1:
        left = _split(width)
        if index < start + left:
            proof.append(_subtree(start + left, width - left, get_node))
            width = left
        else:
            proof.append(_subtree(start, left, get_node))
            start, width = start + left, width - left
    return proof[::-1]


def verify_inclusion(
    index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> bool:
    """Return whether `proof` shows `leaf` at `index` of the tree with this `root`."""
    if not 0 <= index < size:
        return False
    turns = []
    while size > 1:
        left = _split(size)
        turns.append(index >= left)
        index, size = (index - left, size - left) if turns[-1] else (index, left)
    if len(turns) != len(proof):
        return False
    value = leaf
    for right, sibling in zip(reversed(turns), proof, strict=True):
        value = node_hash(sibling, value) if right else node_hash(value, sibling)
    return hmac.compare_digest(value, root)


def consistency_proof(old: int, new: int, get_node: GetNode) -> list[bytes]:
    """Return the hashes that prove the tree of `old` to be a prefix of that of `new`.

    Raises
    ------
    IndexError
        If `old` is larger than `new`.
    """
    if not 0 <= old <= new:
        msg = f"expected an earlier size in [0, {new}], found {old}"
        raise IndexError(msg)
    proof: list[bytes] = []
    start, width = 0, new
    while 0 < old < start + width:
        left = _split(width)
        if old <= start + left:
            proof.append(_subtree(start + left, width - left, get_node))
            width = left
        else:
            proof.append(_subtree(start, left, get_node))
            start, width = start + left, width - left
    # From the left edge on, the verifier knows the rest: it is the old root.
    return ([_subtree(start, width, get_node)] if start else []) + proof[::-1]


def verify_consistency(
    old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> bool:
    """Return whether `proof` shows the old tree to be a prefix of the new one."""
    if not 0 < old < new:
        same = old == new and old_root == new_root
        return not proof and (same or (old == 0 and old_root == EMPTY))
    turns = []
    rest, width = old, new
    while rest < width:
        left = _split(width)
        turns.append(rest > left)
        rest, width = (rest - left, width - left) if turns[-1] else (rest, left)
    known = [old_root, *proof] if not any(turns) else list(proof)
    if len(known) != len(turns) + 1:
        return False
    before = after = known[0]
    for right, sibling in zip(reversed(turns), known[1:], strict=True):
        before = node_hash(sibling, before) if right else before
        after = node_hash(sibling, after) if right else node_hash(after, sibling)
    return before == old_root and after == new_root


def _split(width: int) -> int:
    """Return the largest power of two below `width`, which is at least 2."""
    return 1 << ((width - 1).bit_length() - 1)


def _subtree(start: int, width: int, get_node: GetNode) -> bytes:
    """Return the hash over ``[start, start + width)``, a range of the RFC's recursion.

    Its whole subtrees are aligned, so they are stored; fewer than 64 are visited.
    """
    if width & (width - 1) == 0:
        level = width.bit_length() - 1
        return get_node(level, start >> level)
    left = _split(width)
    return node_hash(
        get_node(left.bit_length() - 1, start // left),
        _subtree(start + left, width - left, get_node),
    )
