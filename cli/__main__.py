"""The process of the command ``perennial``."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Callable

from cli.main import main
from config.home import give_home
from config.proxies import reach_loopback_directly


class Leaving:
    """Ends the process once the exit functions of all libraries have run.

    The interpreter's own teardown is skipped: it frees thousands of modules, which takes half a second and makes
    DuckDB's binding print warnings about objects freed in an unexpected order.

    Create it before the libraries are imported: exit functions run in the opposite order of their registration.
    """

    def __init__(self) -> None:
        self.code = 1  # of an error that is not caught
        self.last: Callable[[int], None] | None = None
        """Called with the exit code at the very end."""
        atexit.register(self._leave)

    def _leave(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        if self.last is not None:
            self.last(self.code)
        os._exit(self.code)


def run() -> None:
    """Run the command, in a warm process if there is one, and end with its exit code."""
    leaving = Leaving()
    given, is_warm = dict(os.environ), _is_warm()
    if is_warm:
        from cli.warm.client import run_warm

        code = run_warm(sys.argv[1:], given)
        if code is not None:
            leaving.code = code
            return
    run_here(leaving)
    if is_warm:
        from cli.warm.client import start_warm

        start_warm(given)


def run_here(leaving: Leaving) -> None:
    """Run the command in this process and note its exit code."""
    # The imports create half a million permanent objects: scanning them for garbage is a tenth of a short command.
    gc.set_threshold(100_000, 50, 1000)
    reach_loopback_directly(os.environ)
    give_home(os.environ)
    try:
        main()
        leaving.code = 0
    except SystemExit as ended:
        leaving.code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)


def _is_warm() -> bool:
    if "PERENNIAL_WARM" not in os.environ:
        return False  # without an import
    from cli.warm.place import is_wanted

    return is_wanted(sys.argv[1:], os.environ)


if __name__ == "__main__":
    run()
