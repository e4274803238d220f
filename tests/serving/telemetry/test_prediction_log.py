"""The log loses nothing that was answered, on both databases, whatever happens to them."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

import serving.telemetry.prediction_log
import store.log.connection
from serving.problems import Problem
from serving.telemetry.prediction_log import OPENING, STALLED, Answered, PredictionLog
from store.database import open_database, reading
from tests.postgres import DRIVER
from tests.serving.obstacles import away, locked, read_only
from tests.serving.telemetry.answering import Counted, answered, log_to, until

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def address(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of a database of each kind, migrated; waits and retries are short."""
    if "asyncpg" in database:
        pytest.skip("the log is written by psycopg")
    monkeypatch.setattr(store.log.connection, "WAIT_SECONDS", 0.2)
    monkeypatch.setattr(serving.telemetry.prediction_log, "RETRY_SECONDS", 0.3)
    open_database(database)
    return database


def _ids(address: str, model: str) -> list[str]:
    with reading(open_database(address)) as connection:
        statement = text("SELECT id FROM prediction_requests WHERE model = :model ORDER BY id")
        return list(connection.execute(statement, {"model": model}).scalars())


def _tell(story: Callable[[str], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(story(f"m{uuid4().hex}"), 200))


async def _refused(log: PredictionLog, model: str) -> None:
    with pytest.raises(Problem) as caught:
        await log.put(answered(model))
    assert (caught.value.status, caught.value.kind) == (503, "log-unavailable")
    assert (b"retry-after", b"1") in caught.value.headers


def _put_at_once(log: PredictionLog, request: Answered) -> None:
    """Put a request; what waits for anything, fails."""
    with suppress(StopIteration):
        log.put(request).send(None)
        pytest.fail("it waits")


async def _accepted(log: PredictionLog, model: str) -> str:
    """Put requests until one is accepted; return its id."""
    for _ in range(100):
        request = answered(model)
        try:
            await log.put(request)
        except Problem:
            await asyncio.sleep(0.05)
        else:
            return request.id
    pytest.fail("the log does not recover")


TROUBLES = pytest.mark.parametrize("trouble", [locked, read_only, away])
Trouble = Callable[[str], Any]


def test_an_answer_waits_until_it_is_durable(address: str) -> None:
    """When put returns, another connection finds the request; many at once share transactions."""
    counted = Counted()

    async def story(model: str) -> None:
        async with log_to(address, "commit", counted) as log:
            for _ in range(5):
                request = answered(model)
                await log.put(request)
                assert _ids(address, model)[-1] == request.id
            await asyncio.gather(*(log.put(answered(model, n_rows=2)) for _ in range(500)))
            assert len(_ids(address, model)) == 505
            assert log.waiting == 0
            assert log.trouble is None

    _tell(story)
    assert (counted.written, counted.dropped) == (1005, 0)


KILLED = """
import asyncio, sys
from tests.serving.telemetry.answering import answer_without_end
asyncio.run(answer_without_end(*sys.argv[1:]))
"""


def test_what_was_answered_outlives_a_kill(address: str) -> None:
    """The process is killed in the middle of its work; every id that it told is in the log."""
    model = f"m{uuid4().hex}"
    process = subprocess.Popen([sys.executable, "-c", KILLED, address, model], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(200)]
    process.send_signal(signal.SIGKILL)
    told += process.stdout.readlines()
    process.stdout.close()
    process.wait()
    ids = {line.decode().strip() for line in told if line.endswith(b"\n")}
    assert len(ids) >= 200
    assert ids <= set(_ids(address, model))


def test_answers_that_do_not_wait_are_written_soon(address: str) -> None:
    """Put returns at once, and a while later the requests are there."""
    counted = Counted()

    async def story(model: str) -> None:
        async with log_to(address, "async", counted, flush_seconds=2) as log:
            for _ in range(100):
                _put_at_once(log, answered(model))
            assert log.waiting == 100
            await until(lambda: len(_ids(address, model)) == 100)

    _tell(story)
    assert (counted.written, counted.dropped) == (100, 0)


def test_closing_writes_what_waits(address: str) -> None:
    """However long it would have been collected."""

    async def story(model: str) -> None:
        async with log_to(address, "async", flush_seconds=3600) as log:
            await log.put(answered(model))
            await asyncio.sleep(0.1)
            for _ in range(5_000):
                await log.put(answered(model, size=1))
        assert len(_ids(address, model)) == 5_001
        assert log.waiting == 0

    _tell(story)


def test_closing_does_not_wait_for_a_database_that_is_away(address: str) -> None:
    """What cannot be written in time is counted as dropped, and the processor is left to others meanwhile."""
    counted = Counted()

    async def story(model: str) -> None:
        with locked(address):
            async with log_to(address, "async", counted) as log:
                await log.put(answered(model, n_rows=3))
                await until(lambda: log.trouble is not None)
                began, worked = time.perf_counter(), time.process_time()
                await log.close(1)
                assert time.perf_counter() - began > 0.9
                assert time.process_time() - worked < 0.5
                await asyncio.sleep(0.5)

    _tell(story)
    assert (counted.written, counted.dropped) == (0, 3)


@TROUBLES
def test_answers_are_refused_while_the_log_cannot_be_written(address: str, trouble: Trouble) -> None:
    """At once, from the first failure on, and accepted again as soon as the database is back; none is lost."""
    accepted: list[str] = []

    async def story(model: str) -> None:
        async with log_to(address, "commit") as log:
            accepted.append(await _accepted(log, model))
            with trouble(address):
                await _refused(log, model)
                await until(lambda: log.trouble is not None)
                with pytest.raises(Problem, match="log"):
                    _put_at_once(log, answered(model))
                await asyncio.sleep(0.4)
                await _refused(log, model)
            accepted.append(await _accepted(log, model))
            await until(lambda: log.trouble is None)
        assert _ids(address, model) == accepted

    _tell(story)


@TROUBLES
def test_trouble_lasts_until_a_row_can_be_written(address: str, trouble: Trouble) -> None:
    """A database that accepts connections and refuses rows is no working log, however often the log connects again."""

    async def story(model: str) -> None:
        async with log_to(address, "commit") as log:
            await log.put(answered(model))
            with trouble(address):
                await _refused(log, model)
                await until(lambda: log.trouble is not None)
                for _ in range(150):
                    assert log.trouble is not None
                    await asyncio.sleep(0.01)
            await until(lambda: log.trouble is None)
            await log.put(answered(model))
        assert len(_ids(address, model)) == 2

    _tell(story)


@pytest.mark.parametrize("trouble", [locked, away])
def test_a_log_without_requests_notices_trouble(
    address: str, trouble: Trouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first request after a quiet hour is not what finds that the database is away."""
    monkeypatch.setattr(serving.telemetry.prediction_log, "CHECK_SECONDS", 0.1)
    if trouble is locked and not address.startswith("sqlite"):
        pytest.skip("a lock on a table is found by a write")

    async def story(model: str) -> None:
        async with log_to(address, "commit") as log:
            await until(lambda: log.trouble is None)
            with trouble(address):
                await until(lambda: log.trouble is not None)
            await until(lambda: log.trouble is None)
        assert _ids(address, model) == []

    _tell(story)


def test_a_write_that_does_not_end_is_trouble(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that says nothing, not even no, is noticed before its own limit; then answers are refused at once."""
    monkeypatch.setattr(store.log.connection, "WAIT_SECONDS", 4)
    monkeypatch.setattr(serving.telemetry.prediction_log, "STALL_SECONDS", 0.2)

    async def story(model: str) -> None:
        async with log_to(address, "commit") as log:
            await log.put(answered(model))
            with locked(address):
                waiting = asyncio.create_task(log.put(answered(model)))
                await until(lambda: log.trouble == STALLED)
                assert not waiting.done()
                with pytest.raises(Problem, match="log"):
                    _put_at_once(log, answered(model))
            await waiting
            assert log.trouble is None
        assert len(_ids(address, model)) == 2

    _tell(story)


def test_a_log_is_in_trouble_until_it_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first row could be written, nothing is known of the database; one that never speaks is trouble."""
    monkeypatch.setattr(serving.telemetry.prediction_log, "STALL_SECONDS", 0.5)

    async def story(_: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            async with log_to(f"postgresql+psycopg://p@127.0.0.1:{port}/p", "commit") as log:
                assert log.trouble == OPENING
                await until(lambda: log.trouble == STALLED)
                silent.close()

    if DRIVER != "psycopg":
        pytest.skip("the log is written by psycopg")
    _tell(story)


@TROUBLES
def test_answers_that_do_not_wait_are_kept_while_the_log_cannot_be_written(address: str, trouble: Trouble) -> None:
    """Nobody notices, and when the database is back every one is there once."""
    counted = Counted()

    async def story(model: str) -> None:
        async with log_to(address, "async", counted) as log:
            await log.put(answered(model))
            # Taken from the queue is not yet written.
            await until(lambda: len(_ids(address, model)) == 1)
            with trouble(address):
                for _ in range(30):
                    await log.put(answered(model))
                    await asyncio.sleep(0.01)
                await until(lambda: log.trouble is not None)
                assert len(_ids(address, model) if trouble is not away else "?") == 1
            await until(lambda: len(_ids(address, model)) == 31)
            await until(lambda: log.trouble is None)

    _tell(story)
    assert (counted.written, counted.dropped) == (31, 0)


def test_a_queue_has_a_bound(address: str) -> None:
    """Where nobody waits, what comes after is dropped and counted; what was in the queue is written in the end."""
    counted = Counted()

    async def story(model: str) -> None:
        async with log_to(address, "async", counted, max_bytes=20_000) as log:
            with locked(address):
                for _ in range(100):
                    await log.put(answered(model, n_rows=2, size=1000))
                assert 5 < log.waiting < 20
                waiting = log.waiting
                assert counted.dropped == 2 * (100 - waiting)
                await until(lambda: log.trouble is not None)
                await log.put(answered(model, n_rows=1, size=1000))
                assert counted.dropped == 2 * (100 - waiting) + 1
            await until(lambda: log.waiting == 0)
            await log.put(answered(model, size=1000))
        assert len(_ids(address, model)) == waiting + 1

    _tell(story)


def test_whoever_finds_the_queue_full_is_refused(address: str) -> None:
    """At once, and those who wait in it are answered when their turn comes."""

    async def story(model: str) -> None:
        async with log_to(address, "commit", max_bytes=5_000) as log:
            await log.put(answered(model))
            many = [log.put(answered(model, size=1000)) for _ in range(50)]
            found = await asyncio.gather(*many, return_exceptions=True)
            refused = [one for one in found if isinstance(one, Problem)]
            assert all(one.kind == "log-unavailable" for one in refused)
            assert 40 <= len(refused) < 50
            assert len(_ids(address, model)) == 51 - len(refused)

    _tell(story)


def test_who_gives_up_waiting_harms_nobody(address: str) -> None:
    """The request is written or not; the others are answered."""

    async def story(model: str) -> None:
        async with log_to(address, "commit") as log:
            tasks = [asyncio.create_task(log.put(answered(model))) for _ in range(20)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            assert found[1::2] == 10 * [None]
            assert len(_ids(address, model)) >= 10

    _tell(story)
