"""Clients that never finish a request, and how fast the service answers others meanwhile.

Run ``python -m benchmarks.http_attacks``; ``--only NAME …`` takes some of the attacks, ``--seconds`` their length.
``--command 'granian --interface asgi --port PORT benchmarks.serving_noop:app' --path /unread`` attacks another server;
PORT stands for the port. Each attack is sent by a process of its own; this process asks for ``/health/live`` on a new
connection ten times a second, whether or not the last one was answered. Each attack begins with a new server.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import multiprocessing
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path

import psutil

from tasks.platform.ports import free_port
from tests.factories import make_project
from tests.serving.service_processes import crown, register_version, serving

HOST = "127.0.0.1"
BLOCK = 64 * 1024
ASK_SECONDS = 30.0
"""Time limit of a request for the health; it counts as unanswered afterwards."""

Live = tuple[int, psutil.Process]
"""Port and first process of a server."""

_HEAD = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n"
_CHUNKED = b"POST /v1/models/credit/predict HTTP/1.1\r\nhost: localhost\r\n"
_CHUNKED += b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Attack:
    """What each connection sends.

    Parameters
    ----------
    name, title
        On the command line, and in the table.
    blocks
        Makes the blocks of one connection.
    connections
        At once; each starts again when the server closes it.
    pause
        Seconds between two blocks.
    """

    name: str
    title: str
    blocks: Callable[[], Iterator[bytes]]
    connections: int = 3
    pause: float = 0.0


def _endless(first: bytes, unit: bytes) -> Callable[[], Iterator[bytes]]:
    block = unit * max(1, BLOCK // len(unit))
    return lambda: itertools.chain([first], itertools.repeat(block))


def _long_header() -> Iterator[bytes]:
    yield _HEAD + b"x-long: "
    yield from itertools.repeat(b"a" * BLOCK, 32 * 2**20 // BLOCK)
    yield b"\r\n\r\n"


def _slow() -> Iterator[bytes]:
    return itertools.chain([_HEAD + b"x-slow: "], itertools.repeat(b"a"))


ATTACKS = (
    Attack("header", "one endless header", _endless(_HEAD + b"x-endless: ", b"a")),
    Attack("name", "one endless name of a header", _endless(_HEAD, b"a")),
    Attack("long", "headers of 32 MiB", _long_header),
    Attack("tiny", "endless tiny headers", _endless(_HEAD, b"a:\r\n")),
    Attack("line", "an endless request line", _endless(b"GET /", b"a")),
    Attack("blank", "endless blank lines before the request", _endless(b"\r\n", b"\r\n")),
    Attack("extension", "an endless chunk extension", _endless(_CHUNKED + b"1;", b"a")),
    Attack("chunks", "endless chunks of one byte with an extension", _endless(_CHUNKED, b"1;aaaaaaaa\r\n \r\n")),
    Attack("trailer", "one endless trailer", _endless(_CHUNKED + b"0\r\nx-endless: ", b"a")),
    Attack("trailers", "endless tiny trailers", _endless(_CHUNKED + b"0\r\n", b"a:\r\n")),
    Attack("pipeline", "endless pipelined requests, answers unread", _endless(b"", _HEAD + b"\r\n")),
    Attack(
        "body",
        "an endless body after the answer",
        _endless(b"POST /nothing HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999999\r\n\r\n", b"a"),
    ),
    Attack("slow", "200 connections with a byte of a header per second", _slow, 200, 1.0),
    Attack("idle", "200 connections that send nothing", lambda: itertools.repeat(b""), 200, 1.0),
)


@dataclass
class Seen:
    """What the honest client saw during an attack.

    Parameters
    ----------
    seconds
        Of each answered request.
    unanswered
        Requests without an answer.
    memory_mib, connections
        The most memory of the server's processes beyond what they had before, and its connections at the end.
    """

    seconds: list[float] = field(default_factory=list)
    unanswered: int = 0
    memory_mib: float = 0.0
    connections: int = 0


def main() -> None:
    """Print one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=[attack.name for attack in ATTACKS])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--command", help="another server to attack; PORT stands for the port")
    parser.add_argument("--path", default="/health/live", help="path that the honest client asks for")
    given = parser.parse_args()
    print("| attack, connections | /health/live: median ms | longest ms | unanswered | memory MiB | open at the end |")
    print("|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        start = _commanded(given.command, Path(folder)) if given.command else _perennial(Path(folder))
        for attack in ATTACKS:
            if not given.only or attack.name in given.only:
                with start() as (port, server):
                    seen = attacked(attack, port, server, seconds=given.seconds, path=given.path)
                print(_row(attack, seen), flush=True)


def _row(attack: Attack, seen: Seen) -> str:
    ms = [1000 * one for one in seen.seconds] or [float("inf")]
    cells = [f"{statistics.median(ms):,.1f}", f"{max(ms):,.1f}", str(seen.unanswered), f"{seen.memory_mib:+,.0f}"]
    return f"| {attack.title}, {attack.connections} | {' | '.join(cells)} | {seen.connections} |"


def _perennial(folder: Path) -> Callable[[], AbstractContextManager[Live]]:
    settings = make_project(folder)
    crown(settings, register_version(settings, "a", 1.0))

    @contextmanager
    def start() -> Iterator[Live]:
        with serving(settings, "--log", "async") as served:
            yield served.port, psutil.Process(served.process.pid)

    return start


def _commanded(command: str, folder: Path) -> Callable[[], AbstractContextManager[Live]]:
    @contextmanager
    def start() -> Iterator[Live]:
        port = free_port()
        words = [word.replace("PORT", str(port)) for word in shlex.split(command)]
        with (folder / "log").open("wb") as log:
            process = psutil.Popen(words, stdout=log, stderr=log)
        try:
            _await_port(port, process)
            yield port, process
        finally:
            _end(process)

    return start


def _await_port(port: int, process: psutil.Popen) -> None:
    deadline = time.monotonic() + 60
    while not asyncio.run(_live(port, "/", 1.0)):
        if time.monotonic() > deadline or process.poll() is not None:
            sys.exit("the server does not answer")
        time.sleep(0.1)


def _end(process: psutil.Popen) -> None:
    family = [process, *process.children(recursive=True)]
    for one in family:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)


def attacked(attack: Attack, port: int, server: psutil.Process, *, seconds: float, path: str) -> Seen:
    """Attack a server and ask it meanwhile.

    Parameters
    ----------
    attack, seconds
        What is sent, and for how long.
    port, server
        Where it listens, and its first process.
    path
        What the honest client asks for.
    """
    context = multiprocessing.get_context("spawn")
    began = context.Event()
    attacker = context.Process(target=_attack, args=(attack.name, port, began), daemon=True)
    before = _memory(server)
    attacker.start()
    began.wait(ASK_SECONDS)
    try:
        seen = asyncio.run(_ask_often(port, path, seconds, lambda: _memory(server) - before))
        seen.connections = len(_connections(server, port))
    finally:
        attacker.kill()
        attacker.join()
    return seen


def _memory(server: psutil.Process) -> float:
    found = 0.0
    for one in [server, *server.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            found += one.memory_info().rss / 2**20
    return found


def _connections(server: psutil.Process, port: int) -> list[object]:
    found: list[object] = []
    for one in [server, *server.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            taken = [each for each in one.net_connections("tcp") if each.laddr[1] == port]
            found += [each for each in taken if each.status not in ("LISTEN", "NONE")]
    return found


async def _ask_often(port: int, path: str, seconds: float, memory: Callable[[], float]) -> Seen:
    seen = Seen()
    await asyncio.sleep(1)
    until = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        # Requests come at fixed times: an answer that is late must not keep others from being asked.
        while time.monotonic() < until:
            group.create_task(_ask(seen, port, path))
            seen.memory_mib = max(seen.memory_mib, memory())
            await asyncio.sleep(0.1)
    return seen


async def _ask(seen: Seen, port: int, path: str) -> None:
    began = time.perf_counter()
    if await _live(port, path, ASK_SECONDS):
        seen.seconds.append(time.perf_counter() - began)
    else:
        seen.unanswered += 1


async def _live(port: int, path: str, seconds: float) -> bool:
    writer = None
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
            return (await reader.read()).startswith(b"HTTP/1.1 ")
    except (OSError, TimeoutError):
        return False
    finally:
        if writer is not None:
            writer.close()


def _attack(name: str, port: int, began: Event) -> None:
    began.set()
    os.nice(5)  # the honest client must be measured, not starved by the attackers' process
    attack = next(attack for attack in ATTACKS if attack.name == name)
    asyncio.run(_attack_all(attack, port))


async def _attack_all(attack: Attack, port: int) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(attack.connections):
            group.create_task(_attack_for_ever(attack, port))


async def _attack_for_ever(attack: Attack, port: int) -> None:
    while True:
        with suppress(OSError):
            await _attack_once(attack, port)
        await asyncio.sleep(0.01)


async def _attack_once(attack: Attack, port: int) -> None:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        for block in attack.blocks():
            if attack.pause and reader.at_eof():
                return
            writer.write(block)
            await writer.drain()
            await asyncio.sleep(attack.pause)
        await reader.read()
    finally:
        writer.close()


if __name__ == "__main__":
    main()
