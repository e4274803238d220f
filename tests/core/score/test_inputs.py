"""Inputs made of Arrow columns are those that training and the gate make of a frame, bit for bit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa

from core.feature_contract import FeatureContract
from core.model_inputs import prepare
from core.score.cells import CellReader, Cells, wanted_columns
from core.score.inputs import prepared_columns

CONTRACT = FeatureContract(
    task="regression",
    target="y",
    classes=(),
    numeric=("income", "age"),
    categorical=("region",),
    boolean=("owner",),
    dates=("since",),
    missing=("", "NA"),
)


def test_they_are_those_of_prepare() -> None:
    """With and without values, for each kind of column."""
    frame = pd.DataFrame(
        {
            "income": [1.1, np.nan, 3e38, -0.0, 1e-40],
            "age": pd.array([1, 2, None, 4, 5], dtype="Int64"),
            "region": ["north", None, "south", "(missing)", "ünï"],
            "owner": pd.array([True, None, False, True, None], dtype="boolean"),
            "since": np.array(
                ["2024-02-29T23:59:59", "NaT", "1969-12-31", "2026-01-01", "0001-01-01"], dtype="datetime64[us]"
            ),
        }
    )
    batch = pa.RecordBatch.from_pandas(frame, preserve_index=False)
    reader, cells = CellReader(("", "NA")), Cells(5)
    for wanted in wanted_columns(CONTRACT, None, frame.columns):
        found = reader.read(batch.column(wanted.name), wanted)
        assert found is not None
        cells.add(wanted.name, *found)
    columns = prepared_columns(cells.values, CONTRACT)
    expected = prepare(frame, CONTRACT)
    assert len(columns) == expected.shape[1]
    for place, column in enumerate(columns):
        made = expected.iloc[:, [place]].to_numpy()
        assert column.shape == (5, 1)
        assert column.dtype == made.dtype
        np.testing.assert_array_equal(column, made)
