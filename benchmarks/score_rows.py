"""Rows of the scoring benchmark, and the comparison of its answers; in a process of its own.

``python -m benchmarks.score_rows write N PATH`` and ``… compare FOLDER``: a process that is started from a large one
would count the large one's memory as its own peak.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from config.schema import SimulatedSource
from core.data.simulate import simulate

GROUP_ROWS = 250_000
MONTH_ROWS = 500_000


def main() -> None:
    """Write or compare."""
    if sys.argv[1] == "write":
        write(int(sys.argv[2]), Path(sys.argv[3]))
    else:
        compare(Path(sys.argv[2]))


def write(n_rows: int, path: Path) -> None:
    """Write simulated rows of 21 columns, in row groups of a quarter of a million."""
    writer = None
    for seed in range(-(-n_rows // MONTH_ROWS)):
        source = SimulatedSource(kind="simulated", months=1, rows_per_month=min(MONTH_ROWS, n_rows), seed=seed)
        table = pa.Table.from_pandas(pd.concat(simulate(source)), preserve_index=False).replace_schema_metadata()
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=GROUP_ROWS)
    if writer is not None:
        writer.close()


def compare(folder: Path) -> None:
    """End with an error if Perennial and the program written by hand gave other answers."""
    ours = pq.read_table(folder / "scores", columns=["probability_1"])["probability_1"].to_numpy()
    hand = pq.read_table(folder / "arrow.parquet", columns=["probability_1"])["probability_1"].to_numpy()
    if not (ours == hand).all():
        raise SystemExit("Perennial and the program written by hand give other answers")


if __name__ == "__main__":
    main()
