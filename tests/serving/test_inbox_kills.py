"""The real service is killed while deliveries come: what was answered with 202 is in the inbox, once."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from config.settings import Settings
from store.database import open_database
from store.triggers import triggers
from tests.factories import make_project
from tests.serving.deliveries import PATH, STANDARD_SECRET, standard
from tests.serving.service_processes import Served, ask

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(720)]

SENDERS = 50
KILLS = 8
SECRETS = {
    "PERENNIAL_HOOKS_STANDARD": f"ci/credit={STANDARD_SECRET}",
    "PERENNIAL_HOOKS_PER_MINUTE": "100000",
    "PERENNIAL_SERVE_DRAIN_SECONDS": "0",
}


@pytest.fixture
def installation(tmp_path: Path) -> Settings:
    """Return a project that describes a model, of which nothing is registered yet."""
    settings = make_project(tmp_path)
    (settings.root / "config" / "models" / "credit.yaml").touch()
    return settings


@contextmanager
def receiving(settings: Settings, **environment: str) -> Iterator[Served]:
    """Run the command for the length of a block, until it is killed."""
    served = Served(settings, "--workers", "2", **SECRETS, **environment)
    try:
        await_alive(served)
        yield served
    finally:
        if served.process.poll() is None:
            served.stop()


def await_alive(served: Served, seconds: float = 60) -> None:
    """Wait until a worker answers."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(OSError):
            if asyncio.run(ask(served.port, "GET", "/health/live"))[0] == 200:
                return
        time.sleep(0.05)
    raise AssertionError(served.output.read_text())


def _ids(settings: Settings) -> list[str]:
    return [found.id.rpartition(":")[2] for found in triggers(open_database(settings.database_url), limit=1_000_000)]


async def _send(client: httpx.AsyncClient, port: int, id_: str) -> str:
    """Send a delivery; return what became of it, ``""`` where nobody knows."""
    sent = standard(b'{"type": "x"}', id_=id_)
    headers = {name: str(value) for name, value in sent.headers.items()} | {"content-type": "application/json"}
    try:
        answer = await client.post(f"http://127.0.0.1:{port}{PATH}", content=sent.body, headers=headers)
    except httpx.HTTPError:
        await asyncio.sleep(0.05)
        return ""
    assert answer.status_code in (202, 503), answer.text
    return str(answer.json()["status"]) if answer.status_code == 202 else ""


def test_a_delivery_outlives_the_one_who_took_it(installation: Settings) -> None:
    """Every process is killed as soon as the answer has come, again and again."""
    for round_ in range(3):
        with receiving(installation) as served:
            family = psutil.Process(served.process.pid).children(recursive=True)

            async def one(port: int, id_: str) -> str:
                async with httpx.AsyncClient(trust_env=False) as client:
                    return await _send(client, port, id_)

            assert asyncio.run(one(served.port, f"msg_{round_}")) == "accepted"
            for process in [psutil.Process(served.process.pid), *family]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            served.process.wait(120)
        assert sorted(_ids(installation)) == [f"msg_{before}" for before in range(round_ + 1)]


class Senders:
    """Fifty clients that send ever new deliveries, each again until it was answered, and some a second time."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.sent: set[str] = set()
        self.answered: set[str] = set()
        self.stopped = False

    async def run(self) -> None:
        """Send until told to stop."""
        limits = httpx.Limits(max_connections=SENDERS)
        async with httpx.AsyncClient(trust_env=False, timeout=30, limits=limits) as client:
            await asyncio.gather(*(self._one(client, number) for number in range(SENDERS)))

    async def _one(self, client: httpx.AsyncClient, number: int) -> None:
        count = 0
        while not self.stopped:
            id_ = f"msg_{number}_{count}"
            self.sent.add(id_)
            while not await _send(client, self.port, id_):
                if self.stopped:
                    return
            self.answered.add(id_)
            if count % 10 == 0:
                assert await _send(client, self.port, id_) in ("known", "")
            count += 1


def test_kills_at_random_moments_lose_and_double_nothing(installation: Settings) -> None:
    """Of workers and of the supervisor, while fifty clients send; whoever got no answer sends again."""
    with receiving(installation) as served:
        senders, last = asyncio.run(_killed_while_sending(installation, served))
    assert last.stop() == 0
    kept = _ids(installation)
    assert len(kept) == len(set(kept))
    assert senders.answered <= set(kept) <= senders.sent
    assert len(senders.answered) > 100


async def _killed_while_sending(installation: Settings, served: Served) -> tuple[Senders, Served]:
    chance = random.Random(6)  # noqa: S311 - moments, no secrets
    senders = Senders(served.port)
    running = asyncio.create_task(senders.run())
    for kill in range(KILLS):
        before = len(senders.answered)
        while len(senders.answered) < before + 20:
            await asyncio.sleep(0.02)
            assert not running.done(), running.exception()
        await asyncio.sleep(chance.random() * 0.2)
        if kill == KILLS // 2:
            served.process.kill()
            await asyncio.to_thread(served.process.wait, 30)
            served = _again(installation, served)
        else:
            while not (workers := served.workers()):
                await asyncio.sleep(0.02)
            os.kill(chance.choice(workers).pid, signal.SIGKILL)
    senders.stopped = True
    await running
    return senders, served


def _again(installation: Settings, served: Served) -> Served:
    return Served(installation, "--workers", "2", **SECRETS, PERENNIAL_SERVE_PORT=str(served.port))


def test_secrets_are_in_no_worker_and_no_file(installation: Settings) -> None:
    """They are told to workers by their standard input, and neither the log nor the folder of the service has them."""
    with receiving(installation) as served:
        told = [json.dumps([worker.environ(), worker.cmdline()]) for worker in served.workers()]
        assert served.stop() == 0
    folders = [path.read_bytes() for path in installation.var.rglob("*") if path.is_file()]
    secret = STANDARD_SECRET.removeprefix("whsec_")
    assert len(told) == 2
    assert not [text for text in told if secret in text]
    assert not [content for content in folders if secret.encode() in content]
    assert "webhook senders: ci (standard)" in served.output.read_text()


def test_a_malformed_secret_ends_the_command(installation: Settings) -> None:
    """At its start, with a sentence that does not show it."""
    served = Served(installation, PERENNIAL_HOOKS_GITHUB="gh=too-short")
    assert served.process.wait(60) == 2
    text = served.output.read_text()
    assert "entry 1 of PERENNIAL_HOOKS_GITHUB has less than 16 bytes" in text
    assert "too-short" not in text
