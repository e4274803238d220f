"""Parse rows from JSON, and check each value against the feature contract."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import pandas as pd

from core.data.cells import category, missing_texts, moment, stated_moment, stated_number, text_cell
from core.errors import SchemaError
from core.feature_contract import FeatureContract
from core.notations import DateNotation, Notation


def parse_rows(content: bytes | str, contract: FeatureContract) -> pd.DataFrame:
    """Parse ``{"columns": [...], "data": [[...], ...]}`` into typed rows.

    Every column of the contract is required, and any value may be null; further columns are ignored. Numbers are JSON
    numbers, categories and dates strings, which are read as ingestion reads them (:mod:`core.data.cells`); in columns
    with a notation, numbers may be strings, and dates numbers.

    Returns
    -------
    pandas.DataFrame
        n rows, columns ``contract.raw_columns``: float64, object (str or None), object (bool or None), datetime64[us].

    Raises
    ------
    SchemaError
        The text is not JSON of this shape, a column is missing, or a value has another type.
    """
    columns, data = _table(content)
    if missing := [name for name in contract.raw_columns if name not in columns]:
        raise SchemaError(f"the rows lack columns that the model needs: {', '.join(missing)}")
    parsed: dict[str, pd.Series[Any]] = {}
    texts = missing_texts(contract.missing or ())
    for kind, names in _KINDS.items():
        for name in getattr(contract, names):
            place = columns.index(name)
            notation = contract.notation(name)
            cells = [row[place] for row in data]
            parsed[name] = kind(cells if notation is None else _stated(cells, name, notation, texts), name)
    if contract.missing is not None:
        for name in contract.categorical:
            parsed[name] = parsed[name].map(partial(category, missing=texts), na_action="ignore").astype(object)
    return pd.DataFrame(parsed, columns=list(contract.raw_columns), index=range(len(data)))


def _stated(cells: Sequence[Any], name: str, notation: Notation, missing: Collection[str]) -> list[Any]:
    """Replace the cells of a column with a notation by the usual ones: numbers, or dates as ISO 8601 texts."""
    return [_usual(cell, name, notation, missing) for cell in cells]


def _usual(cell: Any, name: str, notation: Notation, missing: Collection[str]) -> Any:
    cell = text_cell(cell, missing) if isinstance(cell, str) else cell
    if _is_absent(cell):
        return None
    found: datetime | float | None
    if isinstance(notation, DateNotation):
        found = stated_moment(cell, notation) if isinstance(cell, str | int | float) else None
    else:
        found = stated_number(cell, notation) if isinstance(cell, str) else cell
    if found is None:
        raise _unexpected(name, f"{notation.kind} such as {notation.example}", cell)
    return found.isoformat() if isinstance(found, datetime) else found


def _table(content: bytes | str) -> tuple[list[str], list[list[Any]]]:
    try:
        table = json.loads(content)
        columns, data = table["columns"], table["data"]
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise SchemaError(f'expected JSON {{"columns": [...], "data": [[...], ...]}}, found {error!r}') from error
    if not _is_list_of(columns, str) or len(set(columns)) < len(columns):
        raise SchemaError("expected 'columns' to be a list of distinct names")
    if not _is_list_of(data, list) or any(len(row) != len(columns) for row in data):
        raise SchemaError(f"expected 'data' to be rows of {len(columns)} values each")
    return columns, data


def _is_list_of(values: object, kind: type) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)


def _numbers(values: Sequence[Any], name: str) -> pd.Series[Any]:
    return pd.Series([_number(value, name) for value in values], dtype="float64")


def _number(value: Any, name: str) -> float:
    try:
        number = math.nan if value is None else float(value)
    except OverflowError:
        number = math.inf
    except (TypeError, ValueError):
        raise _unexpected(name, "a number", value) from None
    if isinstance(value, str | bool) or math.isinf(number):
        raise _unexpected(name, "a number", value)
    return number


def _texts(values: Sequence[Any], name: str) -> pd.Series[Any]:
    return _of_kind(values, name, str, "a string")


def _truths(values: Sequence[Any], name: str) -> pd.Series[Any]:
    return _of_kind(values, name, bool, "true or false")


def _of_kind(values: Sequence[Any], name: str, kind: type, wording: str) -> pd.Series[Any]:
    kept = [None if _is_absent(value) else value for value in values]
    if strange := [value for value in kept if value is not None and not isinstance(value, kind)]:
        raise _unexpected(name, wording, strange[0])
    return pd.Series(kept, dtype=object)


def _is_absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _dates(values: Sequence[Any], name: str) -> pd.Series[Any]:
    wording = "a date such as 2026-03-01 or 2026-03-01T12:30:00+02:00"
    # MLflow writes the missing values of a column without any date as this text.
    texts = [None if text == "NaT" else text for text in _of_kind(values, name, str, wording)]
    moments = [None if text is None else moment(text) for text in texts]
    for text, found in zip(texts, moments, strict=True):
        if text is not None and found is None:
            raise _unexpected(name, wording, text)
    return pd.Series(moments, dtype="datetime64[us]")


def _unexpected(name: str, wording: str, value: object) -> SchemaError:
    return SchemaError(f"column {name!r}: expected {wording} or null, found {repr(value)[:100]}")


_KINDS: dict[Callable[[Sequence[Any], str], pd.Series[Any]], str] = {
    _numbers: "numeric",
    _texts: "categorical",
    _truths: "boolean",
    _dates: "dates",
}
