"""Start a worker and show its progress: ``python -m serving.processes.start MODULE DESCRIPTOR``.

The module is imported and its ``main`` called. Until the process serves, a thread writes a line to the descriptor
whenever more was imported or computed, so that the supervisor can distinguish a slow start from a hang.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
from contextlib import suppress

LOOK_SECONDS = 0.5
BEAT = b"beat\n"
"""Line of a worker that serves."""


def progress() -> tuple[int, int]:
    """Return the number of imported modules and the seconds of processor time of this process, which only grow."""
    return len(sys.modules), int(time.process_time())


def signal_life(descriptor: int, line: bytes) -> None:
    """Write a line to the supervisor's pipe; it is dropped if the supervisor is stopped and does not read."""
    with suppress(BlockingIOError, BrokenPipeError):
        os.write(descriptor, line)


def show_progress(descriptor: int, stop: threading.Event) -> None:
    """Write a line at every change of :func:`progress`, until stopped."""
    shown = (0, 0)
    while not stop.wait(LOOK_SECONDS):
        if (found := progress()) != shown:
            signal_life(descriptor, b"%d\n" % found[0])
            shown = found


def main(module: str, descriptor: int) -> None:
    """Import a module and call its ``main``."""
    os.set_blocking(descriptor, False)
    stop = threading.Event()
    threading.Thread(target=show_progress, args=(descriptor, stop), name="progress", daemon=True).start()
    importlib.import_module(module).main()
    stop.set()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
