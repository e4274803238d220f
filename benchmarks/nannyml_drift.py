"""Ask NannyML which columns of which windows drift; runs in the peers' environment and imports nothing of Perennial.

``python nannyml_drift.py <jobs>``: a JSON file with a list of ``{"reference", "windows", "rows"}``: two Parquet files
beside it and the rows of a window, windows one after the other. Prints a JSON list that has per job, per window, the
columns whose Jensen-Shannon distance is beyond NannyML's own threshold from the reference's chunks.
"""

from __future__ import annotations

import json
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd


def main() -> None:
    """Print the answers."""
    # NannyML 0.13.1 warns of pandas' future at every chunk.
    warnings.simplefilter("ignore")
    jobs = Path(sys.argv[1])
    print(json.dumps([drifted(jobs.parent, **job) for job in json.loads(jobs.read_text())]))


def drifted(folder: Path, reference: str, windows: str, rows: int) -> list[list[str]]:
    """Columns that drift, per window."""
    calculator = fitted(folder / reference, rows)
    found: Any = calculator.calculate(pd.read_parquet(folder / windows)).filter(period="analysis").to_df()
    names = calculator.column_names
    alerts = {name: found[name, "jensen_shannon", "alert"].to_numpy() for name in names}
    return [[name for name in names if alerts[name][window]] for window in range(len(found))]


@cache
def fitted(reference: Path, rows: int) -> Any:
    """Learn thresholds from the reference's chunks of as many rows as the windows have."""
    import nannyml  # type: ignore[import-not-found] # of the peers' environment

    before = pd.read_parquet(reference)
    # The distance and its thresholds are NannyML's defaults, for numbers and for categories.
    return nannyml.UnivariateDriftCalculator(column_names=list(before.columns), chunk_size=rows).fit(before)


if __name__ == "__main__":
    main()
