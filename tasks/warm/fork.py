"""Make a fork of a warm process what a new process would be."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

_UNCHANGEABLE = (signal.SIGKILL, signal.SIGSTOP)


def become(request: Mapping[str, Any], streams: Sequence[int], environment: Mapping[str, str]) -> None:
    """Take over streams, folder, signals, umask, environment and arguments of the process that asked for a fork.

    Parameters
    ----------
    request
        Of :func:`tasks.warm.client.run_warm`.
    streams
        Its standard streams, and a descriptor of its working directory.
    environment
        Variables with which the warm process was started; what its libraries have set since stays.
    """
    os.setsid()
    os.fchdir(streams[3])
    for number, stream in enumerate(streams[:3]):
        os.dup2(stream, number)
    for stream in streams:
        os.close(stream)
    _set_signals(request["ignored"], request["blocked"])
    os.umask(request["umask"])
    for name in environment:
        if name not in request["environment"]:
            os.environ.pop(name, None)
    os.environ.update(request["environment"])
    time.tzset()
    sys.argv = list(request["arguments"])
    vars(sys.modules["__main__"])["__package__"] = request["package"]
    _reset_libraries()
    _open_streams()


def _set_signals(ignored: Sequence[int], blocked: Sequence[int]) -> None:
    for number in signal.valid_signals():
        if number not in _UNCHANGEABLE:
            with suppress(OSError, ValueError):  # those of the C library
                signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
    # SIGINT too ends the fork by the signal, until its work begins.
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _reset_libraries() -> None:
    """Forget what libraries have noted of the warm process."""
    if (tempfile := sys.modules.get("tempfile")) is not None:
        vars(tempfile)["tempdir"] = None
    # Python seeds its own generator in a fork; without this, all forks would draw the same numbers.
    if (random := sys.modules.get("numpy.random")) is not None:
        random.seed()


def _open_streams() -> None:
    """Open the standard streams as the interpreter does, for what they are now."""
    given = (sys.stdin, sys.stdout, sys.stderr)
    is_unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    found = []
    for number, stream in enumerate(given):
        buffering = 1 if number == 2 or os.isatty(number) else -1
        found.append(
            open(  # noqa: SIM115 - a stream of this process, as long as it lives
                number, "w" if number else "r", buffering, stream.encoding, stream.errors, closefd=False
            )
        )
        if number and is_unbuffered:
            found[-1].reconfigure(write_through=True)
    names = ("stdin", "stdout", "stderr")
    vars(sys).update(zip(names, found, strict=True))
    vars(sys).update(zip((f"__{name}__" for name in names), found, strict=True))
