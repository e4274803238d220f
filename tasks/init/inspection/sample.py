"""Sample the rows of a data set under inspection, and measure what a model has to improve on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from core.data.sql import literal
from tasks.init.inspection.inspected import TABLE, Column, InspectedTable

SAMPLE_ROWS = 20_000


def sampled_columns(
    table: InspectedTable, names: Iterable[str], target: str, classes: Sequence[tuple[str, int]]
) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[Any]]:
    """Draw a deterministic sample of labelled rows, about ``SAMPLE_ROWS`` at most.

    Each class gives the same number of rows, or all it has: a class with 1 row in 500 still has hundreds in the sample.

    Parameters
    ----------
    classes
        The target's labels with their numbers of rows; empty for regression.

    Returns
    -------
    columns
        Name: shape (n,), float64 (dates as seconds, booleans as 0 and 1) with NaN, or text levels as objects.
    y
        Codes in the order of ``classes``; for regression, the numbers themselves.
    """
    wanted = [table.one(name) for name in names]
    goal = table.one(target)
    picks = ", ".join(f"{_sampled(column)} AS {column.alias}" for column in wanted)
    y = f"array_position([{', '.join(literal(text) for text, _ in classes)}], label) - 1"
    y = y if classes else goal.alias
    # A multiplicative hash of the row's position: spread over the file, and the same rows every time.
    place = "(rowid * 2654435761 % 4294967296) / 4294967296.0"
    sizes = [n_rows for _, n_rows in classes] or [int(table.rows(f"count({goal.alias})")[0][0])]
    cuts = [SAMPLE_ROWS / len(sizes) / n_rows for n_rows in sizes]
    cut = f"[{', '.join(map(str, cuts))}][y + 1]" if classes else str(cuts[0])
    frame = table.connection.execute(
        f"SELECT * EXCLUDE (place) FROM (SELECT {y} AS y, {place} AS place, {picks} FROM {TABLE}) "  # noqa: S608 - own names
        f"WHERE y IS NOT NULL AND place < {cut} ORDER BY place"
    ).df()
    numbers = frame["y"].to_numpy(dtype=np.float64)
    return {column.name: _as_array(frame[column.alias], column) for column in wanted}, numbers


def _sampled(column: Column) -> str:
    if column.form == "date":
        return f"epoch({column.alias})"
    return f"{column.alias}::DOUBLE" if column.form == "boolean" else column.alias


def _as_array(values: Any, column: Column) -> npt.NDArray[Any]:
    if column.form == "text":
        filled: npt.NDArray[Any] = values.astype(object).where(values.notna(), None).to_numpy()
        return filled
    numbers: npt.NDArray[Any] = values.to_numpy(dtype=np.float64, na_value=np.nan)
    return numbers


def baseline_error(table: InspectedTable, target: str, time: str | None, holdout: float) -> float:
    """Return the root mean squared error of predicting the mean.

    Without a time column, this is the standard deviation. With one, the mean of the older rows predicts the newest
    ``holdout`` share of rows.
    """
    value = table.one(target).alias
    if time is None:
        return float(table.rows(f"stddev_pop({value})")[0][0])
    clock = table.one(time).alias
    cut = table.rows(f"quantile_disc({clock}, {1 - holdout})", f"WHERE {value} IS NOT NULL")[0][0]
    bounds = f"avg({value}) FILTER ({clock} < '{cut}'), count(*) FILTER ({clock} >= '{cut}')"
    mean, n_newer = table.rows(bounds)[0]
    if mean is None or not n_newer:
        return baseline_error(table, target, None, holdout)
    return float(table.rows(f"sqrt(avg(({value} - {mean!r}) ** 2))", f"WHERE {clock} >= '{cut}'")[0][0])
