"""The client behind trusted proxies is found, and no client chooses its own address."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.access.forwarded import MAX_PROXIES, Proxies

PROXY, OTHER_PROXY, CLIENT = "10.0.0.1", "2001:db8:1::7", "203.0.113.9"
NETWORKS = [ip_network("10.0.0.0/24"), ip_network("2001:db8:1::/48")]
Header = Literal["x-forwarded-for", "forwarded"]


def _client(*values: bytes | str, header: Header = "x-forwarded-for", peer: str = PROXY) -> str:
    headers = [(header.encode(), value if isinstance(value, bytes) else value.encode("latin-1")) for value in values]
    return Proxies(NETWORKS, header).client(peer, [(b"host", b"a"), *headers])


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (CLIENT, CLIENT),
        (f"{CLIENT}:4711", CLIENT),
        ("2001:db8:9::1", "2001:db8:9::1"),
        ("[2001:db8:9::1]:4711", "2001:db8:9::1"),
        ("::ffff:203.0.113.9", CLIENT),
        (f"{CLIENT}, {OTHER_PROXY}", CLIENT),
        (f"{CLIENT},{OTHER_PROXY},10.0.0.77", CLIENT),
        (f"10.0.0.9, {OTHER_PROXY}", "10.0.0.9"),
    ],
)
def test_a_proxy_names_its_client(value: str, found: str) -> None:
    """With or without a port, through one proxy or several; a proxy may be a client too."""
    assert _client(value) == found


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (f"for={CLIENT}", CLIENT),
        (f'For="{CLIENT}:4711" ; proto=https;by=10.0.0.1', CLIENT),
        ('by=_proxy;for="[2001:db8:9::1]:4711"', "2001:db8:9::1"),
        (f'for={CLIENT}, for="[{OTHER_PROXY}]"', CLIENT),
    ],
)
def test_the_standard_header_is_read_too(value: str, found: str) -> None:
    """By its parameter ``for``, of RFC 7239."""
    assert _client(value, header="forwarded") == found


@pytest.mark.parametrize(
    "forged",
    [
        "198.51.100.1",
        "198.51.100.1, 198.51.100.2",
        PROXY,
        f"198.51.100.1,{OTHER_PROXY}",
        "",
        ",",
        "unknown",
        '"',
        "\xff",
    ],
)
@pytest.mark.parametrize("lines", [1, 2])
def test_what_the_client_sent_itself_is_not_believed(forged: str, lines: int) -> None:
    """The proxy's entry counts, on the client's line or on one of its own."""
    values = [f"{forged}, {CLIENT}"] if lines == 1 else [forged, CLIENT]
    assert _client(*values) == CLIENT


@given(forged=st.binary(max_size=80), lines=st.booleans(), hops=st.integers(0, 2))
def test_no_bytes_hide_the_proxys_entry(forged: bytes, lines: bool, hops: int) -> None:
    """Quotes, commas and semicolons of the client among them."""
    through = [b", 10.0.0.7", b", 10.0.0.8"][:hops]
    for header, entry in (("x-forwarded-for", CLIENT.encode()), ("forwarded", b"for=" + CLIENT.encode())):
        ends = [hop if header == "x-forwarded-for" else hop.replace(b"10.", b"for=10.") for hop in through]
        own = entry + b"".join(ends)
        values = [forged, own] if lines else [forged + b", " + own]
        assert _client(*values, header=header) == CLIENT  # type: ignore[arg-type] # one of both


@pytest.mark.parametrize(
    "value", ["unknown", "_hidden", "", "203.0.113.999", "203.0.113.9:port", "fe80::1%evil", "for=203.0.113.9", "a b"]
)
def test_an_entry_that_is_no_address_leaves_the_proxy(value: str) -> None:
    """The client stays unknown, and nothing before that entry is believed."""
    assert _client(f"{CLIENT}, {value}") == PROXY


@pytest.mark.parametrize(
    "value", ["for=unknown", "for=_x", "proto=https", f"for={CLIENT};for=1.2.3.4", CLIENT, 'for="']
)
def test_an_element_without_one_address_leaves_the_proxy(value: str) -> None:
    """Two of them, a hidden one, or none."""
    assert _client(f"for={CLIENT}, {value}", header="forwarded") == PROXY


@pytest.mark.parametrize("peer", ["192.0.2.1", "2001:db8:2::1", "::ffff:192.0.2.1", "", "unix"])
def test_a_client_that_is_no_proxy_names_no_other(peer: str) -> None:
    """Its own address counts."""
    assert _client(CLIENT, peer=peer) == peer
    assert _client(f"for={CLIENT}", header="forwarded", peer=peer) == peer


def test_a_proxy_that_connects_by_a_mapped_address_is_trusted() -> None:
    """A service that listens on ``::`` sees IPv4 so."""
    assert _client(CLIENT, peer=f"::ffff:{PROXY}") == CLIENT


def test_the_other_header_comes_from_the_client() -> None:
    """A proxy writes one, and passes the other on."""
    headers = [(b"x-forwarded-for", CLIENT.encode()), (b"forwarded", b"for=198.51.100.1")]
    assert Proxies(NETWORKS, "x-forwarded-for").client(PROXY, headers) == CLIENT
    assert Proxies(NETWORKS, "forwarded").client(PROXY, headers) == "198.51.100.1"
    assert Proxies(NETWORKS, "forwarded").client(PROXY, headers[:1]) == PROXY


def test_few_entries_are_read() -> None:
    """However many a client sends."""
    many = ", ".join(["10.0.0.2", *["10.0.0.3"] * (MAX_PROXIES - 1)])
    assert _client(f"198.51.100.1, {many}") == "10.0.0.2"
    assert _client("10.0.0.5," * 20_000 + CLIENT) == CLIENT
