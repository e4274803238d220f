"""Read rows again after a checked cast has failed, to report which cells do not fit the model file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.data.sql import Cast, bound_sql, quoted
from core.text import is_number
from tasks.source.engine import reading

if TYPE_CHECKING:
    import duckdb

MAX_EXAMPLES = 3
MAX_COLUMNS = 5
MAX_SHOWN_LETTERS = 60


@dataclass(frozen=True)
class RejectedCells:
    """Cells of one column that its cast rejects: their count, the row of the first (from 1), and distinct examples."""

    cast: Cast
    n_cells: int
    first_row: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        texts = (text if len(text) <= MAX_SHOWN_LETTERS else f"{text[:MAX_SHOWN_LETTERS]}…" for text in self.examples)
        plural = "values" if self.n_cells > 1 else "value"
        return (
            f"column {self.cast.column!r}: expected {self.cast.kind}, found {self.n_cells:,} other {plural} "
            f"({', '.join(map(repr, texts))}), first in row {self.first_row:,}; {self._advice}"
        )

    @property
    def _advice(self) -> str:
        is_usual = self.cast.wanted == "DOUBLE" and self.cast.notation is None
        if is_usual and all(is_number(text) for text in self.examples):
            return "a model cannot be trained on infinite values: leave them blank or replace them"
        if self.cast.wanted == "VARCHAR":
            return (
                "a text contains no control characters: correct the source or its encoding (source.encoding), or move "
                "the column to features.ignored"
            )
        notation = "state how the column writes numbers in source.decimal, thousands and units"
        forms = {
            "DOUBLE": f"{notation}, or declare it categorical",
            "BOOLEAN": "or write true or false, yes or no, t or f, y or n, 1 or 0",
            "TIMESTAMP": "write dates as 2024-12-31 or 2024-12-31T23:59:59+00:00, or give their format in source.dates",
        }
        return f"add the text to source.missing if it means no value, {forms[self.cast.wanted]}"


def rejected_cells_message(connection: duckdb.DuckDBPyConnection, casts: Sequence[Cast], rows: str, name: str) -> str:
    """Describe the cells that a checked cast rejects, by column.

    Parameters
    ----------
    connection
        Engine that holds the rows.
    casts
        Casts of the declared columns.
    rows
        Name of the relation in the engine.
    name
        Name of the source in messages.
    """
    row = _row(casts[0])
    numbered = f"(SELECT *, row_number() OVER () AS {row} FROM {rows})"  # noqa: S608 - names of our own
    bound = bound_sql(casts, numbered, row)
    counts = ", ".join(f"count(*) FILTER ({cast.refused}), min({row}) FILTER ({cast.refused})" for cast in casts)
    with reading(name):
        (found, *_) = connection.sql(f"SELECT {counts} FROM ({bound})").fetchall()  # noqa: S608 - names are quoted
        refused = [(cast, *found[2 * i : 2 * i + 2]) for i, cast in enumerate(casts) if found[2 * i]]
        shown = [
            RejectedCells(cast, n, first, _examples(connection, cast, bound))
            for cast, n, first in refused[:MAX_COLUMNS]
        ]
    more = [f"and {len(refused) - len(shown)} more columns"] if len(refused) > len(shown) else []
    return "\n  ".join([f"{name}: values that do not fit the model file:", *map(str, shown), *more])


def _row(cast: Cast) -> str:
    """Return the name of the row's number: no column and no value has the mark alone as its name."""
    return quoted(cast.mark)


def _examples(connection: duckdb.DuckDBPyConnection, cast: Cast, bound: str) -> tuple[str, ...]:
    found = connection.sql(
        f"SELECT {quoted(cast.column)}::VARCHAR, min({_row(cast)}) AS first FROM ({bound}) "  # noqa: S608 - names are quoted
        f"WHERE {cast.refused} GROUP BY 1 ORDER BY first LIMIT {MAX_EXAMPLES}"
    ).fetchall()
    return tuple(text for text, _ in found)
