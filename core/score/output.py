"""The columns of a scoring's output and of the rows that are set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from core.errors import ConfigError
from core.feature_contract import FeatureContract
from core.score.arrays import arrow_numbers
from core.score.cells import Cells, Wanted
from core.score.ids import prediction_ids

if TYPE_CHECKING:
    import pyarrow as pa

ROW, ID, VERSION, AT = "row", "prediction_id", "model_version", "predicted_at"
VALUE, PROBABILITY = "value", "probability_"
REASON = "reason"

GROUP_ROWS = 131_072
"""Rows of a row group of the output."""


@dataclass(frozen=True)
class OutputColumns:
    """The columns of an output, in order.

    Parameters
    ----------
    kept
        Columns of the input that it repeats: key, time and, if asked for, the features.
    answers
        Names of the columns of answers.
    """

    kept: tuple[Wanted, ...]
    answers: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All names."""
        return (*(column.name for column in self.kept), ROW, ID, VERSION, AT, *self.answers)


def output_columns(contract: FeatureContract, wanted: Sequence[Wanted], *, features: bool) -> OutputColumns:
    """Return the columns of an output.

    Parameters
    ----------
    contract
        Of the version that scores.
    wanted
        The columns that are read.
    features
        Whether the features are repeated.

    Raises
    ------
    ConfigError
        A column of the input has the name of one that a scoring adds.
    """
    first = [column for column in wanted if column.role != "feature"]
    kept = (*first, *(column for column in wanted if features and column.role == "feature"))
    answers = tuple(f"{PROBABILITY}{name}" for name in contract.classes) or (VALUE,)
    found = OutputColumns(kept, answers)
    if twice := sorted({name for name in found.names if found.names.count(name) > 1}):
        raise ConfigError(
            f"the output would have two columns named {twice[0]!r}: one of the input, and one that scoring adds; "
            "rename it in the source and the model file, or score without --features"
        )
    return found


def output_schema(columns: OutputColumns) -> pa.Schema:
    """Return the Arrow types of an output's columns."""
    import pyarrow as pa

    kinds = {"DOUBLE": pa.float64(), "BOOLEAN": pa.bool_(), "TIMESTAMP": pa.timestamp("us"), "VARCHAR": pa.string()}
    return pa.schema(
        [
            *(pa.field(column.name, kinds[column.kind]) for column in columns.kept),
            (ROW, pa.int64()),
            (ID, pa.string()),
            (VERSION, pa.int64()),
            (AT, pa.timestamp("us", tz="UTC")),
            *((name, pa.float64()) for name in columns.answers),
        ]
    )


def output_table(
    cells: Cells,
    rows: npt.NDArray[np.int64],
    answers: npt.NDArray[Any],
    columns: OutputColumns,
    *,
    run: str,
    version: int,
    at: datetime,
) -> pa.Table:
    """Return the output of scored rows.

    Parameters
    ----------
    cells
        Read cells of the n rows.
    rows
        Numbers of the rows in the input, from 0, shape (n,).
    answers
        Shape (n, k) for k classes, (n, 1) for regression.
    columns
        The output's columns.
    run
        Identity of the run.
    version
        The version that scores.
    at
        The predictions' time, with time zone.
    """
    import pyarrow as pa

    schema = output_schema(columns)
    n = len(rows)
    kept = [plain_text(cells.values[column.name]) for column in columns.kept]
    facts = [
        arrow_numbers(rows),
        prediction_ids(run, rows, at),
        pa.repeat(pa.scalar(version, pa.int64()), n),
        pa.repeat(pa.scalar(at, schema.field(AT).type), n),
    ]
    given = [arrow_numbers(answers[:, place].astype(np.float64)) for place in range(answers.shape[1])]
    return pa.Table.from_arrays([*kept, *facts, *given], schema=schema)


def plain_text(column: pa.Array) -> pa.Array:
    """Decode a dictionary-encoded column; any other is returned as it is."""
    return column.dictionary_decode() if hasattr(column, "dictionary") else column


def set_aside_schema(names: Sequence[str]) -> pa.Schema:
    """Return the Arrow types of the rows that are set aside: number, reason, and the cells of the input as text."""
    import pyarrow as pa

    return pa.schema([(ROW, pa.int64()), (REASON, pa.string()), *((name, pa.string()) for name in names)])
