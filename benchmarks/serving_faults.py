"""What the prediction service outlives: swaps, an end with requests in flight, killed workers, overload, many requests.

The scenarios are those of ``tests/serving/test_faults.py``, as often as the aims name them.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from config.settings import Settings
from tests.factories import make_project
from tests.serving.faults import Kills, Overload, Swaps, end_with_requests_in_flight, kill_workers, overload, swap
from tests.serving.service_processes import Load, Served, Version, crown, loading, register_version, serving

LIMIT = 16
FAULTS = ("swaps", "end", "kills", "overload", "growth")


def main() -> None:
    """Print one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--overload-seconds", type=float, default=60)
    parser.add_argument("--requests", type=int, default=100_000, help="for the growth of the memory")
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=FAULTS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = make_project(Path(folder))
        versions = [register_version(settings, "a", 1.0), register_version(settings, "b", 0.01)]
        crown(settings, versions[0])
        print("| fault | must hold | found |\n|---|---|---|")
        rows: dict[str, Callable[[], None]] = {
            "swaps": lambda: _swaps(settings, versions, given.swaps),
            "end": lambda: _end(settings),
            "kills": lambda: _kills(settings, given.kills),
            "overload": lambda: _overload(settings, given.overload_seconds),
            "growth": lambda: _growth(settings, given.requests),
        }
        for name in given.only:
            rows[name]()


def _row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def _swaps(settings: Settings, versions: Sequence[Version], times: int) -> None:
    with serving(settings, "--workers", "2") as served:
        served.await_workers(2)
        found: Swaps = asyncio.run(swap(served, settings, versions, times))
    _row(
        f"{times} changes of the champion under {found.n_answers / found.seconds:.0f} requests/s, 2 workers",
        "only 2xx, each equal to the offline answer of its version; memory +5 % at most",
        f"{found.n_answers:,} answers, {found.n_refused} other than 2xx, {found.n_broken} without answer, "
        f"{found.n_wrong} wrong; memory {found.memory_growth:+.1%}; {found.seconds / times:.2f} s per swap",
    )


def _end(settings: Settings) -> None:
    with serving(settings, PERENNIAL_SERVE_MAX_CONCURRENT="300") as served:
        found: Load = asyncio.run(end_with_requests_in_flight(served, settings, 200))
        code = served.process.wait(30)
    _row("SIGTERM with 200 in flight", "200 answered", f"{found.statuses().get(200, 0)} answered, exit code {code}")


def _kills(settings: Settings, times: int) -> None:
    with serving(settings, "--workers", "2") as served:
        served.await_workers(2)
        found: Kills = asyncio.run(kill_workers(served, settings, times))
    _row(
        f"`kill -9` of a worker, {times} times, 8 clients, log `commit`",
        "only its own requests are lost; every answer is in the log",
        f"{found.n_answers:,} answers, {found.n_refused} refused, {found.n_broken} lost (at most {found.worst_kill} by "
        f"one kill), {found.n_answered_not_logged} answered and not logged",
    )


def _overload(settings: Settings, seconds: float) -> None:
    with serving(settings, "--log", "async", PERENNIAL_SERVE_MAX_CONCURRENT=str(LIMIT)) as served:
        found: Overload = asyncio.run(overload(served, LIMIT, seconds))
    _row(
        f"10 times as many clients as allowed ({10 * LIMIT}) for {seconds:.0f} s",
        "429/503 with Retry-After, health 200, accepted p99 at most twice, normal within 5 s",
        f"{found.n_accepted:,} accepted, {found.n_shed:,} shed, {found.n_without_retry_after} without Retry-After, "
        f"{found.n_other} other; health {found.n_health - found.n_health_failed} of {found.n_health}; p99 "
        f"{1000 * found.p99_before:.1f} → {1000 * found.p99_accepted:.1f} ms "
        f"({found.p99_accepted / found.p99_before:.2f} times); normal after {max(0.0, found.seconds_to_normal):.1f} s",
    )


def _growth(settings: Settings, requests: int) -> None:
    with serving(settings, "--log", "async") as served:
        asyncio.run(_ask(served, requests // 5))
        before = served.memory()
        asyncio.run(_ask(served, requests))
        growth = (served.memory() - before) / 2**20
    _row(f"{requests:,} requests after warm-up", "memory grows by less than 20 MiB", f"{growth:+.1f} MiB")


async def _ask(served: Served, requests: int) -> None:
    async with loading(served.port, clients=8) as seen:
        while len(seen.replies) < requests:
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    main()
