"""Which requests a server on a loopback address answers: those of this machine, and of its own pages.

A server without users is protected by its address alone. A page in a browser of the machine reaches that address too:
under its own host name (DNS rebinding), or from its own origin (cross-site requests).
"""

from __future__ import annotations

import re

_HOST = re.compile(rb"(?:127(?:\.\d{1,3}){3}|localhost|\[::1\])(?::(\d+))?", re.IGNORECASE)


def names_this_machine(host: bytes | None) -> bool:
    """Return whether a header ``Host`` names this machine by a loopback address or as ``localhost``.

    Examples
    --------
    >>> [names_this_machine(host) for host in (b"127.0.0.1:80", b"LOCALHOST", b"[::1]:80", b"evil.example", b"", None)]
    [True, True, True, False, False, False]
    """
    return _HOST.fullmatch(host or b"") is not None


def is_of_this_machine(hosts: list[bytes], origins: list[bytes]) -> bool:
    """Return whether a request is no one of another site's page.

    Parameters
    ----------
    hosts, origins
        Values of the headers ``Host`` and ``Origin``. Programs send no origin. That of a page must be a loopback host
        with the port of ``Host``, because a page under ``localhost`` may call its server under ``127.0.0.1``.

    Examples
    --------
    >>> is_of_this_machine([b"127.0.0.1:4200"], []), is_of_this_machine([b"127.0.0.1:4200"], [b"http://localhost:4200"])
    (True, True)
    >>> is_of_this_machine([b"127.0.0.1:4200"], [b"null"]), is_of_this_machine([b"evil.example:4200"], [])
    (False, False)
    """
    if len(hosts) != 1 or len(origins) > 1 or not names_this_machine(hosts[0]):
        return False
    return all(_port(origin.partition(b"://")[2]) == _port(hosts[0]) for origin in origins)


def _port(host: bytes) -> bytes | None:
    """Return the port of a loopback host, ``b""`` for the usual one; None where it is another host."""
    found = _HOST.fullmatch(host)
    return None if found is None else found[1] or b""
