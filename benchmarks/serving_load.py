"""Two ways to load a server with the same bodies: as fast as it answers, and at a rate that is the same for all."""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

SCRIPT = Path(__file__).with_name("serving_wrk.lua")
HOST = "127.0.0.1"
TIMEOUT_SECONDS = 10

SPIN_SECONDS = 0.003
"""The event loop wakes up to a millisecond late; the last of a wait is spent awake."""


@dataclass(frozen=True)
class Load:
    """What a server did under load.

    Parameters
    ----------
    rate
        Good answers per second.
    p50_ms, p99_ms
        Latency.
    answers, errors
        Number of good answers; of answers that are no 2xx or 3xx, and requests without one.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    answers: int
    errors: int


def median(loads: Sequence[Load]) -> Load:
    """Middle of each figure; numbers are added up."""
    rate, p50, p99 = (statistics.median(getattr(load, name) for load in loads) for name in ("rate", "p50_ms", "p99_ms"))
    return Load(rate, p50, p99, sum(load.answers for load in loads), sum(load.errors for load in loads))


def wrk_version() -> str:
    """Version of wrk.

    Raises
    ------
    SystemExit
        It is not installed.
    """
    if not shutil.which("wrk"):
        raise SystemExit("the load comes from wrk, which is not installed: 'apt install wrk' or 'brew install wrk'")
    told = subprocess.run(["wrk", "--version"], check=False, capture_output=True, text=True)  # noqa: S607 - see above
    return " ".join(told.stdout.split()[:2])


def full_load(port: int, path: str, bodies: Path, content_type: str, connections: int, seconds: int) -> Load:
    """Post the bodies of a file in turn, on each connection the next as soon as the last is answered.

    The file has a body per line, in hexadecimal digits.
    """
    options = ["--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
    options += ["--timeout", f"{TIMEOUT_SECONDS}s", "--script", str(SCRIPT)]
    command = ["wrk", *options, f"http://{HOST}:{port}{path}", "--", str(bodies), content_type]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    n_answers = found["answers"]
    return Load(n_answers / found["seconds"], found["p50_ms"], found["p99_ms"], n_answers, found["errors"])


def steady_load(port: int, path: str, bodies: Sequence[bytes], content_type: str, rate: int, seconds: int) -> Load:
    """Post the bodies in turn at planned times, whether or not the last is answered.

    Latency counts from the planned time, so a server that stalls pays for all who would have waited. It includes this
    client's own time, about half a millisecond.
    """
    return asyncio.run(_steady_load(_Client(port, path, content_type), bodies, rate, seconds))


async def _steady_load(client: _Client, bodies: Sequence[bytes], rate: int, seconds: int) -> Load:
    started = time.perf_counter() + 0.1
    posts = []
    for number in range(rate * seconds):
        planned = started + number / rate
        await _wait_until(planned)
        posts.append(asyncio.create_task(client.latency(bodies[number % len(bodies)], planned)))
    latencies = [latency for latency in await asyncio.gather(*posts) if latency is not None]
    took = time.perf_counter() - started
    client.close()
    p50, p99 = np.percentile(latencies, [50, 99]) * 1e3 if latencies else (np.nan, np.nan)
    return Load(len(latencies) / took, float(p50), float(p99), len(latencies), len(posts) - len(latencies))


async def _wait_until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.perf_counter() - SPIN_SECONDS))
    while time.perf_counter() < moment:
        await asyncio.sleep(0)


@dataclass
class _Client:
    """Posts on whichever connection is free, or on a new one."""

    port: int
    path: str
    content_type: str
    _free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def latency(self, body: bytes, planned: float) -> float | None:
        """Seconds from the planned time to the whole answer; None without a good one."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                status = await self._post(body)
        except (OSError, EOFError, TimeoutError):
            return None
        return time.perf_counter() - planned if status < 400 else None

    async def _post(self, body: bytes) -> int:
        reader, writer = await self._connection()
        head = f"POST {self.path} HTTP/1.1\r\nHost: {HOST}:{self.port}\r\nContent-Type: {self.content_type}\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        # Every server here says how long its answer is.
        await reader.readexactly(int(answer.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]))
        self._free.append((reader, writer))
        return int(answer.split(b" ", 2)[1])

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._free:
            reader, writer = self._free.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection(HOST, self.port)

    def close(self) -> None:
        for _, writer in self._free:
            writer.close()
