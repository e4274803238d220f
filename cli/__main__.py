"""The process of the command ``perennial``."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import NoReturn

from cli.main import main


def run() -> NoReturn:
    """Run the command, run the registered exit functions, and end the process.

    The interpreter's own teardown is skipped: it frees thousands of modules, which takes half a second and makes
    DuckDB's binding print warnings about objects freed in an unexpected order.
    """
    code = 0
    try:
        main()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    threading._shutdown()  # type: ignore[attr-defined] # the interpreter's first step: join non-daemon threads
    atexit._run_exitfuncs()  # the second step: sends Prefect's last log lines
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    run()
