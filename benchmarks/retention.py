"""A year of running in an afternoon: size and time of each cycle of ingest, monitor and train, with retention.

``python -m benchmarks.retention [--cycles N] [--days N] [--without]``. A cycle delivers 400 rows: new values of the
same keys, so that a training sees as many rows in the last cycle as in the first. Then the rows are monitored, a
version is trained and judged, and what is too old is removed. A cycle stands for a day: whatever retention keeps for
days is kept for so many cycles. What is the user's (batches, the data remote) grows with what was delivered, and what
makes a version auditable (rows of the databases, texts of old versions) with the number of versions; they are shown
apart.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from config.settings import RetentionSettings, Settings
from core.retention.outcome import merged
from tasks.prune.prune import Pruning, known_models, prune_model, prune_project
from tasks.runs.local_server import await_server, prefect_environment, start_server, stop_server
from tests.factories import add_credit_model, credit_rows, make_project
from tests.warm import use_warm_steps, warmed

MIB = 1024 * 1024
STEPS = ("ingest", "monitor", "train", "prune")
ROWS = 400

PREFECTS_OWN = {
    "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "PT300S",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS": "30",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ORPHAN_CLEANUP_LOOP_SECONDS": "30",
}
"""Prefect removes its events after 7 days, once an hour; here after about as many cycles as there are days."""


@dataclass
class Cycle:
    """Seconds of each step of a cycle, MiB of each part after it, processor seconds of this process, and the load."""

    seconds: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, float] = field(default_factory=dict)
    cpu: float = 0.0
    load: float = 0.0


def main() -> None:
    """Run the cycles and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=300)
    parser.add_argument("--days", type=int, default=20, help="cycles for which retention keeps what it keeps for days")
    parser.add_argument("--minutes", type=float, default=1e6, help="begin no cycle after so long")
    parser.add_argument("--without", action="store_true", help="remove nothing, for comparison")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, _project(Path(folder)) as settings:
        cycles = run(settings, given.cycles, 0 if given.without else given.days, given.minutes * 60)
    print("\n".join(table(cycles)))


def run(settings: Settings, n_cycles: int, days: int, seconds: float = 1e9) -> list[Cycle]:
    """Run cycles; with 0 days nothing is removed."""
    from flows.ingest import ingest
    from flows.monitor import monitor
    from flows.train import train

    began, starts, cycles = time.monotonic(), [], []
    for number in range(n_cycles):
        if time.monotonic() - began > seconds:
            break
        starts.append(time.time())
        _deliver(settings, number)
        cycle, cpu = Cycle(), time.process_time()
        _timed(cycle, "ingest", lambda: ingest("credit"))
        if number:
            _timed(cycle, "monitor", lambda: monitor("credit"))
        _timed(cycle, "train", lambda: train("credit"))
        if days:
            _timed(cycle, "prune", partial(prune, settings, starts[max(0, number - days)]))
        cycle.cpu, cycle.load = time.process_time() - cpu, os.getloadavg()[0]
        cycle.sizes = sizes(settings)
        cycles.append(cycle)
        _progress(number, cycle)
    return cycles


def prune(settings: Settings, since: float) -> None:
    """Remove what is from before a time, in seconds since the epoch, and the files of all but the newest versions."""
    days = (time.time() - since) / 86_400
    named = [name for name in RetentionSettings.model_fields if name.endswith("_days")]
    retention = RetentionSettings().model_copy(update=dict.fromkeys(named, days))
    pruning = Pruning(settings, retention, quiet_hours=0)
    models = known_models(settings)
    done = merged([*(prune_model(model, pruning) for model in models), prune_project(models, pruning)])
    for one in done.skipped:
        print(f"skipped {one.what}: {one.reason}", flush=True)


def sizes(settings: Settings) -> dict[str, float]:
    """Return MiB on disk by part."""
    var, cache = settings.var, settings.root / ".dvc" / "cache"
    return {
        "reports, snapshots, work": sum(_mib(var / name) for name in ("reports", "snapshots", "work", "tmp", "log")),
        "MLflow's files": _mib(var / "mlruns"),
        "DVC's cache": _mib(cache),
        "Prefect": _mib(var / "prefect"),
        "MLflow's database": _mib(var / "mlflow.db"),
        "operational database": sum(_mib(path) for path in var.glob("perennial.db*")),
        "batches and remote": _mib(settings.root / "data") + _mib(var / "dvc-remote"),
    }


def table(cycles: list[Cycle], blocks: int = 10) -> list[str]:
    """Return medians of the seconds and of the load, and the sizes at the end, for each tenth of the cycles."""
    parts = list(cycles[0].sizes)
    header = ["cycles", "load", "CPU, s", *(f"{step}, s" for step in (*STEPS, "sum")), *parts, "all but batches, MiB"]
    width = max(1, len(cycles) // blocks)
    firsts = range(0, len(cycles) - len(cycles) % width, width)
    rows = [_row(first, cycles[first : first + width]) for first in firsts]
    return ["| " + " | ".join(cells) + " |" for cells in (header, ["---", *["--:"] * (len(header) - 1)], *rows)]


def _row(first: int, block: list[Cycle]) -> list[str]:
    medians = [statistics.median(cycle.seconds.get(step, 0.0) for cycle in block) for step in STEPS]
    load, cpu = (
        statistics.median(values) for values in zip(*((cycle.load, cycle.cpu) for cycle in block), strict=True)
    )
    last = block[-1].sizes
    ours = sum(size for part, size in last.items() if part != "batches and remote")
    numbers = (load, cpu, *medians, sum(medians), *last.values(), ours)
    return [f"{first + 1}–{first + len(block)}", *(f"{number:.1f}" for number in numbers)]


@contextmanager
def _project(folder: Path) -> Iterator[Settings]:
    settings = make_project(folder)
    add_credit_model(
        settings,
        credit_rows(ROWS, seed=0),
        training={"estimator": "sklearn.linear_model.LogisticRegression", "cv": 0},
        gate={"min_rows": 30},
        drift={"window_rows": ROWS, "min_rows": 200},
        evaluation={"resamples": 50},
    )
    os.environ["PERENNIAL_ROOT"] = str(settings.root)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # What follows a decision on drift belongs to its cycle: its files and its MLflow run are measured.
    os.environ.setdefault("PERENNIAL_FOLLOW_UP", "wait")
    with warmed(folder) as warm:
        use_warm_steps(warm)
        os.environ.update(PREFECTS_OWN)
        start_server(settings)
        os.environ.update(prefect_environment(settings))
        os.environ["PREFECT_API_URL"] = await_server(settings).api_url
        from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

        try:
            # Each flow would wait 1 s for its heartbeat thread to end.
            with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
                yield settings
        finally:
            stop_server(settings)


def _deliver(settings: Settings, number: int) -> None:
    rows = credit_rows(ROWS, seed=number)
    rows["id"] = [f"c{key}" for key in range(len(rows))]
    rows.to_csv(settings.root / "rows.csv", index=False)


def _timed(cycle: Cycle, step: str, work: Callable[[], object]) -> None:
    began = time.perf_counter()
    work()
    cycle.seconds[step] = time.perf_counter() - began


def _progress(number: int, cycle: Cycle) -> None:
    seconds = ", ".join(f"{step} {value:.1f}" for step, value in cycle.seconds.items())
    print(f"cycle {number + 1}: {seconds} s; {sum(cycle.sizes.values()):.1f} MiB", flush=True)


def _mib(path: Path) -> float:
    paths = [path] if path.is_file() else path.rglob("*")
    return sum(one.lstat().st_blocks * 512 for one in paths if one.is_file() or one.is_dir()) / MIB


if __name__ == "__main__":
    main()
