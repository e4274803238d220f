"""Find how the texts and numbers of a source's columns are written, from a sample and, where it decides, all rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from config.schema import DecimalMark
from core.data.sql import Cast
from core.init.choices import Answers, Noted, chosen_dates, chosen_numbers
from core.init.columns import MIN_EPOCHS, MISSING_MARKERS, is_time_name, may_be_value
from core.init.date_forms import Order, date_readings, odd_date
from core.init.notations import epoch_unit
from core.init.number_forms import are_mixed, number_readings
from core.notations import PLAIN_NUMBER, DateNotation, Notation, NumberNotation, fits
from core.text import short
from tasks.init.inspection.aggregates import PER_QUERY, aggregates

if TYPE_CHECKING:
    import duckdb

    from tasks.init.inspection.inspected import Column

N = TypeVar("N", bound=Notation)

SAMPLE_ROWS = 2000
LONGEST = 40
"""Most characters of a text that states a number or a date."""

MAX_TARGET_LEVELS = 20
"""Most distinct texts of a target that stay classes, such as the grades 1,0 and 1,3."""

_OTHER = "regexp_matches({0}, '\\d') AND try_cast({0} AS DOUBLE) IS NULL"
_THREE_DIGITS = "regexp_full_match({0}, '[+-]?[1-9]\\d{{0,2}}\\.\\d{{3}}')"
_DECIMALS = "regexp_full_match({0}, '[+-]?\\d*\\.\\d+') AND NOT " + _THREE_DIGITS
_DIGITS = "regexp_full_match({0}, '\\d{{8}}|\\d{{12}}|\\d{{14}}')"


def noted_columns(
    connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[Column], target: str, answers: Answers
) -> dict[str, Noted]:
    """Return the notation of each column that has one, or the question that its values leave open.

    Parameters
    ----------
    connection
        Engine with the table.
    table
        Name of the table with the values as the source has them.
    columns
        Its columns.
    target
        Name of the target. Few texts of it are classes, also if they look like numbers or dates.
    answers
        Of the user, where a column does not decide.
    """
    survey = _Survey(connection, table)
    suspects, has_decimals = survey.suspects(columns)
    texts = {column.name: found for column, found in zip(suspects, survey.samples(suspects), strict=True)}
    suspects = [one for one in suspects if one.name != target or len(texts[target]) > MAX_TARGET_LEVELS]
    dates = {one.name: found for one in suspects if (found := _dates(one, texts[one.name]))}
    others = {one.name: number_readings(texts[one.name]) for one in suspects if one.is_text and one.name not in dates}
    by_name = {column.name: column for column in columns}
    dates = {name: survey.best_dates(by_name[name], found) for name, found in dates.items()}
    numbers = {name: survey.best_numbers(by_name[name], found) for name, found in others.items() if found}
    examples = {name: _example(texts[name]) for name in texts if texts[name]}
    points: set[DecimalMark] = {"."} if has_decimals else set()
    return {
        **chosen_dates(dates, examples, answers),
        **chosen_numbers(numbers, examples, points, answers),
        **{
            one.name: Noted(doubt=_remark(one.name, texts[one.name]))
            for one in suspects
            if one.is_text and one.name not in {**dates, **numbers} and texts[one.name]
        },
    }


class _Survey:
    """Questions to the table of raw values."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, table: str) -> None:
        self._connection, self._table = connection, table
        self._n_rows = int(connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])  # noqa: S608 - own name
        # Rows from the whole file, because the first rows may all be alike.
        self._sample = f"WHERE rowid % {max(self._n_rows // SAMPLE_ROWS, 1)} = 0"

    def suspects(self, columns: Sequence[Column]) -> tuple[list[Column], bool]:
        """Return the columns that may have a notation, and whether a column shows that the decimal mark is a point."""
        if not self._n_rows:
            return [], False
        candidates = [column for column in columns if column.form in ("text", "number")]
        cells = [sql for column in candidates for sql in _suspicions(column)]
        counts = iter(aggregates(self._connection, self._table, cells, self._sample))
        found, has_decimals = [], False
        for column in candidates:
            n_odd, n_three, n_decimals = next(counts), next(counts), next(counts)
            # With other fractions beside them, three digits behind a point are a fraction too.
            if n_odd or (n_three and not n_decimals) or (is_time_name(column.name) and not column.is_text):
                found.append(column)
            has_decimals = has_decimals or n_decimals > 0
        return found, has_decimals

    def samples(self, columns: Sequence[Column]) -> list[list[str]]:
        """Return the distinct texts of each column in the sample, without those that mean no value."""
        # As written: as a category, 12.000 is 12, which would show that 12.345 has a separator of thousands.
        aliases = [column.alias if column.is_text else column.read_as("VARCHAR") for column in columns]
        return distinct_texts(self._connection, self._table, aliases, self._sample)

    def best_dates(self, column: Column, readings: Mapping[Order, DateNotation]) -> dict[Order, DateNotation]:
        """Return the readings that leave the fewest cells of all rows unread."""
        kept = self._best(column, "TIMESTAMP", list(readings.values()))
        return {order: notation for order, notation in readings.items() if notation in kept}

    def best_numbers(self, column: Column, readings: Sequence[NumberNotation]) -> list[NumberNotation]:
        """Return the readings that leave the fewest cells of all rows unread."""
        return self._best(column, "DOUBLE", list(readings))

    def _best(self, column: Column, wanted: str, readings: list[N]) -> list[N]:
        if len(readings) < 2:
            return readings
        values = (Cast(column.alias, column.type_name, wanted, notation=one).value for one in readings)
        counts = aggregates(self._connection, self._table, [f"count({value})" for value in values])
        return [one for one, n_read in zip(readings, counts, strict=True) if n_read == max(counts)]


def distinct_texts(
    connection: duckdb.DuckDBPyConnection, table: str, texts: Sequence[str], rest: str
) -> list[list[str]]:
    """Return the distinct values of each expression in the order of the rows, without those that mean no value.

    Parameters
    ----------
    connection
        Engine with the table.
    table
        Name of the table.
    texts
        SQL expressions of type VARCHAR, any number of them.
    rest
        SQL that chooses the rows.
    """
    found: list[list[str]] = []
    for start in range(0, len(texts), PER_QUERY):
        some = ", ".join(texts[start : start + PER_QUERY])
        sql = f"SELECT {some} FROM {table} {rest} ORDER BY rowid"  # noqa: S608 - own names
        found += map(_distinct, zip(*connection.execute(sql).fetchall(), strict=True))
    return found


def _distinct(cells: Sequence[str | None]) -> list[str]:
    return list(dict.fromkeys(text for text in cells if text is not None and text.lower() not in MISSING_MARKERS))


def _suspicions(column: Column) -> tuple[str, str, str]:
    """Return SQL: how many cells may be in a notation, have three digits behind a point, or are other fractions."""
    if not column.is_text:
        whole = column.read_as("VARCHAR")
        return f"count(*) FILTER ({_DIGITS.format(whole)})", "0", "0"
    is_epoch = f"OR try_cast({column.alias} AS DOUBLE) > 1e8" if is_time_name(column.name) else ""
    odd = f"length({column.alias}) <= {LONGEST} AND ({_OTHER} OR {_DIGITS} {is_epoch})".format(column.alias)
    three, decimals = (test.format(column.alias) for test in (_THREE_DIGITS, _DECIMALS))
    return f"count(*) FILTER ({odd})", f"count(*) FILTER ({three})", f"count(*) FILTER ({decimals})"


def _dates(column: Column, texts: Sequence[str]) -> dict[Order, DateNotation]:
    found = date_readings(texts)
    if not column.is_text:
        found = {order: notation for order, notation in found.items() if order == "ymd"}
    return found or _epoch(column.name, texts)


def _epoch(name: str, texts: Sequence[str]) -> dict[Order, DateNotation]:
    """Return the unit of numbers since 1970, if their column is named like a time and all are of the last decades."""
    if not is_time_name(name) or len(texts) < MIN_EPOCHS:
        return {}
    try:
        values = [float(text) for text in texts]
    except ValueError:
        return {}
    unit = epoch_unit(min(values), max(values))
    return {"ymd": DateNotation((unit,))} if unit else {}


def _example(texts: Sequence[str]) -> str:
    marked = (text for mark in (".,", "/-") for text in texts if set(text).intersection(mark))
    return next(marked, texts[0])


def _remark(name: str, texts: Sequence[str]) -> str:
    """Return a remark on texts without a notation that look like dates or like numbers; empty if they do not."""
    if dates := odd_date(texts):
        example, odd = dates
        return f"{short(name)} has dates such as {short(example, 24)}, but {short(odd, 24)} is none in that notation"
    return _mixed(name, texts) if _is_mixed(texts) else ""


def _is_mixed(texts: Sequence[str]) -> bool:
    return any(not fits(PLAIN_NUMBER, text) for text in texts) and are_mixed(texts)


def _mixed(name: str, texts: Sequence[str]) -> str:
    other = next((text for text in texts if _marks(text) != _marks(texts[0])), texts[-1])
    return (
        f"{short(name)} has numbers in more than one notation, such as {short(texts[0], 20)} and {short(other, 20)}; "
        "rewrite them in one to learn from their values"
    )


def _marks(text: str) -> set[str]:
    return {character for character in text if not character.isdigit()}


def unread_with_digits(strange: Sequence[tuple[str, int]]) -> str:
    """Return the first text that a notation does not read although it has a digit; empty if there is none.

    Parameters
    ----------
    strange
        Texts with their number of rows.
    """
    return next((text for text, _ in strange if may_be_value(text)), "")
