"""Tables for the tests of ``init``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb
import pandas as pd

from tasks.init.inspection.inspect_rows import inspect_rows
from tasks.init.inspection.inspected import Inspection


def inspected(
    connection: duckdb.DuckDBPyConnection,
    columns: Mapping[str, Sequence[object]],
    target: str = "y",
    time: str | None = None,
) -> Inspection:
    """Inspect a table of these columns."""
    frame = pd.DataFrame(dict(columns))
    return inspect_rows(connection, connection.from_df(frame), target, time)
