"""The end of a process: exit functions run, and the interpreter's teardown does not."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable


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

    def take(self, ended: SystemExit) -> None:
        """Note the exit code of a ``sys.exit``."""
        self.code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
