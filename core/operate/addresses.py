"""Which addresses of the network a process may connect to that was told where to connect by somebody else."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

_UNICAST = IPv6Network("2000::/3")
"""All that is given out to be reached over the internet; what lies outside is local, or stands for an IPv4 address."""

_6TO4 = IPv6Network("2002::/16")


def is_public(address: str) -> bool:
    """Say whether an address is one of the internet: not of this machine, its network, its provider or a group.

    An IPv6 address that stands for an IPv4 one is judged as that, and tunnels to IPv4 are not public.

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
    """Say whether an address lies in one of some networks.

    Examples
    --------
    >>> is_within("::ffff:10.1.2.3", [ip_network("10.0.0.0/8")])
    True
    """
    found = _plain(address)
    return found is not None and any(found in network for network in networks)


def network(text: str) -> Network | None:
    """Return the network or the single address that a text names; None where it names neither.

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
    """Read an address as the system writes it, not as people may (``127.1``, ``0x7f000001``, a name)."""
    try:
        found = ip_address(address)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
