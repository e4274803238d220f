"""SSRF guard: which outbound addresses are allowed."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

_UNICAST = IPv6Network("2000::/3")
"""Global unicast IPv6; addresses outside it are local or embed an IPv4 address."""

_6TO4 = IPv6Network("2002::/16")


def is_public(address: str) -> bool:
    """Return whether an address is public: not loopback, private, link-local, reserved, shared or multicast.

    An IPv4-mapped IPv6 address is judged as its IPv4 address; addresses of tunnels to IPv4 are not public.

    Examples
    --------
    >>> [is_public(text) for text in ("9.9.9.9", "2620:fe::fe", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1")]
    [True, True, False, False, False]
    >>> [is_public(text) for text in ("0.0.0.0", "100.64.0.1", "224.0.0.1", "64:ff9b::7f00:1", "::1", "example.com")]
    [False, False, False, False, False, False]
    """
    found = _plain(address)
    if found is None or not found.is_global or found.is_multicast or found.is_reserved:
        return False
    return isinstance(found, IPv4Address) or (found in _UNICAST and found not in _6TO4)


def is_within(address: str, networks: Iterable[Network]) -> bool:
    """Return whether an address lies in one of the networks.

    Examples
    --------
    >>> is_within("::ffff:10.1.2.3", [ip_network("10.0.0.0/8")])
    True
    """
    found = _plain(address)
    return found is not None and any(found in network for network in networks)


def network(text: str) -> Network | None:
    """Parse a network or a single address; None where the text is neither.

    Examples
    --------
    >>> network("10.1.2.3/8"), network("::1"), network("hooks.internal")
    (IPv4Network('10.0.0.0/8'), IPv6Network('::1/128'), None)
    """
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _plain(address: str) -> IPv4Address | IPv6Address | None:
    """Parse an address in standard notation only: no ``127.1``, no ``0x7f000001``, no host name."""
    try:
        found = ip_address(address)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
