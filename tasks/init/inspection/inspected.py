"""Tables of a data set under inspection, and small questions to them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from core.data.sql import Cast
from core.init.choices import NOT_NOTED, Noted
from core.init.columns import ColumnStatistics
from core.notations import DateNotation, NumberNotation

if TYPE_CHECKING:
    import duckdb

TABLE = "inspected"
RAW_TABLE = "inspected_raw"


@dataclass(frozen=True)
class Column:
    """One column of the inspected table; ``alias`` is its name in SQL, independent of its name in the source."""

    name: str
    alias: str
    type_name: str
    form: str
    """How its values are read: ``number``, ``date``, ``boolean``, ``text`` or ``nested``."""
    code: str = ""
    """Why whole numbers are read as text; empty if they are not."""
    noted: Noted = NOT_NOTED

    @property
    def is_text(self) -> bool:
        """Whether the source stores it as text."""
        return self.type_name == "VARCHAR"

    def read_as(self, kind: str, *, is_label: bool = False) -> str:
        """Return SQL that casts its value to a DuckDB type as the ingestion does; NULL if the cast fails."""
        notation = self.noted.notation
        fitting = (
            notation if kind == {NumberNotation: "DOUBLE", DateNotation: "TIMESTAMP"}.get(type(notation)) else None
        )
        return Cast(self.alias, self.type_name, kind, is_label=is_label, notation=fitting).value


@dataclass(frozen=True)
class Inspection:
    """Statistics of every column, and the table they were taken from.

    Parameters
    ----------
    columns
        In the source's order.
    n_rows
        Rows of the source.
    missing
        Texts that mean no value, with the reason.
    table
        The rows.
    doubts
        Remarks on columns whose kind the user should check.
    second_names
        Texts of a first row that is a second line of names; empty if it is a row.
    last_rows
        Position and values of the last rows as the source has them, the last first.
    """

    columns: tuple[ColumnStatistics, ...]
    n_rows: int
    missing: dict[str, str]
    table: InspectedTable
    doubts: tuple[str, ...] = ()
    second_names: str = ""
    last_rows: tuple[tuple[Any, ...], ...] = ()

    def named(self, name: str) -> ColumnStatistics:
        """Statistics of one column."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, ColumnStatistics]:
        return {column.name: column for column in self.columns}


@dataclass(frozen=True)
class InspectedTable:
    """The rows under inspection: a temporary table of typed columns with generated names."""

    connection: duckdb.DuckDBPyConnection
    columns: tuple[Column, ...]

    def one(self, name: str) -> Column:
        """Return the column of that name."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    def rows(self, columns: str, rest: str = "") -> list[tuple[Any, ...]]:
        """Run ``SELECT columns FROM table rest``."""
        return self.connection.execute(f"SELECT {columns} FROM {TABLE} {rest}").fetchall()  # noqa: S608 - own names


def repeated_rows(table: InspectedTable, names: Iterable[str]) -> int:
    """Count the rows that repeat an earlier row's values in the given columns."""
    aliases = ", ".join(table.one(name).alias for name in names)
    return int(table.rows(f"count(*) - count(DISTINCT hash({aliases}))")[0][0])


def distinct_values(table: InspectedTable, name: str) -> int:
    """Count a column's distinct values exactly, in the source's type: as doubles, long identifiers would merge."""
    sql = f"SELECT {count_distinct(table.one(name))} FROM {RAW_TABLE}"  # noqa: S608 - own names
    return int(table.connection.execute(sql).fetchall()[0][0])


def count_distinct(column: Column) -> str:
    """Return an aggregate: the column's number of distinct values."""
    return f"count(DISTINCT {column.alias})"


def examples(table: InspectedTable, name: str, limit: int = 3) -> list[str]:
    """Return the first values of a column as text."""
    alias = table.one(name).alias
    sql = f"SELECT {alias}::VARCHAR FROM {RAW_TABLE} WHERE {alias} IS NOT NULL ORDER BY rowid LIMIT {limit}"  # noqa: S608 - own names
    return [str(text) for (text,) in table.connection.execute(sql).fetchall()]
