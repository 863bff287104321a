"""Networks of IP addresses, by which connections and passwords are counted."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address, ip_network

PREFIXES = (64, 56, 48)
"""Of IPv6: what one person, one home and one organization may have addresses of at will (RFC 6177)."""


def networks_of(computer: str) -> tuple[str, ...]:
    """The networks of an IP address, the narrowest first; of IPv4 the address alone. Other text counts as a network of
    its own."""
    try:
        address = ip_address(computer)
    except ValueError:
        return (computer,)
    if not isinstance(address, IPv6Address):
        return (str(address),)
    if address.ipv4_mapped:
        return (str(address.ipv4_mapped),)
    return tuple(f"{IPv6Address(int(address) & ~0 << 128 - prefix)}/{prefix}" for prefix in PREFIXES)


def is_in(computer: str, networks: Iterable[str]) -> bool:
    """Whether this is an IP address in one of the networks."""
    try:
        address = ip_address(computer)
    except ValueError:
        return False
    return any(address in ip_network(network, strict=False) for network in networks)
