"""Tests of the audit log: records, the tree, and both kinds of proof."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.policy import audit
from serving.policy.audit import AuditType, RecordError

AT = datetime(2026, 11, 23, 22, 40, 5, 123456, tzinfo=UTC)

# The eight leaves that implementations of RFC 6962 share, and the root after each.
LEAVES = (
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    bytes(range(0x60, 0x70)),
)
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
# Three records, with proofs made by an independent implementation.
RECORDS = (
    b'{"seq":0,"type":"log.created"}',
    b'{"seq":1,"type":"handoff.opened"}',
    b'{"seq":2,"type":"handoff.accepted"}',
)
ROOT_2 = "15ea70dbee26b9ea6af2556988dedcf6b7751549a6edd417c5e697d5ddafe3a4"
ROOT_3 = "5bb19ac2a6bbbcb315ffb0b727fb8260b2530bee69ee73270b656919fa6b1066"
LEAF_1 = "a72a183079f644a245797e0ac2dc868945f77682c14c2d164d87748d98cac5ea"
INCLUSION_1_OF_3 = [
    "b5a6e8e4ad134ca5daca37637b15dbfa403f48ab42df39db2c279dcef44379fe",
    "f005d2bfe4a973e7f638997a92bcc7f830e838ced3c261a4df6ada94aa6a7b05",
]
CONSISTENCY_2_3 = ["f005d2bfe4a973e7f638997a92bcc7f830e838ced3c261a4df6ada94aa6a7b05"]


class Tree:
    """A tree in memory, and how its nodes are found."""

    def __init__(self, data: list[bytes] | tuple[bytes, ...] = ()) -> None:
        self.nodes: dict[tuple[int, int], bytes] = {}
        self.leaves: list[bytes] = []
        for item in data:
            leaf = audit.leaf_hash(item)
            for level, index, value in audit.append(len(self.leaves), leaf, self.get):
                self.nodes[level, index] = value
            self.leaves.append(leaf)

    def get(self, level: int, index: int) -> bytes:
        """Return a stored node."""
        return self.nodes[level, index]

    def root(self, size: int) -> bytes:
        """Return the root of the first `size` leaves."""
        return audit.root(size, self.get)


def by_definition(leaves: list[bytes]) -> bytes:
    """Return the root as section 2.1 of RFC 6962 defines it, from all leaves."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, right = by_definition(leaves[:split]), by_definition(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


TREE = Tree([str(n).encode() for n in range(140)])
sizes = st.integers(0, len(TREE.leaves))


def test_public_vectors_give_their_roots() -> None:
    """The eight known leaves give the eight known roots."""
    tree = Tree(LEAVES)
    assert [tree.root(n).hex() for n in range(1, 9)] == list(ROOTS)


def test_known_proofs_are_made_and_accepted() -> None:
    """Leaf, roots and proofs equal those of an independent implementation."""
    tree = Tree(RECORDS)
    assert tree.leaves[1].hex() == LEAF_1
    assert (tree.root(2).hex(), tree.root(3).hex()) == (ROOT_2, ROOT_3)
    inclusion = audit.inclusion_proof(1, 3, tree.get)
    assert [part.hex() for part in inclusion] == INCLUSION_1_OF_3
    consistency = audit.consistency_proof(2, 3, tree.get)
    assert [part.hex() for part in consistency] == CONSISTENCY_2_3


@given(sizes)
def test_root_is_the_one_of_the_definition(size: int) -> None:
    """The root from stored subtrees equals the recursive definition."""
    assert TREE.root(size) == by_definition(TREE.leaves[:size])
    assert audit.root_of(TREE.leaves[:size]) == TREE.root(size)


def test_fewer_than_two_nodes_a_leaf_are_stored() -> None:
    """Complete subtrees are at most twice as many as leaves."""
    assert len(TREE.nodes) < 2 * len(TREE.leaves)


@given(st.data())
def test_inclusion_is_proven_and_nothing_else_is(data: st.DataObject) -> None:
    """A proof holds for its leaf, place, size and root, and for no other."""
    size = data.draw(st.integers(1, len(TREE.leaves)))
    index = data.draw(st.integers(0, size - 1))
    leaf, root = TREE.leaves[index], TREE.root(size)
    proof = audit.inclusion_proof(index, size, TREE.get)
    assert audit.verify_inclusion(index, size, leaf, proof, root)
    assert len(proof) <= size.bit_length()
    other = hashlib.sha256(leaf).digest()
    assert not audit.verify_inclusion(index, size, other, proof, root)
    assert not audit.verify_inclusion(index, size, leaf, proof, other)
    assert not audit.verify_inclusion(size, size, leaf, proof, root)
    assert not audit.verify_inclusion(index, size, leaf, [*proof, other], root)
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        broken = [other if n == place else part for n, part in enumerate(proof)]
        assert not audit.verify_inclusion(index, size, leaf, broken, root)
        assert not audit.verify_inclusion(index, size, leaf, proof[:-1], root)


@given(sizes, sizes, st.data())
def test_consistency_is_proven_and_nothing_else_is(
    one: int, two: int, data: st.DataObject
) -> None:
    """A proof holds for its two sizes and roots, and for no others."""
    old, new = sorted((one, two))
    before, after = TREE.root(old), TREE.root(new)
    proof = audit.consistency_proof(old, new, TREE.get)
    assert audit.verify_consistency(old, new, proof, before, after)
    other = hashlib.sha256(after).digest()
    assert not audit.verify_consistency(old, new, proof, other, after)
    assert not audit.verify_consistency(old, new, [*proof, other], before, after)
    if 0 < old < new:
        assert not audit.verify_consistency(old, new, proof, before, other)
        assert not audit.verify_consistency(old, new, proof[:-1], before, after)
        assert not audit.verify_consistency(new, old, proof, after, before)
        place = data.draw(st.integers(0, len(proof) - 1))
        broken = [other if n == place else part for n, part in enumerate(proof)]
        assert not audit.verify_consistency(old, new, broken, before, after)


def test_proofs_beyond_the_tree_are_refused() -> None:
    """Asking for a leaf or a size that is not there names the range."""
    with pytest.raises(IndexError, match=r"leaf in \[0, 3\), found 3"):
        audit.inclusion_proof(3, 3, TREE.get)
    with pytest.raises(IndexError, match=r"earlier size in \[0, 3\], found 4"):
        audit.consistency_proof(4, 3, TREE.get)


# --- records -----------------------------------------------------------------


def test_a_record_is_canonical() -> None:
    """Keys are sorted, time is UTC text, and the order of fields changes nothing."""
    one = audit.record(AuditType.STEP_SCORED, 7, AT, task="t", epoch=2)
    two = audit.record(AuditType.STEP_SCORED, 7, AT, epoch=2, task="t")
    assert one == two
    assert one == (
        b'{"at":"2026-11-23T22:40:05.123456Z","epoch":2,"seq":7,"task":"t",'
        b'"type":"step.scored","v":1}'
    )


def test_a_record_keeps_what_it_is_given() -> None:
    """Nested objects, lists, none and truth come back as they went in."""
    fields = {"a": None, "b": [True, 1, "x"], "c": {"d": [{"e": -1}]}}
    body = audit.record(AuditType.LOG_CREATED, 0, AT, **fields)
    assert orjson.loads(body).items() >= fields.items()


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"risk": 0.5}, "step.scored.risk"),
        ({"a": [1, 2.0]}, r"step.scored.a\[1\]"),
        ({"a": {"b": AT}}, "step.scored.a.b"),
        ({"a": b"bytes"}, "step.scored.a"),
    ],
)
def test_what_other_languages_might_write_otherwise_is_refused(
    fields: dict[str, object], path: str
) -> None:
    """Floats, times and bytes are refused with the path of the field."""
    with pytest.raises(RecordError, match=f"`{path}` must be text"):
        audit.record(AuditType.STEP_SCORED, 0, AT, **fields)


def test_time_text_sorts_as_time() -> None:
    """Every zone becomes UTC with six decimals, so text order is time order."""
    early = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    late = datetime(2026, 1, 1, 0, tzinfo=UTC)
    assert audit.rfc3339(early) == "2025-12-31T23:00:00.000000Z"
    assert audit.rfc3339(early) < audit.rfc3339(late)


def test_a_time_without_a_zone_is_refused() -> None:
    """A naive time could be any hour, so it is no time for a record."""
    with pytest.raises(RecordError, match="timezone-aware"):
        audit.rfc3339(datetime(2026, 1, 1))


@pytest.mark.parametrize(
    ("share", "expected"),
    [(None, None), (0.0, 0), (0.7312044, 731204), (1.0, 10**6), (1e300, 2**53)],
)
def test_shares_become_whole_numbers(share: float | None, expected: int | None) -> None:
    """Parts per million, rounded; none stays none; nothing leaves 2**53."""
    assert audit.ppm(share) == expected


def test_a_commitment_needs_its_salt() -> None:
    """The same bytes under another salt give another commitment, of 32 bytes."""
    one, two = audit.commitment(b"a" * 32, b"x"), audit.commitment(b"b" * 32, b"x")
    assert one != two
    assert len(one) == 32
    assert one == audit.commitment(b"a" * 32, b"x")
