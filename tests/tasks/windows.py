"""Batches of the little credit model with a time column, for the tests of windows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from config.schema import ModelConfig
from core.data.rows import Rows
from core.drift.profile import Profile, reference_profile
from core.feature_contract import FeatureContract
from core.references import Snapshot
from tasks.versions.rows import load_rows
from tests.factories import credit_config

TIMED = credit_config(time="at", features={"dates": ["joined"]})
TYPES = pa.schema(
    [
        ("id", pa.string()),
        ("at", pa.timestamp("us")),
        ("default", pa.string()),
        ("income", pa.float64()),
        ("age", pa.float64()),
        ("region", pa.string()),
        ("owner", pa.bool_()),
        ("joined", pa.timestamp("us")),
    ]
)
FIRST = datetime(2024, 5, 1)


def timed_table(n_rows: int, seed: int) -> pa.Table:
    """Rows an hour apart from :data:`FIRST` on, in order, with missing values in every feature."""
    generator = np.random.default_rng(seed)

    def holed(values: Sequence[Any]) -> list[Any]:
        return [None if hole else value for value, hole in zip(values, generator.random(n_rows) < 0.1, strict=True)]

    columns = {
        "id": [f"s{seed}-{number}" for number in range(n_rows)],
        "at": [FIRST + timedelta(hours=number) for number in range(n_rows)],
        "default": holed(generator.choice(["0", "1"], n_rows).tolist()),
        "income": holed(generator.lognormal(8, 1, n_rows).tolist()),
        "age": holed(generator.integers(18, 80, n_rows).astype("float64").tolist()),
        "region": holed(generator.choice(["north", "south", "west", "east"], n_rows).tolist()),
        "owner": holed((generator.random(n_rows) < 0.4).tolist()),
        "joined": holed([FIRST - timedelta(days=int(days)) for days in generator.integers(0, 900, n_rows)]),
    }
    return pa.table(columns, schema=TYPES)


def distinct_rows(n_rows: int, seed: int) -> pa.Table:
    """Labelled rows none of which has the features of another one, or of a row of :func:`timed_table`."""
    table = timed_table(n_rows, seed)
    labels, incomes = ["0", "1"] * (n_rows // 2), [float(seed * 10**6 + number) for number in range(n_rows)]
    return table.set_column(2, "default", pa.array(labels)).set_column(3, "income", pa.array(incomes))


def write_batches(folder: Path, tables: Sequence[pa.Table], **options: Any) -> list[Path]:
    """Write one file per table, named as batches are."""
    paths = [folder / f"{number:04d}-{number:012x}.parquet" for number in range(1, len(tables) + 1)]
    for path, table in zip(paths, tables, strict=True):
        pq.write_table(table, path, **options)
    return paths


def loaded(paths: Sequence[Path], config: ModelConfig = TIMED) -> Rows:
    """Rows as training takes them, unlabelled ones left out."""
    return load_rows(Snapshot("credit", "v", paths[0].parent, 0, len(paths)), config)


def reference_of(table: pa.Table, config: ModelConfig = TIMED, levels: int | None = None) -> Profile:
    """Profile of a table's rows; ``levels`` cuts off the rarer regions, which become ``other``."""
    frame = table.to_pandas(types_mapper={pa.bool_(): pd.BooleanDtype()}.get)
    if levels is not None:
        frame = frame[frame["region"].isin(sorted(frame["region"].dropna().unique())[:levels])]
    if config.task == "regression":
        y = frame[config.target].dropna().to_numpy("float64")
        return reference_profile(frame, y, y, FeatureContract.of(config))
    y = (frame[config.target].dropna() == "1").to_numpy(dtype="int64")
    return reference_profile(frame, y, np.full((5, 2), 0.5), FeatureContract.of(config, ["0", "1"]))
