"""Progress of a running flow on the terminal: the current step, and one line for each completed step."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_logger = logging.getLogger("perennial.progress")


@contextmanager
def step(title: str) -> Iterator[None]:
    """Report that a step begins; the step itself logs its result."""
    _logger.debug(title, extra={"begins": True})
    yield


class ProgressHandler(logging.Handler):
    """Show Perennial's log records: a live line on a terminal, plain lines elsewhere.

    Parameters
    ----------
    stream
        Stream to write to; standard error by default, because standard output is for results.
    began
        Start of the command, by ``time.monotonic``; now by default.
    """

    def __init__(self, stream: TextIO | None = None, began: float | None = None) -> None:
        super().__init__(logging.DEBUG)
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._start = time.monotonic() if began is None else began

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; the beginning of a step is shown only on terminals."""
        begins = getattr(record, "begins", False)
        if begins and self._live:
            self._stream.write(f"\r\x1b[2K\x1b[2m{self._elapsed()}  {record.getMessage()} …\x1b[0m")
        elif not begins and record.levelno >= logging.INFO:
            self._stream.write(f"{self._clear()}{self._elapsed()}  {self._mark(record)}{record.getMessage()}\n")
        self._stream.flush()

    def finish(self) -> None:
        """Remove the live line."""
        self._stream.write(self._clear())
        self._stream.flush()

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._start:6.1f} s"

    def _clear(self) -> str:
        return "\r\x1b[2K" if self._live else ""

    def _mark(self, record: logging.LogRecord) -> str:
        if record.levelno >= logging.WARNING:
            return "warning: "
        return ""


@contextmanager
def shown(stream: TextIO | None = None, began: float | None = None) -> Iterator[None]:
    """Show progress while the block runs."""
    logger = logging.getLogger("perennial")
    handler = ProgressHandler(stream, began)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    try:
        yield
    finally:
        handler.finish()
        logger.removeHandler(handler)
        logger.setLevel(level)
