"""The whole service while a release runs: shares in two workers, and a shadow that hangs and crashes."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from sqlalchemy import text

from config.settings import ServingSettings, Settings
from serving.instance.state import ServiceState, write_state
from serving.processes.shadow import CRASHED, Shadow, Watch
from serving.release.copies import IN_PROGRESS, Copy, Inflow, Sender, copies_pair
from serving.telemetry.metrics import Metrics
from serving.telemetry.prediction_log import PredictionLog
from store.database import open_database
from store.log.connection import LogConnection
from store.releases.records import ReleaseState
from store.releases.releases import Move, move_release
from tests.serving.processes.test_follower import (  # noqa: F401 - fixtures
    Installation,
    installation,
    registered,
)
from tests.serving.processes.test_releases import _started
from tests.serving.releasing import releasing, second_version
from tests.serving.running import Example, await_that
from tests.serving.service_processes import Client, Served, bodies, serving


def _move(settings: Settings, state: ReleaseState, action: Any, stage: Any, share: int) -> ReleaseState:
    move = Move(action, stage, share, "so", "test", "", datetime.now(UTC))
    return move_release(open_database(settings.database_url), state, move)


def _answers(served: Served, n: int) -> list[dict[str, Any]]:
    """Ask n times on connections of their own, which the workers share; every answer is good."""

    async def asked() -> list[dict[str, Any]]:
        found = []
        for place in range(n):
            client = Client(served.port)
            status, _, body = await client.ask("POST", "/v1/models/credit/predict", bodies()[place % 50])
            await client.close()
            assert status == 200, body
            found.append(json.loads(body))
        return found

    return asyncio.run(asked())


def _rows(settings: Settings, where: str) -> list[dict[str, Any]]:
    with open_database(settings.database_url).connect() as connection:
        found = connection.execute(text(f"SELECT * FROM prediction_requests WHERE {where}"))  # noqa: S608 - our own text
        return [dict(row) for row in found.mappings()]


def _shadow(served: Served) -> psutil.Process | None:
    for child in psutil.Process(served.process.pid).children():
        with suppress(psutil.NoSuchProcess):
            if "serving.processes.shadow" in child.cmdline():
                return child
    return None


def _asked_until(served: Served, holds: Callable[[], bool]) -> None:
    def ask_and_look() -> bool:
        _answers(served, 2)
        return holds()

    await_that(ask_and_look)


@dataclass
class Apart:
    """The shadow in this process, for faults that a sound version does not have."""

    shadow: Shadow
    sender: Sender
    instance: Path
    log: PredictionLog
    database_url: str

    def answer(self, *sent: Copy) -> list[dict[str, Any]]:
        """Answer copies and return the rows of the log."""

        async def run() -> None:
            self.log.start()
            self.shadow.follow()
            self.shadow.note_crash()
            for copy in sent:
                assert self.sender.send(copy) == "sent"
            until = time.monotonic() + 60
            while self.log.waiting < len(sent) and time.monotonic() < until:
                await self.shadow.work()
            await self.log.close(30)

        asyncio.run(run())
        with open_database(self.database_url).connect() as connection:
            chosen = text("SELECT version, variant, outputs, failure, served_id FROM prediction_requests ORDER BY id")
            return [dict(row) for row in connection.execute(chosen).mappings()]


@pytest.fixture
def apart(tmp_path: Path, examples: dict[str, Example]) -> Iterator[Apart]:
    """Return a shadow with a version of the credit model in it."""
    second = second_version(tmp_path)
    state = releasing(examples["credit"].state, second.state, stage="shadow", share=0)
    write_state(tmp_path, ServiceState((state,)))
    address = f"sqlite:///{tmp_path / 'p.db'}"
    open_database(address)
    log = PredictionLog(partial(LogConnection, address, durable=False), "async", max_bytes=2**20, flush_seconds=30)
    with ExitStack() as stack:
        first, last = map(stack.enter_context, copies_pair())
        sender = stack.enter_context(closing(Sender(first.fileno())))
        inflow = Inflow(last, lambda _: None)
        inflow.start()
        yield Apart(Shadow(ServingSettings(), tmp_path, log, Metrics(), inflow), sender, tmp_path, log, address)
        first.close()


def _copy(served: str, example: Example, number: int = 1, body: bytes | None = None) -> Copy:
    body = body or json.dumps({"rows": example.rows()}).encode()
    return Copy("credit", number, served, "json", body)


def test_errors_in_the_shadow_are_logged(apart: Apart, examples: dict[str, Example]) -> None:
    """A refusal is one as well: the champion has answered this request. Of another release nothing is answered."""
    credit = examples["credit"]
    bad = _copy("b", credit, body=b'{"rows": [{"age": 1}]}')
    found = apart.answer(_copy("a", credit), bad, _copy("c", credit))
    assert [(one["served_id"], one["version"], one["variant"]) for one in found] == [
        ("a", 2, "shadow"),
        ("b", 2, "shadow"),
        ("c", 2, "shadow"),
    ]
    assert [one["failure"] is None for one in found] == [True, False, True]
    assert (found[1]["failure"].partition(":")[0], found[1]["outputs"]) == ("invalid-request", "[]")
    assert not (apart.instance / IN_PROGRESS).exists()


def test_a_crash_is_a_failure_of_the_copy_in_progress(apart: Apart, examples: dict[str, Example]) -> None:
    """The process before this one left it."""
    left = apart.instance / IN_PROGRESS
    left.write_bytes(msgspec.msgpack.encode(_copy("a", examples["credit"])))
    found = apart.answer()
    assert [(one["served_id"], one["failure"]) for one in found] == [("a", CRASHED)]
    assert not left.exists()


def test_time_without_the_processor_is_not_the_versions() -> None:
    """Clients' requests come first, so on a busy machine a copy waits; what its answer computes counts."""
    watch, began = Watch(), time.process_time()
    time.sleep(0.5)
    assert watch.seconds < 0.25
    while time.process_time() < began + 0.3:
        pass
    assert watch.seconds >= 0.3


def test_a_release_that_left_the_shadow_ends_the_process(apart: Apart, examples: dict[str, Example]) -> None:
    """So that a step costs no third copy of the model."""
    assert apart.shadow.follow()
    write_state(apart.instance, ServiceState((examples["credit"].state,)))
    assert not apart.shadow.follow()


@pytest.mark.slow
def test_a_share_is_in_force_in_every_worker(installation: Installation) -> None:  # noqa: F811 - a fixture
    """Within two seconds of the database, on a machine that is not loaded; and back."""
    settings, versions = installation
    state = _started(settings, versions[1], 100)
    with serving(settings, PERENNIAL_SERVE_WORKERS="2", PERENNIAL_SERVE_FOLLOW_SECONDS="1") as served:
        _asked_until(served, lambda: {one["version"] for one in _answers(served, 10)} == {2})
        began = time.monotonic()
        _move(settings, state, "aborted", "over", 0)
        last = began
        while time.monotonic() < began + 5:
            asked = time.monotonic()
            if _answers(served, 1)[0]["version"] == 2:
                last = asked
        assert last - began < 4  # twice the promise, for machines that do more at the same time


@pytest.mark.slow
def test_the_shadow_touches_no_client(installation: Installation) -> None:  # noqa: F811 - a fixture
    """Its answers are logged beside those of the champion; it may hang or crash, and ends with its stage."""
    settings, versions = installation
    state = _started(settings, versions[1], 0)
    with serving(settings, PERENNIAL_SERVE_WORKERS="1", PERENNIAL_SERVE_FOLLOW_SECONDS="1") as served:
        shadowed = "variant = 'shadow' AND failure IS NULL"
        _asked_until(served, lambda: len(_rows(settings, shadowed)) >= 4)
        for row in _rows(settings, shadowed):
            (answered,) = _rows(settings, f"id = '{row['served_id']}'")
            assert (row["version"], answered["version"], answered["variant"]) == (2, 1, "champion")
            assert (row["rows"], row["outputs"] != answered["outputs"]) == (answered["rows"], True)
        assert {one["version"] for one in _answers(served, 5)} == {1}

        hanging = _shadow(served)
        assert hanging is not None
        hanging.send_signal(signal.SIGSTOP)
        assert {one["version"] for one in _answers(served, 20)} == {1}
        hanging.kill()
        before = len(_rows(settings, shadowed))
        _asked_until(served, lambda: len(_rows(settings, shadowed)) > before + 2)
        again = _shadow(served)
        assert again is not None
        assert again.pid != hanging.pid

        _move(settings, state, "advanced", "step", 100)
        await_that(lambda: _shadow(served) is None)
        _asked_until(served, lambda: {one["version"] for one in _answers(served, 5)} == {2})
        assert served.process.poll() is None
