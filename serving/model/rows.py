"""Parse the rows of a request into columns, with types that are compiled once per feature contract."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import repeat
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import UNSET, UnsetType
from msgspec.structs import astuple

from core.data.cells import category, is_damaged, missing_texts, moment, stated_moment, stated_number, text_cell
from core.feature_contract import DATE_PARTS, MISSING, FeatureContract
from core.notations import DateNotation, NumberNotation
from core.row_limits import MAX_KEY, MAX_NUMBER, MAX_TEXT
from core.text import readable
from serving.model.invalid import Locate, field_problem, in_columns, in_rows, invalid, not_json

KEY_NUMBERS = (-9 * 10**18, 9 * 10**18)
"""Smallest and largest numeric key: within 64 bits, and exact also as a float. Send longer keys as strings."""

MAX_REMEMBERED = 4096
"""Maximum number of texts whose level a reader remembers."""

Kind = Literal["numeric", "boolean", "dates", "categorical"]
Column = npt.NDArray[Any]

Number = Annotated[float, msgspec.Meta(ge=-MAX_NUMBER, le=MAX_NUMBER)]
Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
Date = Annotated[str, msgspec.Meta(max_length=40)]
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_KEY)]
KeyNumber = Annotated[int, msgspec.Meta(ge=KEY_NUMBERS[0], le=KEY_NUMBERS[1])]
# JSON Schema counts 7.0 as an integer, and pandas turns an integer column with missing values into floats.
KeyFloat = Annotated[float, msgspec.Meta(ge=KEY_NUMBERS[0], le=KEY_NUMBERS[1])]

NotedNumber = Number | Text
"""A number, or a text that states one in the notation of its column."""

NotedDate = Date | Number
"""A text, or a number whose digits state a date, such as 20260131, or that counts the time since 1970."""

TYPES: dict[Kind, Any] = {
    "numeric": Number | None,
    "boolean": bool | None,
    "dates": Date | None,
    "categorical": Text | None,
}

_DATE_PARTS = {
    "month": lambda moment: moment.month,
    "day": lambda moment: moment.day,
    "weekday": lambda moment: moment.weekday(),
    "hour": lambda moment: moment.hour,
}
_DATES = "a date such as 2026-03-01 or 2026-03-01T12:30:00+02:00, of the years 1 to 9999"

# msgspec refuses field names that JSON would escape. Their special characters are mapped to Unicode's private use area.
_ALIASES = {ord(character): 0xE000 + ord(character) for character in ('"', "\\", *map(chr, range(0x20)))}
_NAMES = {alias: character for character, alias in _ALIASES.items()}


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a request.

    Parameters
    ----------
    n
        Number of rows.
    values
        Of each row, in the order of the contract's columns, as they were sent.
    keys
        Entity keys of the rows; None if no row has one.
    content
        For the log: JSON list of the rows, each an object; or, with ``names``, each a list of its values.
    names
        JSON list of the columns' names in the order of the values. None for a single row, which contains them.
    locate
        From a row and a field to its place in the body.
    note
        What the answer needs of the request, in its own form.
    """

    n: int
    values: list[tuple[Any, ...]]
    keys: list[str | None] | None
    content: bytes
    names: bytes | None = None
    locate: Locate = in_rows
    note: Any = None


class RowReader:
    """Parses ``{"rows": [{column: value, …}, …]}`` and ``{"columns": {column: [value, …], …}}``.

    Every column of the contract is required, and any value may be null. The key column is optional; any other column
    is an error.

    Parameters
    ----------
    contract
        Names and kinds of the columns.
    max_rows
        Most rows of a request.

    Attributes
    ----------
    names, key, types
        Names of the columns in the order of the values, with the key last; name of the key, None if there is none;
        types of the values by column.
    """

    def __init__(self, contract: FeatureContract, max_rows: int) -> None:
        self.max_rows = max_rows
        self.key = contract.key
        kinds: tuple[Kind, ...] = ("numeric", "boolean", "dates", "categorical")
        columns = [(name, _type(contract, name, kind)) for kind in kinds for name in getattr(contract, kind)]
        self.types: dict[str, Any] = dict(columns)
        fields: list[Any] = [(f"c{place}", kind, _named(name)) for place, (name, kind) in enumerate(columns)]
        if contract.key is not None:
            self.types[contract.key] = Key | KeyNumber | KeyFloat | None
            fields.append(("key", self.types[contract.key], _named(contract.key, default=None)))
        body = _body_type(fields, max_rows)
        decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(body)
        self._decode: Callable[[bytes | bytearray], Any] = decoder.decode
        self._encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode
        self._encode_row = self._encode
        if any(name != name.translate(_ALIASES) for name in (*contract.raw_columns, contract.key or "")):
            self._decode = lambda content: msgspec.convert(_renamed_body(msgspec.json.decode(content)), body)
            self._encode_row = lambda row: msgspec.json.encode(_renamed(msgspec.to_builtins(row), _NAMES))
        self._contract = contract
        self.names = (*(name for name, _ in columns), *([contract.key] if contract.key is not None else []))
        self._missing = frozenset() if contract.missing is None else missing_texts(contract.missing)
        self._levels = _Levels(contract.missing)
        notations = {name: contract.notation(name) for name in contract.numeric + contract.dates}
        self._dates = [one if isinstance(one := notations[name], DateNotation) else None for name in contract.dates]
        self._numbers = [
            (place, one)
            for place, name in enumerate(contract.numeric)
            if isinstance(one := notations[name], NumberNotation)
        ]
        self._n_plain = len(contract.numeric) + len(contract.boolean)
        self._n_numbers = self._n_plain + len(contract.dates)
        self._n_columns = len(columns)

    def read(self, body: bytes | bytearray) -> Rows:
        """Parse a request's body; texts of dates and of numbers with a notation are read by :meth:`columns`.

        Raises
        ------
        Problem
            It is not JSON, or a field has another type than in the contract; the problem names the field.
        """
        try:
            found = self._decode(body)
        except msgspec.ValidationError as error:
            raise invalid(str(error).translate(_NAMES), self.names) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise not_json(body, error) from None
        if (found.rows is UNSET) == (found.columns is UNSET):
            how = "neither" if found.rows is UNSET else "both"
            raise field_problem("rows", f"expected either 'rows' or 'columns', found {how}", "/rows")
        return self._of_rows(found.rows) if found.columns is UNSET else self.of_columns(astuple(found.columns))

    def _of_rows(self, rows: list[Any]) -> Rows:
        values = list(map(astuple, rows))
        keys = self._keys(values, in_rows)
        if len(rows) == 1:
            return Rows(1, values, keys, b"[%b]" % self._encode_row(rows[0]))
        return Rows(len(rows), values, keys, *self._logged(values, keys is not None))

    def of_columns(self, cells: Sequence[Sequence[Any] | None], locate: Locate = in_columns, note: Any = None) -> Rows:
        """Return the rows of columns whose values have been checked.

        Parameters
        ----------
        cells
            Values of each column, in the order of the contract's and with the key last; None for keys that were not
            sent.
        locate, note
            Places of the values in the body, and what the answer needs of it.

        Raises
        ------
        Problem
            The columns have different numbers of rows.
        """
        n, first = len(cells[0] or ()), self.names[0]
        for name, column in zip(self.names, cells, strict=True):
            if column is not None and len(column) != n:
                detail = f"expected as many values as in {first!r} ({n:,}), found {len(column):,}"
                raise field_problem(name, detail, locate(None, name))
        values = list(zip(*(repeat(None, n) if column is None else column for column in cells), strict=True))
        keys = self._keys(values, locate)
        if n > 1:
            return Rows(n, values, keys, *self._logged(values, keys is not None), locate, note)
        named = self.names if keys is not None else self.names[: self._n_columns]
        return Rows(n, values, keys, self._encode([dict(zip(named, values[0], strict=False))]), None, locate, note)

    def _logged(self, values: Sequence[tuple[Any, ...]], has_keys: bool) -> tuple[bytes, bytes]:
        """Return the values of rows, and the names of their columns; without the key if no row has one."""
        if has_keys or self._contract.key is None:
            return self._encode(values), self._encode(self.names)
        return self._encode([row[:-1] for row in values]), self._encode(self.names[:-1])

    def columns(self, values: Sequence[tuple[Any, ...]], locate: Locate = in_rows) -> list[Column]:
        """Return the contract's prepared columns, shape (n, 1) each: float32, then object (str).

        Parameters
        ----------
        values
            Those of n parsed rows, of one request or of several.
        locate
            Places of the values in the body, if they are of one request.

        Raises
        ------
        Problem
            A text states no date or no number, or is damaged; the problem names the field and its place.
        """
        n, m = len(values), self._n_plain
        cells: list[Sequence[Any]] = list(zip(*values, strict=True))
        for place, notation in self._numbers:
            cells[place] = self._stated_numbers(cells[place], place, notation, locate)
        columns: list[Column] = list(np.array(cells[:m], dtype=np.float32).reshape(m, n, 1))
        for place in range(m, self._n_numbers):
            columns += self._date_columns(cells[place], place, locate)
        for place in range(self._n_numbers, self._n_columns):
            column = np.empty((n, 1), dtype=object)
            try:
                column[:, 0] = list(map(self._levels.__getitem__, cells[place]))
            except DamagedTextError as error:
                row, name = cells[place].index(error.text), self._contract.categorical[place - self._n_numbers]
                detail = f"expected a text without control characters, found {readable(error.text, 60)!r}"
                raise field_problem(name, detail, locate(row, name)) from None
            columns.append(column)
        return columns

    def _date_columns(self, texts: Sequence[str | float | None], place: int, locate: Locate) -> list[Column]:
        moments = [self._moment(text, row, place, locate) for row, text in enumerate(texts)]
        return [
            np.array(
                [[np.nan if moment is None else _DATE_PARTS[part](moment)] for moment in moments], dtype=np.float32
            )
            for part in DATE_PARTS
        ]

    def _stated_numbers(self, sent: Sequence[Any], place: int, notation: NumberNotation, locate: Locate) -> list[Any]:
        """Replace the texts of a column with a notation by the numbers that they state."""
        name = self._contract.numeric[place]
        return [
            self._stated_number(one, notation, name, locate(row, name)) if isinstance(one, str) else one
            for row, one in enumerate(sent)
        ]

    def _stated_number(self, text: str, notation: NumberNotation, name: str, pointer: str) -> float | None:
        cell = text_cell(text, self._missing)
        if cell is None:
            return None
        found = stated_number(cell, notation)
        if found is None or abs(found) > MAX_NUMBER:
            detail = f"expected a number, or a text such as {notation.example!r}, found {text!r}"
            raise field_problem(name, detail, pointer)
        return found

    def _moment(self, sent: str | float | None, row: int, place: int, locate: Locate) -> datetime | None:
        cell = text_cell(sent, self._missing) if isinstance(sent, str) else sent
        if cell is None:
            return None
        notation = self._dates[place - self._n_plain]
        found = moment(str(cell)) if notation is None else stated_moment(cell, notation)
        if found is None:
            name = self._contract.dates[place - self._n_plain]
            forms = _DATES if notation is None else f"{_DATES}, or {notation.example}"
            raise field_problem(name, f"expected {forms}, found {sent!r}", locate(row, name))
        return found

    def _keys(self, values: Sequence[tuple[Any, ...]], locate: Locate) -> list[str | None] | None:
        if self._contract.key is None:
            return None
        place = self._n_columns
        keys = [self._key(row[place], number, locate) for number, row in enumerate(values)]
        return keys if any(key is not None for key in keys) else None

    def _key(self, value: str | float | None, row: int, locate: Locate) -> str | None:
        if value is None:
            return None
        name = self._contract.key or ""
        if isinstance(value, float):
            if not value.is_integer():
                raise field_problem(name, f"expected a string or an integer, found {value}", locate(row, name))
            value = int(value)
        if is_damaged(str(value)):
            raise field_problem(name, "expected a key without control characters", locate(row, name))
        return category(str(value), self._missing) or None


class DamagedTextError(ValueError):
    """A category is no text, see :func:`core.data.cells.is_damaged`."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class _Levels(dict[str | None, str]):
    """The level of each text that was sent, as ingestion names it; the newest are remembered.

    Parameters
    ----------
    missing
        Texts that mean no value; None for a bundle whose levels are the texts as they are sent.
    """

    def __init__(self, missing: Sequence[str] | None) -> None:
        super().__init__()
        self._as_sent = missing is None
        self._texts = missing_texts(missing or ())

    def __missing__(self, text: str | None) -> str:
        if len(self) >= MAX_REMEMBERED:
            self.clear()
        level = self[text] = self._name(text)
        return level

    def _name(self, text: str | None) -> str:
        if text is None:
            return MISSING
        if is_damaged(text):
            raise DamagedTextError(text)
        return text if self._as_sent else category(text, self._texts) or MISSING


def _type(contract: FeatureContract, name: str, kind: Kind) -> Any:
    if kind not in ("numeric", "dates") or contract.notation(name) is None:
        return TYPES[kind]
    return (NotedNumber if kind == "numeric" else NotedDate) | None


def _body_type(fields: Sequence[Any], max_rows: int) -> type[msgspec.Struct]:
    """Return the type of a body: rows by name, or columns."""
    bounds = msgspec.Meta(min_length=1, max_length=max_rows)
    row = msgspec.defstruct("Row", fields, forbid_unknown_fields=True, omit_defaults=True, gc=False)
    whole = [(name, Annotated[list[kind], bounds], *more) for name, kind, *more in fields]  # type: ignore[valid-type]
    columns = msgspec.defstruct("Columns", whole, forbid_unknown_fields=True, gc=False)
    rows = Annotated[list[row], bounds]  # type: ignore[valid-type]
    parts = [("rows", rows | UnsetType, UNSET), ("columns", columns | UnsetType, UNSET)]
    return msgspec.defstruct("Body", parts, forbid_unknown_fields=True, gc=False)


def _named(name: str, **more: Any) -> Any:
    return msgspec.field(name=name.translate(_ALIASES), **more)


def _renamed_body(content: Any) -> Any:
    """Translate the names of the columns in all rows of a body, or in its columns."""
    if not isinstance(content, dict):
        return content
    if isinstance(content.get("rows"), list):
        content["rows"] = [_renamed(row, _ALIASES) for row in content["rows"]]
    if "columns" in content:
        content["columns"] = _renamed(content["columns"], _ALIASES)
    return content


def _renamed(content: Any, names: dict[int, int]) -> Any:
    """Translate the names of an object's fields."""
    if not isinstance(content, dict):
        return content
    return {name.translate(names): value for name, value in content.items()}
