"""SQL text for DuckDB: identifiers, literals, casts to the contract's types, and the hash of a row.

Every cast is an expression that is NULL for a cell that cannot be read, wrapped so that such a cell stops the query.
The rows are then read a second time to find the rejected cells; a source without such cells is read only once.
:mod:`core.data.cells` holds the same rules for the cells of a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.data.cells import EARLIEST, LATEST, missing_texts
from core.notations import PLAIN_NUMBER, DateNotation, Notation, NumberNotation

UNREADABLE = "a cell does not fit its column"
"""DuckDB's error message when a checked cast cannot read a cell."""

YEARS = "TIMESTAMP '0001-01-01' AND TIMESTAMP '9999-12-31 23:59:59.999999'"
"""First and last moment of a column of dates, for BETWEEN."""

_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")
_TRUE = "['true', 't', 'yes', 'y', '1', '1.0']"
_FALSE = "['false', 'f', 'no', 'n', '0', '0.0']"
_BOOLEAN_LABELS = "['true', 'false']"
_MOMENT = (
    r"'\d{4}(-\d{1,2}-|/\d{1,2}/)\d{1,2}"
    r"([ T]([01]?\d|2[0-3]):[0-5]?\d(:[0-5]?\d(\.\d{1,9})?)?(Z| UTC|[+-](0\d|1[0-5])(:?[0-5]\d)?)?)?'"
)
"""Texts that are a date or a time; the engine would also take named zones and midnight as 24:00."""

_SPACES = "".join(character for character in map(chr, range(1, 0x3001)) if character.isspace())
_NOT_TEXT = r"'[\x00-\x08\x0e-\x1b\x7f]'"
"""Control characters that are no white space: damaged text, or bytes of something else."""

_CONTROL_SPACE = r"'[\x09-\x0d\x1c-\x1f\x{85}\x{2028}\x{2029}]'"
_CELL_END = "chr(31)"
_NO_VALUE = "chr(30)"


def quoted(name: str) -> str:
    """Quote a name as an SQL identifier; it may contain any character."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def text_or_null(expression: str, missing: Iterable[str]) -> str:
    """Build an expression: the trimmed text, NULL if it is empty or one of ``missing``."""
    absent, cell = sorted(missing_texts(missing)), _trimmed(expression)
    if absent == [""]:
        return f"nullif({cell}, '')"
    texts = ", ".join(literal(text) for text in absent)
    return f"CASE WHEN {is_among(cell, f'[{texts}]')} THEN NULL ELSE {cell} END"


def float_text(number: str) -> str:
    """Build an expression: the text of a float, without a fraction if it is whole and exact as a double."""
    whole = f"{number} = trunc({number}) AND abs({number}) < 1e15"
    return f"CASE WHEN {whole} THEN {number}::BIGINT::VARCHAR ELSE {number}::VARCHAR END"


def _trimmed(expression: str) -> str:
    # Without a set of characters, trim leaves tabs and line ends; with one it is many times slower.
    thorough = f"trim({expression}, {literal(_SPACES)})"
    # A cheaper condition would save half of this time per row, but DuckDB's search for common subexpressions then takes
    # the square of the number of columns: minutes for 1,500.
    return f"CASE WHEN regexp_matches({expression}, {_CONTROL_SPACE}) THEN {thorough} ELSE trim({expression}) END"


def is_among(expression: str, texts: str) -> str:
    """Build a condition: the text is in a list; NULL, as well as false, if it is not.

    Examples
    --------
    >>> is_among("region", "['north', 'south']")
    "list_position(['north', 'south'], region) > 0"
    """
    # Neither IN nor list_contains: DuckDB turns them into a join, and a parallel join does not preserve row order.
    return f"list_position({texts}, {expression}) > 0"


def value_mark(columns: Iterable[str]) -> str:
    """Return a text such that no column is named by it, or by it and another column's name: one ``=`` more than any.

    Examples
    --------
    >>> value_mark(["at", "=at"])
    '=='
    """
    return "=" * (1 + max((len(column) - len(column.lstrip("=")) for column in columns), default=0))


@dataclass(frozen=True)
class Cast:
    """The cast of one raw column to a contract column.

    Parameters
    ----------
    column
        Name of the column, in the source and in the contract.
    found
        DuckDB type in the source.
    wanted
        DuckDB type in the contract.
    is_label
        Whether the text is a class label.
    notation
        How texts state numbers or dates; None if in the usual way.
    mark
        Start of the name to which the value is bound, see :func:`value_mark`.
    is_unused
        Whether no model and no lookup reads the text, so that it may contain control characters.
    """

    column: str
    found: str
    wanted: str
    is_label: bool = False
    notation: Notation | None = None
    mark: str = "="
    is_unused: bool = False

    @property
    def problem(self) -> str | None:
        """Why no cell of the column can be read; None if cells can be read."""
        readable = {
            "VARCHAR": not self.found.startswith(("BLOB", "BIT", "STRUCT", "MAP", "UNION")),
            "DOUBLE": self._is_number or self.found in ("VARCHAR", "BOOLEAN"),
            "BOOLEAN": self._is_number or self.found in ("VARCHAR", "BOOLEAN"),
            "TIMESTAMP": self.found in ("VARCHAR", "DATE")
            or self.found.startswith("TIMESTAMP")
            or (self._is_number and self.notation is not None),
        }[self.wanted] or self._is_null
        # A list's type is that of its items and brackets; the text of an ENUM may contain brackets too.
        if readable and not self.found.endswith("]"):
            return None
        return f"column {self.column!r}: the model file declares {self.kind}, the source has {self.found} values"

    @property
    def kind(self) -> str:
        """Name of the wanted type for people."""
        if self.notation is not None and self.found == "VARCHAR":
            return f"{self.notation.kind} such as {self.notation.example}"
        return {"VARCHAR": "text", "DOUBLE": "a number", "BOOLEAN": "true or false", "TIMESTAMP": "a date"}[self.wanted]

    @property
    def value(self) -> str:
        """Expression: the cell in the contract's type, NULL if it has no value or cannot be read."""
        name = quoted(self.column)
        if self._is_null:
            return f"NULL::{self.wanted}"
        if self.wanted == "DOUBLE":
            notation = self.notation if self.found == "VARCHAR" else None
            number = _number_text(name, notation) if isinstance(notation, NumberNotation) else self._plain_number(name)
            return f"try_cast({number} AS DOUBLE)"
        return {"VARCHAR": self._text, "BOOLEAN": self._boolean, "TIMESTAMP": self._timestamp}[self.wanted](name)

    @property
    def bound(self) -> str:
        """Identifier of the column to which the value is bound."""
        return quoted(f"{self.mark}{self.column}")

    @property
    def fits(self) -> str:
        """Condition on :attr:`value` (bound as :attr:`bound`): it is valid in the contract's type."""
        value = self.bound
        if self.wanted == "DOUBLE":
            return f"isfinite({value})"
        if self.wanted == "TIMESTAMP":
            return f"{value} BETWEEN {YEARS}"
        if self.wanted == "VARCHAR":
            return f"NOT regexp_matches({value}, {_NOT_TEXT})"
        return f"{value} IS NOT NULL"

    @property
    def absent(self) -> str:
        """Condition: the cell has no value; NaN counts as no value."""
        empty = f"{quoted(self.column)} IS NULL"
        return f"({empty} OR isnan({self.bound}))" if self.wanted == "DOUBLE" else empty

    @property
    def checked(self) -> str:
        """Expression: the value, NULL if the cell has none; any other cell stops the query with an error."""
        value = self.bound
        if not self._may_refuse:
            return value
        return f"CASE WHEN {self.fits} THEN {value} WHEN {self.absent} THEN NULL ELSE error({literal(UNREADABLE)}) END"

    @property
    def refused(self) -> str:
        """Condition: the cell stops a checked cast."""
        if not self._may_refuse:
            return "false"
        return f"(NOT coalesce({self.fits}, false) AND NOT coalesce({self.absent}, false))"

    @property
    def _may_refuse(self) -> bool:
        """Whether there are cells that stop the cast; a text that is no number or date in the source may be one."""
        return self.wanted != "VARCHAR" or (self.found == "VARCHAR" and not self.is_unused)

    @property
    def _is_number(self) -> bool:
        return self.found.removeprefix("U").startswith(_NUMBERS)

    @property
    def _is_null(self) -> bool:
        return self.found.strip('"') == "NULL"

    def _plain_number(self, name: str) -> str:
        # The engine would read 10_100 as 10100.
        return f"CASE WHEN NOT contains({name}, '_') THEN {name} END" if self.found == "VARCHAR" else name

    def _text(self, name: str) -> str:
        if self.found in ("FLOAT", "DOUBLE"):
            return float_text(name)
        if self.found.startswith("DECIMAL"):
            return f"regexp_replace({name}::VARCHAR, '\\.0+$', '')"
        return self._canonical(name) if self.found == "VARCHAR" else f"{name}::VARCHAR"

    def _canonical(self, name: str) -> str:
        integral = f"WHEN contains({name}, '.0') THEN regexp_replace({name}, '^([+-]?\\d+)\\.0+$', '\\1')"
        boolean = f"WHEN {is_among(f'lower({name})', _BOOLEAN_LABELS)} THEN lower({name})" if self.is_label else ""
        return f"CASE {integral} {boolean} ELSE {name} END"

    def _boolean(self, name: str) -> str:
        if self.found == "BOOLEAN":
            return name
        if self.found == "VARCHAR":
            true, false = (is_among(f"lower({name})", words) for words in (_TRUE, _FALSE))
            return f"CASE WHEN {true} THEN true WHEN {false} THEN false END"
        return f"CASE WHEN {name} = 1 THEN true WHEN {name} = 0 THEN false END"

    def _timestamp(self, name: str) -> str:
        if isinstance(self.notation, DateNotation) and (self.found == "VARCHAR" or self._is_number):
            return self._noted_timestamp(name, self.notation)
        if self.found == "VARCHAR":
            return _year_first(name)
        if self.found.startswith("TIMESTAMPTZ") or "TIME ZONE" in self.found:
            return f"make_timestamp(epoch_us({name}::TIMESTAMPTZ))"
        return f"try_cast({name} AS TIMESTAMP)"

    def _noted_timestamp(self, name: str, notation: DateNotation) -> str:
        if notation.epoch and self._is_number:
            return _since_1970(f"{name}::DOUBLE", notation.epoch)
        text = self._text(name)
        if notation.epoch:
            since, form = _since_1970(f"try_cast({text} AS DOUBLE)", notation.epoch), literal(PLAIN_NUMBER)
            return f"CASE WHEN regexp_full_match({text}, {form}) THEN {since} ELSE {_year_first(text)} END"
        cases = (
            f"WHEN regexp_full_match({text}, {literal(form)}) "
            f"THEN make_timestamp(epoch_us(try_strptime({text}, {literal(given)})))"
            for given, form in notation.forms
        )
        return f"CASE {' '.join(cases)} ELSE {_year_first(text)} END"


def _year_first(text: str) -> str:
    # A cast to TIMESTAMP silently drops "+02:00"; a cast to TIMESTAMPTZ applies it.
    instant = f"make_timestamp(epoch_us(try_cast({text} AS TIMESTAMPTZ)))"
    return f"CASE WHEN regexp_full_match({text}, {_MOMENT}) THEN {instant} END"


def _since_1970(number: str, units: int) -> str:
    microseconds = f"floor({number} * {10**6 // units})"
    return f"CASE WHEN {microseconds} BETWEEN {EARLIEST} AND {LATEST} THEN make_timestamp({microseconds}::BIGINT) END"


def _number_text(name: str, notation: NumberNotation) -> str:
    without_unit = f"replace({name}, {literal(notation.unit)}, '')" if notation.unit else name
    bare = f"translate({without_unit}, {', '.join(map(literal, notation.translation))})"
    negative = f"left({bare}, 1) IN ('(', '-') OR right({bare}, 1) = '-'"
    canonical = f"CASE WHEN {negative} THEN '-' || trim({bare}, '(-)') ELSE {bare} END"
    return f"CASE WHEN regexp_full_match({name}, {literal(notation.form)}) THEN {canonical} END"


def bound_sql(casts: Sequence[Cast], rows: str, *further: str) -> str:
    """Build a query of each column as it is in ``rows``, and its cast value as :attr:`Cast.bound`.

    The values are bound in a query of their own, because DuckDB computes an expression that occurs twice in a CASE
    twice.

    Parameters
    ----------
    casts
        One per column.
    rows
        SQL of a relation with the raw columns.
    further
        SQL of further columns, added as they are.
    """
    columns = (f"{quoted(cast.column)}, {cast.value} AS {cast.bound}" for cast in casts)
    return f"SELECT {', '.join([*columns, *further])} FROM {rows}"  # noqa: S608 - every name is quoted


def staged_sql(casts: Sequence[Cast], rows: str) -> str:
    """Build a query of the relation ``rows`` with exactly the contract's columns, in their order and types."""
    checked = ", ".join(f"{cast.checked} AS {quoted(cast.column)}" for cast in casts)
    return f"SELECT {checked} FROM ({bound_sql(casts, rows)})"  # noqa: S608 - every name is quoted


def row_hash_sql(columns: Iterable[str], types: Mapping[str, str] | None = None) -> str:
    """Build an expression: a hash (UBIGINT) per row of a staged file, independent of the order of the columns.

    A cell is hashed by its content, not by its type, so that the hash does not change when a column changes its kind in
    the contract: numbers (also as text) by the 64 bits of the double, words for true and false as 1 and 0, dates (also
    as text without offset) as microseconds, other cells as trimmed text. Integers of 16 digits and more are hashed as
    text, because a double cannot represent all of them. The bits are formatted instead of the number because this takes
    DuckDB half the time; md5 is used because DuckDB's ``hash`` may change between releases.

    Parameters
    ----------
    columns
        At least one column of the file.
    types
        DuckDB types by column (:func:`core.data.columns.column_types`). Without them the hash is the same and takes
        twice as long.
    """
    known = types or {}
    cells = (_cell_sql(quoted(name), known.get(name, "VARCHAR")) for name in sorted(columns))
    return f"md5_number_lower(concat_ws({_CELL_END}, {', '.join(f'coalesce({cell}, {_NO_VALUE})' for cell in cells)}))"


def _cell_sql(name: str, kind: str) -> str:
    if kind == "TIMESTAMP":
        return f"epoch_us({name})::VARCHAR"
    if kind == "DOUBLE":
        return _bits(name)
    if kind == "BOOLEAN":
        return _bits(f"{name}::TINYINT")
    # Correct for every type, so the types are optional.
    text = f"{name}::VARCHAR"
    long = f"length({text}) > 15 AND regexp_full_match({text}, '[+-]?\\d{{16,}}')"
    number = _bits(f"nullif(try_cast({name} AS DOUBLE), 'nan'::DOUBLE)")
    true, false = (is_among(f"lower({text})", words) for words in (_TRUE, _FALSE))
    word = f"WHEN {true} THEN {_bits('1')} WHEN {false} THEN {_bits('0')}"
    date = f"epoch_us(try_cast({name} AS TIMESTAMP))::VARCHAR"
    other = f"CASE {word} ELSE coalesce({date}, nullif(trim({text}), 'nan')) END"
    return f"CASE WHEN {long} THEN {text} ELSE coalesce({number}, {other}) END"


def _bits(number: str) -> str:
    # Adding 0.0 turns -0.0 into 0.0.
    return f"({number}::DOUBLE + 0.0)::BIT::UBIGINT::VARCHAR"
