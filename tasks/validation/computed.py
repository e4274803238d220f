"""Expectations that are computed without Great Expectations, whose import takes seconds.

For each type that ``init`` infers, and those of the demo's suite: its aggregates over the rows as SQL, and the
library's result from their values.
Every other type, argument, kind of value and kind of column is left to the library, which also words what is wrong.
``tests/tasks/validation/test_computed.py`` compares both.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from string import Formatter
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.data.sql import is_among, literal, quoted
from tasks.validation.expectations import QUERY, ROW_COUNT, Expected
from tasks.validation.pushdown import FAILING, NUMBERED, ROWS

N_ROWS = "count(*)"
MAX_EXAMPLES = 20
"""Maximum number of failing values in a result, as in the library."""

_SEVERITIES = ("critical", "warning", "info")
_MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}$"

_SPECIAL = re.compile(r"[;:\\]")
"""What SQLAlchemy may read as a parameter, or the engine as a second statement."""

_Name = Annotated[str, Field(min_length=1)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Moment = Annotated[str, Field(pattern=_MOMENT)]


def _nothing_raised() -> dict[str, Any]:
    return {"raised_exception": False, "exception_traceback": None, "exception_message": None}


@dataclass(frozen=True)
class Found:
    """Result of one expectation, with the names and values of Great Expectations' result."""

    success: bool
    result: dict[str, Any]
    exception_info: dict[str, Any] = field(default_factory=_nothing_raised)


class Computed(BaseModel, ABC):
    """One expectation; its fields are the arguments that can be computed."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    @abstractmethod
    def fits(self, types: Mapping[str, str]) -> bool:
        """Whether it can be computed on columns of these DuckDB types."""

    @property
    @abstractmethod
    def aggregates(self) -> tuple[str, ...]:
        """SQL of the numbers that its result is made of."""

    @abstractmethod
    def found(self, values: Mapping[str, Any], columns: Sequence[str], examples: Sequence[Any]) -> Found:
        """Return its result.

        Parameters
        ----------
        values
            By SQL: the values of the aggregates.
        columns
            All columns of the rows.
        examples
            The first failing values, at most :data:`MAX_EXAMPLES`.
        """


class _Range(Computed):
    min_value: int | float | None = None
    max_value: int | float | None = None
    strict_min: bool = False
    strict_max: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> _Range:
        _refuse_disorder(self.min_value, self.max_value)
        return self

    def _within(self, value: float) -> Found:
        low, high = self.min_value, self.max_value
        above = low is None or (value > low if self.strict_min else value >= low)
        below = high is None or (value < high if self.strict_max else value <= high)
        return Found(above and below, {"observed_value": value})


class RowCount(_Range):
    """The number of rows is in a range."""

    min_value: int | None = None
    max_value: int | None = None

    def fits(self, types: Mapping[str, str]) -> bool:  # noqa: ARG002 - of no column
        """Fit all columns."""
        return True

    @property
    def aggregates(self) -> tuple[str, ...]:
        """Return the number of rows."""
        return (N_ROWS,)

    def found(self, values: Mapping[str, Any], columns: Sequence[str], examples: Sequence[Any]) -> Found:  # noqa: ARG002 - the number of rows decides
        """Compare the number of rows."""
        return self._within(values[N_ROWS])


class ShareOfValues(_Range):
    """The share of rows with a value is in a range."""

    column: _Name

    def fits(self, types: Mapping[str, str]) -> bool:
        """Fit every column."""
        return self.column in types

    @property
    def aggregates(self) -> tuple[str, ...]:
        """Return the numbers of rows and of values."""
        return N_ROWS, _n_values(self.column)

    def found(self, values: Mapping[str, Any], columns: Sequence[str], examples: Sequence[Any]) -> Found:  # noqa: ARG002 - two numbers decide
        """Compare the share; no rows have the share 0."""
        n_rows, n_values = (values[aggregate] for aggregate in self.aggregates)
        return self._within(n_values / n_rows if n_rows else 0)


class Mean(_Range):
    """The mean of a column of numbers is in a range."""

    column: _Name

    def fits(self, types: Mapping[str, str]) -> bool:
        """Fit columns of numbers."""
        return types.get(self.column) == "DOUBLE"

    @property
    def aggregates(self) -> tuple[str, ...]:
        """Return the mean, as the library writes it."""
        return (f"avg(1.0 * {quoted(self.column)})",)

    def found(self, values: Mapping[str, Any], columns: Sequence[str], examples: Sequence[Any]) -> Found:  # noqa: ARG002 - the mean decides
        """Compare the mean; no mean is in no range."""
        mean = values[self.aggregates[0]]
        return Found(False, {"observed_value": None}) if mean is None or mean != mean else self._within(mean)


class NoRows(Computed):
    """A query in SQL returns no row."""

    unexpected_rows_query: str
    description: str | None = None

    def fits(self, types: Mapping[str, str]) -> bool:  # noqa: ARG002 - the engine judges the query
        """Fit what SQLAlchemy and the engine read as one query without parameters."""
        try:
            fields = [field for field in Formatter().parse(self.unexpected_rows_query) if field[1] is not None]
        except ValueError:
            return False
        known = all(field[1:] == ("batch", "", None) for field in fields)
        return known and not _SPECIAL.search(self.over("").replace("::", ""))

    def over(self, rows: str) -> str:
        """Return the query over a view of rows, as the library builds it."""
        return self.unexpected_rows_query.rstrip("; \t\r\n\v\f").format(batch=rows)

    @property
    def n_rows(self) -> str:
        """SQL of the number of rows that it returns: a statement of its own, because its text is not ours."""
        return f"SELECT count(*) FROM ({self.over(ROWS)}) AS unexpected_rows"  # noqa: S608 - as the library

    @property
    def aggregates(self) -> tuple[str, ...]:
        """Return nothing: the query is a statement of its own."""
        return ()

    def found(self, values: Mapping[str, Any], columns: Sequence[str], examples: Sequence[Any]) -> Found:  # noqa: ARG002 - one number decides
        """Compare the number of rows."""
        return Found(values[self.n_rows] == 0, {"observed_value": values[self.n_rows]})


class ColumnSet(Computed):
    """The rows have these columns, in any order."""

    column_set: list[_Name]
    exact_match: bool = True

    def fits(self, types: Mapping[str, str]) -> bool:
        """Fit names that differ in more than case; the library has rules of its own for others, and for quotes."""
        names = {*self.column_set, *types}
        return len({name.casefold() for name in names}) == len(names) and not any(name[:1] == '"' for name in names)

    @property
    def aggregates(self) -> tuple[str, ...]:
        """Return nothing: the rows do not matter."""
        return ()

    def found(self, values: Mapping[str, Any], columns: Sequence[str], examples: Sequence[Any]) -> Found:  # noqa: ARG002 - the names decide
        """Compare the names."""
        missing = sorted(set(self.column_set).difference(columns))
        unexpected = sorted(set(columns).difference(self.column_set))
        mismatched = {key: names for key, names in (("unexpected", unexpected), ("missing", missing)) if names}
        result = {"observed_value": sorted(columns)} | ({"details": {"mismatched": mismatched}} if mismatched else {})
        return Found(not (unexpected or missing) if self.exact_match else not missing, result)


class OfRows(Computed):
    """Each row passes or fails by the value of one column; a share of the rows must pass."""

    column: _Name
    mostly: _Share = 1.0

    @property
    @abstractmethod
    def failing(self) -> str:
        """SQL condition of a failing row."""

    @property
    def n_failing(self) -> str:
        """SQL of the number of failing rows; of no rows NULL, as in the library."""
        return f"sum(CASE WHEN {self.failing} THEN 1 ELSE 0 END)::BIGINT"

    def failing_rows(self, row: str) -> str:
        """Return a query of the numbers of the rows to set aside.

        Parameters
        ----------
        row
            Name of the column with the number.
        """
        return f"SELECT {quoted(row)} AS row FROM {NUMBERED} WHERE {self.failing}"  # noqa: S608 - quoted

    @property
    def aggregates(self) -> tuple[str, ...]:
        """Return the numbers of rows, of values and of failing rows."""
        return N_ROWS, _n_values(self.column), self.n_failing

    def fits(self, types: Mapping[str, str]) -> bool:
        """Fit every column."""
        return self.column in types

    def found(self, values: Mapping[str, Any], columns: Sequence[str], examples: Sequence[Any]) -> Found:  # noqa: ARG002 - of one column
        """Compare the share of passing rows among those that have a value."""
        n_rows, n_values, n_failing = (values[aggregate] for aggregate in self.aggregates)
        missing = {
            "missing_count": n_rows - n_values,
            "missing_percent": _percent(n_rows - n_values, n_rows),
            "unexpected_percent_total": _percent(n_failing, n_rows),
            "unexpected_percent_nonmissing": _percent(n_failing, n_values),
        }
        judged = _judged(n_rows, n_values, n_failing, self.mostly, examples)
        return Found(judged.success, judged.result | missing)


class NotNull(OfRows):
    """A row without a value fails."""

    @property
    def failing(self) -> str:
        """Return the condition: no value."""
        return f"{quoted(self.column)} IS NULL"

    def found(self, values: Mapping[str, Any], columns: Sequence[str], examples: Sequence[Any]) -> Found:  # noqa: ARG002 - of one column
        """Compare the share of rows with a value; the failing values need no query."""
        n_rows, _, n_failing = (values[aggregate] for aggregate in self.aggregates)
        return _judged(n_rows, n_rows, n_failing, self.mostly, [None] * min(n_failing or 0, MAX_EXAMPLES))


class InSet(OfRows):
    """A text that is not in the set fails."""

    value_set: Annotated[list[str], Field(min_length=1)]

    def fits(self, types: Mapping[str, str]) -> bool:
        """Fit columns of text; the engine's SQL has no texts with a NUL, or that UTF-8 cannot represent."""
        return types.get(self.column) == "VARCHAR" and all(map(_can_be_written, self.value_set))

    @property
    def failing(self) -> str:
        """Return the condition: a value that is not in the set."""
        column, known = quoted(self.column), f"[{', '.join(map(literal, self.value_set))}]"
        # Evaluated once per entry of a dictionary; IN is a join over the rows, 30 times slower on columns of few texts.
        return f"{column} IS NOT NULL AND NOT coalesce({is_among(column, known)}, false)"


class Between(OfRows):
    """A number outside the range fails."""

    min_value: float | None = None
    max_value: float | None = None
    strict_min: bool = False
    strict_max: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> Between:
        _refuse_disorder(self.min_value, self.max_value)
        return self

    def fits(self, types: Mapping[str, str]) -> bool:
        """Fit columns of numbers."""
        return types.get(self.column) == "DOUBLE"

    @property
    def failing(self) -> str:
        """Return the condition: a value outside the range."""
        low, high = (None if bound is None else f"'{bound!r}'::DOUBLE" for bound in (self.min_value, self.max_value))
        return _outside(self.column, (low, self.strict_min), (high, self.strict_max))


class BetweenMoments(OfRows):
    """A time outside the range fails."""

    min_value: _Moment | None = None
    max_value: _Moment | None = None
    strict_min: bool = False
    strict_max: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> BetweenMoments:
        low, high = (bound and datetime.fromisoformat(bound) for bound in (self.min_value, self.max_value))
        _refuse_disorder(low, high)
        return self

    def fits(self, types: Mapping[str, str]) -> bool:
        """Fit columns of times."""
        return types.get(self.column) == "TIMESTAMP"

    @property
    def failing(self) -> str:
        """Return the condition: a time outside the range."""
        low, high = (None if bound is None else f"TIMESTAMP '{bound}'" for bound in (self.min_value, self.max_value))
        return _outside(self.column, (low, self.strict_min), (high, self.strict_max))


class Unique(OfRows):
    """All rows with a value that another row has fail."""

    def fits(self, types: Mapping[str, str]) -> bool:
        """Fit columns of text, as keys are."""
        return types.get(self.column) == "VARCHAR"

    @property
    def failing(self) -> str:
        """Return the condition: a value that occurs in several rows."""
        return f"{quoted(self.column)} IN (SELECT value FROM {self._counted} WHERE n > 1)"  # noqa: S608 - quoted

    @property
    def n_failing(self) -> str:
        """Return a query of its own: the number of rows with repeated values."""
        return f"(SELECT coalesce(sum(n), 0)::BIGINT FROM {self._counted} WHERE n > 1)"  # noqa: S608 - quoted

    def failing_rows(self, row: str) -> str:
        """Return a query of all copies but the last one that fails nothing that was recorded before."""
        column, number = quoted(self.column), quoted(row)
        fails = f"{number} IN (SELECT row FROM {FAILING})"  # noqa: S608 - our own names
        order = f"PARTITION BY {column} ORDER BY {fails}, {number} DESC"
        copies = (
            f"SELECT {number} AS row, row_number() OVER ({order}) AS copy FROM {NUMBERED} WHERE {column} IS NOT NULL"  # noqa: S608 - quoted
        )
        return f"SELECT row FROM ({copies}) WHERE copy > 1"  # noqa: S608 - quoted

    @property
    def _counted(self) -> str:
        column = quoted(self.column)
        return f"(SELECT {column} AS value, count(*) AS n FROM {ROWS} WHERE {column} IS NOT NULL GROUP BY 1)"  # noqa: S608 - quoted


KINDS: Mapping[str, tuple[type[Computed], ...]] = {
    ROW_COUNT: (RowCount,),
    "expect_table_columns_to_match_set": (ColumnSet,),
    "expect_column_proportion_of_non_null_values_to_be_between": (ShareOfValues,),
    "expect_column_mean_to_be_between": (Mean,),
    QUERY: (NoRows,),
    "expect_column_values_to_not_be_null": (NotNull,),
    "expect_column_values_to_be_unique": (Unique,),
    "expect_column_values_to_be_in_set": (InSet,),
    "expect_column_values_to_be_between": (Between, BetweenMoments),
}
"""By type: the forms of its arguments that are computed."""


def computed(expected: Expected, types: Mapping[str, str]) -> Computed | None:
    """Return how an expectation is computed; None if it needs the library.

    Parameters
    ----------
    expected
        An expectation of the suite.
    types
        DuckDB types by column of the staged file.
    """
    if expected.severity not in _SEVERITIES:
        return None
    for kind in KINDS.get(expected.kind, ()):
        try:
            one = kind.model_validate(expected.kwargs)
        except ValidationError:
            continue
        if one.fits(types):
            return one
    return None


def _refuse_disorder(low: Any, high: Any) -> None:
    if low is None and high is None:
        raise ValueError("no bound")
    if low is not None and high is not None and low > high:
        raise ValueError("the bounds are in the wrong order")


def _n_values(column: str) -> str:
    return f"count({quoted(column)})"


def _outside(column: str, low: tuple[str | None, bool], high: tuple[str | None, bool]) -> str:
    name = quoted(column)
    signs = ((">", low), ("<", high))
    bounds = [f"{name} {sign}{'' if strict else '='} {bound}" for sign, (bound, strict) in signs if bound is not None]
    return f"{name} IS NOT NULL AND NOT ({' AND '.join(bounds)})"


def _can_be_written(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _judged(n_rows: int, n_considered: int, n_failing: int, mostly: float, examples: Sequence[Any]) -> Found:
    # The library's arithmetic, digit by digit: the share decides by a comparison of floats.
    passed = n_considered == 0 or (n_considered - n_failing) / n_considered >= mostly
    result = {
        "element_count": n_rows,
        "unexpected_count": n_failing,
        "unexpected_percent": _percent(n_failing, n_considered),
        "partial_unexpected_list": list(examples),
    }
    return Found(passed, result)


def _percent(part: int, whole: int) -> float | None:
    return part / whole * 100 if whole else None
