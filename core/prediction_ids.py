"""The form of ids of predictions: a UUID version 7, with the place of its row in the last four hexadecimal digits.

A request to the service has a UUID of its own (:mod:`serving.ids`), and so have 65,536 consecutive rows of a batch
scoring (:mod:`core.score.ids`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

MAX_ROWS = 0x10000
"""Most rows of a request: each needs an id of its own."""

ID_PATTERN = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_PATTERN = re.compile(ID_PATTERN)


def prediction_id(request_id: str, place: int) -> str:
    """Id of the prediction of a request's row; ``place`` is the row's index, 0 to 65,535.

    Examples
    --------
    >>> prediction_id("01936c1e-8f00-7abc-8def-012345670000", 10)[-4:]
    '000a'
    """
    return f"{request_id[:32]}{place:04x}"


def prediction_ids(request_id: str, n_rows: int) -> Iterator[str]:
    """Return the ids of the predictions of a logged request's rows.

    A request that an erasure took rows out of is logged as several: the first row of each has its id.

    Examples
    --------
    >>> list(prediction_ids("01a22b6e-c946-70e6-8906-0f1bb7e50000", 2))
    ['01a22b6e-c946-70e6-8906-0f1bb7e50000', '01a22b6e-c946-70e6-8906-0f1bb7e50001']
    >>> list(prediction_ids("01a22b6e-c946-70e6-8906-0f1bb7e50009", 2))[1][-4:]
    '000a'
    """
    _, first = request_of(request_id)
    return (prediction_id(request_id, first + place) for place in range(n_rows))


def request_of(prediction: str) -> tuple[str, int]:
    """Return the id of a prediction's request, and the row's index in it."""
    return f"{prediction[:32]}0000", int(prediction[32:], 16)


def is_prediction_id(text: str) -> bool:
    """Whether a text has the form of a prediction's id."""
    return _PATTERN.fullmatch(text) is not None


def first_id_at(moment: datetime) -> str:
    """Return the smallest id that a request of this time or later can have.

    Examples
    --------
    >>> first_id_at(datetime(2026, 1, 1, tzinfo=UTC))
    '019b76da-a800-7000-8000-000000000000'
    """
    return f"{time_digits(moment)}-7000-8000-000000000000"


def time_digits(moment: datetime) -> str:
    """Return the first part of the id of a time, with time zone: its milliseconds since 1970, twelve digits.

    Examples
    --------
    >>> time_digits(datetime(2026, 1, 1, tzinfo=UTC))
    '019b76da-a800'
    """
    ms = f"{int(moment.astimezone(UTC).timestamp() * 1000):012x}"
    return f"{ms[:8]}-{ms[8:]}"
