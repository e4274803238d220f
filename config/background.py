"""Processes that outlive the command that starts them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any


def start_in_background(
    command: Sequence[str], environment: Mapping[str, str], output: IO[Any] | int, folder: Path | None = None
) -> None:
    """Start a process in a session of its own and do not wait for it.

    Parameters
    ----------
    command, environment
        What to run.
    output
        File, or constant of :mod:`subprocess`, for its standard output and errors.
    folder
        Its working directory; None for that of this process.

    Raises
    ------
    OSError
        It cannot be started.
    """
    done = subprocess.run(  # noqa: S603 - the callers run our own interpreter and modules
        # The shell ends at once, so that init adopts the process: it becomes no zombie and outlives this command.
        ["/bin/sh", "-c", '"$0" "$@" &', *command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=environment,
        cwd=folder,
        start_new_session=True,
        check=False,
    )
    if done.returncode:
        raise OSError(f"the shell that starts {command[0]} in the background ended with {done.returncode}")
