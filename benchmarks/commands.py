"""What each command costs, as ratios to the import of the libraries that it stands on, in one run.

Usage: ``python -m benchmarks.commands [--only monitor,models] [--repeats 5]``. Prints one Markdown table. Simulated
applications in Parquet files are trained on in a project made for it; its local Prefect server runs before anything
but a first ``train`` is measured. Every measurement is a process of its own, and each was started once before. Imports
and commands take turns, so that a busy machine slows both. Processor seconds are those of the command and of the
processes that it waits for: a server or a drawing that goes on by itself is not in them. Rows that end with *warm* are
commands in forks of a warm process, which is there before the first is measured; their forks count.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import psutil
from ruamel.yaml import YAML

from benchmarks.train import PERENNIAL, REPOSITORY, Cost, new_project, run
from config.schema import SimulatedSource
from core.data.simulate import simulate

DEMO, SUITE = "config/models/credit.yaml", "config/expectations/credit.json"
MODEL, WATCHED = "credit", "watched"
MONTHS, ROWS_PER_MONTH = 12, 2_000
FIRST_ROWS, LATER_ROWS = "rows.parquet", "later.parquet"

CLI = "click, sqlalchemy"
RUN = "prefect, mlflow"
SKLEARN = "sklearn.ensemble"
VALIDATION = "great_expectations"


@dataclass(frozen=True)
class Case:
    """A command, and the import that its cost is compared with.

    Parameters
    ----------
    name
        Row of the table, and name for ``--only``.
    imports
        Modules of ``python -c "import …"``.
    aim
        Largest ratio wanted; None if there is none.
    measured
        Runs it for the n-th time.
    """

    name: str
    imports: str
    aim: float | None
    measured: Callable[[Bench, int], Cost]


class Bench:
    """A project in which the commands run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        months = list(simulate(SimulatedSource(kind="simulated", months=MONTHS + 1, rows_per_month=ROWS_PER_MONTH)))
        pd.concat(months[:MONTHS]).to_parquet(folder / FIRST_ROWS, index=False)
        months[MONTHS].to_parquet(folder / LATER_ROWS, index=False)
        self._root = self._project("project", MODEL, WATCHED)
        self._sockets = folder / "run"
        self._sockets.mkdir(mode=0o700)

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Train two champions, and ingest a later batch for one; stop the project's server at the end of the block."""
        try:
            self.command("train", MODEL)
            self.command("train", WATCHED)
            self.command("ingest", WATCHED, "--set", f"source.uri={self._folder / LATER_ROWS}")
            yield
        finally:
            for server in self._warm_processes():
                server.terminate()
            self.command("server", "stop")

    def warm_command(self, *words: str) -> Cost:
        """Run a command in a fork of a warm process, which the first of them starts."""
        given = _environment(self._root) | {"PERENNIAL_WARM": "1", "XDG_RUNTIME_DIR": str(self._sockets)}
        if not self._warm_processes():
            run([*PERENNIAL, "train", MODEL], self._root, given)
            while not list(self._sockets.glob("*/*.sock")):
                time.sleep(0.1)
        before = self._warm_seconds()
        cost = run([*PERENNIAL, *words], self._root, given)
        return replace(cost, processor_seconds=cost.processor_seconds + self._warm_seconds() - before)

    def _warm_processes(self) -> list[psutil.Process]:
        found = psutil.process_iter(["cmdline"])
        return [one for one in found if any(str(self._sockets) in word for word in one.info["cmdline"] or [])]

    def _warm_seconds(self) -> float:
        times = [server.cpu_times() for server in self._warm_processes()]
        return sum(one.user + one.system + one.children_user + one.children_system for one in times)

    def command(self, *words: str) -> Cost:
        """Run a command in the project."""
        return _command(self._root, *words)

    def ingest_new_model(self, number: int) -> Cost:
        """Ingest 24,000 rows for a model that has none."""
        name = f"new{number}"
        self._write_model(self._root, name)
        return self.command("ingest", name)

    def train_in_new_project(self, number: int) -> Cost:
        """Train where nothing is yet, and no server runs."""
        root = self._project(f"first{number}", MODEL)
        try:
            return _command(root, "train", MODEL)
        finally:
            _command(root, "server", "stop")
            shutil.rmtree(root)

    def _project(self, name: str, *models: str) -> Path:
        root = self._folder / name
        new_project(root)
        shutil.copyfile(REPOSITORY / SUITE, root / SUITE)
        for model in models:
            self._write_model(root, model)
        return root

    def _write_model(self, root: Path, name: str) -> None:
        content = YAML(typ="safe").load(REPOSITORY / DEMO)
        content |= {"model": name, "source": {"kind": "parquet", "uri": str(self._folder / FIRST_ROWS)}}
        YAML().dump(content, root / "config" / "models" / f"{name}.yaml")


def _command(root: Path, *words: str) -> Cost:
    return run([*PERENNIAL, *words], root, _environment(root))


def _environment(root: Path) -> dict[str, str]:
    # Without bytecode each process would compile every module again.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    # What follows a decision on drift would slow what is measured next.
    ours = {"PERENNIAL_ROOT": str(root), "PYTHONPATH": str(REPOSITORY), "PERENNIAL_FOLLOW_UP": "later"}
    return kept | ours | {"PERENNIAL_WARM": "0"}


def _monitor(number: int) -> tuple[str, ...]:
    # Other bounds make it another decision; an equal one would be answered from the record.
    return "monitor", WATCHED, "--set", f"drift.psi={0.1 + number / 10_000:.4f}"


CASES = (
    Case("train, unchanged", RUN, 0.3, lambda bench, _: bench.command("train", MODEL)),
    Case("models", CLI, 5, lambda bench, _: bench.command("models")),
    Case("show", CLI, 5, lambda bench, _: bench.command("show", MODEL)),
    Case("history", CLI, 5, lambda bench, _: bench.command("history", MODEL)),
    Case("data", CLI, 5, lambda bench, _: bench.command("data", MODEL)),
    Case("monitor, 2,000 rows", SKLEARN, 1.5, lambda bench, number: bench.command(*_monitor(number))),
    Case("ingest, 24,000 rows", VALIDATION, 1, lambda bench, number: bench.ingest_new_model(number)),
    Case("train, unchanged, warm", RUN, 0.1, lambda bench, _: bench.warm_command("train", MODEL)),
    Case("models, warm", CLI, None, lambda bench, _: bench.warm_command("models")),
    Case("monitor, 2,000 rows, warm", SKLEARN, None, lambda bench, n: bench.warm_command(*_monitor(1000 + n))),
    Case("train, first", RUN, None, lambda bench, number: bench.train_in_new_project(number)),
)
"""Rows of the table."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", metavar="NAMES", help="beginnings of the rows to measure, by comma")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    cases = _chosen(arguments.only)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        bench = Bench(Path(folder))
        with bench.prepared():
            found = _measured(cases, bench, arguments.repeats)
    print("| command | wall s | CPU s | import | wall s | CPU s | wall ratio | CPU ratio | aim |")
    print("|---|--:|--:|---|--:|--:|--:|--:|--:|")
    for case in cases:
        _print_row(case, _median(found[case.name]), _median(found[case.imports]))


def _chosen(only: str) -> list[Case]:
    beginnings = tuple(only.split(","))
    cases = [case for case in CASES if case.name.startswith(beginnings)]
    if not cases:
        raise SystemExit(f"--only expects beginnings of {'; '.join(case.name for case in CASES)}")
    return cases


def _measured(cases: Sequence[Case], bench: Bench, repeats: int) -> dict[str, list[Cost]]:
    imports = dict.fromkeys(case.imports for case in cases)
    found: dict[str, list[Cost]] = {name: [] for name in (*imports, *(case.name for case in cases))}
    # What is measured first would pay for the disk.
    for number in range(repeats + 1):
        for modules in imports:
            found[modules].append(_imported(modules))
        for case in cases:
            found[case.name].append(case.measured(bench, number))
    return {name: costs[1:] for name, costs in found.items()}


def _imported(modules: str) -> Cost:
    return run([sys.executable, "-c", f"import {modules}"], REPOSITORY, _environment(REPOSITORY))


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        statistics.median(cost.seconds for cost in costs),
        statistics.median(cost.memory_mb for cost in costs),
        statistics.median(cost.processor_seconds for cost in costs),
    )


def _print_row(case: Case, command: Cost, imported: Cost) -> None:
    ratios = (command.seconds / imported.seconds, command.processor_seconds / imported.processor_seconds)
    times = [f"{cost.seconds:.2f} | {cost.processor_seconds:.2f}" for cost in (command, imported)]
    aim = "–" if case.aim is None else f"{case.aim:g}"
    print(f"| {case.name} | {times[0]} | {case.imports} | {times[1]} | {ratios[0]:.2f} | {ratios[1]:.2f} | {aim} |")


if __name__ == "__main__":
    main()
