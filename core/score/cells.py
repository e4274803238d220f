"""Read the cells of a batch of rows by the feature contract, and say which of them the contract refuses.

Here are the columns that already have the contract's type, and texts of categories; :mod:`core.data.sql` holds the
rules for all others, which an engine applies. Both read a cell as ingestion and the service do.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from core.data.cells import EARLIEST, LATEST, category, is_damaged, missing_texts
from core.feature_contract import FeatureContract
from core.notations import Notation
from core.row_limits import MAX_KEY, MAX_NUMBER, MAX_TEXT
from core.score.arrays import arrow_mask, arrow_numbers

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["DOUBLE", "BOOLEAN", "TIMESTAMP", "VARCHAR"]
Mask = npt.NDArray[np.bool_]

MAX_REMEMBERED = 65_536
"""Texts whose level is remembered."""

_TO_CAST = r"^ | $|\.0|[^\x20-\x7e]"
"""Texts that a cast may change or refuse: spaces around them, a fraction of zero, characters beyond ASCII's visible."""


@dataclass(frozen=True)
class Wanted:
    """A column that a scoring reads.

    Parameters
    ----------
    name
        Name in the input.
    kind
        Type of the contract, as DuckDB names it.
    role
        ``feature``, ``key`` or ``time``; the key and the time may be absent.
    notation
        How texts state the values; None if in the usual way.
    """

    name: str
    kind: Kind
    role: Literal["feature", "key", "time"] = "feature"
    notation: Notation | None = None


def wanted_columns(contract: FeatureContract, time: str | None, found: Collection[str]) -> tuple[Wanted, ...]:
    """Return the columns to read, in order: the contract's, then key and time where the input has them.

    Parameters
    ----------
    contract
        Of the version that scores.
    time
        Time column of the model file; None if there is none.
    found
        Names of the input's columns.
    """
    kinds: dict[str, Kind] = dict.fromkeys(contract.numeric, "DOUBLE")
    kinds.update(dict.fromkeys(contract.categorical, "VARCHAR"))
    kinds.update(dict.fromkeys(contract.boolean, "BOOLEAN"))
    kinds.update(dict.fromkeys(contract.dates, "TIMESTAMP"))
    wanted = [Wanted(name, kind, "feature", contract.notation(name)) for name, kind in kinds.items()]
    if contract.key is not None and contract.key in found:
        wanted.append(Wanted(contract.key, "VARCHAR", "key"))
    if time is not None and time in found and time not in kinds:
        wanted.append(Wanted(time, "TIMESTAMP", "time", contract.notation(time)))
    return tuple(wanted)


@dataclass(eq=False)
class Cells:
    """Read cells of n rows.

    Parameters
    ----------
    n
        Number of rows.
    values
        By column: float64, bool, timestamp in microseconds, or text (also dictionary-encoded); null without a value.
    refused
        By column with such cells: which rows have a cell that the contract refuses, shape (n,).
    """

    n: int
    values: dict[str, pa.Array] = field(default_factory=dict)
    refused: dict[str, Mask] = field(default_factory=dict)

    def add(self, name: str, values: pa.Array, refused: Mask) -> None:
        """Add a column that has been read.

        Parameters
        ----------
        name
            Name of the column.
        values
            Its n values.
        refused
            Which of its cells are refused, shape (n,).
        """
        self.values[name] = values
        if refused.any():
            self.refused[name] = refused

    def chosen(self, kept: Mask) -> Cells:
        """Return the values of some rows.

        Parameters
        ----------
        kept
            Which rows, shape (n,).
        """
        mask = arrow_mask(kept)
        return Cells(int(kept.sum()), {name: column.filter(mask) for name, column in self.values.items()})

    @property
    def accepted(self) -> Mask:
        """Rows without a refused cell, shape (n,)."""
        kept = np.ones(self.n, dtype=bool)
        for mask in self.refused.values():
            kept &= ~mask
        return kept


class CellReader:
    """Reads columns that need no engine.

    Parameters
    ----------
    missing
        Texts that mean no value.
    """

    def __init__(self, missing: Collection[str]) -> None:
        self._missing = missing_texts(missing)
        self._levels: dict[str, str | None] = {}

    def read(self, column: pa.Array, wanted: Wanted) -> tuple[pa.Array, Mask] | None:
        """Return the values of a column and which cells are refused; None if an engine has to read it."""
        import pyarrow as pa

        kind = column.type
        if wanted.kind == "DOUBLE" and (pa.types.is_integer(kind) or kind in (pa.float32(), pa.float64())):
            return _numbers(column)
        if wanted.kind == "BOOLEAN" and pa.types.is_boolean(kind):
            return column, np.zeros(len(column), dtype=bool)
        if wanted.kind == "TIMESTAMP" and pa.types.is_timestamp(kind) and kind.unit == "us":
            return _moments(column)
        if wanted.kind == "VARCHAR" and wanted.role == "feature" and _is_level(kind):
            return self._levels_of(column)
        if wanted.kind == "VARCHAR" and (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            texts = column.cast(pa.string())
            return (texts, np.zeros(len(texts), dtype=bool)) if self._is_canonical(texts) else None
        return None

    def _is_canonical(self, texts: pa.Array) -> bool:
        """Whether each text is what a cast would make of it: nothing to trim or to shorten, and none means no value."""
        import pyarrow.compute as pc

        if pc.any(pc.match_substring_regex(texts, _TO_CAST)).as_py():
            return False
        return not any(pc.any(pc.equal(texts, text)).as_py() for text in self._missing)

    def _levels_of(self, column: pa.Array) -> tuple[pa.Array, Mask]:
        import pyarrow as pa

        if pa.types.is_integer(column.type):
            column = column.cast(pa.string())
        coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        texts = coded.dictionary.to_pylist()
        levels = [None if text is None else self._level(text) for text in texts]
        unfit = np.array([level is not None and is_damaged(level) for level in levels], dtype=bool)
        codes = coded.indices.cast(pa.int32())
        # A text that means no value becomes a null of the codes: readers of the output need no null in a dictionary.
        named = coded.dictionary.cast(pa.string()) if levels == texts else pa.array(levels, pa.string())
        values = pa.DictionaryArray.from_arrays(codes, named)
        if not unfit.any():
            return values, np.zeros(len(column), dtype=bool)
        filled = codes.fill_null(0).to_numpy(zero_copy_only=False)
        return values, unfit[filled] & codes.is_valid().to_numpy(zero_copy_only=False)

    def _level(self, text: str) -> str | None:
        if text not in self._levels:
            if len(self._levels) >= MAX_REMEMBERED:
                self._levels.clear()
            self._levels[text] = category(text, self._missing)
        return self._levels[text]


def needs_engine(kind: pa.DataType, wanted: Wanted) -> bool:
    """Whether :class:`CellReader` cannot read columns of an Arrow type."""
    import pyarrow as pa

    if wanted.role != "feature" and wanted.kind == "VARCHAR":
        return True  # it depends on the texts
    return CellReader(()).read(pa.nulls(0, kind), wanted) is None


def bounded(values: pa.Array, refused: Mask, wanted: Wanted) -> Mask:
    """Add the cells beyond the bounds of a request to those that are refused: long texts, numbers beyond float32.

    Parameters
    ----------
    values
        Read cells of a column.
    refused
        Cells that could not be read, shape (n,).
    wanted
        The column.
    """
    import pyarrow.compute as pc

    if wanted.kind == "DOUBLE":
        return refused | (np.abs(numbers(values)) > MAX_NUMBER)
    if wanted.kind != "VARCHAR":
        return refused
    most = MAX_KEY if wanted.role == "key" else MAX_TEXT
    texts = values.dictionary if hasattr(values, "dictionary") else values
    longest = pc.max(pc.utf8_length(texts)).as_py() or 0
    if longest <= most:
        return refused
    plain = values.dictionary_decode() if hasattr(values, "dictionary") else values
    long: Mask = pc.greater(pc.utf8_length(plain), most).fill_null(False).to_numpy(zero_copy_only=False)
    return refused | long


def numbers(values: pa.Array) -> npt.NDArray[np.float64]:
    """Return a column of numbers or booleans as float64, NaN without a value; shape (n,)."""
    import pyarrow as pa

    if not pa.types.is_float64(values.type):
        values = values.cast(pa.float64()) if not pa.types.is_boolean(values.type) else values.cast(pa.uint8())
    found: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return found.astype(np.float64, copy=False)


def _numbers(column: pa.Array) -> tuple[pa.Array, Mask]:
    import pyarrow as pa

    if pa.types.is_integer(column.type):
        # Through NumPy, because Arrow refuses integers that a double cannot hold, which ingestion rounds.
        null = column.is_null().to_numpy(zero_copy_only=False)
        found = column.fill_null(0).to_numpy(zero_copy_only=False).astype(np.float64)
        return arrow_numbers(found, null), np.zeros(len(column), dtype=bool)
    found = column.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    return arrow_numbers(found, np.isnan(found)), np.isinf(found)


def _moments(column: pa.Array) -> tuple[pa.Array, Mask]:
    import pyarrow as pa

    values = column.cast(pa.timestamp("us"))  # drops the zone, and keeps the moment in UTC
    since = values.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    return values, (since < EARLIEST) | (since > LATEST)


def _is_level(kind: pa.DataType) -> bool:
    import pyarrow as pa

    text = kind.value_type if pa.types.is_dictionary(kind) else kind
    is_text = bool(pa.types.is_string(text) or pa.types.is_large_string(text) or pa.types.is_string_view(text))
    return is_text or bool(pa.types.is_integer(kind))
