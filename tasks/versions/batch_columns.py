"""The columns of a stored batch as the present contract declares them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from config.schema import ModelConfig
from core.data.columns import column_types
from core.data.sql import Cast, quoted
from core.errors import SchemaError
from core.notations import column_notation

if TYPE_CHECKING:
    import duckdb


def batch_columns(engine: duckdb.DuckDBPyConnection, path: Path, config: ModelConfig) -> str:
    """Return the SQL select list that converts a batch's rows to the present contract's columns and types.

    A batch may be older than the contract: a column that it lacks is NULL, one that is no longer declared is dropped,
    and one of another kind is cast, after a check that the cast succeeds for every value.

    Raises
    ------
    SchemaError
        A value cannot be cast.
    """
    described = engine.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
    stored = {str(row[0]): str(row[1]) for row in described}
    return ", ".join(
        f"{_expression(engine, path, stored.get(column), wanted, column, config)} AS {quoted(column)}"
        for column, wanted in column_types(config).items()
    )


def _expression(
    engine: duckdb.DuckDBPyConnection, path: Path, stored: str | None, wanted: str, column: str, config: ModelConfig
) -> str:
    if stored is None:
        return f"NULL::{wanted}"
    if stored == wanted:
        return quoted(column)
    notation = column_notation(config.source, column, wanted)
    cast = Cast(column, stored, wanted, is_label=column == config.target, notation=notation)
    _check_cells(engine, path, cast)
    return cast.value


def _check_cells(engine: duckdb.DuckDBPyConnection, path: Path, cast: Cast) -> None:
    advice = "declare another kind for it, or train on a data version made since"
    if cast.problem is not None:
        raise SchemaError(f"{path.name}: {cast.problem}; {advice}")
    if cast.wanted == "VARCHAR":
        return
    bound = f"SELECT *, {cast.value} AS {quoted(f'={cast.column}')} FROM read_parquet(?)"  # noqa: S608 - names are quoted
    query = f"SELECT count(*), any_value({quoted(cast.column)})::VARCHAR FROM ({bound}) WHERE {cast.refused}"  # noqa: S608 - names are quoted
    n_rejected, example = engine.execute(query, [str(path)]).fetchall()[0]
    if n_rejected:
        raise SchemaError(
            f"column {cast.column!r} is now declared as {cast.kind}, but the batch {path.name} has {n_rejected:,} "
            f"other values, such as {example!r}; {advice}"
        )
