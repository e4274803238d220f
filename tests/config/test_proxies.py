"""A proxy in the environment is for the world outside, not for this machine."""

from __future__ import annotations

from config.proxies import reach_loopback_directly


def test_loopback_is_added_to_the_exceptions() -> None:
    """Under both names, beside what was there, once."""
    environment = {"https_proxy": "http://proxy:3128", "no_proxy": "intern.example, 127.0.0.1", "NO_PROXY": "other"}
    for _ in range(2):
        reach_loopback_directly(environment)
    assert environment["no_proxy"] == environment["NO_PROXY"] == "intern.example,127.0.0.1,other,localhost,::1"


def test_without_a_proxy_nothing_changes() -> None:
    """Exceptions alone are left as they are."""
    environment = {"NO_PROXY": "intern.example", "PATH": "/bin"}
    reach_loopback_directly(environment)
    assert environment == {"NO_PROXY": "intern.example", "PATH": "/bin"}
