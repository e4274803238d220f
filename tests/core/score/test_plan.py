"""Identities and times of a plan."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from core.errors import ConfigError
from core.score.plan import ScoringRequest, given_time, run_identity, time_of_predictions

REQUEST = ScoringRequest("credit", "rows.parquet", "scores.parquet")
REGISTERED = datetime(2026, 1, 1, 12, 0, 0, 123_456, tzinfo=UTC)


def test_the_same_rows_and_version_are_the_same_run() -> None:
    """Wherever they are and wherever the output goes; another version, bundle, content or time is another run."""
    run = run_identity(REQUEST, 1, "m", "s", [["a"]])
    moved = ScoringRequest("credit", "elsewhere.csv", "other", features=True)
    assert run_identity(moved, 1, "m", "s", [["a"]]) == run
    later = ScoringRequest("credit", "rows.parquet", "scores.parquet", at="2026-01-01")
    others = [
        run_identity(REQUEST, 2, "m", "s", [["a"]]),
        run_identity(REQUEST, 1, "n", "s", [["a"]]),
        run_identity(REQUEST, 1, "m", "t", [["a"]]),
        run_identity(REQUEST, 1, "m", "s", [["b"]]),
        run_identity(later, 1, "m", "s", [["a"]]),
    ]
    assert len({run, *others}) == 6


def test_the_time_is_that_from_which_input_and_version_existed() -> None:
    """To the millisecond, as in the ids; a given time without a zone is UTC."""
    assert time_of_predictions(REQUEST, REGISTERED, 0) == REGISTERED.replace(microsecond=123_000)
    changed = int(datetime(2026, 2, 1, tzinfo=UTC).timestamp() * 1e9)
    assert time_of_predictions(REQUEST, REGISTERED, changed) == datetime(2026, 2, 1, tzinfo=UTC)
    given = ScoringRequest("credit", "a", "b", at="2026-03-01T01:00:00.0009")
    assert time_of_predictions(given, REGISTERED, changed) == datetime(2026, 3, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["", "now", "2026-02-30", "1969-12-31", "0001-01-01T00:00+05:00", "9999-12-31T23:59-05:00"]
)
def test_a_time_that_no_id_can_carry_is_refused(text: str) -> None:
    """Ids count milliseconds since 1970; a time beyond the years has none in UTC."""
    with pytest.raises(ConfigError, match="--at expects a time such as"):
        given_time(text)
    assert given_time("1970-01-01") == datetime(1970, 1, 1, tzinfo=UTC)
