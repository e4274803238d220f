"""Great Expectations gets wide batches in parts of a few columns, each a Parquet file of its own.

Expectations that are computed need none of this (:mod:`tasks.validation.computed`).

For each expectation, Great Expectations goes through all columns of its table, and for each query DuckDB goes through
all columns of its file: 10,500 expectations about 5,000 columns of 2,000 rows took more than ten minutes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.data.sql import literal, quoted

PART = 100
"""Maximum columns that are validated together."""

Parts = Mapping[str, Sequence[str]]
"""By name of a view: the columns that it has of the staged file."""


def column_parts(columns: Sequence[str]) -> Parts:
    """Divide the columns of a staged file into parts; a file that is not wide has none."""
    if len(columns) <= PART:
        return {}
    return {f"part_{start}": columns[start : start + PART] for start in range(0, len(columns), PART)}


def part_file(folder: Path, name: str) -> Path:
    """Return the file of a part."""
    return folder / f"{name}.parquet"


def part_statements(parts: Parts, rows: str, folder: Path) -> Iterator[str]:
    """Yield statements that write each part's columns and make its view.

    Parameters
    ----------
    parts
        Views and their columns.
    rows
        Name of the view of all columns.
    folder
        Existing folder for the files.
    """
    for name, columns in parts.items():
        path, chosen = literal(str(part_file(folder, name).resolve())), ", ".join(map(quoted, columns))
        yield f"COPY (SELECT {chosen} FROM {rows}) TO {path} (FORMAT parquet)"  # noqa: S608 - quoted, and our own name
        yield f"CREATE VIEW {name} AS SELECT * FROM read_parquet({path})"  # noqa: S608 - quoted


def by_part(parts: Parts, rows: str, expectations: Sequence[Any]) -> Iterator[tuple[str, Sequence[Any]]]:
    """Yield views and the expectations that each has all columns for; the rest goes to the view of all columns.

    Parameters
    ----------
    parts
        Views and their columns.
    rows
        Name of the view of all columns.
    expectations
        Great Expectations' objects.
    """
    place = {column: name for name, columns in parts.items() for column in columns}
    chosen: dict[str, list[Any]] = {name: [] for name in (*parts, rows)}
    for expectation in expectations:
        given = expectation.configuration.kwargs
        # A condition may name further columns, and a place counts the columns before it.
        alone = "column" in given and not (given.get("row_condition") or "column_index" in given)
        chosen[place.get(given["column"], rows) if alone else rows].append(expectation)
    return ((name, part) for name, part in chosen.items() if part)
