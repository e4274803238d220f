"""Ids of scored rows: determined by the run, so that a repeated or resumed run gives the same ones.

They have the form of :mod:`core.prediction_ids`: a UUID of version 7 for 65,536 consecutive rows of the input, with the
row's place among them in the last four hexadecimal digits.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from core.prediction_ids import MAX_ROWS, time_digits

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_ID = MAX_ROWS
"""Rows whose ids differ in the last four digits only."""

ID_BYTES = 36


def identity(*facts: Any) -> str:
    """Return the SHA-256 of values that JSON can hold, 64 hexadecimal digits.

    Examples
    --------
    >>> identity("credit", 1)[:8]
    'a2cbf3a8'
    """
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def id_of_rows(run: str, number: int, at: datetime) -> str:
    """Return the id of the first of 65,536 rows.

    Parameters
    ----------
    run
        Identity of the run.
    number
        Number of these rows: 0 for the rows 0 to 65,535 of the input.
    at
        The predictions' time, with time zone; its milliseconds are the first digits.

    Examples
    --------
    >>> found = id_of_rows("ab", 0, datetime(2026, 1, 1, tzinfo=UTC))
    >>> found[:14], found[-4:]
    ('019b76da-a800-', '0000')
    """
    drawn = hashlib.sha256(f"{run} {number}".encode()).hexdigest()
    variant = "89ab"[int(drawn[3], 16) % 4]
    return f"{time_digits(at)}-7{drawn[:3]}-{variant}{drawn[4:7]}-{drawn[7:15]}0000"


def prediction_ids(run: str, rows: npt.NDArray[np.int64], at: datetime) -> pa.Array:
    """Return the ids of rows as an Arrow array of text, shape (n,).

    Parameters
    ----------
    run, at
        As in :func:`id_of_rows`.
    rows
        Numbers of the rows in the input, from 0, ascending, shape (n,).
    """
    import pyarrow as pa

    numbers, places = np.divmod(rows, ROWS_PER_ID)
    known, which = np.unique(numbers, return_inverse=True)
    heads = [id_of_rows(run, int(number), at)[:-4] for number in known]
    letters = np.empty((len(rows), ID_BYTES), dtype=np.uint8)
    letters[:, :-4] = np.frombuffer("".join(heads).encode(), dtype=np.uint8).reshape(-1, ID_BYTES - 4)[which]
    letters[:, -4:] = _digits()[places]
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * ID_BYTES
    return pa.StringArray.from_buffers(len(rows), pa.py_buffer(offsets), pa.py_buffer(letters))


def _digits() -> npt.NDArray[np.uint8]:
    """Return the four hexadecimal digits of 0 to 65,535, shape (65536, 4)."""
    one = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
    places = np.arange(ROWS_PER_ID)
    return np.stack([one[(places >> shift) & 15] for shift in (12, 8, 4, 0)], axis=1)
