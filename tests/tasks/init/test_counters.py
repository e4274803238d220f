from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from config.settings import Settings
from tasks.init.model_file import InitResult, init_model
from tests.factories import make_project

N = 2000


@pytest.fixture
def project(tmp_path: Path) -> Settings:
    """Make an empty project."""
    return make_project(tmp_path)


def transactions() -> pd.DataFrame:
    """Make payments with a time, and its seconds and days as numbers."""
    rng = np.random.default_rng(5)
    seconds = np.sort(rng.integers(0, 120 * 86_400, N))
    return pd.DataFrame(
        {
            "TX_DATETIME": pd.Timestamp("2024-04-01") + pd.to_timedelta(seconds, unit="s"),
            "TX_AMOUNT": rng.lognormal(3, 1, N).round(2),
            "price_index": 100 + rng.normal(size=N).cumsum().round(2),
            "TX_TIME_SECONDS": seconds // 60 * 60,
            "TX_TIME_DAYS": seconds // 86_400,
            "days_left": 120 - seconds / 86_400,
            "TX_FRAUD": (rng.random(N) < 0.1).astype(int),
        }
    )


COUNTERS = ("TX_TIME_SECONDS", "TX_TIME_DAYS", "days_left")


def inferred(frame: pd.DataFrame, settings: Settings, **options: Any) -> InitResult:
    """Infer a model file from rows."""
    frame.to_csv(settings.root / "rows.csv", index=False)
    return init_model(str(settings.root / "rows.csv"), "TX_FRAUD", settings, force=True, **options)


def test_counters_of_time_are_no_features(project: Settings) -> None:
    """With the time declared they are found in any order of rows, rising and falling; other numbers stay."""
    shuffled = transactions().sample(frac=1, random_state=1)
    result = inferred(shuffled, project, time="TX_DATETIME")
    assert result.config.features.ignored == COUNTERS
    assert result.config.features.numeric == ("TX_AMOUNT", "price_index")
    assert "# a counter of time: it falls with 'TX_DATETIME', from " in result.paths[0].read_text()


def test_dates_in_the_order_of_rows_are_evidence_too(project: Settings) -> None:
    """Without a declared time the file's own order tells, if its dates follow it."""
    result = inferred(transactions(), project)
    assert result.config.features.ignored == COUNTERS
    assert any("rises with the order of rows, as 'TX_DATETIME' does" in note for note in result.notes)


def test_a_counter_of_rows_may_repeat(project: Settings) -> None:
    """An order's number stands in several rows; without dates, its name is the evidence."""
    frame = transactions().drop(columns=["TX_DATETIME", *COUNTERS]).assign(order_no=np.arange(N) // 3 + 70_000)
    result = inferred(frame, project)
    assert result.config.features.ignored == ("order_no",)


def test_a_file_sorted_by_a_feature_keeps_it_with_a_remark(project: Settings) -> None:
    """A price that only rises from row to row may be the order of the file."""
    frame = transactions()[["TX_AMOUNT", "price_index", "TX_FRAUD"]].sort_values("price_index")
    result = inferred(frame, project)
    assert result.config.features.numeric == ("TX_AMOUNT", "price_index")
    assert [note for note in result.notes if "with the order of rows" in note] == [
        f"look: 'price_index' rises with the order of rows, from {frame['price_index'].min():.6g} to "
        f"{frame['price_index'].max():.6g}; if it counts rows or time, move it to features.ignored, because it drifts "
        "in every window"
    ]


def test_ordinary_numbers_have_no_remark(project: Settings) -> None:
    """Neither a trend with noise nor a season is a counter."""
    frame = transactions().drop(columns=list(COUNTERS))
    frame = frame.assign(
        trend=np.arange(N) / 10 + np.random.default_rng(2).normal(size=N), month=frame["TX_DATETIME"].dt.month
    )
    result = inferred(frame, project, time="TX_DATETIME")
    assert result.config.features.ignored == ()
    assert not any(note.startswith("look:") for note in result.notes)
