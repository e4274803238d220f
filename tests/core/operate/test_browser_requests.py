"""Which requests a server on a loopback address answers."""

import pytest

from core.operate.browser_requests import is_of_this_machine

HERE = b"127.0.0.1:4200"


@pytest.mark.parametrize("host", [HERE, b"localhost:4200", b"[::1]:4200", b"127.0.0.2", b"LocalHost"])
def test_programs_of_this_machine_are_answered(host: bytes) -> None:
    """They name a loopback address and send no origin."""
    assert is_of_this_machine([host], [])


@pytest.mark.parametrize("origin", [b"http://127.0.0.1:4200", b"http://localhost:4200", b"https://[::1]:4200"])
def test_pages_of_the_server_are_answered(origin: bytes) -> None:
    """Under any name of this machine, with the server's port."""
    assert is_of_this_machine([HERE], [origin])


@pytest.mark.parametrize(
    "host",
    [b"evil.example:4200", b"127.0.0.1.evil.example", b"localhost.evil.example", b"10.0.0.1", b"", b"127.0.0.1:4200 "],
)
def test_a_page_that_rebound_its_name_is_refused(host: bytes) -> None:
    """The browser sends the page's own host name, whatever address it resolved to."""
    assert not is_of_this_machine([host], [])


@pytest.mark.parametrize(
    "origin",
    [b"https://evil.example", b"null", b"", b"http://127.0.0.1:8000", b"http://localhost", b"http://evil.example:4200"],
)
def test_a_page_of_another_origin_is_refused(origin: bytes) -> None:
    """Also one of another server of this machine, of a file, and of a frame without an origin."""
    assert not is_of_this_machine([HERE], [origin])


def test_several_headers_are_refused() -> None:
    """Which of them a browser or a proxy means is unknown."""
    assert not is_of_this_machine([], [])
    assert not is_of_this_machine([HERE, HERE], [])
    assert not is_of_this_machine([HERE], [b"http://127.0.0.1:4200", b"null"])
