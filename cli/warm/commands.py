"""Which commands run in a fork of a warm process."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.warm.client import Work, is_plain, run_warm, start_warm
from tasks.warm.place import is_asked_for, is_on, socket_path

KIND = "command"
SERVER = "cli.warm.server"

HEAVY = frozenset({"train", "retrain", "ingest", "monitor", "judge", "compare", "approve", "rollback", "init", "score"})
"""Commands that import much: after one, a warm process is started."""

LIGHT = frozenset({"models", "show", "history", "data", "drift", "triggers", "reject"})
"""Commands that use a warm process where there is one; all others serve, start processes or ask about the machine."""


def place(environment: Mapping[str, str]) -> Path | None:
    """Return the socket of the warm process of this command line's commands."""
    return socket_path(KIND, environment)


def is_wanted(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether a command runs in a warm process if there is one.

    Parameters
    ----------
    arguments
        Of the command, without its name.
    environment
        Its environment variables.
    """
    return is_on(environment) and bool((HEAVY | LIGHT) & {*arguments[:1]}) and is_plain(environment)


def run_in_fork(environment: Mapping[str, str]) -> int | None:
    """Run the command of this process in a fork and return its exit code; None if it has to run by itself."""
    path = place(environment)
    package = vars(sys.modules["__main__"]).get("__package__")
    return None if path is None else run_warm(path, Work(sys.argv, environment, package))


def start_for_later(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Start a warm process for the commands after this one, where a person gives them.

    Parameters
    ----------
    arguments
        Of the command, without its name.
    environment
        Its environment variables. If ``PERENNIAL_WARM`` is set, a terminal is not needed: a command that a schedule
        starts once a night would leave a process that nothing uses.
    """
    if HEAVY & {*arguments[:1]} and (is_asked_for(environment) or os.isatty(2)):
        path = place(environment)
        if path is not None:
            start_warm(path, SERVER, environment)
