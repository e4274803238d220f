"""The last part of ``make demo``: a service, traffic, a version that is released, and one that is rolled back.

``python -m benchmarks.release_demo`` in the project of the demo, after its 16th month. The retraining learns the month
in which the world changed; clients send applications of that month, and the new version gets them step by step. Then a
person approves a version that needs a column which the clients do not send: the release ends in the shadow, and no
client has seen an error.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import click

from benchmarks.release_traffic import Answer, Town, quiet_environment, rows_of, send, serving
from config.load import load_model_config
from config.schema import SimulatedDrift, SimulatedSource
from core.data.simulate import simulate_month
from core.release.outcome import ReleaseOutcome
from store.database import open_database
from store.registry.registrations import versions_of
from store.releases.releases import newest_release
from tasks.platform.ports import free_port
from tasks.release.look import look

MODEL = "credit"
MONTH = 15
"""Index of the newest month of the demo: the world changed with its month 14."""

WORLD = "[{kind: covariate, month: 14, size: 0.7}, {kind: concept, month: 14, size: 0.9}]"
PLAN = (
    "{mode: staged, steps: [20, 50, 100], min_requests: 250, shadow: {requests: 500}, bake_hours: 0, "
    "look_seconds: 1, guardrails: {error_rate: 0.05, latency_ratio: 4, prediction_psi: 2, performance_loss: 0.05}}"
)
"""Seconds instead of days: few requests are enough, and guardrails are wide for a laptop. The world has changed, so the
new version's predictions differ from those of the old one by much more than the usual PSI."""

BATCH = 800
MOST_LOOKS = 120


def main() -> None:
    """Release a version, then see another one rolled back; print the timelines."""
    quiet_environment()
    town = _town(Path.cwd())
    with serving(town):
        send(town, range(200))
        time.sleep(1)  # the log is written in groups
        _say("the month has changed the world: retrain, and release what is better")
        town.run(
            "retrain", MODEL, "--force", "--set", "source.months=16", *_world(), "--set", f"release={PLAN}", ends=(0, 3)
        )
        if not _is_running(town):
            sys.exit("the gate let no version pass; see: perennial show credit@challenger")
        _released(town)
        _say("a version that needs a column which no client sends, approved by a person against the gate")
        fault = ("--set", "features.dates=[application_date]", "--set", "gate.mode=manual")
        town.run("train", MODEL, "--set", "source.months=16", *_world(), *fault, ends=(0, 3))
        version = _newest_version(town)
        town.run("approve", f"{MODEL}@{version}", "--override", "--reason", "a demonstration of a fault")
        _released(town)
    click.echo("\n" + town.run("history", MODEL))


def _town(root: Path) -> Town:
    world = SimulatedSource(
        kind="simulated",
        start=date(2024, 1, 1),
        seed=11,
        rows_per_month=5000,
        drifts=(
            SimulatedDrift(kind="covariate", month=14, size=0.7),
            SimulatedDrift(kind="concept", month=14, size=0.9),
        ),
    )
    frame = simulate_month(world, MONTH)
    config = load_model_config(root, MODEL)
    columns = {"numeric": config.features.numeric, "categorical": config.features.categorical}
    rows = rows_of(frame, columns, "application_id")
    for row, guarantee in zip(rows, frame["has_guarantor"], strict=True):
        row["has_guarantor"] = bool(guarantee)
    labels = [str(label) for label in frame["default_next_month"]]
    return Town(root, MODEL, free_port(), rows, labels, [row["application_id"] for row in rows])


def _world() -> tuple[str, str]:
    return ("--set", f"source.drifts={WORLD}")


def _is_running(town: Town) -> bool:
    state = newest_release(open_database(town.settings.database_url), MODEL)
    return state is not None and not state.is_over


def _newest_version(town: Town) -> int:
    return max(versions_of(open_database(town.settings.database_url), MODEL))


def _released(town: Town) -> None:
    """Send applications and look, until the release is over; print a line for each stage."""
    places = itertools.cycle(range(len(town.rows)))
    time.sleep(3)  # both versions are loaded before the first request is routed
    answers: list[Answer] = []
    for outcome in _looks(town, places, answers):
        if outcome.status == "held":
            continue
        seen = Counter(answer.version for answer in answers)
        share = f"{100 * seen[outcome.version or 0] / max(len(answers), 1):.0f} % by the new version"
        click.echo(f"  {datetime.now(UTC):%H:%M:%S}  {outcome.status.replace('_', ' '):12} {outcome.reasons[0]}")
        click.echo(f"            {len(answers):,} requests, {share}, {_errors(answers)} errors seen by clients")
        answers.clear()


def _looks(town: Town, places: Iterator[int], answers: list[Answer]) -> Iterator[ReleaseOutcome]:
    for _ in range(MOST_LOOKS):
        answers += send(town, list(itertools.islice(places, BATCH)))
        time.sleep(0.6)  # the log is written in groups
        outcome = look(MODEL, town.settings)
        yield outcome
        if outcome.is_over:
            return
    sys.exit(f"the release did not end within {MOST_LOOKS} looks; see: perennial release {MODEL}")


def _errors(answers: list[Answer]) -> int:
    return sum(answer.status != 200 for answer in answers)


def _say(text: str) -> None:
    click.echo(f"\n{text}")


if __name__ == "__main__":
    main()
