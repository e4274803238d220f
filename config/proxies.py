"""Keep requests to this machine off the proxies that the environment names."""

from __future__ import annotations

from collections.abc import MutableMapping

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def reach_loopback_directly(environment: MutableMapping[str, str]) -> None:
    """Add the loopback addresses to the exceptions from proxies, for this process and those that it starts.

    A proxy cannot reach the servers of this machine. HTTP libraries read the exceptions from ``no_proxy`` or
    ``NO_PROXY``, whichever they look for first; both get all exceptions. Nothing changes where no proxy is named.

    Parameters
    ----------
    environment
        Environment variables; changed in place.
    """
    if not any(name.lower().endswith("_proxy") and name.lower() != "no_proxy" for name in environment):
        return
    named = [part.strip() for name in ("no_proxy", "NO_PROXY") for part in environment.get(name, "").split(",")]
    exceptions = ",".join(dict.fromkeys([part for part in named if part] + list(LOOPBACK)))
    environment["no_proxy"] = environment["NO_PROXY"] = exceptions
