"""What the columns of moments take, and what they give back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy.dialects import sqlite

from store.tables import Base, DataTime, UtcDateTime

DIALECT = sqlite.dialect()
EAST = datetime(2026, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))


def test_a_moment_is_utc_on_both_sides() -> None:
    """Another zone becomes UTC on the way in, and UTC is said on the way out."""
    kept = UtcDateTime().process_bind_param(EAST, DIALECT)
    assert kept == datetime(2025, 12, 31, 23, 30)
    found = UtcDateTime().process_result_value(kept, DIALECT)
    assert found is not None
    assert (found, found.tzinfo) == (EAST, UTC)
    assert UtcDateTime().process_bind_param(None, DIALECT) is None
    assert UtcDateTime().process_result_value(None, DIALECT) is None


def test_a_moment_without_a_zone_is_refused() -> None:
    """It would be guessed at later."""
    with pytest.raises(ValueError, match="expected a time with a time zone"):
        UtcDateTime().process_bind_param(datetime(2026, 1, 1), DIALECT)


def test_a_time_of_the_data_has_no_zone() -> None:
    """One that has a zone becomes UTC as on ingestion, one without stays."""
    assert DataTime().process_bind_param(EAST, DIALECT) == datetime(2025, 12, 31, 23, 30)
    assert DataTime().process_bind_param(datetime(2026, 1, 1), DIALECT) == datetime(2026, 1, 1)


@pytest.mark.parametrize("table", Base.metadata.sorted_tables, ids=lambda table: table.name)
def test_no_column_of_moments_bypasses_the_two_types(table: object) -> None:
    """A plain DateTime would take a naive moment on one database and a zone on the other."""
    columns = list(getattr(table, "columns", []))
    assert columns
    plain = [str(one) for one in columns if type(one.type).__name__ in {"DateTime", "DATETIME", "TIMESTAMP"}]
    assert plain == []
