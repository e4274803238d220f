"""Rows of the prediction log in the contract's types: what the service read is read here in the same way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from core.data.cells import category, missing_texts, moment, stated_moment, stated_number, text_cell
from core.feature_contract import FeatureContract
from core.notations import DateNotation, NumberNotation

if TYPE_CHECKING:
    import pyarrow as pa

MAX_REMEMBERED = 100_000
"""Maximum number of texts of a column whose level is remembered."""

Read = Callable[[Sequence[Any]], "pa.Array"]


class ServedValues:
    """Converts the logged values of a model's raw columns to the types of stored batches.

    A value means what it meant to the service (:mod:`serving.model.rows`), which refused what it could not read.

    Parameters
    ----------
    contract
        Feature contract of the champion; the log has the values as they were sent.
    """

    def __init__(self, contract: FeatureContract) -> None:
        self.names = contract.raw_columns
        missing = frozenset() if contract.missing is None else missing_texts(contract.missing)
        self._reads: dict[str, Read] = {}
        for name in contract.numeric:
            self._reads[name] = partial(_numbers, notation=contract.notation(name), missing=missing)
        for name in contract.boolean:
            self._reads[name] = _booleans
        for name in contract.dates:
            self._reads[name] = partial(_dates, notation=contract.notation(name), missing=missing)
        for name in contract.categorical:
            self._reads[name] = partial(_levels, missing=None if contract.missing is None else missing, known={})

    def columns(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, pa.Array]:
        """Return the raw columns of n rows: float64, bool, timestamp[us] and string, each with n values.

        Parameters
        ----------
        rows
            Values by column; each row has all raw columns.

        Raises
        ------
        ValueError
            A value is not what the service accepts.
        """
        return {name: read([row[name] for row in rows]) for name, read in self._reads.items()}


def _numbers(values: Sequence[Any], notation: Any, missing: frozenset[str]) -> pa.Array:
    import pyarrow as pa

    if isinstance(notation, NumberNotation):
        values = [_stated_number(value, notation, missing) if isinstance(value, str) else value for value in values]
    # NumPy reads null as NaN, which stored batches hold as null.
    return pa.array(np.array(values, dtype=np.float64), pa.float64(), from_pandas=True)


def _stated_number(text: str, notation: NumberNotation, missing: frozenset[str]) -> float | None:
    cell = text_cell(text, missing)
    return None if cell is None else stated_number(cell, notation)


def _booleans(values: Sequence[Any]) -> pa.Array:
    import pyarrow as pa

    return pa.array(values, pa.bool_())


def _dates(values: Sequence[Any], notation: Any, missing: frozenset[str]) -> pa.Array:
    import pyarrow as pa

    return pa.array([_moment(value, notation, missing) for value in values], pa.timestamp("us"))


def _moment(value: Any, notation: Any, missing: frozenset[str]) -> datetime | None:
    cell = text_cell(value, missing) if isinstance(value, str) else value
    if cell is None:
        return None
    return stated_moment(cell, notation) if isinstance(notation, DateNotation) else moment(str(cell))


def _levels(values: Sequence[Any], missing: frozenset[str] | None, known: dict[Any, str | None]) -> pa.Array:
    import pyarrow as pa

    if len(known) > MAX_REMEMBERED:
        known.clear()
    for value in set(values).difference(known):
        known[value] = value if missing is None or value is None else category(value, missing)
    return pa.array([known[value] for value in values], pa.string())
