"""Progress of a command that reads a file: lines on standard error, none if it ends within a second."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic

import click

FIRST_SECONDS = 0.8
EVERY_SECONDS = 10.0
LOGGERS = ("perennial.init", "perennial.inspect")


@contextmanager
def progress_lines(*, show: bool) -> Iterator[None]:
    """Print the stages of ``perennial init`` and, during a long one, the seconds since the start.

    Parameters
    ----------
    show
        Whether to print; with ``--json`` nothing is printed.
    """
    if not show:
        yield
        return
    lines = _Lines()
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(lines)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        lines.end()
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(lines)
            logger.setLevel(level)


class _Lines(logging.Handler):
    """Prints the latest record after a delay, each later one at once, and the last one again from time to time."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._began = monotonic()
        self._stage = "starting"
        self._is_late = False
        self._ended = Event()
        self._thread = Thread(target=self._repeat, daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Note the stage, and print it unless the command has just begun."""
        self._stage = record.getMessage()
        if self._is_late:
            self._show()

    def end(self) -> None:
        """Print nothing from now on."""
        self._ended.set()
        self._thread.join()

    def _repeat(self) -> None:
        delay = FIRST_SECONDS
        while not self._ended.wait(delay):
            self._is_late, delay = True, EVERY_SECONDS
            self._show()

    def _show(self) -> None:
        click.echo(f"{monotonic() - self._began:5.0f} s  {self._stage}", err=True)
