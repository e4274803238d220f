"""Ways to score a Parquet file without Perennial, each a process of its own.

``python -m benchmarks.score_ways WAY BUNDLE ROWS OUTPUT``: reads ``ROWS``, predicts with the bundle of a version, and
writes all columns and the probabilities. ``pandas`` is what most scripts do; ``arrow`` is a program written by hand for
speed: row groups in threads, ONNX Runtime on NumPy arrays, one writer; ``duckdb`` copies the rows and predicts nothing.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

MISSING = "(missing)"
ROWS_PER_CALL = 10_000


def main() -> None:
    """Score in one way."""
    way, *paths = sys.argv[1:]
    WAYS[way](*map(Path, paths))


def with_pandas(bundle: Path, rows: Path, output: Path) -> None:
    """Read, predict and write the whole file with the fitted pipeline."""
    import pandas as pd
    import skops.io

    from core.train.trust import trusted_types

    pipeline = skops.io.load(bundle / "model.skops", trusted=list(trusted_types()))
    frame = pd.read_parquet(rows)
    found = pipeline.predict_proba(frame)
    frame["probability_0"], frame["probability_1"] = found[:, 0], found[:, 1]
    frame.to_parquet(output, index=False)


def with_arrow(bundle: Path, rows: Path, output: Path) -> None:
    """Predict row groups in threads and write them in order; no cell is checked."""
    import onnxruntime
    import pyarrow.parquet as pq

    contract = json.loads((bundle / "contract.json").read_text())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(bundle / "model.onnx"), options, providers=["CPUExecutionProvider"])
    with pq.ParquetFile(rows) as file, ThreadPoolExecutor(os.cpu_count()) as pool:
        n_groups = file.num_row_groups
        done = pool.map(lambda number: _scored(rows, number, session, contract), range(n_groups))
        writer = None
        for table in done:
            writer = writer or pq.ParquetWriter(output, table.schema, compression="snappy")
            writer.write_table(table)
        if writer is not None:
            writer.close()


def _scored(rows: Path, number: int, session: Any, contract: dict[str, Any]) -> Any:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(rows, read_dictionary=contract["categorical"]) as file:
        table = file.read_row_group(number, use_threads=False).combine_chunks()
    columns = []
    for name in contract["numeric"] + contract["boolean"]:
        values = table[name].combine_chunks().to_numpy(zero_copy_only=False)
        columns.append(values.astype(np.float32).reshape(-1, 1))
    for name in contract["categorical"]:
        coded = table[name].combine_chunks()
        levels = np.array([*coded.dictionary.to_pylist(), MISSING], dtype=object)
        codes = coded.indices.fill_null(len(levels) - 1).to_numpy(zero_copy_only=False)
        columns.append(levels[codes].reshape(-1, 1))
    names, wanted = [item.name for item in session.get_inputs()], [session.get_outputs()[-1].name]
    found = np.concatenate(
        [
            session.run(
                wanted,
                {name: column[start : start + ROWS_PER_CALL] for name, column in zip(names, columns, strict=True)},
            )[0]
            for start in range(0, table.num_rows, ROWS_PER_CALL)
        ]
    ).astype(np.float64)
    table = table.append_column("probability_0", pa.array(np.ascontiguousarray(found[:, 0])))
    return table.append_column("probability_1", pa.array(np.ascontiguousarray(found[:, 1])))


def with_duckdb(_: Path, rows: Path, output: Path) -> None:
    """Copy the rows."""
    import duckdb

    duckdb.sql(f"COPY (FROM read_parquet('{rows}')) TO '{output}' (FORMAT parquet, COMPRESSION snappy)")


WAYS: dict[str, Callable[[Path, Path, Path], None]] = {
    "pandas": with_pandas,
    "arrow": with_arrow,
    "duckdb": with_duckdb,
}

if __name__ == "__main__":
    main()
