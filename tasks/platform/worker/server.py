"""The warm process of the worker's runs."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.platform.worker.run import place
from tasks.warm.leaving import Leaving, raise_interrupt
from tasks.warm.place import PACKAGES
from tasks.warm.server import serve

ENGINE = "prefect.engine"


def main() -> None:
    """Import the libraries and run flows until idle."""
    given = dict(os.environ)
    serve(_import_libraries, lambda: place(given), _run)


def _import_libraries() -> set[str]:
    from tasks.runs.preload import preload

    safe = preload("tasks.operate", in_terminal=False)
    from prefect.runner import _workspace_supervisor  # noqa: F401 - what a fork begins with

    return safe


def _run(leaving: Leaving, request: dict[str, Any]) -> None:
    """Prepare the workspace of a run and run its flow, as Prefect's two processes would."""
    raise_interrupt()
    _become(request["environment"])
    prepared = _Prepared()
    leaving.code = prepared.prepare(request["arguments"][1])
    if not prepared.command:
        return
    os.chdir(prepared.folder)
    if not prepared.is_ours():  # a clone has code and libraries of its own
        os.execvpe(prepared.command[0], prepared.command, prepared.environment)  # noqa: S606 - as Prefect does
    _become(prepared.environment)
    sys.path.insert(0, str(prepared.folder))
    sys.argv = [ENGINE]
    sys.modules.pop(ENGINE, None)
    leaving.code = 1
    try:
        runpy.run_module(ENGINE, run_name="__main__", alter_sys=True)
        leaving.code = 0
    except SystemExit as ended:
        leaving.take(ended)


def _become(environment: Mapping[str, str]) -> None:
    from tasks.runs.session import read_prefect_settings

    os.environ.clear()
    os.environ.update(environment)
    read_prefect_settings()


class _Prepared:
    """The engine that Prefect would start in a workspace: its command, folder and environment."""

    def __init__(self) -> None:
        self.command: list[str] = []
        self.folder = Path()
        self.environment: dict[str, str] = {}

    def prepare(self, config: str) -> int:
        """Run the steps before a flow; return their exit code."""
        from prefect.runner import _workspace_supervisor

        vars(_workspace_supervisor)["_launch_engine"] = self._keep
        return _workspace_supervisor.main([config])

    async def _keep(self, command: Sequence[str], *, cwd: Path, environment: Mapping[str, str]) -> int:
        self.command, self.folder, self.environment = [*command], cwd, dict(environment)
        return 0

    def is_ours(self) -> bool:
        """Return whether the flow is of the code that this process has imported, in the usual interpreter."""
        return self.command == [sys.executable, "-m", ENGINE] and self.folder.resolve() == PACKAGES


if __name__ == "__main__":
    main()
