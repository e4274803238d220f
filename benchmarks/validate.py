"""Validation of the same suite by Great Expectations on pandas, by it on DuckDB, and computed without it.

Run ``python -m benchmarks.validate``; ``--pandas-10m`` adds the pandas engine at 10 million rows, which takes more than
5 GiB. Data is generated under a temporary folder: 12 number and 8 text columns, 25 expectations of the types that init
infers, every measurement in a process of its own. Imports are left out of the seconds and are in the memory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.clocks import check, clocks, since
from config.schema import ModelConfig
from config.settings import Settings
from core.references import StagedRows

SIZES = (100_000, 1_000_000, 10_000_000)
NUMBERS = tuple(f"number_{i}" for i in range(12))
TEXTS = tuple(f"text_{i}" for i in range(8))
SUITE = "suite.json"


def main() -> None:
    """Print the table, or take one measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pandas-10m", action="store_true", help="include the pandas engine at 10 million rows")
    parser.add_argument("--measure", nargs=3, metavar=("WAY", "ROWS", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        way, n_rows, folder = arguments.measure
        print(json.dumps(_measured(way, int(n_rows), Path(folder))))
        return
    _print_table(arguments.pandas_10m)


def _print_table(with_large_pandas: bool) -> None:
    print("| rows | way | wall s | CPU s | peak RSS MiB | rows set aside |")
    print("|---:|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for n_rows in SIZES:
            for way in WAYS:
                if way == "Great Expectations, pandas" and n_rows > 1_000_000 and not with_large_pandas:
                    continue
                _generate(folder / "rows.parquet", n_rows, BAD_PER_MILLE[way])
                found = _in_a_process(way, n_rows, folder)
                aside = f"{found['aside']:,}" if "aside" in found else "–"
                clocks = f"{found['seconds']:.2f} | {found['cpu']:.2f}"
                print(f"| {n_rows:,} | {way} | {clocks} | {found['mib']:.0f} | {aside} |", flush=True)


def _in_a_process(way: str, n_rows: int, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.validate", "--measure", way, str(n_rows), str(folder)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


def _measured(way: str, n_rows: int, folder: Path) -> dict[str, Any]:
    seconds, cpu_seconds, extra = WAYS[way](folder, n_rows)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {"seconds": seconds, "cpu": cpu_seconds, "mib": int(status["VmHWM"].split()[0]) / 1024, **extra}


def _pandas_engine(folder: Path, n_rows: int) -> tuple[float, float, dict[str, Any]]:
    import pandas as pd

    from tasks.validation.library import great_expectations

    gx = great_expectations()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_pandas("p").add_dataframe_asset("a").add_batch_definition_whole_dataframe("w")
    started = clocks()
    batch = asset.get_batch({"dataframe": pd.read_parquet(folder / "rows.parquet")})
    suite = gx.ExpectationSuite(name="s", expectations=_suite())
    results = batch.validate(suite, result_format="BASIC").results
    check(len(results) == len(_suite()), n_rows)
    return *since(started), {}


def _duckdb_engine(folder: Path, n_rows: int) -> tuple[float, float, dict[str, Any]]:
    from tasks.validation.expectations import read_suite
    from tasks.validation.library import built, great_expectations, library_results, opened_library
    from tasks.validation.pushdown import pushed_down

    config, settings = _project(folder)
    great_expectations()
    started = clocks()
    expectations = [built(one, position) for position, one in enumerate(read_suite(config, settings))]
    staged, columns = folder / "rows.parquet", config.columns
    with (
        opened_library(columns) as library,
        pushed_down(library.connection, staged, columns, "rows", settings, folder) as pushdown,
    ):
        results = library_results(library, pushdown, expectations)
    check(all(result.result for result in results.values()), n_rows)
    return *since(started), {}


def _whole_step(folder: Path, n_rows: int) -> tuple[float, float, dict[str, Any]]:
    import jinja2  # noqa: F401 - the imports are left out of the seconds
    import pyarrow.parquet  # noqa: F401 - the same

    from tasks.validation.validate import validate_rows

    config, settings = _project(folder)
    rows = StagedRows(folder / "rows.parquet", n_rows, "rows", "0" * 32)
    started = clocks()
    result = validate_rows(rows, config, settings, folder)
    seconds = since(started)
    check("great_expectations" not in sys.modules, n_rows)
    check(result.accepted and result.rows.n_rows == n_rows - result.n_quarantined, n_rows)
    return *seconds, {"aside": result.n_quarantined}


WAYS = {
    "Great Expectations, pandas": _pandas_engine,
    "Great Expectations, DuckDB": _duckdb_engine,
    "whole step, clean": _whole_step,
    "whole step, 1 % bad": _whole_step,
    "whole step, 9 % bad": _whole_step,
}
BAD_PER_MILLE = dict(zip(WAYS, (0, 0, 0, 10, 90), strict=True))


def _suite() -> list[dict[str, Any]]:
    def one(kind: str, level: str, **arguments: Any) -> dict[str, Any]:
        return {"type": f"expect_{kind}", "kwargs": arguments, "meta": {"level": level}}

    levels = [f"level {i}" for i in range(50)]
    between = [one("column_values_to_be_between", "row", column=name, min_value=-9, max_value=9) for name in NUMBERS]
    known = [one("column_values_to_be_in_set", "row", column=name, value_set=levels) for name in TEXTS]
    others = [
        one("table_row_count_to_be_between", "schema", min_value=1),
        one("column_values_to_not_be_null", "row", column=TEXTS[0]),
        *(
            one("column_proportion_of_non_null_values_to_be_between", "schema", column=name, min_value=0.5)
            for name in NUMBERS[:3]
        ),
    ]
    return others + between + known


def _project(folder: Path) -> tuple[ModelConfig, Settings]:
    (folder / SUITE).write_text(json.dumps({"expectations": _suite()}))
    config = ModelConfig.model_validate(
        {
            "model": "bench",
            "task": "regression",
            "source": {"kind": "parquet", "uri": "rows.parquet"},
            "target": NUMBERS[0],
            "features": {"numeric": NUMBERS[1:], "categorical": TEXTS},
            "validation": {"suite": SUITE, "max_quarantine": 0.5},
            "training": {"estimator": "sklearn.linear_model.Ridge"},
            "gate": {"metric": "rmse", "floor": 1.0},
        }
    )
    return config, Settings(root=folder, var=folder / "var")


def _generate(path: Path, n_rows: int, bad_per_mille: int) -> None:
    """Write rows as the source step would; the bad ones are far out of range in the first number."""
    import duckdb

    from tasks.source.stage import ROW_GROUP

    # A hash of the row's number in place of a generator: the same rows whatever the number of threads.
    normal = ", ".join(
        f"CASE WHEN hash(i, {j}) % 20 = 0 THEN NULL "
        f"ELSE sqrt(-2 * ln((hash(i, {j}, 1) % 1000000 + 1) / 1e6)) * cos(hash(i, {j}, 2) % 1000000 / 159154.9) END"
        f" + CASE WHEN {j} = 0 AND hash(i, 99) % 1000 < {bad_per_mille} THEN 1000 ELSE 0 END AS {name}"
        for j, name in enumerate(NUMBERS)
    )
    texts = ", ".join(f"'level ' || (hash(i, {j}, 3) % {6 * j + 2})::VARCHAR AS {name}" for j, name in enumerate(TEXTS))
    query = f"SELECT {normal}, {texts} FROM range({n_rows}) t(i)"  # noqa: S608 - our own names and numbers
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP})")


if __name__ == "__main__":
    main()
