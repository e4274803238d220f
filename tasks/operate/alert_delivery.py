"""Deliver messages to one destination, in a process that can reach only public addresses and allowed hosts.

Standard input is one JSON object: ``url`` (Apprise's), ``allow`` (hosts and networks), ``messages`` (each with
``level``, ``title`` and ``body``). Standard output has one line per message: null if it was delivered, else the reason;
it ends after the first failure. Without messages, only the URL is checked, and there is one line.

SSRF guard: each address is checked when the connection is made. This refuses redirects to this machine, names that
resolve to it, and names that change their address after a check.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from core.operate.addresses import Network, is_public, is_within, network
from core.text import readable

if TYPE_CHECKING:
    from apprise import Apprise

PROGRAMS = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "os.forkpty",
    "pty.spawn",
)
"""Audit events of calls that start another process, which the guard could not watch."""

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC


class Guard:
    """An audit hook that refuses connections to addresses that are not public, other programs, and written files.

    Parameters
    ----------
    allow
        Hosts, addresses and networks that are allowed although they are not public.
    """

    def __init__(self, allow: Sequence[str]) -> None:
        parsed = {text: network(text) for text in allow}
        self._networks = [found for found in parsed.values() if found is not None]
        self._names = {text.lower() for text, found in parsed.items() if found is None}
        self.refusals: list[str] = []

    def install(self) -> None:
        """Install the hook for the lifetime of the process; an audit hook cannot be removed."""
        self._follow_names()
        sys.addaudithook(self)

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        """Refuse operations that a delivery does not need."""
        if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            self._check_address(args[1])
        elif event in PROGRAMS:
            self._refuse("a delivery may not start a program")
        elif event == "open" and isinstance(args[2], int) and args[2] & _WRITES and args[0] != os.devnull:
            raise PermissionError(
                "a delivery may not write files"
            )  # not recorded: Python tries it for compiled modules

    def _check_address(self, address: Any) -> None:
        if address is None:  # a datagram on a socket that is connected
            return
        host = str(address[0]) if isinstance(address, tuple) and address else ""
        if is_public(host) or is_within(host, self._networks):
            self.refusals.clear()  # if a host has several addresses, one allowed address is enough
        else:
            self._refuse(f"{readable(host) or 'a local socket'} is not a public address (PERENNIAL_ALERTS_ALLOW)")

    def _refuse(self, why: str) -> None:
        self.refusals.append(why)
        raise PermissionError(why)

    def _follow_names(self) -> None:
        """Allow the addresses of the operator's hosts each time they are resolved."""
        resolve = socket.getaddrinfo

        def resolved(host: Any, *args: Any, **given: Any) -> Any:
            found = resolve(host, *args, **given)
            name = host.decode("idna") if isinstance(host, bytes) else str(host)
            if name.lower() in self._names:
                self._networks += _addresses(found)
            return found

        socket.getaddrinfo = resolved


def main() -> None:
    """Deliver the messages on standard input."""
    # Output that a plugin prints must not be taken for a result.
    answers, sys.stdout = sys.stdout, sys.stderr
    request = json.loads(sys.stdin.buffer.read())
    guard = Guard(request["allow"])
    guard.install()
    complaints = _Complaints(request["url"])
    logging.getLogger("apprise").addHandler(complaints)
    destination = _destination(request["url"])
    for message in request["messages"] or [None]:
        problem = _problem(destination, message, guard, complaints)
        print(json.dumps(problem), file=answers, flush=True)
        if problem is not None:
            return


class _Complaints(logging.Handler):
    """The newest warning of Apprise, without what may be a secret of the destination's URL."""

    def __init__(self, url: str) -> None:
        super().__init__(logging.WARNING)
        self._secrets = sorted({part for part in re.split(r"[^\w.-]+", url) if len(part) > 5}, key=len, reverse=True)
        self.newest = ""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        for secret in self._secrets:
            text = text.replace(secret, "***")
        self.newest = readable(text.strip(), 200)


def _destination(url: str) -> Apprise | None:
    from apprise import Apprise, AppriseAsset, PersistentStoreMode

    asset = AppriseAsset(
        app_id="Perennial",
        app_desc="Perennial",
        app_url="",
        async_mode=False,
        storage_mode=PersistentStoreMode.MEMORY,
        http_redirects=False,
        secure_logging=True,
    )
    destination = Apprise(asset=asset)
    return destination if destination.add(url) else None


def _problem(
    destination: Apprise | None, message: dict[str, str] | None, guard: Guard, complaints: _Complaints
) -> str | None:
    from apprise import NotifyFormat, NotifyType

    if destination is None:
        return "Apprise cannot parse the URL"
    if message is None:
        return None
    delivered = destination.notify(
        body=message["body"],
        title=message["title"],
        notify_type=NotifyType(message["level"]),
        # Declared as plain text, the body is escaped for channels that use HTML or Markdown.
        body_format=NotifyFormat.TEXT,
    )
    if delivered:
        return None
    return "; ".join(dict.fromkeys(guard.refusals)) or complaints.newest or "not delivered"


def _addresses(found: list[Any]) -> list[Network]:
    networks = (network(str(entry[4][0])) for entry in found)
    return [address for address in networks if address is not None]


if __name__ == "__main__":
    main()
