from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd
import pytest

from tasks.init.inspection.inspect_rows import inspect_rows
from tasks.init.inspection.sample import SAMPLE_ROWS, baseline_error, sampled_columns
from tests.tasks.init.inspection.inspecting import inspected


def test_a_rare_class_is_well_represented_in_the_sample(connection: duckdb.DuckDBPyConnection) -> None:
    """Of a class of one row in a hundred every row is drawn, of the large one about half a sample."""
    n_rows = 4 * SAMPLE_ROWS
    labels = np.where(np.arange(n_rows) % 100 == 0, "rare", "usual")
    frame = pd.DataFrame({"x": np.arange(n_rows), "y": labels})
    found = inspect_rows(connection, connection.from_df(frame), "y")
    columns, y = sampled_columns(found.table, ["x"], "y", [("rare", n_rows // 100), ("usual", n_rows - n_rows // 100)])
    assert (y == 0).sum() == n_rows // 100
    assert (y == 1).sum() == pytest.approx(SAMPLE_ROWS / 2, rel=0.05)
    assert len(columns["x"]) == len(y)


def test_the_baseline_is_the_error_of_the_mean(connection: duckdb.DuckDBPyConnection) -> None:
    """Without a time it is the standard deviation; with one, the older rows' mean on the newest rows."""
    days: list[object] = list(pd.date_range("2024-01-01", periods=1000, freq="D"))
    values = [1.0] * 800 + [4.0] * 200
    found = inspected(connection, {"day": days, "y": values}, time="day")
    assert baseline_error(found.table, "y", None, 0.2) == pytest.approx(np.std(np.array(values, dtype=float)))
    assert baseline_error(found.table, "y", "day", 0.2) == pytest.approx(3.0, rel=0.01)
