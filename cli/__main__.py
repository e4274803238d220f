"""The process of the command ``perennial``."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import NoReturn

from cli.main import main


def run() -> NoReturn:
    """Run the command, do what was registered for the end of the process, and leave.

    Python's own teardown of some thousand modules takes half a second and lets DuckDB's binding print about objects
    that are freed in an order it does not expect; nobody waits for either.
    """
    code = 0
    try:
        main()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    threading._shutdown()  # type: ignore[attr-defined] # what the interpreter does first: joins threads that matter
    atexit._run_exitfuncs()  # and second: sends Prefect's last log lines
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    run()
