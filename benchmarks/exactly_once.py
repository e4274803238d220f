"""A hundred kills and a thousand replays: each trigger has one run and one version.

``python -m benchmarks.exactly_once [--triggers N] [--kills N] [--replays N]``. The whole platform runs on this machine
with PostgreSQL. For each trigger new rows land, a signed webhook is delivered (and again until it is answered 202, as
senders do), and while it is received, carried, run and answered, processes are killed at random moments. Runs are
counted at Prefect, versions in MLflow.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.e2e.chaos import (
    Killer,
    Sender,
    Tally,
    add_small_model,
    all_runs,
    await_answer,
    grow,
    hook_secrets,
    tally,
)
from tests.e2e.stage import Stage, platform
from tests.factories import make_project
from tests.postgres import postgres_server

SPAN_SECONDS = 30.0
ANSWER_SECONDS = 900.0


def main() -> None:
    """Deliver, kill, count, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--triggers", type=int, default=25)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--replays", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, postgres_server() as postgres:
        stage = Stage(make_project(Path(folder)), postgres.address, hook_secrets())
        add_small_model(stage)
        with platform(stage):
            _measure(stage, given)


def _measure(stage: Stage, given: argparse.Namespace) -> None:
    sender, killed, seconds = Sender.of(stage), Counter[str](), []
    ids = [f"msg_{number}" for number in range(given.triggers)]
    for number, one in enumerate(ids):
        kills = given.kills * (number + 1) // given.triggers - given.kills * number // given.triggers
        took, died = _round(stage, sender, one, number, kills, given.seed)
        seconds.append(took)
        killed += died
        print(f"{one}: answered after {took:.0f} s; killed: {dict(died)}", flush=True)
    sender.replay(ids, times=max(1, given.replays // given.triggers))
    _print(stage, ids, killed, seconds, sender)


def _round(stage: Stage, sender: Sender, one: str, number: int, kills: int, seed: int) -> tuple[float, Counter[str]]:
    grow(stage, number)
    killer, began = Killer(stage, kills, SPAN_SECONDS, seed * 1000 + number), time.monotonic()
    killer.start()
    sender.deliver(one, seconds=300)
    answer = await_answer(stage, one, ANSWER_SECONDS)
    took = time.monotonic() - began
    killer.join()
    if answer.status != "answered":
        print(f"{one}: {answer.outcome}: {answer.reason}")
    return took, killer.killed


def _print(stage: Stage, ids: list[str], killed: Counter[str], seconds: list[float], sender: Sender) -> None:
    found = tally(stage, ids)
    wrong = {one: counted for one, counted in found.items() if counted != Tally(1, 1)}
    ordered = sorted(seconds)
    print("\n| | |\n|---|--:|")
    print(f"| triggers | {len(ids)} |")
    print(f"| kills | {sum(killed.values())} |")
    for name, count in sorted(killed.items()):
        print(f"| – {name} | {count} |")
    print(f"| triggers with one run and one version | {len(ids) - len(wrong)} |")
    print(f"| runs of retrain in all | {all_runs(stage)} |")
    print(f"| deliveries, by answer | {', '.join(f'{status}: {n}' for status, n in sorted(sender.answers.items()))} |")
    print(f"| s to the result, median and maximum | {statistics.median(ordered):.0f} and {ordered[-1]:.0f} |")
    for one, counted in wrong.items():
        print(f"\n{one}: {counted}")


if __name__ == "__main__":
    main()
