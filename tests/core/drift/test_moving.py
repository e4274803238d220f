from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from config.schema import Drift
from core.drift.columns import ColumnDrift, column_drifts, with_moving_cause
from core.drift.counts import all_counts, frame_counts
from core.drift.moving import Moving, held_rows, moving_columns
from core.drift.profile import feature_profiles, number_profile
from core.feature_contract import FeatureContract

N_ROWS = 4_000


def contract_of(**kinds: tuple[str, ...]) -> FeatureContract:
    """Contract of a regression with columns of some kinds."""
    none: dict[str, Any] = dict.fromkeys(("numeric", "categorical", "boolean", "dates"), ())
    return FeatureContract("regression", "y", (), **(none | kinds))


def timed(n_rows: int = N_ROWS, seed: int = 0, start: str = "2022-03-01", hours: float = 4.0) -> pd.DataFrame:
    """Rows in a random order of storage, with columns that move by construction and columns that do not."""
    generator = np.random.default_rng(seed)
    at = pd.Series(pd.date_range(start, periods=n_rows, freq=pd.Timedelta(hours=hours)).as_unit("us"))
    frame = pd.DataFrame(
        {
            "at": at,
            "row": np.arange(n_rows, dtype="float64"),
            "remaining": -(at - at[0]).dt.total_seconds(),
            "yr": (at.dt.year - 2022).astype("float64"),
            "mnth": at.dt.month.astype("float64"),
            "season": ((at.dt.dayofyear + 10) // 92).astype("float64"),
            "month_name": at.dt.month_name(),
            "hour": at.dt.hour.astype("float64"),
            "temperature": np.sin(at.dt.dayofyear / 58) * 10 + generator.normal(size=n_rows),
            "trend": np.linspace(0, 1, n_rows) + generator.normal(size=n_rows),
            "order": [f"o{number}" for number in range(n_rows)],
            "customer": [f"c{number // 20 + generator.integers(0, 40)}" for number in range(n_rows)],
            "town": generator.choice([f"t{number}" for number in range(200)], n_rows),
        }
    )
    return frame.sample(frac=1, random_state=seed)


NUMBERS = ("row", "remaining", "yr", "mnth", "season", "hour", "temperature", "trend")
TEXTS = ("month_name", "order", "customer", "town")


def found_in(frame: pd.DataFrame) -> Moving:
    """Find what moves in rows."""
    return moving_columns(frame, contract_of(numeric=NUMBERS, categorical=TEXTS), "at")


def test_counters_and_calendar_columns_are_recognised_by_the_order_of_time() -> None:
    """What only rises or falls, and parts of the date under any name; not an hour, the weather or a trend."""
    assert found_in(timed()).counters == {
        "row": "rises with at",
        "remaining": "falls with at",
        "yr": "is the year",
        "mnth": "is the month",
        "month_name": "is the month",
        "season": "follows from the day of the year",
    }


def test_a_season_is_recognised_after_it_came_back() -> None:
    """Two years show that the value follows from the day of the year; one year cannot."""
    assert "season" not in found_in(timed(2_000)).counters
    assert found_in(timed(N_ROWS, hours=5.0)).counters["season"] == "follows from the day of the year"


def test_levels_that_turn_over_have_the_share_of_new_ones_that_the_later_training_rows_had() -> None:
    """An order is always new and a customer usually; 200 towns stay the same."""
    turnover = {profile.name: profile for profile in found_in(timed()).turnover}
    assert set(turnover) == {"order", "customer"}
    assert (turnover["order"].counts, turnover["order"].other) == ((0,), N_ROWS // 4)  # type: ignore[union-attr] # levels


def test_without_a_time_column_nothing_is_known_to_move() -> None:
    """Rows without a time have no order that later rows continue."""
    assert moving_columns(timed(), contract_of(numeric=NUMBERS, categorical=TEXTS), None) == Moving()
    one_moment = timed(100).assign(at=pd.Timestamp("2024-01-01"))
    assert moving_columns(one_moment, contract_of(numeric=NUMBERS, categorical=TEXTS), "at") == Moving()


def test_columns_that_are_not_features_may_count_too() -> None:
    """A row number that init left out is stored as text."""
    frame = timed().assign(instant=lambda rows: rows["row"].astype(int).astype(str), note="n/a")
    assert moving_columns(frame, contract_of(), "at", ("instant", "note")).counters == {"instant": "rises with at"}


def drifts(reference: pd.DataFrame, window: pd.DataFrame, moving: Moving) -> dict[str, ColumnDrift]:
    """Judge a window, with what is known to move."""
    profiles = feature_profiles(reference, contract_of(numeric=NUMBERS, categorical=TEXTS))
    sides = zip(profiles, frame_counts(profiles, window), strict=True)
    pairs = [("feature", *moving.comparable(before, now)) for before, now in sides]
    return {column.name: column for column in column_drifts(pairs, {}, Drift(), 1)}  # type: ignore[arg-type] # roles are texts here


def test_later_rows_do_not_drift_where_columns_only_move() -> None:
    """By PSI alone six columns and more drift in quiet later rows; with what moves, only another season's weather."""
    rows = timed(N_ROWS).sort_values("at")
    reference, window = rows.iloc[:3_000], rows.iloc[3_000:]
    plain = {name for name, column in drifts(reference, window, Moving()).items() if column.drifted}
    assert {"row", "remaining", "yr", "mnth", "month_name", "customer"} <= plain
    known = {name for name, column in drifts(reference, window, found_in(reference)).items() if column.drifted}
    assert known <= {"season", "temperature", "trend"}


def test_what_is_wrong_beside_the_movement_is_found() -> None:
    """A counter without values drifts, and so do customers of whom more are new than ever before."""
    rows = timed(N_ROWS).sort_values("at")
    reference, window = rows.iloc[:3_000], rows.iloc[3_000:]
    stable = reference.assign(customer=[f"c{n % 400 if n < 2_500 or n % 5 else n}" for n in range(3_000)])
    moving = found_in(stable)
    assert [profile.name for profile in moving.turnover] == ["order", "customer"]
    found = drifts(stable, window.assign(row=np.nan, customer="new " + window["order"]), moving)
    assert found["row"].drifted
    assert found["customer"].drifted


def test_beyond_the_span_that_training_rows_show_more_new_keys_are_no_drift() -> None:
    """How many keys are new a year later follows from nothing; only missing ones are compared then."""
    rows = timed(N_ROWS).sort_values("at")
    reference, window = rows.iloc[:3_000], rows.iloc[3_000:]
    stable = reference.assign(customer=[f"c{n % 400 if n < 2_500 or n % 5 else n}" for n in range(3_000)])
    moving, profiles = found_in(stable), feature_profiles(stable, contract_of(categorical=("customer",)))
    (now,) = frame_counts(profiles, window.assign(customer="new " + window["order"]))
    span = stable["at"].max() - stable["at"].min()
    near, far = (stable["at"].max() + share * span for share in (0.2, 0.3))
    assert len(all_counts(moving.comparable(profiles[0], now, near)[1])) == 3
    assert len(all_counts(moving.comparable(profiles[0], now, far)[1])) == 2


def test_it_survives_json_and_says_how_columns_move() -> None:
    """The document of the bundle is read as it was written."""
    moving = Moving({"row": "rises with at"}, found_in(timed()).turnover, number_profile("prediction", np.arange(90.0)))
    assert Moving.from_dict(json.loads(json.dumps(moving.to_dict()))) == moving
    assert moving.sentence("row") == "row rises with at: it moves by construction, so its values are not judged"
    assert "new levels of order" in moving.sentence("order")
    assert moving.sentence("town") == ""
    assert moving.features(contract_of(numeric=("row",))) == ("row",)


def test_rows_are_held_at_the_values_of_reference_rows() -> None:
    """The columns of a row come from one reference row, and the others stay."""
    reference = pd.DataFrame({"a": [1, 2, 3], "b": [10, 20, 30]})
    frame = pd.DataFrame({"a": 0, "b": 0, "c": range(50)}, index=range(100, 150))
    held = held_rows(frame, ["a", "b"], reference, 1)
    assert (held["b"] == 10 * held["a"]).all()
    assert set(held["a"]) == {1, 2, 3}
    pd.testing.assert_series_equal(held["c"], frame["c"])


@pytest.mark.parametrize("moves", [True, False])
def test_predictions_that_only_a_counter_moves_have_not_drifted(moves: bool) -> None:
    """Where the counter is held and the predictions stay, the sentence names it; where they moved too, they drifted."""
    generator = np.random.default_rng(4)
    profile = number_profile("prediction", generator.normal(size=3_000))
    rows = {"raw": generator.normal(2, size=900), "held": generator.normal(0 if moves else 1, size=900)}
    raw, held = (frame_counts([profile], pd.DataFrame({"prediction": values}))[0] for values in rows.values())
    judged = column_drifts([("prediction", profile, held)], {}, Drift(), 1)
    usual = column_drifts([("prediction", profile, raw)], {}, Drift(), 1)
    (found,) = with_moving_cause(judged, usual, ["row"])
    assert found.drifted is not moves
    assert ("only because of row, which moves by construction" in found.remark) is moves
