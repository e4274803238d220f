"""Prefect's process worker, whose runs are forks of a process that has imported the libraries.

``python -m tasks.platform.worker.start worker start …`` is ``prefect worker start …``: polling, limits, cancellation,
logs and the states of crashed runs are Prefect's. Only the process that it starts for a run is ours.
"""

from __future__ import annotations

import runpy
import sys
from typing import Any

from tasks.platform.worker.run import SUPERVISOR

USUAL, OURS = f"-m {SUPERVISOR} ", "-m tasks.platform.worker.run prefect.engine "


def main() -> None:
    """Become Prefect's command with the arguments of this process."""
    start_forks()
    sys.argv[0] = "prefect"
    runpy.run_module("prefect", run_name="__main__", alter_sys=True)


def start_forks() -> None:
    """Let Prefect's worker in this process start our process for a run; any other command is started as it is."""
    from prefect.runner import _workspace_starter
    from prefect.runner._starter_engine import EngineCommandStarter

    def starter(*, command: str | None = None, **rest: Any) -> EngineCommandStarter:
        return EngineCommandStarter(command=forked(command), **rest)

    vars(_workspace_starter)["EngineCommandStarter"] = starter


def forked(command: str | None) -> str | None:
    """Return the command that a worker starts in place of another one; None is Prefect's own.

    Examples
    --------
    >>> forked("python -m prefect.runner._workspace_supervisor file.json")
    'python -m tasks.platform.worker.run prefect.engine file.json'
    """
    return None if command is None else command.replace(USUAL, OURS, 1)


if __name__ == "__main__":
    main()
