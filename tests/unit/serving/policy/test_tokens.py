"""Tests of action tokens: what a gateway accepts offline, and why it refuses."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from serving.policy.tokens import (
    LONGEST,
    SKEW,
    Claims,
    Fault,
    Refused,
    digest_of,
    kid_of,
    private_key,
    read,
    sign,
    verify,
)

NOW = datetime(2026, 11, 24, 12, 0, 0, 250_000, tzinfo=UTC)
KEY = private_key(b"a secret of at least thirty-two bytes")
KEYS = {kid_of(KEY.public_key()): KEY.public_key()}
ARGUMENTS = {"order": "W1", "amount": 12.5}


def made(**changed: Any) -> Claims:
    """Return the claims of a token for one refund."""
    terms: dict[str, Any] = {
        "task": "t",
        "epoch": 3,
        "tool": "refund",
        "args_sha256": digest_of(ARGUMENTS),
        "jti": "act_1",
        "now": NOW,
        "lasts": LONGEST,
    }
    return Claims.made(**{**terms, **changed})


def fault_of(said: Claims | Refused) -> Fault | None:
    """Return why a token was refused, or None."""
    return said.fault if isinstance(said, Refused) else None


def payload_of(token: str) -> dict[str, Any]:
    """Return what the first part of `token` holds."""
    head = token.split(".", maxsplit=1)[0]
    said: dict[str, Any] = orjson.loads(base64.urlsafe_b64decode(head + "=="))
    return said


def forged(said: Any) -> str:
    """Return a token of ours that says `said`, signed with our own key."""
    payload = said if isinstance(said, bytes) else orjson.dumps(said)
    parts = (payload, KEY.sign(payload))
    return ".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts
    )


def test_a_token_says_what_it_was_made_of() -> None:
    """Signed and read again, the claims are the same, with version and key beside."""
    token = sign(made(), KEY)
    assert verify(token, KEYS, now=NOW) == made()
    assert payload_of(token)["v"] == 1
    assert payload_of(token)["kid"] in KEYS
    assert set(payload_of(token)) == {
        *("v", "kid", "task", "epoch", "tool", "args_sha256", "iat", "exp", "jti"),
    }


def test_a_token_ends_within_ten_seconds() -> None:
    """Longer was asked for; it is cut, and whole seconds never make it longer."""
    claims = made(lasts=timedelta(hours=1))
    assert claims.exp <= (NOW + LONGEST).timestamp()
    assert made(lasts=timedelta(seconds=2.9)).exp == claims.iat + 2
    assert made(lasts=timedelta(0)).exp == claims.iat + 1


def test_replicas_share_the_key() -> None:
    """The key follows from the secret alone; another secret gives another key."""
    again = private_key(b"a secret of at least thirty-two bytes")
    other = private_key(b"another secret of at least thirty-two bytes")
    assert kid_of(again.public_key()) in KEYS
    assert kid_of(other.public_key()) not in KEYS


def test_arguments_are_the_same_in_any_order() -> None:
    """The hash is over canonical JSON, known from outside."""
    assert digest_of({"b": 1, "a": [2, 3]}) == digest_of({"a": [2, 3], "b": 1})
    # printf '{"a":1}' | sha256sum
    known = "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
    assert digest_of({"a": 1}) == known


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ({}, None),
        ({"task": "t", "tool": "refund", "args_sha256": digest_of(ARGUMENTS)}, None),
        ({"last_epoch": 3}, None),
        ({"last_epoch": 4}, Fault.OLD_EPOCH),
        ({"task": "u"}, Fault.OTHER_TASK),
        ({"tool": "transfer"}, Fault.OTHER_TOOL),
        ({"args_sha256": digest_of({})}, Fault.OTHER_ARGUMENTS),
        ({"now": NOW + LONGEST}, Fault.EXPIRED),
        ({"now": NOW + LONGEST - timedelta(seconds=0.5)}, None),
        ({"now": NOW - SKEW - timedelta(seconds=1)}, Fault.NOT_YET),
        ({"now": NOW - SKEW}, None),
    ],
)
def test_a_token_is_good_for_one_call(
    asked: dict[str, Any], fault: Fault | None
) -> None:
    """Another task, tool, argument or time is refused by its name, as is an old epoch."""
    said = verify(sign(made(), KEY), KEYS, **{"now": NOW, **asked})
    assert fault_of(said) is fault


def test_a_token_says_what_was_expected() -> None:
    """A refusal names what a good token has there, and what this one has."""
    said = verify(sign(made(), KEY), KEYS, now=NOW, tool="transfer")
    assert said == Refused(fault=Fault.OTHER_TOOL, expected="transfer", found="refund")


def test_a_token_cannot_outlive_what_is_allowed() -> None:
    """Even signed with our key, one that holds for an hour holds not at all."""
    long = replace(made(), exp=made().iat + 3_600)
    assert fault_of(verify(sign(long, KEY), KEYS, now=NOW)) is Fault.EXPIRED


def test_a_key_of_somebody_else_is_unknown() -> None:
    """A token that another key has signed is refused by the id of that key."""
    other = private_key(b"another secret of at least thirty-two bytes")
    assert fault_of(read(sign(made(), other), KEYS)) is Fault.UNKNOWN_KEY
    assert fault_of(read(sign(made(), KEY), {})) is Fault.UNKNOWN_KEY


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_is_seen(place: int, bit: int) -> None:
    """Whatever bit of the claims is changed, the token is not good."""
    payload = bytearray(orjson.dumps(payload_of(sign(made(), KEY))))
    signature = KEY.sign(bytes(payload))
    payload[place % len(payload)] ^= 1 << bit
    parts = (bytes(payload), signature)
    token = ".".join(base64.urlsafe_b64encode(p).rstrip(b"=").decode() for p in parts)
    assert isinstance(read(token, KEYS), Refused)


@given(st.text(max_size=60))
def test_noise_is_no_token(text: str) -> None:
    """Whatever is no token of ours is refused, never an error."""
    assert isinstance(verify(text, KEYS, now=NOW), Refused)


@pytest.mark.parametrize(
    "said",
    [
        b"not json",
        ["a", "list"],
        {},
        {**payload_of(sign(made(), KEY)), "more": 1},
        {**payload_of(sign(made(), KEY)), "v": 2},
        {**payload_of(sign(made(), KEY)), "epoch": "3"},
        {**payload_of(sign(made(), KEY)), "epoch": True},
        {**payload_of(sign(made(), KEY)), "args_sha256": "ab"},
    ],
)
def test_other_claims_are_malformed(said: Any) -> None:
    """What our key has signed, but has not the form of a token, is refused."""
    assert fault_of(read(forged(said), KEYS)) is Fault.MALFORMED


@pytest.mark.parametrize("token", ["", ".", "a", "é.é", "a" * 5_000 + ".b", "%%.%%"])
def test_other_forms_are_malformed(token: str) -> None:
    """What has not two parts in base64url, or is far too long, is refused."""
    assert fault_of(read(token, KEYS)) is Fault.MALFORMED


def test_a_gateway_needs_only_the_raw_key() -> None:
    """Any Ed25519 library that has the 32 bytes can check the signature."""
    token = sign(made(), KEY)
    head, tail = (part + "=" * (-len(part) % 4) for part in token.split("."))
    raw = KEY.public_key().public_bytes_raw()
    Ed25519PublicKey.from_public_bytes(raw).verify(
        base64.urlsafe_b64decode(tail), base64.urlsafe_b64decode(head)
    )
