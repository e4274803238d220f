"""Read tables with pandas, DuckDB and Polars, as their documentation suggests for a file that one does not know.

pandas and Polars are told the delimiter, because they look for none; nothing else is set. An error of a reader is a
refusal.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
from dateutil.parser import parse  # type: ignore[import-untyped] # no stubs at the pinned version

from benchmarks import peers
from benchmarks.inference_truth import Read, Table, Value, by_column, plain

Found = dict[str, list[Value]]

SINCE = datetime(2000, 1, 1)
"""What a text does not say of a date is taken from here, not from today."""


def read_pandas(tables: Sequence[Table], folder: Path) -> list[dict[str, Read]]:
    """Read with ``pandas.read_csv``."""
    return _each(tables, folder, lambda frame: frame)


def read_converted(tables: Sequence[Table], folder: Path) -> list[dict[str, Read]]:
    """Read with ``pandas.read_csv`` and ``convert_dtypes``."""
    return _each(tables, folder, lambda frame: frame.convert_dtypes())


def read_guessed(tables: Sequence[Table], folder: Path) -> list[dict[str, Read]]:
    """Read with pandas; columns of texts that ``dateutil`` takes for dates throughout become dates."""
    return _each(tables, folder, _with_guessed_dates)


def read_duckdb(tables: Sequence[Table], folder: Path) -> list[dict[str, Read]]:
    """Read with DuckDB's ``read_csv``, which finds delimiter, quotes, names and types."""
    with duckdb.connect(config={"temp_directory": str(folder)}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return [_duckdb_table(connection, table) for table in tables]


def read_polars(tables: Sequence[Table], folder: Path) -> list[dict[str, Read]]:
    """Read with ``polars.read_csv(try_parse_dates=True)`` in the peers' environment."""
    wanted, answer = folder / "wanted.json", folder / "answer.json"
    wanted.write_text(json.dumps([[str(table.path), table.delimiter] for table in tables]))
    peers.run(Path(__file__).with_name("inference_polars.py"), wanted, answer)
    found = json.loads(answer.read_text())
    return [_polars_table(table, one) for table, one in zip(tables, found, strict=True)]


def _each(
    tables: Sequence[Table], _folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]
) -> list[dict[str, Read]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of mixed types and of dates, which a script's reader overlooks
        return [_pandas_table(table, change) for table in tables]


def _pandas_table(table: Table, change: Callable[[pd.DataFrame], pd.DataFrame]) -> dict[str, Read]:
    try:
        frame = change(pd.read_csv(table.path, sep=table.delimiter))
    except (ValueError, OverflowError) as error:
        return _refused(table, error)
    return by_column(table, {str(name): [_value(one) for one in frame[name].astype(object)] for name in frame.columns})


def _with_guessed_dates(frame: pd.DataFrame) -> pd.DataFrame:
    texts = frame.select_dtypes(exclude=["number", "bool"])
    return frame.assign(**{str(name): _guessed_dates(texts[name]) for name in texts.columns})


def _guessed_dates(column: pd.Series) -> pd.Series:
    try:
        dates = {text: _guessed(text) for text in column.dropna().unique()}
    except (TypeError, ValueError, OverflowError):  # of texts beside numbers, and of texts that are no dates
        return column
    return column.astype(object).map(dates.get) if dates else column


@cache
def _guessed(text: str) -> datetime:
    found: datetime = parse(text, default=SINCE)
    return found


def _duckdb_table(connection: duckdb.DuckDBPyConnection, table: Table) -> dict[str, Read]:
    try:
        rows = connection.sql("SELECT * FROM read_csv(?)", params=[str(table.path)])
        # Moments with a zone would need another package in Python.
        cells = (
            f'"{name}"::TIMESTAMP AS "{name}"' if str(kind) == "TIMESTAMP WITH TIME ZONE" else f'"{name}"'
            for name, kind in zip(rows.columns, rows.types, strict=True)
        )
        columns = zip(*rows.project(", ".join(cells)).fetchall(), strict=True)
        values = ([_value(one) for one in column] for column in columns)
        return by_column(table, dict(zip(rows.columns, values, strict=True)))
    except duckdb.Error as error:
        return _refused(table, error)


def _polars_table(table: Table, found: dict[str, Any]) -> dict[str, Read]:
    if "error" in found:
        return {column.name: Read(remark=f"refused: {found['error']}") for column in table.columns}
    return by_column(
        table,
        {
            name: [datetime.fromisoformat(one) if one and kind == "date" else one for one in values]
            for name, (kind, values) in found.items()
        },
    )


def _refused(table: Table, error: Exception) -> dict[str, Read]:
    return {column.name: Read(remark=f"refused: {error}") for column in table.columns}


def _value(found: Any) -> Value:
    """Return a reader's scalar as one of Python's; other types, such as times of day, as text."""
    if pd.isna(found):
        return None
    if isinstance(found, datetime):
        moment = found.to_pydatetime() if isinstance(found, pd.Timestamp) else found
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    value = plain(found.item() if hasattr(found, "item") else found)
    return value if isinstance(value, str | int | float | datetime) else str(value)
