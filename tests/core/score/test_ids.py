"""Ids have the service's form, and follow from run, row and time alone."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from core.prediction_ids import MAX_ROWS, first_id_at, is_prediction_id, prediction_id, request_of
from core.score.ids import ROWS_PER_ID, id_of_rows, identity, prediction_ids

AT = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)


def test_ids_are_the_services() -> None:
    """Each is one that the service could give: the request's id with the row's place in the last digits."""
    assert ROWS_PER_ID == MAX_ROWS
    rows = np.array([0, 1, 65_535, 65_536, 200_000], dtype=np.int64)
    found = prediction_ids("ab", rows, AT).to_pylist()
    assert all(map(is_prediction_id, found))
    for row, one in zip(rows.tolist(), found, strict=True):
        number, place = divmod(row, ROWS_PER_ID)
        assert one == prediction_id(id_of_rows("ab", number, AT), place)
        assert request_of(one) == (id_of_rows("ab", number, AT), place)
        assert one >= first_id_at(AT)
    assert len({one[:32] for one in found}) == 3


def test_ids_differ_between_runs_and_times() -> None:
    """And are equal for equal facts, in whatever batches the rows are read."""
    rows = np.arange(60_000, 70_000, dtype=np.int64)
    whole = prediction_ids("ab", rows, AT).to_pylist()
    assert (
        whole == prediction_ids("ab", rows[:7_000], AT).to_pylist() + prediction_ids("ab", rows[7_000:], AT).to_pylist()
    )
    assert not set(whole) & set(prediction_ids("ac", rows, AT).to_pylist())
    assert identity("a", [1, None]) == identity("a", (1, None)) != identity("a", [1])


def test_no_rows_have_no_ids() -> None:
    """An empty batch is no error."""
    assert prediction_ids("ab", np.array([], dtype=np.int64), AT).to_pylist() == []
