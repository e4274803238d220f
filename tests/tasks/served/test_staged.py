"""A range of the prediction log as a file of the contract's columns, with labels and served predictions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from config.schema import ModelConfig
from config.settings import Settings
from core.feature_contract import FeatureContract
from store.database import open_database
from store.log.labels import Label, record_labels
from store.log.served import ServedRange
from tasks.served import staged
from tasks.served.staged import output_columns, staged_window
from tasks.versions.record_batches import contract_schema
from tests.factories import credit_config, credit_rows, make_project
from tests.tasks.served.traffic import log_rows

AT = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
CONFIG = credit_config(features={"ignored": ["branch"]})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return a project with a log of three days: ten rows a day of the same ten entities."""
    found = make_project(tmp_path)
    rows = credit_rows(10).assign(owner=True).drop(columns="default")
    for day in range(3):
        log_rows(open_database(found.database_url), rows, [[0.25, 0.75]] * 10, AT + day * DAY, key="id")
    return found


def window(settings: Settings, day: int, config: ModelConfig = CONFIG, version: int = 1) -> list[dict[str, Any]]:
    """Stage a day and return its rows."""
    asked = ServedRange("credit", AT + day * DAY, AT + (day + 1) * DAY)
    contract = FeatureContract.of(config, ["0", "1"])
    with staged_window(config, contract, version, asked, AT + 60 * DAY, settings) as found:
        file = pq.read_table(found.path)
        assert file.num_rows == found.n_rows == 10
    assert not found.path.exists()
    assert list((settings.var / "work").iterdir()) == []
    expected = contract_schema(config, config.columns, output_columns(contract))
    assert [(field.name, field.type) for field in file.schema] == [(field.name, field.type) for field in expected]
    rows: list[dict[str, Any]] = file.to_pylist()
    return rows


def test_the_file_has_the_contracts_columns_and_the_served_predictions(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In order; what was not sent is null; another version's predictions are not taken for the champion's."""
    monkeypatch.setattr(staged, "PART_ROWS", 3)
    rows = window(settings, 1)
    expected = credit_rows(10)
    assert [row["id"] for row in rows] == expected["id"].tolist()
    assert [row["income"] for row in rows] == expected["income"].tolist()
    assert {(row["branch"], row["default"], row["perennial output 1"]) for row in rows} == {(None, None, 0.75)}
    assert {row["perennial output 0"] for row in window(settings, 1, version=2)} == {None}


def test_the_time_of_a_row_is_that_of_its_answer(settings: Settings) -> None:
    """If the model orders its rows by a time that is no feature."""
    config = credit_config(time="at")
    times = [row["at"] for row in window(settings, 0, config)]
    assert times == [(AT + place * timedelta(seconds=1)).replace(tzinfo=None) for place in range(10)]


def test_an_event_after_the_window_belongs_to_the_prediction_that_is_nearest(settings: Settings) -> None:
    """It is looked for after the window too: the event of the third day is no outcome of the first day's row."""
    labels = [
        Label("key", "c1-0", "1", AT + 2.5 * DAY),
        Label("key", "c1-1", "1", AT + 0.5 * DAY),
        Label("key", "c1-2", "0"),
    ]
    record_labels(open_database(settings.database_url), "credit", labels, "test", AT + 40 * DAY)
    found = [[row["default"] for row in window(settings, day)[:4]] for day in range(3)]
    assert found == [[None, "1", "0", None], [None, None, "0", None], ["1", None, "0", None]]
