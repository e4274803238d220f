"""SQL text for DuckDB: identifiers, literals, casts to the contract's types, and the hash of a row.

Every cast follows one pattern: an expression that is NULL where the cell cannot be read, wrapped so that such a cell
stops the query. The rows are then read again, once, to say which cells they were; a good source is read only once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

UNREADABLE = "a cell does not fit its column"
"""What DuckDB says when a checked cast meets a cell it cannot read."""

_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")
_TRUE = "['true', 't', 'yes', 'y', '1', '1.0']"
_FALSE = "['false', 'f', 'no', 'n', '0', '0.0']"
_BOOLEAN_LABELS = "['true', 'false']"
_YEAR_FIRST = r"'\d{4}[-/]\d{1,2}[-/]\d{1,2}([ T].*)?'"
_CELL_END = "chr(31)"
_NO_VALUE = "chr(30)"


def quoted(name: str) -> str:
    """Name as an SQL identifier, whatever it contains."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def text_or_null(expression: str, missing: Iterable[str]) -> str:
    """Build an expression: stripped text, NULL where nothing is left or it is one of ``missing``.

    DuckDB's ``trim`` without a set of characters takes every Unicode space; with a set it is five times slower.
    """
    absent = sorted({"", *(text.strip() for text in missing)})
    if absent == [""]:
        return f"nullif(trim({expression}), '')"
    texts = ", ".join(literal(text) for text in absent)
    return f"CASE WHEN {_is_among(f'trim({expression})', f'[{texts}]')} THEN NULL ELSE trim({expression}) END"


def _is_among(expression: str, texts: str) -> str:
    # Neither IN nor list_contains: the engine makes them a join, and a join of two threads forgets the rows' order.
    return f"list_position({texts}, {expression}) > 0"


@dataclass(frozen=True)
class Cast:
    """How one raw column becomes a contract column.

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
    is_key
        Whether the text is an entity key.
    """

    column: str
    found: str
    wanted: str
    is_label: bool = False
    is_key: bool = False

    @property
    def problem(self) -> str | None:
        """Say why no cell of the column can be read; None if some can."""
        readable = {
            "VARCHAR": not self.found.startswith(("BLOB", "BIT", "STRUCT", "MAP", "UNION")) and "[" not in self.found,
            "DOUBLE": self._is_number or self.found in ("VARCHAR", "BOOLEAN"),
            "BOOLEAN": self._is_number or self.found in ("VARCHAR", "BOOLEAN"),
            "TIMESTAMP": self.found in ("VARCHAR", "DATE") or self.found.startswith("TIMESTAMP"),
        }[self.wanted] or self._is_null
        if readable:
            return None
        return f"column {self.column!r} holds {self.found} values and the model file declares {self.kind}"

    @property
    def kind(self) -> str:
        """What people call the wanted type."""
        return {"VARCHAR": "text", "DOUBLE": "a number", "BOOLEAN": "true or false", "TIMESTAMP": "a date"}[self.wanted]

    @property
    def value(self) -> str:
        """Expression: the cell in the contract's type, NULL where it has no value or cannot be read."""
        name = quoted(self.column)
        if self._is_null:
            return f"NULL::{self.wanted}"
        if self.wanted == "DOUBLE":
            return f"try_cast({name} AS DOUBLE)"
        return {"VARCHAR": self._text, "BOOLEAN": self._boolean, "TIMESTAMP": self._timestamp}[self.wanted](name)

    @property
    def fits(self) -> str:
        """Condition over :attr:`value` (bound as the column ``"=<column>"``): it is one the contract can hold."""
        value = quoted(f"={self.column}")
        if self.wanted == "DOUBLE":
            return f"isfinite({value})"
        if self.wanted == "TIMESTAMP":
            return f"{value} BETWEEN TIMESTAMP '0001-01-01' AND TIMESTAMP '9999-12-31 23:59:59'"
        return f"{value} IS NOT NULL"

    @property
    def absent(self) -> str:
        """Condition: the cell has no value (not-a-number is none)."""
        empty = f"{quoted(self.column)} IS NULL"
        return f"({empty} OR isnan({quoted(f'={self.column}')}))" if self.wanted == "DOUBLE" else empty

    @property
    def checked(self) -> str:
        """Expression: the value, NULL where absent; stops the query at any other cell."""
        value = quoted(f"={self.column}")
        if self.wanted == "VARCHAR":
            return value
        return f"CASE WHEN {self.fits} THEN {value} WHEN {self.absent} THEN NULL ELSE error({literal(UNREADABLE)}) END"

    @property
    def refused(self) -> str:
        """Condition: the cell is the reason why a checked cast stops."""
        return f"(NOT coalesce({self.fits}, false) AND NOT coalesce({self.absent}, false))"

    @property
    def _is_number(self) -> bool:
        return self.found.removeprefix("U").startswith(_NUMBERS)

    @property
    def _is_null(self) -> bool:
        return self.found.strip('"') == "NULL"

    def _text(self, name: str) -> str:
        if self.found in ("FLOAT", "DOUBLE"):
            whole = f"{name} = trunc({name}) AND abs({name}) < 1e15"
            return f"CASE WHEN {whole} THEN {name}::BIGINT::VARCHAR ELSE {name}::VARCHAR END"
        if self.found.startswith("DECIMAL"):
            return f"regexp_replace({name}::VARCHAR, '\\.0+$', '')"
        if self.found != "VARCHAR" or not (self.is_label or self.is_key):
            return f"{name}::VARCHAR"
        return self._canonical(name)

    def _canonical(self, name: str) -> str:
        integral = f"WHEN contains({name}, '.0') THEN regexp_replace({name}, '^([+-]?\\d+)\\.0+$', '\\1')"
        boolean = f"WHEN {_is_among(f'lower({name})', _BOOLEAN_LABELS)} THEN lower({name})" if self.is_label else ""
        return f"CASE {integral} {boolean} ELSE {name} END"

    def _boolean(self, name: str) -> str:
        if self.found == "BOOLEAN":
            return name
        if self.found == "VARCHAR":
            true, false = (_is_among(f"lower({name})", words) for words in (_TRUE, _FALSE))
            return f"CASE WHEN {true} THEN true WHEN {false} THEN false END"
        return f"CASE WHEN {name} = 1 THEN true WHEN {name} = 0 THEN false END"

    def _timestamp(self, name: str) -> str:
        if self.found == "VARCHAR":
            # A cast to TIMESTAMP silently drops "+02:00"; a cast to TIMESTAMPTZ applies it.
            instant = f"make_timestamp(epoch_us(try_cast({name} AS TIMESTAMPTZ)))"
            return f"CASE WHEN regexp_full_match({name}, {_YEAR_FIRST}) THEN {instant} END"
        if self.found.startswith("TIMESTAMPTZ") or "TIME ZONE" in self.found:
            return f"make_timestamp(epoch_us({name}::TIMESTAMPTZ))"
        return f"try_cast({name} AS TIMESTAMP)"


def bound_sql(casts: Sequence[Cast], rows: str, *further: str) -> str:
    """Query: of the relation ``rows`` each column as it is, and as its cast reads it, bound as ``"=<column>"``.

    Bound in a query of its own because DuckDB computes an expression twice that stands twice in a CASE.
    """
    columns = (f"{quoted(cast.column)}, {cast.value} AS {quoted(f'={cast.column}')}" for cast in casts)
    return f"SELECT {', '.join([*columns, *further])} FROM {rows}"  # noqa: S608 - every name is quoted


def staged_sql(casts: Sequence[Cast], rows: str) -> str:
    """Query: the relation ``rows`` with exactly the contract's columns, in order and type."""
    checked = ", ".join(f"{cast.checked} AS {quoted(cast.column)}" for cast in casts)
    return f"SELECT {checked} FROM ({bound_sql(casts, rows)})"  # noqa: S608 - every name is quoted


def row_hash_sql(columns: Iterable[str], types: Mapping[str, str] | None = None) -> str:
    """Expression: a UBIGINT per row of a staged file, over the given columns in any order.

    A cell counts by its content, not by its type, so that the hash survives a move between the contract's kinds:
    numbers (also as text) by the 64 bits of the double, words for true and false as 1 and 0, dates (also as text
    without offset) as microseconds, all else as stripped text. Whole numbers of 16 digits and more are text, since a
    double cannot tell neighbours apart. The bits are written out in place of the number because DuckDB needs half the
    time for it; md5 is used because DuckDB promises nothing about its ``hash`` from release to release.

    Parameters
    ----------
    columns
        At least one column of the file.
    types
        Their DuckDB types (:func:`core.data.columns.column_types`). Without them the hash is the same and takes twice
        as long.
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
    # Correct for every type, which is what lets the types be left out.
    text = f"{name}::VARCHAR"
    long = f"length({text}) > 15 AND regexp_full_match({text}, '[+-]?\\d{{16,}}')"
    number = _bits(f"nullif(try_cast({name} AS DOUBLE), 'nan'::DOUBLE)")
    true, false = (_is_among(f"lower({text})", words) for words in (_TRUE, _FALSE))
    word = f"WHEN {true} THEN {_bits('1')} WHEN {false} THEN {_bits('0')}"
    date = f"epoch_us(try_cast({name} AS TIMESTAMP))::VARCHAR"
    other = f"CASE {word} ELSE coalesce({date}, nullif(trim({text}), 'nan')) END"
    return f"CASE WHEN {long} THEN {text} ELSE coalesce({number}, {other}) END"


def _bits(number: str) -> str:
    # Adding zero makes minus zero plus zero.
    return f"({number}::DOUBLE + 0.0)::BIT::UBIGINT::VARCHAR"
