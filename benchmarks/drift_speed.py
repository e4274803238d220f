"""Drift of 20 columns by Perennial, by Evidently's preset, and what scanning the same columns costs at the least.

Run ``python -m benchmarks.drift_speed``; ``--large`` adds 100 million rows (11 GB of disk), ``--quick`` takes 100,000
rows in place of all sizes. Rows come from a seed, 12 number and 8 text columns, in Parquet as ingestion writes it, and
are kept under ``var/bench`` for the next run. Every measurement is a process of its own, the file read once before.
Imports are left out of the seconds and are in the memory. The floor is Polars, which finds least and greatest value and
nulls of every column. Perennial counts against the profile in the model's bundle, made before as training makes it, and
judges every column; Evidently has no such thing, it reads the reference's million rows too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import peers, polars_scan
from benchmarks.clocks import check, clocks, since
from config.schema import ModelConfig
from core.drift.columns import Pair, column_drifts
from core.drift.profile import Profile, reference_profile
from core.feature_contract import FeatureContract

SIZES = (1_000_000, 10_000_000)
LARGE = 100_000_000
QUICK = 100_000
REFERENCE_ROWS = 1_000_000
EVIDENTLY_ROWS = 1_000_000
SAMPLE_ROWS = 50_000
BLOCK = 1_000_000
REPEATS = 3

NUMBERS = tuple(f"number_{i}" for i in range(12))
TEXTS = tuple(f"text_{i}" for i in range(8))
LEVELS = (2, 3, 5, 8, 12, 20, 30, 50)

FOLDER = peers.ROOT / "var" / "bench" / "drift_speed"
PROFILE = "profile.json"
FLOOR = "floor: Polars, min, max, nulls"

CONFIG = ModelConfig.model_validate(
    {
        "model": "bench",
        "task": "regression",
        "source": {"kind": "parquet", "uri": "rows.parquet"},
        "target": NUMBERS[0],
        "features": {"numeric": NUMBERS[1:], "categorical": TEXTS},
        "validation": {"suite": "suite.json"},
        "training": {"estimator": "sklearn.linear_model.Ridge"},
        "gate": {"metric": "rmse", "floor": 1.0},
    }
)


def main() -> None:
    """Print the table, or take one measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="add 100 million rows")
    parser.add_argument("--quick", action="store_true", help="100,000 rows only, each way once")
    parser.add_argument("--measure", nargs=2, metavar=("WAY", "ROWS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        way, n_rows = arguments.measure
        print(json.dumps(_measured(way, int(n_rows))))
        return
    sizes = (QUICK,) if arguments.quick else (*SIZES, LARGE) if arguments.large else SIZES
    _print_table(sizes, repeats=1 if arguments.quick else REPEATS)


def _print_table(sizes: tuple[int, ...], repeats: int) -> None:
    reference = rows_file(REFERENCE_ROWS, seed=0, shift=0.0)
    _keep_profile(reference)
    print("| rows | way | wall s | times the floor | CPU s | peak RSS MiB | columns drifted |")
    print("|---:|---|---:|---:|---:|---:|---:|")
    for n_rows in sizes:
        path = current_file(n_rows)
        _warm(path)
        floor = _median([json.loads(peers.run(Path(polars_scan.__file__), path)) for _ in range(repeats)])
        check(floor["rows"] == n_rows, n_rows)
        _print_row(n_rows, FLOOR, floor, floor)
        for way in WAYS:
            if way is EVIDENTLY and n_rows > EVIDENTLY_ROWS:
                continue
            found = _median([_in_a_process(way, n_rows) for _ in range(1 if way is EVIDENTLY else repeats)])
            _print_row(n_rows, way, found, floor)


def _print_row(n_rows: int, way: str, found: dict[str, Any], floor: dict[str, Any]) -> None:
    times = f"{found['seconds'] / floor['seconds']:.1f}"
    clocks = f"{found['seconds']:.2f} | {times} | {found['cpu']:.2f}"
    print(f"| {n_rows:,} | {way} | {clocks} | {found['mib']:.0f} | {found.get('drifted', '–')} |", flush=True)


def _median(found: list[dict[str, Any]]) -> dict[str, Any]:
    middle = {name: statistics.median(one[name] for one in found) for name in ("seconds", "cpu", "mib")}
    return {**found[0], **middle}


def _in_a_process(way: str, n_rows: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.drift_speed", "--measure", way, str(n_rows)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


def _measured(way: str, n_rows: int) -> dict[str, Any]:
    seconds, cpu, n_drifted = WAYS[way](n_rows)
    return {"seconds": seconds, "cpu": cpu, "drifted": n_drifted, "mib": polars_scan.peak_mib()}


def _perennial(n_rows: int, sample_rows: int) -> tuple[float, float, int]:
    import pyarrow.compute
    import pyarrow.parquet  # noqa: F401 - both are imported by the first record batch, else

    from tasks.monitor.window_counts import count_window

    path, reference = current_file(n_rows), Profile.from_dict(json.loads((FOLDER / PROFILE).read_text()))
    started = clocks()
    window = count_window([path], reference, CONFIG, sample_rows=sample_rows, seed=1)
    pairs: list[Pair] = [("feature", *sides) for sides in zip(reference.columns, window.columns, strict=True)]
    pairs.append(("target", reference.target, window.target))
    drifts = column_drifts(pairs, dict.fromkeys(CONFIG.features.used, 1.0), CONFIG.drift, seed=1)
    seconds = since(started)
    check(window.n_rows == n_rows and len(window.sample) == min(sample_rows, n_rows) and len(drifts) == 20, n_rows)
    return *seconds, sum(drift.drifted for drift in drifts)


def _evidently(n_rows: int) -> tuple[float, float, int]:
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(numerical_columns=[*NUMBERS], categorical_columns=[*TEXTS])
    paths = current_file(n_rows), rows_file(REFERENCE_ROWS, seed=0, shift=0.0)
    started = clocks()
    current, reference = (Dataset.from_pandas(pd.read_parquet(path), definition) for path in paths)
    metrics = Report([DataDriftPreset()]).run(current, reference).dict()["metrics"]
    seconds = since(started)
    check(sum("column" in metric["config"] for metric in metrics) == 20, n_rows)
    return *seconds, int(metrics[0]["value"]["count"])


EVIDENTLY = "Evidently, DataDriftPreset as it comes"
WAYS: dict[str, Callable[[int], tuple[float, float, int]]] = {
    "Perennial, counts and drift": lambda n_rows: _perennial(n_rows, 0),
    f"Perennial, with a sample of {SAMPLE_ROWS:,} rows": lambda n_rows: _perennial(n_rows, SAMPLE_ROWS),
    EVIDENTLY: _evidently,
}


def current_file(n_rows: int) -> Path:
    """File of rows one number of which has moved by 0.5 standard deviations."""
    return rows_file(n_rows, seed=1, shift=0.5)


def rows_file(n_rows: int, seed: int, shift: float) -> Path:
    """File of seeded rows; made block by block where it is not there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tasks.source.stage import ROW_GROUP

    path = FOLDER / f"rows-{n_rows}-{seed}-{shift:g}.parquet"
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    kinds = [*((name, pa.float64()) for name in NUMBERS), *((name, pa.string()) for name in TEXTS)]
    with pq.ParquetWriter(unfinished, pa.schema(kinds)) as writer:
        for number, first in enumerate(range(0, n_rows, BLOCK)):
            block = _block(min(BLOCK, n_rows - first), np.random.default_rng([seed, number]), shift)
            writer.write_table(block.cast(pa.schema(kinds)), row_group_size=ROW_GROUP)
    return unfinished.replace(path)


def _block(n_rows: int, generator: np.random.Generator, shift: float) -> Any:
    """Make normal, skewed and rounded numbers and levels of falling frequency; every other column misses 3 or 5 %."""
    import pyarrow as pa

    columns: dict[str, Any] = {}
    for place, name in enumerate(NUMBERS):
        values = generator.normal(shift if place == 1 else 0.0, 1.0, n_rows)
        values = np.exp(values) if place % 3 == 0 else np.round(3 * values) if place == 5 else values
        columns[name] = pa.array(values, mask=generator.random(n_rows) < 0.05 * (place % 2))
    for place, (name, n_levels) in enumerate(zip(TEXTS, LEVELS, strict=True)):
        shares = np.cumsum(1 / np.arange(1, n_levels + 1))
        codes = np.searchsorted(shares / shares[-1], generator.random(n_rows)).astype(np.int32)
        coded = pa.array(codes, mask=generator.random(n_rows) < 0.03 * (place % 2))
        columns[name] = pa.DictionaryArray.from_arrays(coded, [f"level {level:03d}" for level in range(n_levels)])
    return pa.table(columns)


def _keep_profile(reference: Path) -> None:
    import pandas as pd

    frame = pd.read_parquet(reference)
    y = frame[CONFIG.target].to_numpy("float64")
    profile = reference_profile(frame, y, y, FeatureContract.of(CONFIG))
    (FOLDER / PROFILE).write_text(json.dumps(profile.to_dict()))


def _warm(path: Path) -> None:
    """Read a file once, so that no way pays for the disk."""
    with path.open("rb") as file:
        while file.read(2**24):
            pass


if __name__ == "__main__":
    main()
