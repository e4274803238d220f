"""Ids of requests; tests/core/test_prediction_ids.py has what follows from their form."""

from __future__ import annotations

from serving.ids import new_request_id


def test_requests_do_not_share_ids() -> None:
    """Also those of one millisecond."""
    assert len({new_request_id() for _ in range(10_000)}) == 10_000
