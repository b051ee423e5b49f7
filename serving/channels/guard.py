"""Guard: no request leaves for a place inside, whatever a name resolves to.

References
----------
OWASP, Server-Side Request Forgery Prevention Cheat Sheet: validate the address that is
connected to, at the time of connecting, and follow no redirects.
"""

from __future__ import annotations

import ipaddress
from socket import SOCK_STREAM, getaddrinfo

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Global by their number, and still not the open internet: translations of inner
# addresses, the host agent of Azure, and IPv6 site-local of old.
_TRANSLATED = tuple(
    ipaddress.IPv6Network(net)
    for net in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")
)
_INNER = (
    ipaddress.ip_network("168.63.129.16/32"),
    ipaddress.ip_network("192.88.99.0/24"),
    ipaddress.ip_network("fec0::/10"),
)


class ForbiddenAddressError(ValueError):
    """A name that leads to a place where nothing may be sent."""


def is_outside(address: Address) -> bool:
    """Whether `address` lies in the open internet.

    Examples
    --------
    >>> is_outside(ipaddress.ip_address("93.184.215.14"))
    True
    >>> is_outside(ipaddress.ip_address("::ffff:169.254.169.254"))
    False
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_outside(address.ipv4_mapped)
        if any(address in net for net in _TRANSLATED):
            return False
    is_inner = any(address in net for net in _INNER if net.version == address.version)
    return address.is_global and not (address.is_multicast or is_inner)


def resolved(host: str, port: int, *, allow_private: bool) -> tuple[str, ...]:
    """Return the addresses of `host`, each of them good to connect to.

    Raises
    ------
    ForbiddenAddressError
        If one of them is not: then none is, for the next answer may be that one.
    OSError
        If the name does not resolve.
    """
    found = getaddrinfo(host, port, type=SOCK_STREAM)
    addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
    inside = [a for a in addresses if not is_outside(ipaddress.ip_address(a))]
    if inside and not allow_private:
        msg = (
            f"expected {host} to resolve to addresses of the open internet, found "
            f"{inside[0]}; write `allow_private: true` if it is meant"
        )
        raise ForbiddenAddressError(msg)
    return addresses
