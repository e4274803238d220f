"""Releases over real HTTP with two workers: a better version, and a worse one.

``python -m benchmarks.release_http DATA TARGET KEY`` with a Parquet file, such as one of credit cards. Version 1 has
few boosted trees, the better version more of them, the worse one hardly any: a person approves it against the gate.
Rows are replayed, and their labels arrive some seconds later. Prints the timeline of each release and a table;
``--out`` writes the looks as JSON. Predictions of the versions differ a lot, so the PSI is not watched: the labels have
to show it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.release_traffic import (
    Answer,
    Town,
    label,
    project,
    quiet_environment,
    rows_of,
    send,
    serving,
)
from core.release.outcome import ReleaseOutcome
from store.database import open_database
from store.registry.registrations import versions_of
from store.releases.releases import newest_release
from tasks.platform.ports import free_port
from tasks.release.look import look
from tasks.release.people import abort

BOOSTED = "sklearn.ensemble.HistGradientBoostingClassifier"

BATCH = 400
"""Requests between two looks."""

MOST_LOOKS = 150

TRIALS = ("better", "worse")

DELAY = 3
"""Batches after which the labels of one arrive."""

PLAN = {
    "mode": "staged",
    "steps": [5, 25, 50, 100],
    "min_requests": 300,
    "shadow": {"requests": 2000, "hours": 0.5},
    "max_wait_hours": 0.5,
    "bake_hours": 0.001,
    "look_seconds": 1,
    "min_labels": 0,
    "guardrails": {"error_rate": 0.02, "latency_ratio": 3.0, "prediction_psi": None, "performance_loss": 0.01},
}


@dataclass
class Trial:
    """What happened in a release: the looks, and what clients saw."""

    name: str
    looks: list[tuple[float, ReleaseOutcome]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    stages: list[tuple[str, int, list[Answer]]] = field(default_factory=list)

    def add(self, stage: tuple[str, int], answers: list[Answer]) -> None:
        """Add what clients saw in a stage."""
        self.answers += answers
        if not self.stages or self.stages[-1][:2] != stage:
            self.stages.append((*stage, []))
        self.stages[-1][2].extend(answers)

    @property
    def last(self) -> ReleaseOutcome:
        """The last look."""
        return self.looks[-1][1]


def main() -> None:
    """Run the trials and print timelines and table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("target")
    parser.add_argument("key")
    parser.add_argument("--out", type=Path, help="file for the looks as JSON")
    parser.add_argument("--trials", nargs="+", choices=TRIALS, default=TRIALS, help="which; both by default")
    given = parser.parse_args()
    quiet_environment()
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        town = _town(Path(folder), pd.read_parquet(given.data), given.target, given.key)
        trials = list(_trials(town, given.trials))
    print(_table(trials))
    if given.out:
        given.out.write_text(json.dumps([_document(trial) for trial in trials], indent=1))


def _town(folder: Path, frame: pd.DataFrame, target: str, key: str) -> Town:
    root = project(folder, "cards", frame, target, key)
    town = Town(root, "cards", free_port(), (), (), ())
    features: dict[str, list[str]] = {}

    def prepare(content: dict[str, Any]) -> None:
        content["release"] = PLAN
        content["gate"]["max_latency_ms"] = 5000
        content["gate"]["floor"] = 0.5
        features.update({kind: list(names) for kind, names in content["features"].items()})
        content["training"].pop("search", None)

    town.change(prepare)
    rng = np.random.default_rng(1)
    order = rng.permutation(len(frame))
    town.rows = rows_of(frame.iloc[order], features, key)
    town.labels = [str(label) for label in frame[target].iloc[order]]
    town.keys = [row[key] for row in town.rows]
    _train(town, max_iter=8, max_leaf_nodes=4)
    return town


def _train(town: Town, ends: Sequence[int] = (0,), **params: Any) -> str:
    def change(content: dict[str, Any]) -> None:
        content["training"] |= {"estimator": BOOSTED, "params": params, "cv": 0}

    town.change(change)
    return town.run("train", town.model, ends=ends)


def _trials(town: Town, wanted: Sequence[str]) -> Iterator[Trial]:
    with serving(town):
        send(town, range(200))
        time.sleep(2)  # the log is written in groups
        if "better" in wanted:
            _train(town, max_iter=80, max_leaf_nodes=8)
            yield _released(town, "a better version")
        if "worse" in wanted:
            _train(town, ends=(0, 3), max_iter=2, max_leaf_nodes=2)
            version = max(versions_of(open_database(town.settings.database_url), town.model))
            town.run("approve", f"{town.model}@{version}", "--override", "--reason", "a trial of a worse version")
            yield _released(town, "a worse version")


def _released(town: Town, name: str) -> Trial:
    """Replay rows and look, until the release is over."""
    trial, began, rng = Trial(name), time.monotonic(), np.random.default_rng(2)
    _stage(town, name)
    time.sleep(4)  # both versions are loaded before the first request is routed
    waiting: list[list[Answer]] = []
    for _ in range(MOST_LOOKS):
        stage = _stage(town, name)
        answers = send(town, rng.integers(0, len(town.rows), BATCH).tolist())
        trial.add(stage, answers)
        waiting.append(answers)
        if len(waiting) > DELAY:
            label(town, waiting.pop(0))
        time.sleep(0.6)  # the log is written in groups
        outcome = look(town.model, town.settings)
        trial.looks.append((time.monotonic() - began, outcome))
        if outcome.is_over:
            break
        if outcome.status != "held":
            time.sleep(2)  # a share is in force within 2 s
    else:
        abort(town.model, "the trial took too long", town.settings)
    _print(trial)
    return trial


def _stage(town: Town, name: str) -> tuple[str, int]:
    state = newest_release(open_database(town.settings.database_url), town.model)
    if state is None or state.is_over:
        raise SystemExit(f"{name}: no release runs")
    return state.newest.stage, state.newest.share


def _print(trial: Trial) -> None:
    print(f"\n### {trial.name}\n")
    print("| s | stage | what | why |\n|---|---|---|---|")
    for _, group in itertools.groupby(trial.looks, key=lambda pair: (pair[1].stage, pair[1].share, pair[1].status)):
        pairs = list(group)
        seconds, outcome = pairs[-1]
        times = f" ({len(pairs)} looks)" if len(pairs) > 1 else ""
        why = "; ".join(outcome.reasons)[:400]
        print(f"| {seconds:.0f} | {outcome.stage}, {outcome.share} % | {outcome.status}{times} | {why} |")


def _table(trials: Sequence[Trial]) -> str:
    lines = [
        "",
        "| release | ended | after s | requests | to the challenger, by step | not 200 | p99 ms |",
        "|" + "---|" * 7,
    ]
    for trial in trials:
        shares = []
        for stage, share, answers in trial.stages:
            if stage == "step" and answers:
                n = Counter(answer.variant for answer in answers)["challenger"]
                shares.append(f"{share} %: {100 * n / len(answers):.1f}")
        bad = sum(answer.status != 200 for answer in trial.answers)
        p99 = 1000 * float(np.percentile([answer.seconds for answer in trial.answers], 99))
        lines.append(
            f"| {trial.name} | {trial.last.status} | {trial.looks[-1][0]:.0f} | {len(trial.answers):,} | "
            f"{', '.join(shares)} | {bad} | {p99:.1f} |"
        )
    return "\n".join(lines)


def _document(trial: Trial) -> dict[str, Any]:
    return {"name": trial.name, "looks": [{"seconds": at, **outcome.to_dict()} for at, outcome in trial.looks]}


if __name__ == "__main__":
    main()
