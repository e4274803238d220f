"""A worker process: ``python -m serving.processes.worker`` reads its :class:`Assignment` from standard input.

It ends gracefully on SIGTERM, and when standard input closes because its supervisor has ended.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from config.settings import HookSettings, ServingSettings
from serving.access.access import Access
from serving.access.jwks import JwksFollower
from serving.access.rates import SharedRates
from serving.http.direct import DirectPredictions
from serving.http.entry import Entry
from serving.http.later import App, LaterApp
from serving.http.protocol import Limits, bounded_protocol
from serving.http.service import Service, following
from serving.processes.open_files import connections_within
from serving.processes.start import BEAT, signal_life
from serving.release.copies import Sender
from serving.telemetry.logs import AccessLog, configure_logging
from serving.telemetry.metrics import Metrics
from serving.telemetry.prediction_log import PredictionLog
from serving.webhooks.inbox import Inbox, head_check
from store.log.connection import LogConnection

BEAT_SECONDS = 1.0
KEEP_ALIVE_SECONDS = 75

SWITCH_SECONDS = 0.0005
"""Maximum time that the log's thread may block the event loop; Python's default of 5 ms would dominate the p99."""


GARBAGE = (50_000, 50, 100)
"""Thresholds of the garbage collector: a request leaves no cycles, and the defaults cost 5 % of the throughput."""


@dataclass(frozen=True)
class Assignment:
    """Parameters of a worker.

    Parameters
    ----------
    settings
        Content of :class:`~config.settings.ServingSettings`.
    database_url
        Address of the operational database; may contain a password, so it is passed on standard input.
    instance
        Folder of the instance's state.
    socket
        File descriptor of the listening socket.
    signs
        File descriptor of the pipe to which the event loop writes a heartbeat every second.
    mlflow_uri
        Address of the registry's pages, for links.
    root
        Folder of the project.
    hooks
        Content of :class:`~config.settings.HookSettings`, with the secrets.
    copies
        File descriptor of the socket for copies of requests, see :mod:`serving.release.copies`; -1: there is none.
    """

    settings: dict[str, Any]
    database_url: str
    instance: str
    socket: int
    signs: int
    mlflow_uri: str
    root: str
    hooks: dict[str, Any]
    copies: int = -1


class Server(uvicorn.Server):
    """A server that drains before shutdown: it reports "not ready", serves for a while, then closes its port.

    Parameters
    ----------
    config
        Configuration of uvicorn.
    service
        The service, whose ``draining`` is set.
    direct
        Counts the predictions that have no task.
    """

    def __init__(self, config: uvicorn.Config, service: Service, direct: DirectPredictions) -> None:
        super().__init__(config)
        self._service = service
        service.count_requests_by(lambda: len(self.server_state.tasks) + direct.n_open)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then shut down."""
        self._service.draining = True
        left = self._service.settings.drain_seconds
        while left > 0 and not self.force_exit:
            await asyncio.sleep(min(0.1, left))
            left -= 0.1
        await super().shutdown(sockets)


def server_config(entry: Entry, settings: ServingSettings, direct: DirectPredictions) -> uvicorn.Config:
    """Return uvicorn's configuration; it reads nothing from the environment and adds no headers to responses."""
    connections = connections_within(settings.max_connections)
    limits = Limits(settings.max_header_kb * 1024, settings.header_seconds, connections)
    return uvicorn.Config(
        entry,
        http=bounded_protocol(limits, entry.refused, direct.take),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(settings.grace_seconds) or 1,
    )


def build_service(
    settings: ServingSettings, instance: Path, database_url: str, metrics: Metrics, access: Access
) -> Service:
    """Build a worker's service."""
    log = PredictionLog(
        partial(LogConnection, database_url, durable=settings.log == "commit"),
        settings.log,
        max_bytes=settings.log_queue_mb * 2**20,
        flush_seconds=settings.log_flush_ms / 1000,
        written=partial(_written, metrics),
        dropped=lambda rows: metrics.log_rows.labels("dropped").inc(rows),
    )
    return Service(settings, instance, log, metrics, access)


def build_inbox(
    hooks: HookSettings, settings: ServingSettings, database_url: str, root: Path, rates: SharedRates
) -> Inbox:
    """Build the inbox for webhook deliveries."""
    bad = settings.bad_credentials_per_minute
    return Inbox(hooks, database_url, root, rates, bad_per_minute=bad)


def _application(service: Service, assignment: Assignment, inbox: Inbox) -> App:
    from serving.http.app import build_app  # FastAPI and SQLAlchemy

    return build_app(service, assignment.database_url, mlflow_uri=assignment.mlflow_uri, inbox=inbox)


def _written(metrics: Metrics, rows: int, seconds: float) -> None:
    metrics.log_rows.labels("written").inc(rows)
    metrics.log_write.observe(seconds)


@asynccontextmanager
async def _lifespan(service: Service, jwks: JwksFollower | None, signs: int) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        # The heartbeat goes on while the log is being closed, which may take long; it ends last.
        tasks = stack.enter_context(_cancelled_at_the_end())
        await stack.enter_async_context(following(service, close_seconds=service.settings.grace_seconds))
        tasks.append(asyncio.create_task(_beat(signs)))
        if jwks is not None:
            tasks.append(asyncio.create_task(jwks.follow(service.access.replace_jwks)))
        # Objects that exist now are permanent: exclude them from later collections.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GARBAGE)
        yield


@contextmanager
def _cancelled_at_the_end() -> Iterator[list[asyncio.Task[None]]]:
    tasks: list[asyncio.Task[None]] = []
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()


async def _beat(signs: int) -> None:
    while True:
        signal_life(signs, BEAT)
        await asyncio.sleep(BEAT_SECONDS)


def end_with(descriptor: int) -> None:
    """End this process gracefully when the descriptor is closed."""
    # Not with sys.stdin: a thread that waits in it holds its lock, and the interpreter could not exit.
    while os.read(descriptor, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Serve requests until stopped."""
    for sort in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal again after its shutdown; this handler then exits normally.
        signal.signal(sort, lambda *_: sys.exit(0))
    sys.setswitchinterval(SWITCH_SECONDS)
    assignment = msgspec.json.decode(sys.stdin.buffer.readline(), type=Assignment)
    threading.Thread(target=end_with, args=(sys.stdin.fileno(),), daemon=True).start()
    settings, hooks = ServingSettings.model_validate(assignment.settings), HookSettings.model_validate(assignment.hooks)
    style = settings.log_format or "json"
    configure_logging(style)
    instance = Path(assignment.instance)
    rates = SharedRates(instance / "rates")
    jwks = JwksFollower(settings.jwks_url, cache=instance / "jwks.json") if settings.jwks_url else None
    access = Access(settings, rates, refresh=jwks.refresh if jwks else None)
    service = build_service(settings, instance, assignment.database_url, Metrics(), access)
    service.copies = Sender(assignment.copies)
    lifespan = partial(_lifespan, service, jwks, assignment.signs)
    inbox = build_inbox(hooks, settings, assignment.database_url, Path(assignment.root), rates)
    app = LaterApp(partial(_application, service, assignment, inbox), lifespan)
    access_log = AccessLog(style)
    entry = Entry(service, app, access_log, hooks.max_body_kb if hooks.keys else 0, head_check(service, inbox))
    direct = DirectPredictions(service, entry)
    config = server_config(entry, settings, direct)
    Server(config, service, direct).run(sockets=[socket.socket(fileno=assignment.socket)])
    access_log.close()


if __name__ == "__main__":
    main()
