"""The address of a client behind trusted reverse proxies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal

MAX_PROXIES = 16
"""Most entries of the header that are read, from its end."""

Headers = Iterable[tuple[bytes, bytes]]
Address = IPv4Address | IPv6Address

_NODE = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?|(\d{1,3}(?:\.\d{1,3}){3})(?::\d{1,5})?")
_BARE_IPV6 = re.compile(r"[0-9A-Fa-f:.]+")


class Proxies:
    """Trusted proxies, and the header in which they name the client that connected to them.

    A proxy appends an entry at the end of the header, and everything before it may be forged by the client. So the
    header is read only if the connection comes from a trusted proxy, and from its end: the first entry that is not
    itself a trusted proxy is the client. Where an entry is not an address, the proxy that wrote it is taken.

    Parameters
    ----------
    networks
        Networks of the proxies.
    header
        The one header that the proxies write; the other one comes from the client, and is ignored.

    References
    ----------
    RFC 7239, sections 4, 5.2 and 6.
    """

    def __init__(
        self, networks: Sequence[IPv4Network | IPv6Network], header: Literal["x-forwarded-for", "forwarded"]
    ) -> None:
        self._networks = tuple(networks)
        self._header = header.encode()
        self._read = _forwarded_for if header == "forwarded" else _address

    def client(self, peer: str, headers: Headers) -> str:
        """Return the address of the client.

        Parameters
        ----------
        peer
            Address at the other end of the connection.
        headers
            Headers of the request, names in lower case.
        """
        found = _address(peer)
        if found is None or not self._trusts(found):
            return peer
        value = b",".join(value for name, value in headers if name == self._header)
        # Commas are split without regard to quotes: a proxy's own entry has none, and a quote that the client left
        # open must not swallow it.
        for entry in reversed(value.rsplit(b",", MAX_PROXIES)[-MAX_PROXIES:]):
            named = self._read(entry.decode("latin-1").strip(" \t"))
            if named is None:
                break
            found = named
            if not self._trusts(found):
                break
        return str(found)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _address(text: str) -> Address | None:
    """Return the address of a node with or without a port; None if it is none, or hidden."""
    node = _NODE.fullmatch(text)
    if node is not None:
        text = node.group(1) or node.group(2)
    elif not _BARE_IPV6.fullmatch(text):
        return None
    try:
        found = ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def _forwarded_for(element: str) -> Address | None:
    """Return the address of the parameter ``for`` in an element of ``Forwarded``."""
    values = [
        value.strip(" \t")
        for name, equals, value in (pair.partition("=") for pair in element.split(";"))
        if equals and name.strip(" \t").lower() == "for"
    ]
    if len(values) != 1:
        return None
    (value,) = values
    is_quoted = len(value) > 1 and value[0] == value[-1] == '"'
    return _address(value[1:-1] if is_quoted else value)
