"""The end of a process: exit functions run, the interpreter's teardown does not, and Ctrl-C ends what has not begun."""

from __future__ import annotations

import atexit
import os
import signal
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


def end_by_interrupt() -> None:
    """Let Ctrl-C end this process at once, by the signal: it has begun nothing that would have to be cleaned up.

    An exception in the middle of an import would print the trace of a library, and one before the exit code is known
    would leave that to chance. A process that ignores Ctrl-C goes on to do so.
    """
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def raise_interrupt() -> None:
    """Let Ctrl-C raise ``KeyboardInterrupt``, as Python does: work begins that cleans up after itself."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
