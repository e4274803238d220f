"""``perennial score`` beside pandas, a program written by hand, and DuckDB's copy: time and peak memory.

Usage: ``python -m benchmarks.score [--rows 1000000 10000000] [--estimator PATH] [--project FOLDER]``. The demo model
scores simulated rows of 21 columns, in row groups of 250,000. All ways write all columns and the probabilities;
Perennial adds ids, version and time, checks every cell and hashes input and output. Each way runs in a process of its
own, one after the other. Prints one Markdown table, a row per way as it ends. ``--project`` takes a project whose model
``credit`` has a champion; by default one is trained.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.train import PERENNIAL, REPOSITORY, Cost, new_project, run
from config.settings import Settings
from tasks.registry.fetch import fetched
from tasks.registry.versions import champion_record

HIST = "sklearn.ensemble.HistGradientBoostingClassifier"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--estimator", default=HIST)
    parser.add_argument("--project", type=Path)
    arguments = parser.parse_args()
    print("| rows | way | wall s | processor s | peak MiB | processor / by hand |")
    print("|---:|---|---:|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        project = arguments.project or _trained(Path(folder) / "project", arguments.estimator)
        environment = _environment(project)
        try:
            for n_rows in arguments.rows:
                _measure(n_rows, project, Path(folder), environment)
        finally:
            run([*PERENNIAL, "server", "stop"], project, environment)


def _environment(project: Path) -> dict[str, str]:
    return os.environ | {"PERENNIAL_ROOT": str(project), "PYTHONPATH": str(REPOSITORY), "PERENNIAL_WARM": "0"}


def _trained(project: Path, estimator: str) -> Path:
    new_project(project)
    for room in ("models", "expectations"):
        shutil.copytree(REPOSITORY / "config" / room, project / "config" / room, dirs_exist_ok=True)
    given = [f"training.estimator={estimator}", "training.search=null"]
    run(
        [*PERENNIAL, "train", "credit", *(part for one in given for part in ("--set", one))],
        project,
        _environment(project),
    )
    return project


def _measure(n_rows: int, project: Path, folder: Path, environment: dict[str, str]) -> None:
    rows = folder / "rows.parquet"
    _own(folder, environment, "write", str(n_rows), str(rows))
    var = project / "var"
    settings = Settings(
        root=project,
        var=var,
        database_url=f"sqlite:///{var / 'perennial.db'}",
        mlflow_uri=f"sqlite:///{var / 'mlflow.db'}",
    )
    champion = champion_record("credit", settings)
    with fetched("credit", champion.version, settings) as bundle:
        ways = {
            "by hand: PyArrow and ONNX Runtime": _way("arrow", bundle.folder, rows, folder / "arrow.parquet"),
            "Perennial, a folder": _score(rows, folder / "scores"),
            "Perennial, one file": _score(rows, folder / "scores.parquet"),
            "Perennial, without the features": _score(rows, folder / "answers")[:-1],
            "pandas and scikit-learn": _way("pandas", bundle.folder, rows, folder / "pandas.parquet"),
            "DuckDB's copy, no predictions": _way("duckdb", bundle.folder, rows, folder / "duckdb.parquet"),
        }
        base: Cost | None = None
        for name, command in ways.items():
            cost = run(command, project, environment)
            base = base or cost
            cells = f"{cost.seconds:.1f} | {cost.processor_seconds:.1f} | {cost.memory_mb:,.0f}"
            print(
                f"| {n_rows:,} | {name} | {cells} | {cost.processor_seconds / base.processor_seconds:.2f} |", flush=True
            )
    _own(folder, environment, "compare", str(folder))
    _remove(folder)


def _way(way: str, bundle: Path, rows: Path, output: Path) -> list[str]:
    return [sys.executable, "-m", "benchmarks.score_ways", way, str(bundle), str(rows), str(output)]


def _score(rows: Path, output: Path) -> list[str]:
    return [*PERENNIAL, "score", "credit", "--input", str(rows), "--output", str(output), "--features"]


def _own(folder: Path, environment: dict[str, str], *arguments: str) -> None:
    run([sys.executable, "-m", "benchmarks.score_rows", *arguments], folder, environment)


def _remove(folder: Path) -> None:
    for path in folder.glob("*"):
        if path.is_dir() and path.name != "project":
            shutil.rmtree(path)
        elif path.suffix == ".parquet":
            path.unlink()


if __name__ == "__main__":
    main()
