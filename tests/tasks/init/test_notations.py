from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from config.settings import Settings
from tasks.init.model_file import InitResult, init_model
from tests.factories import make_project

N = 6000


@pytest.fixture
def project(tmp_path: Path) -> Settings:
    """Make an empty project."""
    return make_project(tmp_path)


def inferred(columns: dict[str, Any], settings: Settings, name: str = "rows.csv") -> InitResult:
    """Infer a model file from columns beside a number and a target."""
    rng = np.random.default_rng(8)
    frame = pd.DataFrame({"x": rng.normal(size=N), "y": rng.integers(0, 2, N)} | columns)
    path = settings.root / name
    frame.to_parquet(path) if name.endswith("parquet") else frame.to_csv(path, index=False)
    return init_model(str(path), "y", settings)


def days() -> pd.DatetimeIndex:
    """Return about 599 distinct days in no order."""
    return pd.Timestamp("2022-01-01") + pd.to_timedelta(np.random.default_rng(9).integers(0, 599, N), unit="D")


@pytest.mark.parametrize("text", ["{:%d} März {:%Y}", "Fri, {:%d %b %Y}"])
def test_many_dates_that_no_format_reads_are_no_category(text: str, project: Settings) -> None:
    """They are ignored and what to do is told, in the file and on the terminal."""
    result = inferred({"day": [text.format(day, day) for day in days()]}, project)
    assert result.config.features.ignored == ("day",)
    assert any(note.startswith("ignored 'day': dates") and "rewrite as" in note for note in result.notes)
    assert "rewrite as 2026-01-31" in result.paths[0].read_text()


def test_iso_dates_stay_dates(project: Settings) -> None:
    """Also with a time, and where some rows have the zero date of some databases."""
    zero = days().strftime("%Y-%m-%d").where(np.arange(N) % 5 > 0, "0000-00-00")
    result = inferred(
        {"day": days().strftime("%Y-%m-%d"), "at": days().strftime("%Y/%m/%d 10:30"), "zero": zero}, project
    )
    assert result.config.features.dates == ("day", "at", "zero")
    assert result.config.source.missing == ("", "0000-00-00")


def test_days_as_numbers_of_parquet_are_dates(project: Settings) -> None:
    """20240131 is no amount; amounts in the same range are numbers, without a remark."""
    amounts = np.random.default_rng(1).integers(19_500_000, 20_500_000, N)
    result = inferred({"day": days().strftime("%Y%m%d").astype(int), "amount": amounts}, project, "rows.parquet")
    assert result.config.features.dates == ("day",)
    assert result.config.source.dates == {"day": ("%Y%m%d",)}
    assert result.config.features.numeric == ("x", "amount")


def test_ordinary_texts_have_no_notation(project: Settings) -> None:
    """Versions, addresses and months as a category."""
    rng = np.random.default_rng(2)
    columns = {
        "version": rng.choice(["1.2.3", "10.4.12", "3.30.1"], N),
        "address": rng.choice([f"10.0.0.{place}" for place in range(9)], N),
        "month": days().strftime("%Y-%m"),
        "name": rng.choice(["march", "may", "june"], N),
    }
    result = inferred(columns, project)
    assert result.config.features.categorical == tuple(columns)


def test_a_column_without_values_has_no_notation(project: Settings) -> None:
    """It is ignored as empty, beside a column of dates."""
    result = inferred({"empty": [""] * N, "day": days().strftime("%m/%d/%Y")}, project)
    assert result.config.features.ignored == ("empty",)
    assert result.config.source.dates == {"day": ("%m/%d/%Y",)}
