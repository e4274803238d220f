"""A flow run of the worker, in a fork of a process that has imported the libraries.

``python -m tasks.platform.worker.run prefect.engine FILE`` takes the place of Prefect's own process of a run, which
prepares the workspace and becomes the engine: two starts that each import Prefect, and the flow's libraries. It hands
over to a warm process, or becomes Prefect's process if there is none; then the next run finds one.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from tasks.warm.client import TO_GROUP, Work, is_plain, run_warm, start_warm
from tasks.warm.place import OF_A_TERMINAL, is_on, socket_path

KIND = "run"
SERVER = "tasks.platform.worker.server"
SUPERVISOR = "prefect.runner._workspace_supervisor"
"""Prefect's process of a run."""

_OF_A_RUN = "PREFECT__"
_OF_PREFECT = "PREFECT"


def place(environment: Mapping[str, str]) -> Path | None:
    """Return the socket of the warm process of runs with this environment.

    Parameters
    ----------
    environment
        Variables of a run; those of Prefect may differ, because a fork lets Prefect read them again.
    """
    ignored = {name for name in environment if name.startswith(_OF_PREFECT)}
    return socket_path(KIND, environment, ignored | OF_A_TERMINAL, anywhere=True)


def main() -> None:
    """Run in a fork, and end as it does; or become Prefect's process of the run."""
    config, environment = sys.argv[2], dict(os.environ)
    # The folder of the run, which is another one for each.
    sys.path.pop(0)
    path = place(environment) if is_on(environment) and is_plain(environment) else None
    if path is not None:
        work = Work([SUPERVISOR, config], environment, None, (*TO_GROUP, signal.SIGTERM), group_dies=True)
        code = run_warm(path, work)
        if code is not None:
            os._exit(code)
        kept = {name: value for name, value in environment.items() if not name.startswith(_OF_A_RUN)}
        start_warm(path, SERVER, kept, after=os.getpid(), folder=Path("/"))
    os.execve(sys.executable, [sys.executable, "-m", SUPERVISOR, config], environment)  # noqa: S606 - our interpreter


if __name__ == "__main__":
    main()
