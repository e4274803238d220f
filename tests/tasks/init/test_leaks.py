"""What `perennial init` says and leaves out, where columns are known only with the target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.leakage import HONEST, LEAKING, LeakageSet, flight_times, honest_rare, named_columns, taxi
from config.settings import Settings
from tasks.init.model_file import InitResult, init_model
from tests.factories import make_project, shared_data

N = 1500


@pytest.fixture
def project(tmp_path: Path) -> Settings:
    """Make an empty project."""
    return make_project(tmp_path)


def inferred(frame: pd.DataFrame, settings: Settings, target: str = "y", **options: Any) -> InitResult:
    """Infer a model file from rows."""
    frame.to_parquet(settings.root / "rows.parquet", index=False)
    return init_model(str(settings.root / "rows.parquet"), target, settings, force=True, **options)


def looks(result: InitResult) -> list[str]:
    """Return the remarks on leakage."""
    return [note for note in result.notes if note.startswith("look:") and "when predicting" in note]


@pytest.mark.parametrize("make", LEAKING, ids=lambda make: make.__name__)
def test_leaking_columns_are_named(make: Any) -> None:
    """Of each group that leaks one column is named, in each of the ways in which files leak, and no other column."""
    made: LeakageSet = make(np.random.default_rng(11), N)
    named, _ = named_columns(made.frame)
    assert all(group & named for group in made.leaks)
    assert named <= made.leaking


@pytest.mark.parametrize(
    "make", [make for make in HONEST if "wide" not in make.__name__], ids=lambda make: make.__name__
)
def test_honest_columns_are_not_named(make: Any) -> None:
    """Strong features, tenures, lags, interactions and ordinary columns with suspicious names."""
    made: LeakageSet = make(np.random.default_rng(11), N)
    assert named_columns(made.frame)[0] == frozenset()


@pytest.mark.parametrize("seed", [0, 1])
def test_few_rows_of_a_class_make_no_model_of_a_feature(seed: int) -> None:
    """With 25 rows of a class the other columns together may be no better than the best one, by chance."""
    assert named_columns(honest_rare(np.random.default_rng(seed), 1000).frame)[0] == frozenset()


def test_the_later_of_two_dates_is_ignored_and_the_earlier_one_stays(project: Settings) -> None:
    """The remark has the score, what was done and how to undo it; with --time the earlier one is no feature at all."""
    rows = taxi(np.random.default_rng(0), N).frame
    result = inferred(rows, project)
    assert result.config.features.ignored == ("dropoff_datetime",)
    assert result.config.features.dates == ("pickup_datetime",)
    [remark] = looks(result)
    assert "reaches R² 1.000 (alone at most 0.0" in remark
    assert "'dropoff_datetime' is ignored; list it under features and under training.leakage.allow" in remark
    assert "# leaks the target: " in result.paths[0].read_text()
    dated = inferred(rows, project, time="pickup_datetime")
    assert dated.config.features.ignored == ("dropoff_datetime",)
    assert not dated.config.features.dates


def test_both_columns_are_ignored_where_the_values_do_not_decide(project: Settings) -> None:
    """Arrivals are early and late, so that neither date is the later one; the name decides if it says something."""
    rows = flight_times(np.random.default_rng(0), N).frame
    rows = rows.rename(columns={"actual_arrival": "first", "scheduled_arrival": "second"})
    assert inferred(rows, project).config.features.ignored == ("second", "first")
    named = rows.rename(columns={"first": "time_actual"})
    assert inferred(named, project).config.features.ignored == ("time_actual",)


def test_a_copy_of_the_target_is_remarked_on(project: Settings) -> None:
    """Nothing is left out without a line that begins with look."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"x": rng.normal(size=N), "y": rng.lognormal(3, 1, N)})
    result = inferred(rows.assign(cents=rows["y"] * 100), project)
    assert result.config.features.ignored == ("cents",)
    [remark] = looks(result)
    assert remark.startswith("look: 'cents' alone reaches R² 1.000: 'cents' is ignored; list it under features")


def test_petals_are_a_feature(project: Settings) -> None:
    """Of 150 flowers, petals reach an AUC of 0.988: few rows are no evidence."""
    from sklearn.datasets import load_iris

    result = inferred(load_iris(as_frame=True).frame, project, "target")
    assert not result.config.features.ignored
    assert looks(result) == []


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("bank_marketing", {"duration"}),
        ("bike_sharing", {"casual", "registered"}),
        ("default_credit_card_tw", set()),
        ("online_shoppers", set()),
    ],
)
def test_public_sets(name: str, named: set[str]) -> None:
    """The documented leaks are named, and nothing else."""
    rows = pd.read_parquet(shared_data(name) / "ready.parquet")
    assert named_columns(rows, "target")[0] == named
