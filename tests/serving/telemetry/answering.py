"""Requests that were answered, and a log to put them into; imports little, for the processes that tests kill."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from serving.ids import new_request_id
from serving.telemetry.prediction_log import Answered, PredictionLog
from store.log.connection import LogConnection


class Counted:
    """What the log says of itself: rows that reached the database, and rows that never will."""

    def __init__(self) -> None:
        self.written = 0
        self.dropped = 0

    def write(self, rows: int, seconds: float) -> None:
        """Count rows that reached the database."""
        assert seconds >= 0
        self.written += rows

    def drop(self, rows: int) -> None:
        """Count rows that never will."""
        self.dropped += rows


def answered(model: str, n_rows: int = 1, size: int = 10) -> Answered:
    """Return a request that was answered just now, with so many bytes of rows."""
    return Answered(
        id=new_request_id(),
        model=model,
        version=1,
        variant="champion",
        at=time.time(),
        n_rows=n_rows,
        latency_ms=0.5,
        rows=b'["' + b"x" * size + b'"]',
        outputs=b"[0.5]",
        entity_keys=None,
    )


@asynccontextmanager
async def log_to(
    address: str, mode: Any, counted: Counted | None = None, *, max_bytes: int = 2**23, flush_seconds: float = 0.02
) -> AsyncIterator[PredictionLog]:
    """Return a log that is written to a database."""
    counted = counted or Counted()
    log = PredictionLog(
        partial(LogConnection, address, durable=mode == "commit"),
        mode,
        max_bytes=max_bytes,
        flush_seconds=flush_seconds,
        written=counted.write,
        dropped=counted.drop,
    )
    log.start()
    try:
        yield log
    finally:
        await log.close(5)


async def until(holds: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"it did not come to hold within {seconds:g} s"
        await asyncio.sleep(0.01)


async def answer_without_end(address: str, model: str) -> None:
    """Print the ids of requests as they are answered."""

    async def client(log: PredictionLog) -> None:
        while True:
            request = answered(model)
            await log.put(request)
            os.write(1, f"{request.id}\n".encode())

    async with log_to(address, "commit") as log:
        await asyncio.gather(*(client(log) for _ in range(8)))
