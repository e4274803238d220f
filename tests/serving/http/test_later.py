"""The application that is built while the worker serves."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import serving.http.later
from serving.http.later import App, LaterApp, Message

ROOT = Path(__file__).resolve().parents[3]


class Builder:
    """Builds an application that answers with the path; the first builds may fail."""

    def __init__(self, failures: int = 0) -> None:
        self.n_built = 0
        self.failures = failures
        self.may = threading.Event()

    def __call__(self) -> App:
        """Build it."""
        self.may.wait(120)
        self.n_built += 1
        if self.n_built <= self.failures:
            raise MemoryError("no memory for the imports")

        async def app(scope: Any, _receive: Any, send: Callable[[Message], Any]) -> None:
            await send({"path": scope["path"]})

        return app


@asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield


async def _answer(app: LaterApp, path: str) -> Any:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {}

    await app({"type": "http", "path": path}, receive, send)
    return sent


def test_requests_wait_for_one_build() -> None:
    """One that gives up ends its own wait only."""
    build = Builder()
    app = LaterApp(build, _nothing)

    async def story() -> list[Any]:
        given_up = asyncio.create_task(_answer(app, "/left"))
        others = [asyncio.create_task(_answer(app, f"/{place}")) for place in range(3)]
        await asyncio.sleep(0.01)
        given_up.cancel()
        build.may.set()
        return await asyncio.gather(*others)

    assert asyncio.run(story()) == [[{"path": f"/{place}"}] for place in range(3)]
    assert build.n_built == 1


def test_a_build_that_fails_is_repeated_by_the_next_request() -> None:
    """The requests that waited for it get its error."""
    build = Builder(failures=1)
    build.may.set()
    app = LaterApp(build, _nothing)

    async def story() -> Any:
        with pytest.raises(MemoryError):
            await _answer(app, "/first")
        return await _answer(app, "/second")

    assert asyncio.run(story()) == [{"path": "/second"}]


def test_it_is_built_a_while_after_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a request for it; a service that ends before never builds it."""
    states: list[str] = []

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        states.append("began")
        yield
        states.append("ended")

    async def lived(build: Builder, seconds: float) -> list[str]:
        ends, sent = asyncio.Event(), []
        arriving = [{"type": "lifespan.startup"}]

        async def receive() -> Message:
            if not arriving:
                await ends.wait()
            return arriving.pop() if arriving else {"type": "lifespan.shutdown"}

        async def send(message: Message) -> None:
            sent.append(str(message["type"]))

        asyncio.get_running_loop().call_later(seconds, ends.set)
        await LaterApp(build, lifespan)({"type": "lifespan"}, receive, send)
        return sent

    early, late = Builder(), Builder()
    late.may.set()
    expected = ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert asyncio.run(lived(early, 0.0)) == expected
    monkeypatch.setattr(serving.http.later, "QUIET_SECONDS", 0.01)
    assert asyncio.run(lived(late, 0.5)) == expected
    assert states == ["began", "ended"] * 2
    assert (early.n_built, late.n_built) == (0, 1)


def test_a_worker_starts_without_what_only_other_routes_need() -> None:
    """The imports of these libraries were more than half of a worker's start."""
    code = "import sys, serving.processes.worker, onnxruntime; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    late = ("fastapi", "sqlalchemy", "pandas", "sklearn", "jinja2", "config.schema", "store.tables")
    assert not [name for name in late if f"'{name}'" in done.stdout]
    assert "'serving.http.entry'" in done.stdout
