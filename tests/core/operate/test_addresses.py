"""Which addresses are the internet's, in every form they come in."""

import pytest

from core.operate.addresses import is_public, is_within, network

NOT_PUBLIC = (
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"),  # noqa: S104 - asked about, not bound
    *("100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.251", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1"),
    # IPv4 in other clothes: mapped, compatible, translated, tunnelled.
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1"),
    *("2002:7f00:1::", "2001:0:53aa:64c::1", "64:ff9b::a9fe:a9fe"),
    # What a person may write is not what a socket is given.
    *("2130706433", "0x7f000001", "127.1", "017700000001", "localhost", "example.com", "", "[::1]", "1.1.1.1 "),
)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_is_not_the_internet_is_not_public(address: str) -> None:
    """Loopback, private, link-local, metadata, shared, multicast, reserved, tunnelled, and all that is no address."""
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    """In both versions, and an IPv4 address mapped into IPv6."""
    assert is_public(address)


def test_an_address_lies_in_a_network_in_either_form() -> None:
    """An IPv4 network holds the mapped form as well; a name lies nowhere."""
    networks = [found for text in ("10.0.0.0/8", "::1") if (found := network(text)) is not None]
    inside = [text for text in ("10.9.9.9", "::ffff:10.9.9.9", "::1", "11.0.0.1", "host") if is_within(text, networks)]
    assert inside == ["10.9.9.9", "::ffff:10.9.9.9", "::1"]
