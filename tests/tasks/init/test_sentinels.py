from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from config.schema import ModelConfig
from config.settings import Settings
from tasks.init.model_file import InitResult, init_model
from tests.factories import make_project

N = 1000


@pytest.fixture
def project(tmp_path: Path) -> Settings:
    """Make an empty project."""
    return make_project(tmp_path)


def sensors() -> pd.DataFrame:
    """Make measurements of which some are -200.0, 999 or 9999, as sensors and surveys write them."""
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(
        {
            "co": rng.gamma(2, 1, N).round(1),
            "nox": rng.integers(2, 1400, N).astype(float),
            "visits": rng.integers(0, 30, N),
            "height": rng.normal(170, 10, N).round(0),
            "clean": rng.normal(0, 3, N).round(2),
            "y": rng.integers(0, 2, N),
        }
    )
    frame.loc[rng.random(N) < 0.2, ["co", "nox"]] = -200.0
    frame.loc[rng.random(N) < 0.7, "visits"] = 999
    frame.loc[:4, "height"] = 9999
    return frame


def inferred(frame: pd.DataFrame, settings: Settings, name: str, **options: Any) -> InitResult:
    """Infer a model file from rows."""
    path = settings.root / name
    frame.to_parquet(path) if name.endswith("parquet") else frame.to_csv(path, index=False)
    return init_model(str(path), options.pop("target", "y"), settings, force=True, **options)


def looks(result: InitResult) -> list[str]:
    """Return the remarks."""
    return [note for note in result.notes if note.startswith("look:")]


def test_each_value_is_named_as_the_file_has_it(project: Settings) -> None:
    """Its columns and shares follow; the reason beside each column has it too; a clean column has no remark."""
    result = inferred(sensors(), project, "rows.csv")
    found = looks(result)
    assert [note.split(" is far")[0] for note in found] == ["look: '-200.0'", "look: '999'", "look: '9999.0'"]
    assert "'co' (" in found[0]
    assert "'nox' (" in found[0]
    assert "'height' (0.5 % of rows; " in found[2]
    assert not any("clean" in note for note in found)
    assert all(note.endswith("add it to source.missing, which applies to every column") for note in found)
    assert "; 999 (" in result.paths[0].read_text()


def test_the_advice_works(project: Settings) -> None:
    """With the texts in source.missing, the ingestion stores no such number."""
    from tasks.source.stage import stage_rows

    result = inferred(sensors(), project, "rows.csv")
    content = result.config.model_dump()
    content["source"]["missing"] = ["", "-200.0", "999", "9999.0"]
    rows = stage_rows(ModelConfig.model_validate(content), project, project.var / "w")
    stored = pd.read_parquet(rows.path)
    assert stored[["co", "nox"]].min().min() >= 0
    assert stored["visits"].max() < 30
    assert stored["height"].max() < 300


def test_numbers_of_parquet_have_another_advice(project: Settings) -> None:
    """Texts that mean no value are not looked for among numbers."""
    assert all(
        note.endswith("source.missing applies to text only")
        for note in looks(inferred(sensors(), project, "r.parquet"))
    )


def test_a_target_of_numbers_is_looked_at_too(project: Settings) -> None:
    """A regression would learn -200 as an amount."""
    found = looks(inferred(sensors(), project, "rows.csv", target="co"))
    assert any(note.startswith("look: '-200.0'") and "'co' (" in note for note in found)


def test_days_that_mean_no_date_are_named(project: Settings) -> None:
    """A column of dates keeps them, with a remark; dates without a gap have none."""
    rng = np.random.default_rng(5)
    days = pd.Series(pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, N), unit="D"))
    frame = pd.DataFrame({"left": days.where(rng.random(N) < 0.9, pd.Timestamp("1900-01-01")), "joined": days})
    frame.assign(y=rng.integers(0, 2, N)).to_csv(project.root / "rows.csv", index=False)
    notes = init_model(str(project.root / "rows.csv"), "y", project).notes
    assert [note for note in notes if "other dates of" in note] == [
        note for note in notes if note.startswith("look: 1900-01-01 is far from the other dates of 'left'")
    ]
    assert any("1900-01-01" in note for note in notes)
