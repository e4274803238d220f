"""What clients notice of a challenger with faults, over HTTP with two workers; and what the shadow costs them.

``python -m benchmarks.release_faults [--rounds N]``. First a challenger that raises for half of the rows, at a share of
5 %: its requests until it is out, what clients saw, and who answered afterwards. Then the shadow: two services of the
same champion, one of them with a release in its shadow, are asked in turn, so that what else the machine does meets
both. The ratio of their quantiles is taken within each pair of blocks, with its median and its interquartile range over
the pairs; the last row compares two services without a release.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from benchmarks.release_traffic import quiet_environment
from store.database import reading
from store.tables import PredictionRequestRow
from tests.factories import make_project
from tests.serving.service_processes import Client
from tests.tasks.release.graphs import Fault, raising
from tests.tasks.release.live import MODEL, PLAN, Trial, trial

YOUNG = 46
"""Rows of a lower age fail; the bundle's own examples have none, so that it loads."""

AT_ONCE = 4
BLOCK = 400
STEP: dict[str, Any] = {"steps": [5, 100], "shadow": {"requests": 0, "hours": 1}, "min_labels": 0}
SHADOW: dict[str, Any] = {"shadow": {"requests": 1_000_000, "hours": 10}, "min_labels": 0}
QUANTILES = (50, 99)


def main() -> None:
    """Run both and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="pairs of blocks for each shadow")
    given = parser.parse_args()
    quiet_environment()
    print("| 50 % errors at 5 % | |\n|---|---|")
    for name, value in _out():
        print(f"| {name} | {value} |", flush=True)
    print("\n| in the shadow | blocks | p50, ratio | p99, ratio | not 200 |\n|---|--:|---|---|--:|")
    print(_shadowed("a sound version", None, given.rounds), flush=True)
    print(_shadowed("one that raises for 45 % of the rows", raising(YOUNG), given.rounds), flush=True)
    print(_shadowed("one whose process is stopped in each block", None, given.rounds, hangs=True), flush=True)
    print(_shadowed("none", None, given.rounds, is_released=False), flush=True)


def _out() -> Iterator[tuple[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="release-") as folder, trial(make_project(Path(folder)), "binary") as one:
        one.plan = {**PLAN, **STEP}
        one.rows = _halved(one.rows)
        one.begin(one.register("b", 0.002, change=raising(YOUNG)))
        asked: list[int] = []
        # Looks are a second apart, as with the shortest interval of a plan.
        began, started = time.monotonic(), time.time()
        while True:
            one.send(200)
            asked.append(one.logged(PredictionRequestRow.version == 2))
            if one.look().is_over:
                break
            time.sleep(0.5)
        seconds, before = time.monotonic() - began, one.logged(PredictionRequestRow.version == 2)
        failures, last = _failed(one)
        one.send(2_000)
        yield "ended", "rolled back"
        yield "requests of the challenger until it was out, in both workers", before
        yield "of them failed", failures
        yield (
            "s from the first request to the last failure, and to the end of the release",
            f"{last - started:.1f}, {seconds:.1f}",
        )
        yield "requests of the clients", f"{len(one.answers):,}"
        yield "of them not answered 200", sum(status != 200 for status, _ in one.answers) + one.broken
        yield (
            "requests of the challenger in the 2,000 afterwards",
            one.logged(PredictionRequestRow.version == 2) - before,
        )


def _halved(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return as many rows of which half fail, in turn."""
    young = [row for row in rows if row["age"] < YOUNG]
    others = [row for row in rows if row["age"] >= YOUNG]
    return [side[place % len(side)] for place in range(len(rows) // 2) for side in (young, others)]


def _failed(one: Trial) -> tuple[int, float]:
    row = PredictionRequestRow
    with reading(one.engine) as connection:
        times = connection.scalars(select(row.at).where(row.version == 2, row.failure.is_not(None))).all()
    return len(times), max((at.timestamp() for at in times), default=float("nan"))


def _shadowed(name: str, fault: Fault | None, rounds: int, *, is_released: bool = True, hangs: bool = False) -> str:
    ratios: list[list[float]] = []
    bad = 0
    with _pair() as (plain, released):
        version = released.register("b", 0.002, change=fault)
        if is_released:
            released.plan = {**PLAN, **SHADOW}
            released.begin(version)
            released.send(100)
        for number in range(rounds):
            sides = [plain, released] if number % 2 else [released, plain]
            found = {}
            for one in sides:
                if hangs and one is released:
                    one.stop_shadow()
                found[id(one)] = _block(one)
                if is_released and one is released:
                    _drain(released)
            of_plain, of_released = found[id(plain)], found[id(released)]
            bad += sum(status != 200 for status, _ in [*of_plain, *of_released])
            ratios.append([_quantile(of_released, share) / _quantile(of_plain, share) for share in QUANTILES])
    columns = [_spread([row[place] for row in ratios]) for place in range(len(QUANTILES))]
    return f"| {name} | {rounds} | {' | '.join(columns)} | {bad} |"


@contextmanager
def _pair() -> Iterator[tuple[Trial, Trial]]:
    with ExitStack() as stack:
        folders = [stack.enter_context(tempfile.TemporaryDirectory(prefix="release-")) for _ in range(2)]
        first, second = (stack.enter_context(trial(make_project(Path(folder)), "binary")) for folder in folders)
        yield first, second


def _block(one: Trial) -> list[tuple[int, float]]:
    """Ask on a few connections; return status and seconds of each request."""
    port = one.port
    body = [json.dumps({"rows": [row]}).encode() for row in one.rows[:BLOCK]]
    found: list[tuple[int, float]] = []

    async def run(start: int) -> None:
        client = Client(port)
        for content in body[start::AT_ONCE]:
            began = time.perf_counter()
            status, _, _ = await client.ask("POST", f"/v1/models/{MODEL}/predict", content)
            found.append((status, time.perf_counter() - began))
        await client.close()

    async def all_clients() -> None:
        await asyncio.gather(*(run(start) for start in range(AT_ONCE)))

    asyncio.run(all_clients())
    return found


def _drain(one: Trial) -> None:
    """Wait until the shadow has answered its copies, so that it does not meet the other service's block."""
    before = -1
    while (now := one.logged(PredictionRequestRow.variant == "shadow")) != before:
        before = now
        time.sleep(0.5)


def _quantile(found: Sequence[tuple[int, float]], share: float) -> float:
    return float(np.percentile([seconds for _, seconds in found], share))


def _spread(values: Sequence[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
