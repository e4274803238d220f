"""The inputs of a model from read cells, as :func:`core.model_inputs.prepare` makes them of a frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from core.feature_contract import DATE_PARTS, MISSING, FeatureContract
from core.score.cells import numbers

if TYPE_CHECKING:
    import pyarrow as pa

Column = npt.NDArray[Any]


def prepared_columns(values: Mapping[str, pa.Array], contract: FeatureContract) -> list[Column]:
    """Return the contract's prepared columns, shape (n, 1) each: float32, then object (str).

    Parameters
    ----------
    values
        Read cells by column, see :class:`core.score.cells.Cells`.
    contract
        Names of the raw columns by kind.
    """
    plain = [numbers(values[name]) for name in contract.numeric + contract.boolean]
    columns: list[Column] = [found.astype(np.float32).reshape(-1, 1) for found in plain]
    for name in contract.dates:
        columns += [_date_part(values[name], part) for part in DATE_PARTS]
    return columns + [_levels(values[name]) for name in contract.categorical]


def _date_part(moments: pa.Array, part: str) -> Column:
    import pyarrow.compute as pc

    parts = {"month": pc.month, "day": pc.day, "weekday": pc.day_of_week, "hour": pc.hour}  # Monday is 0
    found = parts[part](moments).to_numpy(zero_copy_only=False)
    return np.asarray(found, dtype=np.float64).astype(np.float32).reshape(-1, 1)


def _levels(texts: pa.Array) -> Column:
    import pyarrow as pa

    coded = texts if pa.types.is_dictionary(texts.type) else texts.dictionary_encode()
    levels = [MISSING if level is None else level for level in coded.dictionary.to_pylist()]
    known = np.array([*levels, MISSING], dtype=object)
    codes = coded.indices.fill_null(len(levels)).to_numpy(zero_copy_only=False)
    column: Column = known[codes].reshape(-1, 1)
    return column
