"""Eight models on one worker: a burst of one does not keep the others waiting.

``python -m benchmarks.many_models [--models N] [--burst N] [--runs N]``. The whole platform runs on this machine with
PostgreSQL. One model is sent many triggers at once, then each of the others one. Printed is when each was answered.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from core.operate.trigger import Trigger
from store.database import open_database
from store.triggers import triggers
from tests.e2e.chaos import Sender, add_small_model, hook_secrets
from tests.e2e.stage import Stage, await_value, platform
from tests.factories import make_project
from tests.postgres import postgres_server


def main() -> None:
    """Send, wait, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=8)
    parser.add_argument("--burst", type=int, default=100)
    parser.add_argument("--runs", type=int, default=2, help="runs that the worker has in work at once")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, postgres_server() as postgres:
        stage = Stage(make_project(Path(folder)), postgres.address, hook_secrets())
        names = add_models(stage, given.models)
        with platform(stage, "--runs", str(given.runs)):
            answered = flood(stage, names, given.burst)
    print("\n| model | triggers | runs | first answered after, s | last answered after, s |")
    print("|---|--:|--:|--:|--:|")
    for name in names:
        ours = answered[name]
        times = sorted(seconds for seconds, _ in ours)
        runs = len({trigger.flow_run for _, trigger in ours if trigger.leader is None})
        print(f"| {name} | {len(ours)} | {runs} | {times[0]:.0f} | {times[-1]:.0f} |")


def add_models(stage: Stage, count: int) -> list[str]:
    """Add so many models of the same rows."""
    add_small_model(stage)
    root = stage.settings.root / "config" / "models"
    content = json.loads((root / "credit.yaml").read_text())
    names = [f"credit-{number}" for number in range(1, count + 1)]
    for name in names:
        (root / f"{name}.yaml").write_text(json.dumps({**content, "model": name}))
    (root / "credit.yaml").unlink()
    return names


def flood(stage: Stage, names: list[str], burst: int) -> dict[str, list[tuple[float, Trigger]]]:
    """Send many triggers for the first model and one for each other; return the seconds to each answer."""
    sender, began, sent = Sender.of(stage), time.monotonic(), datetime.now(UTC)
    for number in range(burst):
        sender.deliver(f"burst_{number}", model=names[0])
    for name in names[1:]:
        sender.deliver("one", model=name)
    engine = open_database(stage.state.database_url)

    def all_answered() -> dict[str, list[Trigger]] | None:
        found = {name: triggers(engine, name, limit=burst + 1) for name in names}
        print(f"{time.monotonic() - began:.0f} s: {sum(t.answered_at is not None for f in found.values() for t in f)}")
        return found if all(one.answered_at for of_model in found.values() for one in of_model) else None

    found = await_value(all_answered, 900, "all are answered", pause=5)
    return {
        name: [((one.answered_at or sent).timestamp() - sent.timestamp(), one) for one in ours]
        for name, ours in found.items()
    }


if __name__ == "__main__":
    main()
