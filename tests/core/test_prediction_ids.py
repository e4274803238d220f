"""The form of ids: each leads back to its request, and they are in the order of their moments."""

from __future__ import annotations

import doctest
from datetime import UTC, datetime, timedelta, timezone

import pytest

import core.prediction_ids
from core.prediction_ids import MAX_ROWS, first_id_at, is_prediction_id, prediction_id, request_of
from serving.ids import new_request_id


def test_the_examples_hold() -> None:
    """The documented examples run."""
    assert doctest.testmod(core.prediction_ids).failed == 0


def test_every_place_of_a_request_has_an_id_that_leads_back() -> None:
    """From the first to the last row that a request can hold, all different."""
    request = new_request_id()
    ids = [prediction_id(request, place) for place in (0, 1, 255, 256, MAX_ROWS - 1)]
    assert ids[0] == request
    assert [request_of(one) for one in ids] == [(request, place) for place in (0, 1, 255, 256, MAX_ROWS - 1)]
    assert all(map(is_prediction_id, ids))


def test_ids_are_in_the_order_of_their_moments() -> None:
    """Old rows are a range of the primary key: one from before a moment is below its bound, a new one above."""
    moment = datetime.now(UTC)
    assert first_id_at(moment - timedelta(milliseconds=1)) < first_id_at(moment) <= new_request_id()
    assert new_request_id() < first_id_at(datetime.now(UTC) + timedelta(seconds=5))
    assert first_id_at(moment.astimezone(timezone(timedelta(hours=7)))) == first_id_at(moment)
    assert is_prediction_id(first_id_at(moment))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "019b76da-a800-7000-8000-00000000000",
        "019b76da-a800-7000-8000-0000000000000",
        "019B76DA-A800-7000-8000-000000000000",
        "019b76da-a800-4000-8000-000000000000",
        "019b76da-a800-7000-c000-000000000000",
        "019b76da-a800-7000-8000-000000000000\n",
        "019b76daa80070008000000000000000",
    ],
)
def test_other_texts_are_no_ids(text: str) -> None:
    """Another length, version or variant, capital letters, a line's end."""
    assert not is_prediction_id(text)
