"""Why the feature contract refuses a row, for the file of the rows that are set aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from core.row_limits import MAX_KEY, MAX_NUMBER, MAX_TEXT
from core.score.cells import Cells, Wanted
from core.text import is_number, readable

if TYPE_CHECKING:
    import pyarrow as pa

NOT_FINITE = "the model's answer is not finite; the row's values may be too extreme"


def refusal_reasons(
    cells: Cells, places: npt.NDArray[np.int64], texts: Mapping[str, pa.Array], wanted: Sequence[Wanted]
) -> list[str]:
    """Return one sentence per row: each refused cell with what was expected and found.

    Parameters
    ----------
    cells
        Read cells of the batch.
    places
        Places of the refused rows in the batch, shape (n,).
    texts
        The cells of these rows as text, by column, n each.
    wanted
        The columns that were read.
    """
    found: list[list[str]] = [[] for _ in places]
    for column in wanted:
        mask = cells.refused.get(column.name)
        if mask is None:
            continue
        for row in np.flatnonzero(mask[places]):
            found[row].append(_reason(column, texts[column.name][int(row)].as_py()))
    return ["; ".join(reasons) or NOT_FINITE for reasons in found]


def _reason(column: Wanted, text: str | None) -> str:
    return f"column {column.name!r}: expected {_expected(column, text)}, found {readable(text, 60)!r}"


def _expected(column: Wanted, text: str | None) -> str:
    if column.kind == "VARCHAR":
        most = MAX_KEY if column.role == "key" else MAX_TEXT
        return f"a text of at most {most:,} characters without control characters"
    if column.kind == "DOUBLE" and text is not None and is_number(text):
        return f"a finite number of at most {MAX_NUMBER:.4g}"
    if column.notation is not None:
        return f"{column.notation.kind} such as {column.notation.example}"
    return {"DOUBLE": "a number", "BOOLEAN": "true or false", "TIMESTAMP": "a date such as 2026-03-01"}[column.kind]
