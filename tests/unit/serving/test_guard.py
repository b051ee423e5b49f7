"""Tests of the guard: nothing is sent to a place inside."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.channels.guard import ForbiddenAddressError, is_outside, resolved

INSIDE = [
    "0.0.0.0",  # noqa: S104 - nobody binds to it
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.8.8.8",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%lo",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
OUTSIDE = ["93.184.215.14", "1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1"]


@pytest.mark.parametrize("address", INSIDE)
def test_what_lies_inside_is_refused(address: str) -> None:
    """Private, local, reserved, multicast, mapped, translated, metadata."""
    assert not is_outside(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", OUTSIDE)
def test_the_open_internet_is_allowed(address: str) -> None:
    """What anybody can reach may be told."""
    assert is_outside(ipaddress.ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_address_is_inside_however_it_is_written(
    address: ipaddress.IPv4Address,
) -> None:
    """Mapped into IPv6 it is what it was; translated it is never outside."""
    mapped = ipaddress.IPv6Address(f"::ffff:{address}")
    assert is_outside(mapped) == is_outside(address)
    for prefix in ("64:ff9b::", "::"):
        wrapped = int(ipaddress.IPv6Address(prefix)) + int(address)
        assert not is_outside(ipaddress.IPv6Address(wrapped))
    assert not is_outside(ipaddress.IPv6Address((0x2002 << 112) + (int(address) << 80)))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "0", "2130706433", "0x7f.1", "127.1", "017700000001"],
)
def test_no_spelling_of_loopback_gets_through(host: str) -> None:
    """What the resolver makes of it is what is judged."""
    with pytest.raises(ForbiddenAddressError, match="allow_private"):
        resolved(host, 80, allow_private=False)
    assert resolved("127.0.0.1", 80, allow_private=True) == ("127.0.0.1",)
