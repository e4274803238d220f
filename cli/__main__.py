"""The process of the command ``perennial``."""

from __future__ import annotations

import atexit
import os
import sys

from cli.main import main
from config.home import give_home
from config.proxies import reach_loopback_directly


class _Exit:
    """Ends the process once the exit functions of all libraries have run.

    The interpreter's own teardown is skipped: it frees thousands of modules, which takes half a second and makes
    DuckDB's binding print warnings about objects freed in an unexpected order.
    """

    def __init__(self) -> None:
        self.code = 1  # of an error that is not caught
        # Exit functions run in the opposite order of their registration: this one, registered first, runs last.
        atexit.register(self._leave)

    def _leave(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(self.code)


def run() -> None:
    """Run the command and end the process with its exit code."""
    leaving = _Exit()
    reach_loopback_directly(os.environ)
    give_home(os.environ)
    try:
        main()
        leaving.code = 0
    except SystemExit as ended:
        leaving.code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)


if __name__ == "__main__":
    run()
