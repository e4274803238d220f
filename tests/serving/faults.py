"""What the service must outlive, each fault as often as one likes: few times in the tests, many in the benchmark."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from sqlalchemy import text

from config.settings import Settings
from store.database import open_database
from tests.serving.service_processes import Client, Load, Served, Version, ask, bodies, crown, loading

HANGS_AFTER_SECONDS = 200
"""A guard against waiting for ever; what is awaited may take a slow machine long: a version's first load fetches it."""


@dataclass(frozen=True)
class Swaps:
    """What clients saw while the champion changed again and again.

    Parameters
    ----------
    n_silent
        Swaps during which no request was answered.
    """

    n_answers: int
    n_silent: int
    n_refused: int
    n_broken: int
    n_wrong: int
    n_loads: int
    seconds: float
    memory_growth: float


async def swap(served: Served, settings: Settings, versions: Sequence[Version], times: int) -> Swaps:
    """Change the champion under load, each time once every worker answers with the one before."""
    loads_before = await asyncio.to_thread(served.metric, "perennial_model_loads_total")
    began, memory, n_workers, silent = time.monotonic(), 0, len(served.workers()), 0
    async with loading(served.port, clients=4, pause=0.01) as seen:
        for number in range(times):
            answered = len(seen.replies)
            await asyncio.to_thread(crown, settings, versions[(number + 1) % len(versions)])
            await _until(served, "perennial_model_loads_total", loads_before + (number + 1) * n_workers)
            silent += len(seen.replies) == answered
            if number == max(5, times // 10):  # the first swaps fill what stays filled
                memory = served.memory()
    offline = {version.number: version.answers for version in versions}
    wrong = sum(
        document["predictions"][0]["probabilities"] != offline[document["version"]][row]
        for row, document in seen.documents()
    )
    statuses = seen.statuses()
    return Swaps(
        n_answers=len(seen.replies),
        n_silent=silent,
        n_refused=len(seen.replies) - statuses.get(200, 0),
        n_broken=seen.broken,
        n_wrong=wrong,
        n_loads=int(await asyncio.to_thread(served.metric, "perennial_model_loads_total") - loads_before),
        seconds=time.monotonic() - began,
        memory_growth=served.memory() / memory - 1,
    )


async def _until(served: Served, metric: str, value: float) -> None:
    deadline = time.monotonic() + HANGS_AFTER_SECONDS
    while (found := await asyncio.to_thread(served.metric, metric)) < value:
        assert time.monotonic() < deadline, f"{metric} is {found}, expected {value}:\n{served.output.read_text()}"
        await asyncio.sleep(0.02)


async def end_with_requests_in_flight(served: Served, settings: Settings, requests: int) -> Load:
    """Tell the service to end while so many requests wait for the log, which is held for half a second."""
    seen, asked = Load(), bodies()

    async def one(row: int) -> None:
        client = Client(served.port)
        try:
            status, headers, body = await client.ask("POST", "/v1/models/credit/predict", asked[row])
            seen.replies.append((row, status, headers, body, 0.0))
        except ConnectionError:
            seen.broken += 1
        finally:
            await client.close()

    with closing(sqlite3.connect(settings.var / "perennial.db", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        tasks = [asyncio.create_task(one(number % len(asked))) for number in range(requests)]
        await _until(served, "perennial_requests_in_flight", requests)
        served.process.terminate()
        await asyncio.sleep(0.5)
        holder.execute("ROLLBACK")
    await asyncio.gather(*tasks)
    return seen


@dataclass(frozen=True)
class Kills:
    """What clients saw while workers were killed."""

    n_kills: int
    n_answers: int
    n_refused: int
    n_broken: int
    n_answered_not_logged: int
    worst_kill: int


async def kill_workers(served: Served, settings: Settings, times: int, seed: int = 0) -> Kills:
    """Kill a worker by SIGKILL under load, again and again; each time once there are as many as before."""
    pick, n_workers, worst = np.random.default_rng(seed), len(served.workers()), 0
    async with loading(served.port, clients=8) as seen:
        for number in range(times):
            await asyncio.sleep(pick.uniform(0.1, 0.3))
            broken = seen.broken
            served.workers()[pick.integers(n_workers)].kill()
            # Each worker that comes back loads its model once.
            await _until(served, "perennial_model_loads_total", n_workers + number + 1)
            worst = max(worst, seen.broken - broken)
    answered = {document["predictions"][0]["id"] for _, document in seen.documents()}
    missing = answered - logged_ids(settings.database_url)
    refused = len(seen.replies) - seen.statuses().get(200, 0)
    return Kills(times, len(seen.replies), refused, seen.broken, len(missing), worst)


def logged_ids(database_url: str) -> set[str]:
    """Return the ids of all predictions in the log."""
    with open_database(database_url).connect() as connection:
        return set(connection.execute(text("SELECT id FROM predictions")).scalars())


CALM_SECONDS = 3.0


@dataclass(frozen=True)
class Overload:
    """How the service did with as many requests as it takes, with ten times as many, and afterwards.

    Parameters
    ----------
    n_before
        Requests accepted in as many seconds as the overload lasted, at the pace from before.
    """

    n_before: float
    median_before: float
    median_accepted: float
    p99_before: float
    p99_accepted: float
    n_accepted: int
    n_shed: int
    n_other: int
    n_without_retry_after: int
    n_health: int
    n_health_failed: int
    seconds_to_normal: float


async def overload(served: Served, limit: int, seconds: float) -> Overload:
    """Ask from as many connections as the limit allows, then from ten times as many that ignore every hint."""
    await _loaded(served, limit, 1.0)
    before = await _loaded(served, limit, CALM_SECONDS)
    health, stop = Load(), asyncio.Event()
    watcher = asyncio.create_task(_watch_health(served.port, stop, health))
    during = await _loaded(served, 10 * limit, seconds)
    ended = time.monotonic()
    while (after := await _loaded(served, limit, 0.5)).p99() > 2 * before.p99():
        assert time.monotonic() - ended < HANGS_AFTER_SECONDS, f"still {after.p99():.3f} s"
    normal = time.monotonic() - ended - 0.5
    stop.set()
    await watcher
    statuses = during.statuses()
    shed = [headers for _, status, headers, _, _ in during.replies if status in (429, 503)]
    return Overload(
        n_before=before.statuses().get(200, 0) * seconds / CALM_SECONDS,
        median_before=before.quantile(0.5),
        median_accepted=during.quantile(0.5),
        p99_before=before.p99(),
        p99_accepted=during.p99(),
        n_accepted=statuses.get(200, 0),
        n_shed=len(shed),
        n_other=len(during.replies) - statuses.get(200, 0) - len(shed) + during.broken,
        n_without_retry_after=sum("retry-after" not in headers for headers in shed),
        n_health=len(health.replies),
        n_health_failed=len(health.replies) - health.statuses().get(200, 0) + health.broken,
        seconds_to_normal=normal,
    )


async def _loaded(served: Served, clients: int, seconds: float) -> Load:
    async with loading(served.port, clients=clients) as seen:
        await asyncio.sleep(seconds)
    return seen


async def _watch_health(port: int, stop: asyncio.Event, seen: Load) -> None:
    while not stop.is_set():
        began = time.perf_counter()
        try:
            status, headers, body = await ask(port, "GET", "/health/live")
            seen.replies.append((0, status, headers, body, time.perf_counter() - began))
        except ConnectionError:
            seen.broken += 1
        await asyncio.sleep(0.1)
