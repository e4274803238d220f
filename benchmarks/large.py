"""``perennial init`` and ``perennial train`` on many rows and on many columns: time and peak memory.

Usage: ``python -m benchmarks.large [--rows 1000000 10000000] [--columns 1500 5000] [--without-train]``. Prints one
Markdown table, a row per command as it ends. Each command runs in a process of its own on a CSV file that is made for
it; ``SUMMARIZE`` is DuckDB's statement on the same file, with the memory limit that ``init`` has. Ten million rows need
about 12 GB of disk.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from benchmarks.train import PERENNIAL, REPOSITORY, Cost, new_project, run

WIDE_ROWS = 2000
MEMORY_LIMIT = "2048MiB"
SUMMARIZE = (
    "import sys, duckdb; engine = duckdb.connect(config={'memory_limit': sys.argv[2]}); "
    "engine.sql(f\"SUMMARIZE SELECT * FROM '{sys.argv[1]}'\").fetchall()"
)
LONG_ROWS = """
    SELECT
        i + 100000 AS id,
        TIMESTAMP '2020-01-01' + to_seconds(i * 9 + (random() * 1000)::BIGINT) AS happened_at,
        (random() * 80 + 18)::INT AS age,
        round(exp(random() * 8), 2) AS amount,
        round(random() * 100000, 2) AS income,
        CASE WHEN random() > 0.07 THEN round(random() - 0.5, 4) END AS ratio,
        round(random() * 3, 3) AS rate,
        (random() * random() * 40)::INT AS n_orders,
        (random() * 1000)::INT AS score,
        round(random() * random() * 500, 1) AS distance,
        round(sqrt(-2 * ln(random() + 1e-12)) * cos(6.283 * random()), 5) AS z_1,
        round(sqrt(-2 * ln(random() + 1e-12)) * cos(6.283 * random()), 5) AS z_2,
        ['north', 'south', 'east', 'west', 'centre'][1 + floor(random() * 5)::INT] AS region,
        ['web', 'phone', 'branch', 'partner'][1 + floor(random() * 4)::INT] AS channel,
        'P' || lpad((random() * random() * 399)::INT::VARCHAR, 3, '0') AS product,
        lpad((random() * 99999)::INT::VARCHAR, 5, '0') AS postcode,
        random() < 0.3 AS is_member,
        DATE '2000-01-01' + (random() * 7000)::INT AS joined,
        md5(i::VARCHAR)[:12] AS session
    FROM range({n_rows}) rows(i)
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000_000, 10_000_000])
    parser.add_argument("--columns", type=int, nargs="*", default=[1500, 5000])
    parser.add_argument("--without-train", action="store_true")
    arguments = parser.parse_args()
    print("| rows | columns | file, MB | command | wall s | processor s | peak MiB | wall / SUMMARIZE |")
    print("|---:|---:|---:|---|---:|---:|---:|---:|", flush=True)
    for n_rows in arguments.rows:
        with tempfile.TemporaryDirectory() as folder:
            _write_long(n_rows, Path(folder) / "rows.csv")
            roles = ["--target", "churned", "--time", "happened_at", "--key", "id"]
            _measure(Path(folder), n_rows, 20, roles, with_train=not arguments.without_train)
    for n_columns in arguments.columns:
        with tempfile.TemporaryDirectory() as folder:
            _write_wide(n_columns, Path(folder) / "rows.csv")
            roles = ["--target", "label"]
            _measure(Path(folder), WIDE_ROWS, n_columns, roles, with_train=not arguments.without_train)


def _write_long(n_rows: int, path: Path) -> None:
    """Write rows of mixed columns; the target depends on four of them."""
    odds = "0.02 * (age - 58) + 0.8 * z_1 + CASE region WHEN 'west' THEN 0.7 ELSE 0 END - 0.03 * n_orders - 2"
    labelled = f"SELECT *, (random() < 1 / (1 + exp(-({odds}))))::INT AS churned"
    rows = LONG_ROWS.format(n_rows=n_rows)
    with duckdb.connect(config={"memory_limit": MEMORY_LIMIT}) as engine:
        engine.execute("SELECT setseed(0.5)")
        engine.execute(f"COPY ({labelled} FROM ({rows})) TO '{path}' (HEADER)")


def _write_wide(n_columns: int, path: Path) -> None:
    """Write columns of floats, counts and three levels; the target depends on two of them."""
    random = np.random.default_rng(0)
    floats = random.normal(size=(WIDE_ROWS, n_columns - 1)).round(4)
    columns: dict[str, object] = {}
    for place in range(n_columns - 1):
        if place % 10 == 7:
            columns[f"level_{place}"] = np.array(["red", "green", "blue"])[random.integers(0, 3, WIDE_ROWS)]
        elif place % 10 == 8:
            columns[f"count_{place}"] = random.integers(0, 50, WIDE_ROWS)
        else:
            columns[f"x_{place}"] = floats[:, place]
    label = (floats[:, 0] + floats[:, 1] + random.normal(size=WIDE_ROWS) > 0).astype(int)
    pd.DataFrame(columns | {"label": label}).to_csv(path, index=False)


def _measure(folder: Path, n_rows: int, n_columns: int, roles: list[str], *, with_train: bool) -> None:
    data, root = folder / "rows.csv", folder / "project"
    new_project(root)
    environment = os.environ | {"PERENNIAL_ROOT": str(root), "PYTHONPATH": str(REPOSITORY)}
    init = [*PERENNIAL, "init", "--data", str(data), "--name", "bench", *roles]
    commands = {
        "SUMMARIZE": [sys.executable, "-c", SUMMARIZE, str(data), MEMORY_LIMIT],
        "`perennial init`": init,
        **({"`perennial train`": [*PERENNIAL, "train", "bench"]} if with_train else {}),
    }
    base: Cost | None = None
    size = f"{data.stat().st_size / 1e6:,.0f}"
    try:
        for name, command in commands.items():
            cost = _cost(command, root, environment)
            base = cost if name == "SUMMARIZE" else base
            cells = [name, "fails", "", "", ""] if cost is None else [name, *_cells(cost, base)]
            print("|", " | ".join([f"{n_rows:,}", f"{n_columns:,}", size, *cells]), "|", flush=True)
    finally:
        if with_train:
            run([*PERENNIAL, "server", "stop"], root, environment)


def _cost(command: list[str], root: Path, environment: dict[str, str]) -> Cost | None:
    """Run a command; None if it fails, as SUMMARIZE of thousands of columns does for lack of memory."""
    try:
        return run(command, root, environment)
    except SystemExit as error:
        print(error, file=sys.stderr)
        return None


def _cells(cost: Cost, base: Cost | None) -> list[str]:
    ratio = "" if base is None else f"{cost.seconds / base.seconds:.2f}"
    return [f"{cost.seconds:.1f}", f"{cost.processor_seconds:.1f}", f"{cost.memory_mb:,.0f}", ratio]


if __name__ == "__main__":
    main()
