"""``perennial train`` beside a bare script that does the same work with the same libraries, in one run.

Usage: ``python -m benchmarks.train [--rows 30000 1000000] [--repeats 3]``. Prints one Markdown table. Every command
runs in a process of its own, in projects made for it; the best of the repeats counts. *Warm* is a command in a fork of
a process that has imported the libraries (docs/how-to.md); the memory of a fork is not measured.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from config.schema import SimulatedSource
from core.data.simulate import simulate

REPOSITORY = Path(__file__).resolve().parents[1]
PERENNIAL = [sys.executable, "-m", "cli"]


@dataclass(frozen=True)
class Cost:
    """What a command took: wall and processor seconds, and the peak memory of its process in MiB."""

    seconds: float
    memory_mb: float
    processor_seconds: float = 0.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[30_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print("| rows | command | wall s | peak MiB | wall ratio | memory ratio |")
    print("|---:|---|---:|---:|---:|---:|")
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory() as folder:
            _compare(rows, arguments.repeats, Path(folder))
    _compare_help()


def _compare(rows: int, repeats: int, folder: Path) -> None:
    data = folder / "rows.parquet"
    _write_rows(rows, data)
    project = _project(folder / "perennial", data)
    cold = os.environ | {"PERENNIAL_ROOT": str(project), "PYTHONPATH": str(REPOSITORY), "PERENNIAL_WARM": "0"}
    sockets = folder / "run"
    sockets.mkdir(mode=0o700)
    in_fork = cold | {"PERENNIAL_WARM": "1", "XDG_RUNTIME_DIR": str(sockets)}
    bare: list[Cost] = []
    full: list[Cost] = []
    first: list[Cost] = []
    repeat: list[Cost] = []
    warm: list[Cost] = []
    try:
        run([*PERENNIAL, "train", "bench"], project, cold)  # starts the server, fills the disk's cache
        run([*PERENNIAL, "train", "bench"], project, in_fork)  # starts the warm process
        while not list(sockets.glob("*/*.sock")):
            time.sleep(0.1)
        for number in range(repeats):
            script = [sys.executable, "-m", "benchmarks.bare_script"]
            for costs, options in ((bare, []), (full, ["--reports"])):
                root = _project(folder / f"bare{number}{len(options)}", data, model_from=project)
                costs.append(run([*script, str(root), "bench", *options], root, cold))
                shutil.rmtree(root)
            _forget(project)
            warm.append(run([*PERENNIAL, "train", "bench"], project, in_fork))
            _forget(project)
            first.append(run([*PERENNIAL, "train", "bench"], project, cold))
            repeat.append(run([*PERENNIAL, "train", "bench"], project, cold))
    finally:
        for process in psutil.process_iter(["cmdline"]):
            if any(str(sockets) in word for word in process.info["cmdline"] or []):
                process.terminate()
        run([*PERENNIAL, "server", "stop"], project, cold)
    base, whole = _best(bare), _best(full)
    _print(rows, "bare script", base, base)
    _print(rows, "bare script with the same reports", whole, base)
    _print(rows, "perennial train", _best(first), base)
    _print(rows, "perennial train, against the bare script with reports", _best(first), whole)
    _print(rows, "perennial train, unchanged key", _best(repeat), base)
    for name, other in (("bare script", base), ("bare script with reports", whole)):
        seconds = _best(warm).seconds
        print(f"| {rows:,} | perennial train, warm, against the {name} | {seconds:.1f} | – | ", end="")
        print(f"{seconds / other.seconds:.2f} | – |")


def _forget(project: Path) -> None:
    """Delete what trainings left, but the model file and the server."""
    shutil.rmtree(project / "data", ignore_errors=True)
    for place in ("var/dvc-remote", "var/mlruns", "var/reports", "var/snapshots", ".dvc/cache", ".dvc/tmp"):
        shutil.rmtree(project / place, ignore_errors=True)
    for file in [*project.glob("var/*.db*"), project / "data.dvc"]:
        file.unlink(missing_ok=True)


def _compare_help() -> None:
    environment = dict(os.environ)
    click = _best([run([sys.executable, "-c", "import click"], REPOSITORY, environment) for _ in range(10)])
    perennial = str(Path(sys.executable).with_name("perennial"))
    shown = _best([run([perennial, "--help"], REPOSITORY, environment) for _ in range(10)])
    print(f"\n`perennial --help` {shown.seconds:.3f} s, `import click` {click.seconds:.3f} s: ", end="")
    print(f"ratio {shown.seconds / click.seconds:.2f}")


def _write_rows(rows: int, path: Path) -> None:
    source = SimulatedSource(kind="simulated", months=10, rows_per_month=rows // 10)
    with pq.ParquetWriter(path, pa.Table.from_pandas(next(iter(simulate(source))), preserve_index=False).schema) as to:
        for frame in simulate(source):
            to.write_table(pa.Table.from_pandas(frame, preserve_index=False, schema=to.schema))


def _project(root: Path, data: Path, model_from: Path | None = None) -> Path:
    new_project(root)
    if model_from is not None:
        shutil.copytree(model_from / "config", root / "config", dirs_exist_ok=True)
        return root
    environment = os.environ | {"PERENNIAL_ROOT": str(root), "PYTHONPATH": str(REPOSITORY)}
    init = ["init", "--data", str(data), "--target", "default_next_month", "--key", "application_id", "--name", "bench"]
    run([*PERENNIAL, *init], root, environment)
    return root


def new_project(root: Path) -> None:
    """Make an empty project with a repository."""
    (root / "config" / "models").mkdir(parents=True)
    (root / "config" / "expectations").mkdir()
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").write_text((REPOSITORY / ".dvc" / "config").read_text())
    (root / ".gitignore").write_text("/data\n/var/\n")
    _git(root, "init", "--quiet")
    _git(root, "add", ".")
    _git(root, "-c", "user.name=b", "-c", "user.email=b@example.org", "commit", "--quiet", "--message=start")


def _git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, check=True)  # noqa: S607 - git is found on the path


def run(command: list[str], folder: Path, environment: dict[str, str]) -> Cost:
    """Run a command, wait for it, and ask the kernel for its peak memory."""
    with tempfile.TemporaryFile() as output:
        began = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{output.read().decode()}")
    return Cost(seconds, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)


def _best(costs: list[Cost]) -> Cost:
    return Cost(min(cost.seconds for cost in costs), min(cost.memory_mb for cost in costs))


def _print(rows: int, name: str, cost: Cost, base: Cost) -> None:
    ratios = f"{cost.seconds / base.seconds:.2f} | {cost.memory_mb / base.memory_mb:.2f}"
    print(f"| {rows:,} | {name} | {cost.seconds:.1f} | {cost.memory_mb:,.0f} | {ratios} |")


if __name__ == "__main__":
    main()
