"""Which served rows are training rows, and how evenly labels cover the scores."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from config.schema import ModelConfig
from config.settings import Settings
from core.errors import ConfigError
from core.feature_contract import FeatureContract
from store.database import open_database
from store.log.labels import Label, record_labels
from tasks.served.training_rows import LabelledRows, labelled_rows
from tests.factories import credit_config, credit_rows, make_project
from tests.tasks.served.traffic import log_rows

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
CLASSES = {"binary": ["0", "1"], "multiclass": ["a", "b", "c"], "regression": []}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return a project without rows."""
    return make_project(tmp_path)


def config_of(task: str, **changes: Any) -> ModelConfig:
    """Build the model file of a task."""
    metrics = {"binary": "roc_auc", "multiclass": "roc_auc", "regression": "rmse"}
    positive = "1" if task == "binary" else None
    return credit_config(task=task, positive=positive, gate={"metric": metrics[task], "floor": 0.5}, **changes)


def served(settings: Settings, outputs: Sequence[Any], **how: Any) -> list[str]:
    """Log a row per output, forty days ago; return the predictions' ids."""
    rows = credit_rows(len(outputs)).assign(owner=True).drop(columns=["default", "id"])
    return log_rows(open_database(settings.database_url), rows, outputs, NOW - 40 * DAY, **how)


def known(settings: Settings, ids: Sequence[str], label: str, days_ago: float = 20) -> None:
    """Record the same label of predictions."""
    labels = [Label("id", one, label) for one in ids]
    record_labels(open_database(settings.database_url), "credit", labels, "ci", NOW - days_ago * DAY)


def staged(settings: Settings, config: ModelConfig, **span: str) -> LabelledRows:
    """Stage the labelled rows by a champion of the same features."""
    contract = FeatureContract.of(config, CLASSES[config.task])
    return labelled_rows(config, contract, span.get("since"), span.get("until"), settings)


def shares(found: LabelledRows) -> dict[str, float]:
    """Return the labelled share of each band."""
    assert found.selection is not None
    return {band.name: band.share for band in found.selection.bands}


def test_bands_of_a_regression_are_those_of_the_served_number(settings: Settings) -> None:
    """Ten with equally many rows, also of numbers far from 0 and 1; equal numbers share a band."""
    ids = served(settings, [1000.0 * place for place in range(100)])
    known(settings, ids[:90], "3.5")
    found = staged(settings, config_of("regression"))
    assert [*shares(found).values()] == [1.0] * 9 + [0.0]
    assert next(iter(shares(found))) == "0 to 9,000"
    assert found.rows is not None
    assert pd.read_parquet(found.rows.path)["default"].tolist() == [3.5] * 90


def test_a_number_that_is_served_to_all_is_one_band(settings: Settings) -> None:
    """Nothing can be compared with it."""
    known(settings, served(settings, [1.0] * 50)[:10], "1")
    assert staged(settings, config_of("regression")).selection is None


def test_bands_of_several_classes_are_the_predicted_ones(settings: Settings) -> None:
    """In the order of the contract."""
    outputs = [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.2, 0.1, 0.7]] * 40
    ids = served(settings, outputs)
    known(settings, [one for place, one in enumerate(ids) if place % 3 != 1], "a")
    assert shares(staged(settings, config_of("multiclass"))) == {"a": 1.0, "b": 0.0, "c": 1.0}


def test_predictions_of_every_version_are_counted(settings: Settings) -> None:
    """A row that an earlier champion answered has a score and may have a label."""
    ids = served(settings, [[0.9, 0.1]] * 30, version=1) + served(settings, [[0.1, 0.9]] * 30, version=2)
    known(settings, ids, "1")
    found = staged(settings, config_of("binary"))
    assert (found.n_served, found.n_labelled) == (60, 60)
    assert shares(found) == {"0.1 to 0.1": 1.0, "0.9 to 0.9": 1.0}


def test_rows_that_wait_for_their_labels_are_no_selection(settings: Settings) -> None:
    """Labels took twenty days, so rows of yesterday have none, whatever their scores are."""
    known(settings, served(settings, [[0.9, 0.1]] * 60), "0")
    rows = credit_rows(60, seed=3).assign(owner=True).drop(columns=["default", "id"])
    log_rows(open_database(settings.database_url), rows, [[0.1, 0.9]] * 60, NOW - DAY)
    found = staged(settings, config_of("binary"))
    assert (found.n_served, found.n_labelled, found.selection) == (120, 60, None)


def test_what_no_client_has_an_answer_to_is_left_out(settings: Settings) -> None:
    """Shadow answers and failures, and rows that lack a feature of the model file."""
    ids = served(settings, [[0.9, 0.1]] * 10)
    ids += served(settings, [[0.9, 0.1]] * 10, variant="shadow") + served(settings, [[]] * 10, failure="timeout")
    rows = credit_rows(10).assign(owner=True).drop(columns=["default", "id", "age"])
    ids += log_rows(open_database(settings.database_url), rows, [[0.9, 0.1]] * 10, NOW - 30 * DAY)
    known(settings, ids, "1")
    found = staged(settings, config_of("binary"))
    assert (found.n_labelled, found.notes[1]) == (
        10,
        "10 served rows lack a feature of the model file and are left out",
    )


def test_a_range_is_checked_before_anything_is_read(settings: Settings) -> None:
    """A mistake is an error, an early range is empty."""
    config = config_of("binary")
    known(settings, served(settings, [[0.9, 0.1]] * 10), "1")
    with pytest.raises(ConfigError, match="--since expects a time"):
        staged(settings, config, since="soon")
    with pytest.raises(ConfigError, match="the range is empty"):
        staged(settings, config, since="2026-03-01", until="2026-03-01")
    assert staged(settings, config, until="2020-01-01").rows is None


def test_without_a_champion_there_is_nothing_served(settings: Settings) -> None:
    """It is told, not raised: a first training has no log."""
    found = labelled_rows(config_of("binary"), None, None, None, settings)
    assert (found.rows, found.notes) == (None, ("no served rows: 'credit' has no champion yet",))
