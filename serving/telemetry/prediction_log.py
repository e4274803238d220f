"""Write predictions to the operational database on a separate thread, many requests in one transaction.

``commit``: an answer is sent after its transaction is durable, so no answered prediction is ever lost. ``async``: the
answer does not wait; a crash loses the predictions of the last ``flush_seconds`` and of one write, at most the queue.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from core.errors import StorageError
from core.references import Variant
from serving.problems import Problem

if TYPE_CHECKING:
    from store.log.connection import LogConnection

_logger = logging.getLogger("perennial.prediction_log")

MAX_REQUESTS_PER_WRITE = 2_000
RETRY_SECONDS = 1.0
"""Pause between two attempts after the database failed."""

CHECK_SECONDS = 2.0
"""How often a log without requests checks that the database can be reached."""

STALL_SECONDS = 5.0
"""A write that takes longer counts as a failure until it ends: a server that is stopped sends no error either."""

OPENING = "the prediction log is being opened"
STALLED = "a write to the operational database does not end; check that it is running and not locked"

LAST_RETRY_SECONDS = 0.1
"""The same pause while the log closes."""

OVERHEAD_BYTES = 500
"""Memory of a queued request without its texts."""


@dataclass(slots=True)
class Answered:
    """An answered request as the log stores it, see :class:`~store.tables.PredictionRequestRow`."""

    id: str
    model: str
    version: int
    variant: Variant
    at: float
    n_rows: int
    latency_ms: float
    rows: bytes
    outputs: bytes
    entity_keys: bytes | None
    columns: bytes | None = None
    failure: str | None = None
    served_id: str | None = None

    @property
    def size(self) -> int:
        """Approximate bytes that it takes in the queue."""
        return OVERHEAD_BYTES + len(self.rows) + len(self.outputs)

    def to_row(self) -> dict[str, Any]:
        """Return the values of the table's columns."""
        return {
            "id": self.id,
            "model": self.model,
            "version": self.version,
            "variant": self.variant,
            "at": datetime.fromtimestamp(self.at, UTC),
            "n_rows": self.n_rows,
            "latency_ms": self.latency_ms,
            "rows": self.rows.decode(),
            "columns": None if self.columns is None else self.columns.decode(),
            "outputs": self.outputs.decode(),
            "entity_keys": None if self.entity_keys is None else self.entity_keys.decode(),
            "failure": self.failure,
            "served_id": self.served_id,
        }


class PredictionLog:
    """The log of one worker.

    Parameters
    ----------
    connect
        Opens the database; called on the log's own thread, and again after a failure.
    mode
        ``commit`` or ``async``.
    max_bytes
        Capacity of the queue.
    flush_seconds
        ``async``: how long requests are collected before a write.
    written
        Called with the number of rows that were written, and the seconds it took.
    dropped
        Called with the number of rows that were dropped.
    """

    def __init__(
        self,
        connect: Callable[[], LogConnection],
        mode: Literal["commit", "async"],
        *,
        max_bytes: int,
        flush_seconds: float,
        written: Callable[[int, float], None] = lambda _rows, _seconds: None,
        dropped: Callable[[int], None] = lambda _rows: None,
    ) -> None:
        self._connect = connect
        self._mode = mode
        self._max_bytes = max_bytes
        self._flush_seconds = flush_seconds
        self._written = written
        self._dropped = dropped
        self._lock = threading.Lock()
        self._queue: list[tuple[Answered, asyncio.Future[None] | None]] = []
        self._bytes = 0
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._over = False
        self._down: str | None = None
        self._is_opening = False
        self._busy_since: float | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    @property
    def trouble(self) -> str | None:
        """Why the database cannot be written at present; None if it can."""
        return self._failure or (OPENING if self._is_opening else None)

    @property
    def _failure(self) -> str | None:
        since = self._busy_since
        is_stalled = since is not None and time.monotonic() - since > STALL_SECONDS
        return self._down or (STALLED if is_stalled else None)

    def start(self) -> None:
        """Start the thread that writes; call on the event loop."""
        self._loop = asyncio.get_running_loop()
        self._is_opening = True
        self._thread.start()

    async def close(self, seconds: float) -> None:
        """Write the queued requests for at most ``seconds``; the rest is dropped and counted."""
        self._closing.set()
        self._wake.set()
        await asyncio.to_thread(self._thread.join, seconds)
        self._over = True
        self._refuse(self._take(len(self._queue)), "the service is shutting down")

    async def put(self, answered: Answered) -> None:
        """Queue a request; ``commit``: return once it is durable.

        Raises
        ------
        Problem
            ``commit``: the database cannot be written, or the queue is full.
        """
        durable = self.queue(answered)
        if durable is not None:
            await durable

    def queue(self, answered: Answered) -> asyncio.Future[None] | None:
        """Queue a request; ``commit``: return a future that ends once it is durable, or with a problem.

        Raises
        ------
        Problem
            ``commit``: the database cannot be written, or the queue is full.
        """
        if self._mode == "async":
            if not self._append(answered, None):
                self._dropped(answered.n_rows)
            return None
        if (failure := self._failure) is not None:
            raise _unavailable(failure)
        future = asyncio.get_running_loop().create_future()
        if not self._append(answered, future):
            raise _unavailable("the queue is full")
        return future

    def add(self, answered: Answered) -> None:
        """Queue a row that no client waits for; where it cannot be written, it is dropped and counted."""
        if not self._append(answered, None):
            self._dropped(answered.n_rows)

    def _append(self, answered: Answered, future: asyncio.Future[None] | None) -> bool:
        size = answered.size
        with self._lock:
            if self._bytes + size > self._max_bytes:
                return False
            self._queue.append((answered, future))
            self._bytes += size
        if not self._wake.is_set():
            self._wake.set()
        return True

    def _take(self, most: int) -> list[tuple[Answered, asyncio.Future[None] | None]]:
        with self._lock:
            taken, self._queue = self._queue[:most], self._queue[most:]
            self._bytes -= sum(answered.size for answered, _ in taken)
            return taken

    def _put_back(self, taken: list[tuple[Answered, asyncio.Future[None] | None]]) -> None:
        with self._lock:
            self._queue[:0] = taken
            self._bytes += sum(answered.size for answered, _ in taken)
        # Wake the thread, so that they need not wait for another request.
        self._wake.set()

    def _run(self) -> None:
        while not (self._closing.is_set() and not self._queue):
            try:
                with closing(self._opened()) as connection:
                    self._write_on(connection)
            except Exception as error:  # noqa: BLE001 - the edge of the thread: logged and retried
                if self._down is None:
                    _logger.warning("the prediction log cannot be written: %s", error)
                self._down, self._is_opening = str(error), False
                if self._mode == "commit":
                    self._refuse(self._take(len(self._queue)), self._down)
                if self._closing.wait(RETRY_SECONDS):
                    if self._mode == "commit":
                        return
                    time.sleep(LAST_RETRY_SECONDS)

    def _opened(self) -> LogConnection:
        """Connect, and prove that rows can be written: a full or locked database accepts connections too."""
        with self._timed():
            connection = self._connect()
            try:
                connection.probe()
            except StorageError:
                connection.close()
                raise
        if self._down is not None:
            _logger.info("the prediction log can be written again")
        self._down, self._is_opening = None, False
        return connection

    @contextmanager
    def _timed(self) -> Iterator[None]:
        self._busy_since = time.monotonic()
        try:
            yield
        finally:
            self._busy_since = None

    def _write_on(self, connection: LogConnection) -> None:
        """Write groups until the log closes or the database fails."""
        while True:
            if not self._wake.wait(CHECK_SECONDS):
                with self._timed():
                    connection.check()
                continue
            if self._mode == "async" and not self._closing.is_set():
                self._closing.wait(self._flush_seconds)
            self._wake.clear()
            while taken := self._take(MAX_REQUESTS_PER_WRITE):
                self._write(connection, taken)
            if self._closing.is_set():
                return

    def _write(self, connection: LogConnection, taken: list[tuple[Answered, asyncio.Future[None] | None]]) -> None:
        began = time.perf_counter()
        try:
            with self._timed():
                connection.write([answered.to_row() for answered, _ in taken])
        except StorageError as error:
            if self._mode == "async" and not self._over:
                # The failed transaction may have been committed. Ids are the primary key, so no row is inserted twice.
                self._put_back(taken)
            else:
                self._refuse(taken, str(error))
            raise
        self._written(sum(answered.n_rows for answered, _ in taken), time.perf_counter() - began)
        self._settle([future for _, future in taken if future is not None], None)

    def _refuse(self, taken: Sequence[tuple[Answered, asyncio.Future[None] | None]], why: str) -> None:
        if not taken:
            return
        if lost := sum(answered.n_rows for answered, future in taken if future is None):
            self._dropped(lost)
        self._settle([future for _, future in taken if future is not None], why)

    def _settle(self, futures: list[asyncio.Future[None]], why: str | None) -> None:
        if futures and self._loop is not None:
            self._loop.call_soon_threadsafe(_settle, futures, why)


def _settle(futures: list[asyncio.Future[None]], why: str | None) -> None:
    for future in futures:
        if future.done():  # the request was cancelled
            continue
        if why is None:
            future.set_result(None)
        else:
            future.set_exception(_unavailable(why))


def _unavailable(why: str) -> Problem:
    _logger.debug("an answer was refused because the log cannot be written: %s", why)
    return Problem(
        "log-unavailable",
        "the prediction cannot be written to the prediction log, so it is not answered; try again",
        retry_after=1,
    )
