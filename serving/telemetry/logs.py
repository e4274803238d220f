"""Logs as JSON lines with the field names of the Elastic Common Schema (ECS), or as plain text.

A separate thread writes the access lines, several at a time: the event loop does not wait for the reader of the log.
When the reader is too slow, lines are dropped and counted. Lines never contain feature values.
"""

from __future__ import annotations

import atexit
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import IO, Literal

import msgspec

ECS_VERSION = "8.11.0"
MAX_WAITING = 20_000
WRITE_SECONDS = 0.1


class AccessLine(msgspec.Struct, omit_defaults=True):
    """An answered request, in the field sets http, url, event, client and error of ECS."""

    timestamp: str = msgspec.field(name="@timestamp")
    level: str = msgspec.field(name="log.level")
    message: str
    ecs: str = msgspec.field(name="ecs.version")
    service: str = msgspec.field(name="service.name")
    dataset: str = msgspec.field(name="event.dataset")
    duration: int = msgspec.field(name="event.duration")  # nanoseconds
    method: str = msgspec.field(name="http.request.method")
    request_id: str = msgspec.field(name="http.request.id")
    status: int = msgspec.field(name="http.response.status_code")
    path: str = msgspec.field(name="url.path")
    client: str = msgspec.field(name="client.ip", default="")
    user: str = msgspec.field(name="user.name", default="")
    problem: str = msgspec.field(name="error.code", default="")
    detail: str = msgspec.field(name="error.message", default="")
    model: str = msgspec.field(name="perennial.model", default="")
    version: int = msgspec.field(name="perennial.model_version", default=0)
    variant: str = msgspec.field(name="perennial.variant", default="")
    prediction_id: str = msgspec.field(name="perennial.prediction_id", default="")
    n_rows: int = msgspec.field(name="perennial.rows", default=0)


class AccessLog:
    """Writes access lines to a stream.

    Parameters
    ----------
    style
        ``json`` or ``text``.
    stream
        Binary stream; standard output by default.
    """

    def __init__(self, style: Literal["json", "text"], stream: IO[bytes] | None = None) -> None:
        self._stream = stream or sys.stdout.buffer
        self._render = _RENDERERS[style]
        self._waiting: deque[AccessLine] = deque()
        self._dropped = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def add(self, line: AccessLine) -> None:
        """Queue a line for the writing thread."""
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append(line)
        else:
            self._dropped += 1

    def close(self) -> None:
        """Write the queued lines and stop; a second call does nothing."""
        self._closing.set()
        self._thread.join(timeout=2)

    def _run(self) -> None:
        while not self._closing.wait(WRITE_SECONDS):
            self._write()
        self._write()

    def _write(self) -> None:
        lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not lines:
            return
        try:
            self._stream.write(b"".join(self._render(line) for line in lines))
            self._stream.flush()
        except (OSError, ValueError):  # the reader of the log is gone; the service continues
            return
        if dropped := self._dropped:
            self._dropped -= dropped
            logging.getLogger("perennial.access").warning("%d lines of the access log were dropped", dropped)


def _json_line(line: AccessLine) -> bytes:
    return msgspec.json.encode(line) + b"\n"


def _text_line(line: AccessLine) -> bytes:
    who = f" {line.model} v{line.version}" if line.version else ""
    why = f" {line.problem}: {_printable(line.detail)}" if line.problem else ""
    took = f"{line.duration / 1e6:.1f} ms"
    moment = line.timestamp[11:23]
    return f"{moment} {line.status} {line.method} {_printable(line.path)}{who} {took} {line.request_id}{why}\n".encode()


def _printable(text: str) -> str:
    """Escape control characters, which could start a new line or color the terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


_RENDERERS: dict[str, Callable[[AccessLine], bytes]] = {"json": _json_line, "text": _text_line}


def now_text() -> str:
    """Return the current time in ECS format, with milliseconds."""
    return f"{datetime.now(UTC).isoformat(timespec='milliseconds')[:-6]}Z"


def configure_logging(style: Literal["json", "text"]) -> None:
    """Send the log records of this process to standard output, in ECS or as text."""
    handler = logging.StreamHandler(sys.stdout)
    if style == "json":
        import ecs_logging

        handler.setFormatter(
            ecs_logging.StdlibFormatter(
                extra={"service.name": "perennial-serving"}, exclude_fields=["log.original", "process"]
            )
        )
    else:
        text = logging.Formatter("%(asctime)s.%(msecs)03d %(levelname)s %(message)s", datefmt="%H:%M:%S")
        text.converter = time.gmtime  # like the access lines
        handler.setFormatter(text)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # uvicorn logs each start and stop of a process; only its warnings and errors are useful.
    for name in ("uvicorn", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
