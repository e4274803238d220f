"""The real command ``perennial serve`` over a project with registered versions, and clients that load it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from sklearn.linear_model import LogisticRegression

from config.settings import Settings
from core.model_inputs import prepare
from serving.bundle.graph import Graph
from store.champions import RecordedVerdict, current_champion, record_verdict, start_tenure
from store.database import open_database
from tasks.platform.ports import free_port
from tasks.registry.register import Registered, register_bundle
from tests.serving.bundles import make_bundle
from tests.serving.running import json_rows
from tests.tasks.registration import CONFIG, FRAME, fit_pipeline, lineage

N_ROWS = 50
"""Different rows that are asked."""

Answers = list[dict[str, float]]


@dataclass(frozen=True)
class Version:
    """A registered version, and what it answers offline to each of the rows."""

    number: int
    manifest: str
    answers: Answers = field(repr=False)


def register_version(settings: Settings, key: str, strength: float) -> Version:
    """Train, register and judge a version; another strength of the penalty gives other answers."""
    pipeline, contract = fit_pipeline(LogisticRegression(C=strength))
    built = make_bundle(settings.var / "work" / f"bundle-{key}", (pipeline, contract), graph=True, key=key)
    graph = Graph((built.folder / "model.onnx").read_bytes())
    # One by one: sums over a batch are blocked in another order, and their last bits differ.
    found = [graph.run(prepare(FRAME.iloc[[row]], contract))[0].tolist() for row in range(N_ROWS)]
    answers = [dict(zip(contract.classes, row, strict=True)) for row in found]
    made = register_bundle(built, CONFIG, lineage(key), {"roc_auc": 0.8}, {}, settings, {})
    _judge(settings, made)
    return Version(made.version, built.manifest_sha256, answers)


def _judge(settings: Settings, made: Registered) -> None:
    engine = open_database(settings.database_url)
    present = current_champion(engine, made.model)
    about = (0, "", "", made.manifest, "{}", datetime.now(UTC))
    sequence, champion = (present.sequence, present.version) if present else (0, None)
    record_verdict(engine, RecordedVerdict(made.model, made.version, sequence, champion, "promote", "enabled", *about))


def crown(settings: Settings, version: Version) -> None:
    """Make a version champion."""
    engine = open_database(settings.database_url)
    present = current_champion(engine, "credit")
    start_tenure(
        engine,
        "credit",
        version.number,
        expected_sequence=present.sequence if present else 0,
        kind="gate",
        reason="better",
        actor="test",
        at=datetime.now(UTC),
    )


def bodies() -> list[bytes]:
    """Return a request for each of the rows."""
    contract = fit_pipeline(LogisticRegression())[1]
    rows = json_rows(FRAME.head(N_ROWS), contract)
    return [json.dumps({"rows": [row]}).encode() for row in rows]


class Served:
    """A running command.

    Parameters
    ----------
    settings
        Of the project.
    options
        Of the command.
    environment
        Further variables; a free port where they name none.
    """

    def __init__(self, settings: Settings, *options: str, **environment: str) -> None:
        self.port = int(environment.get("PERENNIAL_SERVE_PORT", free_port()))
        self.output = settings.var / f"serve-{self.port}.log"
        self.output.parent.mkdir(parents=True, exist_ok=True)
        command = (str(Path(sys.executable).with_name("perennial")), "serve", "--port", str(self.port), *options)
        given = {"PERENNIAL_ROOT": str(settings.root), "PERENNIAL_SERVE_FOLLOW_SECONDS": "0.05", **environment}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(command, env=os.environ | given, stdout=output, stderr=subprocess.STDOUT)

    def await_ready(self, seconds: float = 300) -> None:
        """Wait until requests may come."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.output.read_text()
            with suppress(OSError):
                if asyncio.run(ask(self.port, "GET", "/health/ready"))[0] == 200:
                    return
            time.sleep(0.1)
        raise AssertionError(f"not ready after {seconds} s:\n{self.output.read_text()}")

    def await_reason(self, reason: str, seconds: float = 200) -> dict[str, Any]:
        """Wait until the service is not ready for a reason; return what it says."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(OSError):
                found: dict[str, Any] = json.loads(asyncio.run(ask(self.port, "GET", "/health/ready"))[2])
                if reason in (found["reason"] or ""):
                    return found
            time.sleep(0.1)
        raise AssertionError(f"not told within {seconds} s:\n{self.output.read_text()}")

    def await_workers(self, count: int, seconds: float = 200) -> None:
        """Wait until so many workers have loaded a model."""
        deadline = time.monotonic() + seconds
        while self.metric("perennial_model_loads_total") < count:
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.1)

    def workers(self) -> list[psutil.Process]:
        """Return the processes that answer."""
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if "serving.processes.worker" in _command_line(child)]

    def memory(self) -> int:
        """Bytes of memory that the workers take."""
        return sum(worker.memory_info().rss for worker in self.workers())

    def metric(self, name: str) -> float:
        """Return the sum of a metric over its labels."""
        _, _, text = asyncio.run(ask(self.port, "GET", "/metrics"))
        lines = [line for line in text.decode().splitlines() if line.partition("{")[0].partition(" ")[0] == name]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def stop(self) -> int:
        """End the command gracefully and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)


def _command_line(process: psutil.Process) -> list[str]:
    with suppress(psutil.NoSuchProcess):
        return process.cmdline()
    return []


@contextmanager
def serving(settings: Settings, *options: str, **environment: str) -> Iterator[Served]:
    """Run the command for the length of a block, ready to be asked."""
    with running_command(settings, *options, **environment) as served:
        served.await_ready()
        yield served


@contextmanager
def running_command(settings: Settings, *options: str, **environment: str) -> Iterator[Served]:
    """Run the command for the length of a block, ready or not."""
    served = Served(settings, *options, **environment)
    try:
        yield served
    finally:
        if served.process.poll() is None:
            family = psutil.Process(served.process.pid).children(recursive=True)
            served.process.kill()
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            served.process.wait(120)


Reply = tuple[int, dict[str, str], bytes]


class Client:
    """One connection that is kept open; further headers go with each request."""

    def __init__(self, port: int, headers: Mapping[str, str] | None = None) -> None:
        self._port = port
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: bytes = b"") -> Reply:
        """Ask and return status, headers and body.

        Raises
        ------
        OSError
            There was no answer, or not all of it; the next call connects anew.
        """
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = self._streams
            head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n"
            writer.write(f"{head}{self._headers}content-type: application/json\r\n\r\n".encode() + body)
            reply = await _reply(reader)
        except (OSError, asyncio.IncompleteReadError) as error:
            await self.close()
            raise ConnectionError(f"no answer: {error!r}") from error
        if reply[1].get("connection") == "close":
            await self.close()
        return reply

    async def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _reply(reader: asyncio.StreamReader) -> Reply:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    return int(head[0].split()[1]), headers, await reader.readexactly(int(headers.get("content-length", 0)))


async def ask(port: int, method: str, path: str, body: bytes = b"") -> Reply:
    """Ask once."""
    client = Client(port)
    try:
        return await client.ask(method, path, body)
    finally:
        await client.close()


@dataclass
class Load:
    """What clients saw.

    Parameters
    ----------
    replies
        Row asked, status, headers, body, and seconds it took, of each request that was answered.
    broken
        Requests without an answer.
    """

    replies: list[tuple[int, int, dict[str, str], bytes, float]] = field(default_factory=list)
    broken: int = 0

    def statuses(self) -> dict[int, int]:
        """Count the answers by status."""
        found = [status for _, status, _, _, _ in self.replies]
        return {status: found.count(status) for status in sorted(set(found))}

    def seconds(self, status: int = 200) -> list[float]:
        """Return the time each answer of a status took, sorted."""
        return sorted(seconds for _, found, _, _, seconds in self.replies if found == status)

    def quantile(self, level: float) -> float:
        """Return a quantile of the seconds that accepted requests took."""
        seconds = self.seconds()
        return seconds[int(level * (len(seconds) - 1))]

    def p99(self) -> float:
        """Return the 99th percentile of the seconds that accepted requests took."""
        return self.quantile(0.99)

    def documents(self) -> list[tuple[int, dict[str, Any]]]:
        """Return row and document of each 200."""
        return [(row, json.loads(body)) for row, status, _, body, _ in self.replies if status == 200]


@asynccontextmanager
async def loading(port: int, *, clients: int, pause: float = 0.0) -> AsyncIterator[Load]:
    """Ask from several connections, each one request after the other, for the length of a block."""
    asked, stop, seen = bodies(), asyncio.Event(), Load()

    async def one(number: int) -> None:
        client, row = Client(port), number
        while not stop.is_set():
            row = (row + 1) % len(asked)
            began = time.perf_counter()
            try:
                status, headers, body = await client.ask("POST", "/v1/models/credit/predict", asked[row])
                seen.replies.append((row, status, headers, body, time.perf_counter() - began))
            except ConnectionError:
                seen.broken += 1
            if pause:
                await asyncio.sleep(pause)
        await client.close()

    tasks = [asyncio.create_task(one(number)) for number in range(clients)]
    try:
        yield seen
    finally:
        stop.set()
        await asyncio.gather(*tasks)
