from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open DuckDB in memory."""
    with duckdb.connect() as opened:
        yield opened
